//! What shards and proxies say about client-side caching (CLIENT TRACKING), with Redis's checks and texts.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::number::parse_i64;
use crate::resp::{Args, Protocol, Reply};

/// The channel over which a RESP2 client hears what another one is to forget.
pub const CHANNEL: &[u8] = b"__redis__:invalidate";

/// How a client is tracked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracking {
    pub on: bool,
    /// It hears of all keys with its prefixes, whether it has read them or not.
    pub broadcast: bool,
    /// Only what is read after CLIENT CACHING YES is remembered.
    pub opt_in: bool,
    /// What is read after CLIENT CACHING NO is not remembered.
    pub opt_out: bool,
    /// It does not hear of what it changes itself.
    pub no_loop: bool,
    /// CLIENT CACHING was called for the next command.
    pub caching: bool,
    /// The client that is told instead.
    pub redirect: Option<u64>,
    /// That client is gone.
    pub broken: bool,
    pub prefixes: BTreeSet<Box<[u8]>>,
}

/// What CLIENT TRACKING asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    On(Tracking),
    Off,
}

impl Change {
    /// Reads the arguments of CLIENT TRACKING and checks them against what is in force; `exists` tells whether there is a
    /// client of that number.
    ///
    /// # Errors
    /// Redis's texts.
    pub fn parse(args: &Args<'_>, now: &Tracking, exists: impl Fn(u64) -> bool) -> Result<Self, Error> {
        let mut wanted = Tracking { on: true, ..Tracking::default() };
        let mut prefixes: Vec<&[u8]> = Vec::new();
        let mut redirect = 0;
        let mut index = 3;
        while let Some(word) = args.get(index) {
            let next = args.get(index + 1);
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if let (true, Some(number)) = (is("REDIRECT"), next) {
                index += 1;
                if redirect != 0 {
                    return Err(Error::err("A client can only redirect to a single other client"));
                }
                redirect = parse_i64(number).ok_or(Error::NotInteger)?;
                let client = u64::try_from(redirect).ok().filter(|client| exists(*client));
                if client.is_none() {
                    return Err(Error::err("The client ID you want redirect to does not exist"));
                }
                wanted.redirect = client;
            } else if is("BCAST") {
                wanted.broadcast = true;
            } else if is("OPTIN") {
                wanted.opt_in = true;
            } else if is("OPTOUT") {
                wanted.opt_out = true;
            } else if is("NOLOOP") {
                wanted.no_loop = true;
            } else if let (true, Some(prefix)) = (is("PREFIX"), next) {
                index += 1;
                prefixes.push(prefix);
            } else {
                return Err(Error::Syntax);
            }
            index += 1;
        }
        if args.is(2, "OFF") {
            return Ok(Self::Off);
        }
        if !args.is(2, "ON") {
            return Err(Error::Syntax);
        }
        wanted.check(now, &prefixes)?;
        if wanted.broadcast {
            wanted.prefixes.clone_from(&now.prefixes);
            if prefixes.is_empty() {
                prefixes.push(b"");
            }
            wanted.prefixes.extend(prefixes.into_iter().map(Box::from));
        }
        Ok(Self::On(wanted))
    }
}

/// Whether one text is the beginning of the other.
fn overlap(a: &[u8], b: &[u8]) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

impl Tracking {
    fn check(&self, now: &Self, prefixes: &[&[u8]]) -> Result<(), Error> {
        if !self.broadcast && !prefixes.is_empty() {
            return Err(Error::err("PREFIX option requires BCAST mode to be enabled"));
        }
        if now.on && now.broadcast != self.broadcast {
            return Err(Error::err(
                "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it \
                 with a different mode.",
            ));
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return Err(Error::err("OPTIN and OPTOUT are not compatible with BCAST"));
        }
        if self.opt_in && self.opt_out {
            return Err(Error::err("You can't specify both OPTIN mode and OPTOUT mode"));
        }
        if self.opt_in && now.opt_out || self.opt_out && now.opt_in {
            return Err(Error::err(
                "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it \
                 with a different mode.",
            ));
        }
        let quoted = |prefix: &[u8], which: &[u8], other: &[u8]| {
            let end = b"'. Prefixes for a single client must not overlap.";
            Error::Bytes([&b"Prefix '"[..], prefix, b"' overlaps with ", which, b" '", other, end].concat())
        };
        for (index, prefix) in prefixes.iter().enumerate() {
            if let Some(known) = now.prefixes.iter().find(|known| overlap(known, prefix)) {
                return Err(quoted(prefix, b"an existing prefix", known));
            }
            let others = prefixes.get(index + 1..).unwrap_or_default();
            if let Some(other) = others.iter().find(|other| overlap(prefix, other)) {
                return Err(quoted(prefix, b"another provided prefix", other));
            }
        }
        Ok(())
    }

    /// CLIENT CACHING.
    ///
    /// # Errors
    /// Redis's texts.
    pub fn set_caching(&mut self, args: &Args<'_>) -> Result<(), Error> {
        if !self.on {
            return Err(Error::err(
                "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
            ));
        }
        if args.is(2, "YES") {
            if !self.opt_in {
                return Err(Error::err(
                    "CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
                ));
            }
        } else if args.is(2, "NO") {
            if !self.opt_out {
                return Err(Error::err(
                    "CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
                ));
            }
        } else {
            return Err(Error::Syntax);
        }
        self.caching = true;
        Ok(())
    }

    /// Whether the keys are remembered that the next command reads.
    #[must_use]
    pub fn remembers(&self) -> bool {
        self.on && !self.broadcast && !(self.opt_in && !self.caching || self.opt_out && self.caching)
    }

    /// Answers CLIENT TRACKINGINFO.
    pub fn describe(&self, reply: &mut Reply<'_>) {
        let flags = [
            (if self.on { "on" } else { "off" }, true),
            ("bcast", self.broadcast),
            ("optin", self.opt_in),
            ("caching-yes", self.opt_in && self.caching),
            ("optout", self.opt_out),
            ("caching-no", self.opt_out && self.caching),
            ("noloop", self.no_loop),
            ("broken_redirect", self.broken),
        ];
        let flags: Vec<&str> = flags.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
        reply.map(3);
        reply.bulk(b"flags");
        reply.set(flags.len());
        flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
        reply.bulk(b"redirect");
        reply.int(self.told_redirect());
        reply.bulk(b"prefixes");
        reply.array(self.prefixes.len());
        self.prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    }

    /// The number that CLIENT GETREDIR tells.
    #[must_use]
    pub fn told_redirect(&self) -> i64 {
        if self.on { self.redirect.map_or(0, |client| client as i64) } else { -1 }
    }

    /// The letters of CLIENT LIST.
    #[must_use]
    pub fn letters(&self) -> &'static str {
        match (self.on, self.broken, self.broadcast) {
            (false, ..) => "",
            (_, false, false) => "t",
            (_, true, false) => "tR",
            (_, false, true) => "tB",
            (_, true, true) => "tRB",
        }
    }
}

/// The first word of what a shard tells a proxy of a client: what that client is to forget.
pub const INVALIDATE: &[u8] = b"invalidate";

/// The same of what the command did whose reply comes next over the connection: if it is that client's own, it is told
/// behind the reply.
pub const INVALIDATE_BEHIND: &[u8] = b"invalidate-behind";

/// Keys as clients are told of them: an array, or a null for all.
pub fn put_keys(out: &mut Vec<u8>, protocol: Protocol, keys: Option<&[&[u8]]>) {
    let mut reply = Reply::new(out, protocol);
    match keys {
        Some(keys) => {
            reply.array(keys.len());
            keys.iter().for_each(|key| reply.bulk(key));
        }
        None => reply.null(),
    }
}

/// What a client gets that is to forget `keys`, as [`put_keys`] writes them. `None` if it cannot be told: a RESP2 client
/// hears of it only in the place of another one, while it has subscriptions.
#[must_use]
pub fn invalidation(protocol: Protocol, instead: bool, subscribed: bool, keys: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, protocol);
    if protocol == Protocol::Resp3 {
        reply.push(2);
        reply.bulk(INVALIDATE);
    } else if instead && subscribed {
        reply.array(3);
        reply.bulk(b"message");
        reply.bulk(CHANNEL);
    } else {
        return None;
    }
    out.extend_from_slice(keys);
    Some(out)
}

/// What a client is told whose redirection leads nowhere.
#[must_use]
pub fn broken_redirection(to: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Protocol::Resp3);
    reply.push(2);
    reply.bulk(b"tracking-redir-broken");
    reply.int(to as i64);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str, now: &Tracking) -> Result<Change, String> {
        let mut spans = Vec::new();
        let mut at = 0;
        for word in line.split(' ') {
            spans.push((at as u32, word.len() as u32));
            at += word.len() + 1;
        }
        Change::parse(&Args::new(line.as_bytes(), &spans), now, |client| client == 7)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let none = Tracking::default();
        let refused = |line: &str, now: &Tracking, text: &str| {
            let error = parse(line, now).unwrap_err();
            assert!(error.replace('\\', "").contains(text), "{line}: {error}");
        };
        refused("client tracking on redirect 8", &none, "does not exist");
        refused("client tracking on prefix a", &none, "requires BCAST");
        refused("client tracking on bcast optin", &none, "not compatible with BCAST");
        refused("client tracking on optin optout", &none, "both OPTIN");
        refused("client tracking maybe", &none, "syntax");
        refused("client tracking on bcast prefix a prefix ab", &none, "'a' overlaps with another provided");
        let Ok(Change::On(now)) = parse("client tracking on bcast prefix ab", &none) else { panic!() };
        refused("client tracking on bcast prefix a", &now, "'a' overlaps with an existing prefix 'ab'");
        refused("client tracking on", &now, "can't switch BCAST");
        assert_eq!(parse("client tracking off", &now), Ok(Change::Off));
    }

    #[test]
    fn caching_is_asked_for_in_one_mode_and_refused_in_the_other() {
        let on = Tracking { on: true, ..Tracking::default() };
        assert!(on.remembers());
        let opt_in = Tracking { opt_in: true, ..on.clone() };
        assert!(!opt_in.remembers() && Tracking { caching: true, ..opt_in }.remembers());
        let opt_out = Tracking { opt_out: true, ..on.clone() };
        assert!(opt_out.remembers() && !Tracking { caching: true, ..opt_out }.remembers());
        assert!(!Tracking { broadcast: true, ..on }.remembers());
    }
}

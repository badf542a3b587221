//! How much of what a key holds a command needs to see.

use super::group::Group;
use super::key_spec::KeyFlags;
use super::keys::keys;
use super::row::Command;
use crate::fields::{Fields, put_bytes, put_number};
use crate::number::parse_i64;
use crate::resp::Args;

/// How much of what a key holds a command needs to see, so that it replies, and changes that, as if it saw all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Window {
    /// Whether there is such a key.
    Presence,
    /// The same; what it holds may be replaced or removed.
    Replaced,
    /// So many elements of a list from its head, which may be taken, and others put before them.
    Head(u64),
    /// So many elements of a list from its tail, which may be taken, and others put behind them.
    Tail(u64),
    /// So many members of a sorted set with the lowest scores, which may be taken.
    Lowest(u64),
    /// So many members of a sorted set with the highest scores, which may be taken.
    Highest(u64),
    /// These members of a set or sorted set, or fields of a hash.
    Members(Vec<Vec<u8>>),
    /// The end of a stream, at which entries are added; the words by which XADD or XTRIM trim it, if they do.
    Appended(Vec<Vec<u8>>),
    /// Of which type it is, and how many elements it has.
    Count,
    /// All of it.
    Whole,
}

const WHOLE: u8 = 0;
const PRESENCE: u8 = 1;
const REPLACED: u8 = 2;
const HEAD: u8 = 3;
const TAIL: u8 = 4;
const LOWEST: u8 = 5;
const HIGHEST: u8 = 6;
const MEMBERS: u8 = 7;
const APPENDED: u8 = 8;
const COUNT: u8 = 9;

impl Window {
    /// What two commands need that run one after the other.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Presence, window) | (window, Self::Presence) => window,
            (Self::Count, window) | (window, Self::Count) if window.counts() => window,
            (Self::Replaced, Self::Replaced) => Self::Replaced,
            (Self::Head(one), Self::Head(two)) => Self::Head(one.saturating_add(two)),
            (Self::Tail(one), Self::Tail(two)) => Self::Tail(one.saturating_add(two)),
            (Self::Lowest(one), Self::Lowest(two)) => Self::Lowest(one.saturating_add(two)),
            (Self::Highest(one), Self::Highest(two)) => Self::Highest(one.saturating_add(two)),
            (Self::Members(mut one), Self::Members(two)) => {
                one.extend(two);
                one.sort_unstable();
                one.dedup();
                Self::Members(one)
            }
            (Self::Appended(one), Self::Appended(two)) if one == two => Self::Appended(one),
            // When it is trimmed makes no difference where that is done approximately.
            (Self::Appended(one), Self::Appended(two)) if two.is_empty() && is_approximate(&one) => {
                Self::Appended(one)
            }
            (Self::Appended(one), Self::Appended(two)) if one.is_empty() && is_approximate(&two) => {
                Self::Appended(two)
            }
            _ => Self::Whole,
        }
    }

    /// Whether who sees this sees all of the other one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole, _) | (_, Self::Presence) | (Self::Replaced, Self::Replaced) => true,
            (own, Self::Count) => own.counts(),
            (Self::Head(own), Self::Head(wanted))
            | (Self::Tail(own), Self::Tail(wanted))
            | (Self::Lowest(own), Self::Lowest(wanted))
            | (Self::Highest(own), Self::Highest(wanted)) => own >= wanted,
            (Self::Appended(own), Self::Appended(wanted)) => {
                own == wanted || wanted.is_empty() && is_approximate(own)
            }
            (Self::Members(own), Self::Members(wanted)) => wanted.iter().all(|member| own.contains(member)),
            _ => false,
        }
    }

    /// Whether who sees this knows how many elements there are.
    fn counts(&self) -> bool {
        !matches!(self, Self::Presence | Self::Replaced | Self::Appended(_))
    }

    /// Appends the window.
    pub fn put(&self, out: &mut Vec<u8>) {
        let (kind, number) = match self {
            Self::Whole => (WHOLE, None),
            Self::Presence => (PRESENCE, None),
            Self::Replaced => (REPLACED, None),
            Self::Count => (COUNT, None),
            Self::Head(count) => (HEAD, Some(*count)),
            Self::Tail(count) => (TAIL, Some(*count)),
            Self::Lowest(count) => (LOWEST, Some(*count)),
            Self::Highest(count) => (HIGHEST, Some(*count)),
            Self::Members(words) => (MEMBERS, Some(words.len() as u64)),
            Self::Appended(words) => (APPENDED, Some(words.len() as u64)),
        };
        out.push(kind);
        if let Some(number) = number {
            put_number(number, out);
        }
        if let Self::Members(words) | Self::Appended(words) = self {
            words.iter().for_each(|word| put_bytes(word, out));
        }
    }

    /// Reads what [`Window::put`] wrote.
    #[must_use]
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(match fields.byte()? {
            WHOLE => Self::Whole,
            PRESENCE => Self::Presence,
            REPLACED => Self::Replaced,
            COUNT => Self::Count,
            HEAD => Self::Head(fields.number()?),
            TAIL => Self::Tail(fields.number()?),
            LOWEST => Self::Lowest(fields.number()?),
            HIGHEST => Self::Highest(fields.number()?),
            MEMBERS => Self::Members(words(fields)?),
            APPENDED => Self::Appended(words(fields)?),
            _ => return None,
        })
    }
}

fn is_approximate(trimming: &[Vec<u8>]) -> bool {
    trimming.get(1).is_some_and(|mark| mark == b"~")
}

fn words(fields: &mut Fields<'_>) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    for _ in 0..fields.number()? {
        words.push(fields.bytes()?.to_vec());
    }
    Some(words)
}

/// The positions of the keys of a call, each with what the command needs to see of it. What a script needs is only known when it
/// runs.
pub fn windows<'a>(command: &'a Command, args: &Args<'a>) -> impl Iterator<Item = (usize, Window)> + use<'a> {
    let args = *args;
    let keys = keys(command, &args).ok();
    keys.into_iter()
        .flat_map(|keys| keys.with_flags().collect::<Vec<_>>())
        .map(move |(position, flags)| (position, window(command, &args, position, flags)))
}

fn window(command: &Command, args: &Args<'_>, position: usize, flags: KeyFlags) -> Window {
    if command.group == Group::Scripting {
        return Window::Presence;
    }
    if flags.contains(KeyFlags::OW) && !flags.contains(KeyFlags::ACCESS) && command.name != "set" {
        return Window::Replaced;
    }
    ends(command, args, position)
        .or_else(|| members(command, args))
        .or_else(|| appended(command, args))
        .unwrap_or(Window::Whole)
}

/// A count of a command that has one at this place, or none.
fn count(args: &Args<'_>, position: usize) -> Option<u64> {
    args.get(position).map_or(Some(1), |word| u64::try_from(parse_i64(word)?).ok())
}

/// The COUNT of LMPOP and its like, whose number of keys stands at this place.
fn counted(args: &Args<'_>, keys: usize) -> Option<(usize, u64)> {
    let keys_end = keys + 1 + usize::try_from(parse_i64(args.get(keys)?)?).ok()?;
    Some((keys_end, if args.is(keys_end + 1, "COUNT") { count(args, keys_end + 2)? } else { 1 }))
}

/// What a command needs that only looks at one end of a value.
fn ends(command: &Command, args: &Args<'_>, position: usize) -> Option<Window> {
    let end = |is_first: bool, count: u64| if is_first { Window::Head(count) } else { Window::Tail(count) };
    let score = |is_first: bool, count: u64| {
        if is_first { Window::Lowest(count) } else { Window::Highest(count) }
    };
    Some(match command.name {
        "set" if args.len() == 3 => Window::Replaced,
        "exists" | "ttl" | "pttl" | "expiretime" | "pexpiretime" => Window::Presence,
        // What they answer is how many elements there are, which is known of all of these.
        "llen" | "zcard" | "scard" | "hlen" => Window::Count,
        "lpush" | "lpushx" => Window::Head(0),
        "rpush" | "rpushx" => Window::Tail(0),
        "lmove" | "blmove" if position == 1 => end(args.is(3, "LEFT"), 1),
        "lmove" | "blmove" => end(args.is(4, "LEFT"), 0),
        "rpoplpush" | "brpoplpush" => end(position != 1, u64::from(position == 1)),
        "lpop" => Window::Head(count(args, 2)?),
        "rpop" => Window::Tail(count(args, 2)?),
        "blpop" => Window::Head(1),
        "brpop" => Window::Tail(1),
        "lmpop" => counted(args, 1).map(|(at, count)| end(args.is(at, "LEFT"), count))?,
        "blmpop" => counted(args, 2).map(|(at, count)| end(args.is(at, "LEFT"), count))?,
        "zpopmin" => Window::Lowest(count(args, 2)?),
        "zpopmax" => Window::Highest(count(args, 2)?),
        "bzpopmin" => Window::Lowest(1),
        "bzpopmax" => Window::Highest(1),
        "zmpop" => counted(args, 1).map(|(at, count)| score(args.is(at, "MIN"), count))?,
        "bzmpop" => counted(args, 2).map(|(at, count)| score(args.is(at, "MIN"), count))?,
        _ => return None,
    })
}

/// What a command needs that only looks at members or fields that it names.
fn members(command: &Command, args: &Args<'_>) -> Option<Window> {
    let (first, step) = match command.name {
        "hget" | "hexists" | "hstrlen" | "hincrby" | "hincrbyfloat" | "hsetnx" | "sismember" | "zscore" => {
            (2, usize::MAX)
        }
        "smove" | "zincrby" => (3, usize::MAX),
        "hmget" | "hdel" | "sadd" | "srem" | "smismember" | "zmscore" | "zrem" => (2, 1),
        "hset" | "hmset" => (2, 2),
        "zadd" => {
            let is_option =
                |at: &usize| ["NX", "XX", "GT", "LT", "CH", "INCR"].iter().any(|word| args.is(*at, word));
            ((2..args.len()).find(|at| !is_option(at))? + 1, 2)
        }
        _ => return None,
    };
    let named = (first..args.len()).step_by(step).map(|at| args.at(at).to_vec());
    Some(Window::Members(named.collect()))
}

/// What a command needs that adds to a stream, or trims it: where that is done approximately nobody can rely on how much goes.
fn appended(command: &Command, args: &Args<'_>) -> Option<Window> {
    let trimming = trimming(args);
    let fits = command.name == "xadd" || command.name == "xtrim" && is_approximate(&trimming);
    fits.then_some(Window::Appended(trimming))
}

/// The words of XADD and XTRIM that say how they trim. What is none of them, and not read right here, is an error there.
fn trimming(args: &Args<'_>) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut at = 2;
    while at < args.len() {
        let length = if args.is(at, "MAXLEN") || args.is(at, "MINID") {
            2 + usize::from(matches!(args.at(at + 1), b"~" | b"="))
        } else if args.is(at, "LIMIT") {
            2
        } else if args.is(at, "NOMKSTREAM") {
            at += 1;
            continue;
        } else {
            break;
        };
        words.extend((at..at + length).map(|at| args.at(at).to_vec()));
        at += length;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::find;
    use crate::resp::request::{Limits, Parsed, Parser, encode};

    fn needs(line: &str) -> Vec<Window> {
        let mut bytes = Vec::new();
        encode(line.split(' ').map(str::as_bytes).collect::<Vec<_>>().into_iter(), &mut bytes);
        let mut parser = Parser::new();
        let limits = Limits { max_bulk: usize::MAX, authenticated: true };
        assert!(matches!(parser.parse(&bytes, &limits), Ok(Parsed::Frame(_))));
        let args = parser.args(&bytes);
        windows(find(&args).unwrap(), &args).map(|(_, window)| window).collect()
    }

    fn appended(trimming: &str) -> Window {
        Window::Appended(trimming.split_whitespace().map(|word| word.as_bytes().to_vec()).collect())
    }

    fn named(names: &[&str]) -> Window {
        Window::Members(names.iter().map(|name| name.as_bytes().to_vec()).collect())
    }

    #[test]
    fn commands_say_how_much_they_need() {
        for (line, expected) in [
            ("LMOVE a b RIGHT LEFT", vec![Window::Tail(1), Window::Head(0)]),
            ("RPOPLPUSH a b", vec![Window::Tail(1), Window::Head(0)]),
            ("LMPOP 2 a b LEFT COUNT 3", vec![Window::Head(3), Window::Head(3)]),
            ("BZMPOP 0 2 a b MAX", vec![Window::Highest(1), Window::Highest(1)]),
            ("SMOVE a b m", vec![named(&["m"]), named(&["m"])]),
            ("ZADD a GT CH 1 x 2 y", vec![named(&["x", "y"])]),
            ("HSET a f 1 g 2", vec![named(&["f", "g"])]),
            ("XADD a * f v", vec![appended("")]),
            ("XADD a NOMKSTREAM MAXLEN ~ 10 LIMIT 5 * f v", vec![appended("MAXLEN ~ 10 LIMIT 5")]),
            ("XADD a minid 5 7-1 f v", vec![appended("minid 5")]),
            ("XTRIM a MAXLEN ~ 5", vec![appended("MAXLEN ~ 5")]),
            ("XTRIM a MAXLEN 5", vec![Window::Whole]),
            ("RENAME a b", vec![Window::Whole, Window::Replaced]),
            ("COPY a b", vec![Window::Whole, Window::Replaced]),
            ("MSETNX a 1 b 2", vec![Window::Replaced, Window::Replaced]),
            ("SET a 1 GET", vec![Window::Whole]),
            ("SUNIONSTORE d a", vec![Window::Replaced, Window::Whole]),
            ("SORT a STORE d", vec![Window::Whole, Window::Replaced]),
            ("EVAL x 2 a b", vec![Window::Presence, Window::Presence]),
            ("LPOP a -1", vec![Window::Whole]),
            ("LLEN a", vec![Window::Count]),
            ("RPUSH a 1", vec![Window::Tail(0)]),
            ("LRANGE a 0 1", vec![Window::Whole]),
        ] {
            assert_eq!(needs(line), expected, "{line}");
        }
    }

    #[test]
    fn what_two_commands_need_covers_what_each_needs() {
        let some = [
            Window::Presence,
            Window::Replaced,
            Window::Count,
            Window::Head(2),
            Window::Tail(1),
            Window::Lowest(1),
            Window::Highest(3),
            named(&["x"]),
            named(&["y", "z"]),
            appended(""),
            appended("MAXLEN 3"),
            appended("MAXLEN ~ 3"),
            Window::Whole,
        ];
        for one in &some {
            for two in &some {
                let both = one.clone().join(two.clone());
                assert!(both.covers(one) && both.covers(two), "{one:?} {two:?}");
                let mut bytes = Vec::new();
                both.put(&mut bytes);
                assert_eq!(Window::read(&mut Fields::new(&bytes)), Some(both));
            }
        }
        assert_eq!(Window::Head(1).join(Window::Tail(1)), Window::Whole);
        assert_eq!(Window::Replaced.join(Window::Head(1)), Window::Whole);
    }
}

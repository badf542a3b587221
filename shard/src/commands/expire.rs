//! Expiry: setting, reading and removing it.

use slotway_common::error::Error;
use slotway_common::number::parse_i64;

use crate::call::{Call, DataCommand, reads, writes};
use crate::engine::EventClass;

pub(super) const HANDLERS: &[DataCommand] = &[
    writes("expire", expire),
    writes("pexpire", pexpire),
    writes("expireat", expireat),
    writes("pexpireat", pexpireat),
    reads("ttl", ttl),
    reads("pttl", pttl),
    reads("expiretime", expiretime),
    reads("pexpiretime", pexpiretime),
    writes("persist", persist),
];

/// How a client gives a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    SecondsAt,
    MillisAt,
}

/// Turns the times of clients into milliseconds since 1970.
pub(super) struct Expiry;

impl Expiry {
    /// The time of an option that sets a value with its expiry: must lie behind zero.
    pub(super) fn of_value(text: &[u8], unit: Unit, now: i64, command: &str) -> Result<i64, Error> {
        let number = parse_i64(text).ok_or(Error::NotInteger)?;
        if number <= 0 {
            return Err(invalid(command));
        }
        Self::absolute(number, unit, now).filter(|at| *at > 0).ok_or_else(|| invalid(command))
    }

    fn absolute(number: i64, unit: Unit, now: i64) -> Option<i64> {
        let millis = match unit {
            Unit::Seconds | Unit::SecondsAt => number.checked_mul(1000)?,
            Unit::Millis | Unit::MillisAt => number,
        };
        match unit {
            Unit::Seconds | Unit::Millis => millis.checked_add(now),
            Unit::SecondsAt | Unit::MillisAt => Some(millis),
        }
    }
}

fn invalid(command: &str) -> Error {
    Error::err(format!("invalid expire time in '{command}' command"))
}

fn expire(call: &mut Call<'_>) -> Result<(), Error> {
    set_expiry(call, Unit::Seconds)
}

fn pexpire(call: &mut Call<'_>) -> Result<(), Error> {
    set_expiry(call, Unit::Millis)
}

fn expireat(call: &mut Call<'_>) -> Result<(), Error> {
    set_expiry(call, Unit::SecondsAt)
}

fn pexpireat(call: &mut Call<'_>) -> Result<(), Error> {
    set_expiry(call, Unit::MillisAt)
}

#[derive(Default)]
struct Conditions {
    if_none: bool,
    if_some: bool,
    if_later: bool,
    if_sooner: bool,
}

impl Conditions {
    fn parse(call: &Call<'_>) -> Result<Self, Error> {
        let mut found = Self::default();
        for word in call.args.rest(3).iter() {
            if word.eq_ignore_ascii_case(b"NX") {
                found.if_none = true;
            } else if word.eq_ignore_ascii_case(b"XX") {
                found.if_some = true;
            } else if word.eq_ignore_ascii_case(b"GT") {
                found.if_later = true;
            } else if word.eq_ignore_ascii_case(b"LT") {
                found.if_sooner = true;
            } else {
                let mut text = b"Unsupported option ".to_vec();
                text.extend_from_slice(word);
                return Err(Error::Bytes(text));
            }
        }
        if found.if_none && (found.if_some || found.if_later || found.if_sooner) {
            return Err(Error::err("NX and XX, GT or LT options at the same time are not compatible"));
        }
        if found.if_later && found.if_sooner {
            return Err(Error::err("GT and LT options at the same time are not compatible"));
        }
        Ok(found)
    }

    /// A key without expiry counts as one that expires at the end of time.
    fn hold(&self, old: Option<i64>, new: i64) -> bool {
        !(self.if_none && old.is_some()
            || self.if_some && old.is_none()
            || self.if_later && old.is_none_or(|old| new <= old)
            || self.if_sooner && old.is_some_and(|old| new >= old))
    }
}

fn set_expiry(call: &mut Call<'_>, unit: Unit) -> Result<(), Error> {
    let conditions = Conditions::parse(call)?;
    let number = call.integer(2)?;
    let at = Expiry::absolute(number, unit, call.now()).ok_or_else(|| invalid(call.command.name))?;
    let (key, db) = (call.key(1), call.db);
    let changed = match call.engine.live_expire_at(db, &key) {
        Some(old) if conditions.hold(old, at) => {
            if at <= call.now() {
                call.engine.remove(db, &key);
                call.notify(EventClass::GENERIC, "del", &key);
            } else {
                call.engine.set_expire_at(db, &key, Some(at));
                call.notify(EventClass::GENERIC, "expire", &key);
            }
            call.engine.dirty(1);
            true
        }
        _ => false,
    };
    call.reply.int(i64::from(changed));
    Ok(())
}

fn ttl(call: &mut Call<'_>) -> Result<(), Error> {
    tell(call, |at, now| seconds((at - now).max(0)))
}

fn pttl(call: &mut Call<'_>) -> Result<(), Error> {
    tell(call, |at, now| (at - now).max(0))
}

fn expiretime(call: &mut Call<'_>) -> Result<(), Error> {
    tell(call, |at, _| seconds(at))
}

/// Milliseconds, not negative, as the nearest number of seconds; the last ones that there are too.
fn seconds(milliseconds: i64) -> i64 {
    milliseconds / 1000 + (milliseconds % 1000 + 500) / 1000
}

fn pexpiretime(call: &mut Call<'_>) -> Result<(), Error> {
    tell(call, |at, _| at)
}

fn tell(call: &mut Call<'_>, form: impl Fn(i64, i64) -> i64) -> Result<(), Error> {
    let (key, now) = (call.key(1), call.now());
    let exists = call.engine.look(call.db, &key);
    let expire_at = if exists { call.engine.expire_at(call.db, &key) } else { None };
    let number = match expire_at {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => form(at, now),
    };
    call.reply.int(number);
    Ok(())
}

fn persist(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let had = call.engine.live_expire_at(db, &key).flatten().is_some();
    if had {
        call.engine.set_expire_at(db, &key, None);
        call.notify(EventClass::GENERIC, "persist", &key);
        call.engine.dirty(1);
    }
    call.reply.int(i64::from(had));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn the_last_milliseconds_have_seconds_too() {
        assert_eq!([0, 499, 500, 1499].map(seconds), [0, 0, 1, 1]);
        // Once an overflow.
        assert_eq!(seconds(i64::MAX), 9_223_372_036_854_776);
    }
}

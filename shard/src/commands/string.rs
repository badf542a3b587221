//! Strings.

use slotway_common::error::Error;
use slotway_common::number::{Extended, parse_i64};

use super::bounds::clamp;
use super::expire::{Expiry, Unit};
use crate::call::{Call, DataCommand, reads, writes};
use crate::engine::EventClass;

pub(super) const HANDLERS: &[DataCommand] = &[
    reads("get", get),
    writes("set", set),
    writes("setnx", setnx),
    writes("setex", setex),
    writes("psetex", psetex),
    writes("getset", getset),
    writes("getdel", getdel),
    writes("getex", getex),
    reads("mget", mget),
    writes("mset", mset),
    writes("msetnx", msetnx),
    writes("append", append),
    reads("strlen", strlen),
    reads("getrange", getrange),
    reads("substr", getrange),
    writes("setrange", setrange),
    writes("incr", incr),
    writes("decr", decr),
    writes("incrby", incrby),
    writes("decrby", decrby),
    writes("incrbyfloat", incrbyfloat),
    reads("lcs", super::lcs::lcs),
];

fn get(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let value = call.engine.read_string(call.db, &key)?;
    call.reply.optional(value);
    Ok(())
}

/// Options of SET, and of GETEX as far as they are the same.
#[derive(Default)]
struct Options {
    if_absent: bool,
    if_present: bool,
    get: bool,
    keep_ttl: bool,
    persist: bool,
    expiry: Option<(Unit, usize)>,
}

impl Options {
    fn parse(call: &Call<'_>, from: usize, setting: bool) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut index = from;
        while let Some(word) = call.args.get(index) {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            let unit = if is("EX") {
                Some(Unit::Seconds)
            } else if is("PX") {
                Some(Unit::Millis)
            } else if is("EXAT") {
                Some(Unit::SecondsAt)
            } else if is("PXAT") {
                Some(Unit::MillisAt)
            } else {
                None
            };
            match unit {
                Some(unit) if options.may_expire_in(unit) && index + 1 < call.args.len() => {
                    options.expiry = Some((unit, index + 1));
                    index += 1;
                }
                Some(_) => return Err(Error::Syntax),
                None if setting && is("NX") && !options.if_present => options.if_absent = true,
                None if setting && is("XX") && !options.if_absent => options.if_present = true,
                None if setting && is("GET") => options.get = true,
                None if setting && is("KEEPTTL") && options.expiry.is_none() => options.keep_ttl = true,
                None if !setting && is("PERSIST") && options.expiry.is_none() => options.persist = true,
                None => return Err(Error::Syntax),
            }
            index += 1;
        }
        Ok(options)
    }

    /// One unit may stand several times, as in Redis: the last number counts.
    fn may_expire_in(&self, unit: Unit) -> bool {
        !self.keep_ttl && !self.persist && self.expiry.is_none_or(|(known, _)| known == unit)
    }

    fn expire_at(&self, call: &Call<'_>) -> Result<Option<i64>, Error> {
        let Some((unit, index)) = self.expiry else { return Ok(None) };
        Expiry::of_value(call.args.at(index), unit, call.now(), call.command.name).map(Some)
    }
}

fn set(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let value = call.args.at(2);
    if call.args.len() == 3 {
        call.engine.set_string(db, &key, value, None);
        call.notify(EventClass::STRING, "set", &key);
        call.engine.dirty(1);
        call.reply.ok();
        return Ok(());
    }
    let options = Options::parse(call, 3, true)?;
    let expire_at = options.expire_at(call)?;
    if options.get {
        let old = call.engine.read_string(db, &key)?;
        call.reply.optional(old);
    }
    if options.if_absent || options.if_present {
        let present = call.engine.exists(db, &key);
        if (options.if_absent && present) || (options.if_present && !present) {
            if !options.get {
                call.reply.null();
            }
            return Ok(());
        }
    }
    let until = if options.keep_ttl { call.engine.expire_at(db, &key).flatten() } else { expire_at };
    call.engine.set_string(db, &key, value, until);
    call.notify(EventClass::STRING, "set", &key);
    if expire_at.is_some() {
        call.notify(EventClass::GENERIC, "expire", &key);
    }
    call.engine.dirty(1);
    if !options.get {
        call.reply.ok();
    }
    Ok(())
}

fn setnx(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let absent = !call.engine.exists(db, &key);
    if absent {
        call.engine.set_string(db, &key, call.args.at(2), None);
        call.notify(EventClass::STRING, "set", &key);
        call.engine.dirty(1);
    }
    call.reply.int(i64::from(absent));
    Ok(())
}

fn setex(call: &mut Call<'_>) -> Result<(), Error> {
    set_for(call, Unit::Seconds)
}

fn psetex(call: &mut Call<'_>) -> Result<(), Error> {
    set_for(call, Unit::Millis)
}

fn set_for(call: &mut Call<'_>, unit: Unit) -> Result<(), Error> {
    let key = call.key(1);
    let at = Expiry::of_value(call.args.at(2), unit, call.now(), call.command.name)?;
    call.engine.set_string(call.db, &key, call.args.at(3), Some(at));
    call.notify(EventClass::STRING, "set", &key);
    call.notify(EventClass::GENERIC, "expire", &key);
    call.engine.dirty(1);
    call.reply.ok();
    Ok(())
}

fn getset(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let old = call.engine.read_string(db, &key)?;
    call.reply.optional(old);
    call.engine.set_string(db, &key, call.args.at(2), None);
    call.notify(EventClass::STRING, "set", &key);
    call.engine.dirty(1);
    Ok(())
}

fn getdel(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let old = call.engine.read_string(db, &key)?;
    call.reply.optional(old);
    if old.is_some() {
        call.engine.remove(db, &key);
        call.notify(EventClass::GENERIC, "del", &key);
        call.engine.dirty(1);
    }
    Ok(())
}

fn getex(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let options = Options::parse(call, 2, false)?;
    // Redis looks at the value's type first and at the expiry's number only for a key that exists.
    let Some(value) = call.engine.read_string(db, &key)? else {
        call.reply.null();
        return Ok(());
    };
    let start = call.reply.position();
    call.reply.bulk(value);
    match options.expire_at(call) {
        Err(error) => {
            call.reply.truncate(start);
            return Err(error);
        }
        Ok(Some(at)) if at <= call.now() => {
            call.engine.remove(db, &key);
            call.notify(EventClass::GENERIC, "del", &key);
            call.engine.dirty(1);
        }
        Ok(Some(at)) => {
            call.engine.set_expire_at(db, &key, Some(at));
            call.notify(EventClass::GENERIC, "expire", &key);
            call.engine.dirty(1);
        }
        Ok(None) if options.persist => {
            if call.engine.expire_at(db, &key).flatten().is_some() {
                call.engine.set_expire_at(db, &key, None);
                call.notify(EventClass::GENERIC, "persist", &key);
                call.engine.dirty(1);
            }
        }
        Ok(None) => {}
    }
    Ok(())
}

fn mget(call: &mut Call<'_>) -> Result<(), Error> {
    let db = call.db;
    call.reply.array(call.args.len() - 1);
    for index in 1..call.args.len() {
        let key = call.key(index);
        // A key of another type counts as missing here.
        let value = call.engine.record(db, &key).and_then(crate::engine::Record::bytes);
        call.reply.optional(value);
    }
    Ok(())
}

fn mset(call: &mut Call<'_>) -> Result<(), Error> {
    set_pairs(call)?;
    call.reply.ok();
    Ok(())
}

fn msetnx(call: &mut Call<'_>) -> Result<(), Error> {
    if call.args.len().is_multiple_of(2) {
        return Err(slotway_common::command::wrong_arity(call.command));
    }
    for index in (1..call.args.len()).step_by(2) {
        let key = call.key(index);
        if call.engine.exists(call.db, &key) {
            call.reply.int(0);
            return Ok(());
        }
    }
    set_pairs(call)?;
    call.reply.int(1);
    Ok(())
}

fn set_pairs(call: &mut Call<'_>) -> Result<(), Error> {
    if call.args.len().is_multiple_of(2) {
        return Err(slotway_common::command::wrong_arity(call.command));
    }
    for index in (1..call.args.len()).step_by(2) {
        let key = call.key(index);
        call.engine.set_string(call.db, &key, call.args.at(index + 1), None);
        call.notify(EventClass::STRING, "set", &key);
    }
    call.engine.dirty(call.args.len() as u64 / 2);
    Ok(())
}

fn too_long(call: &Call<'_>, length: usize) -> Result<(), Error> {
    if length > call.engine.limits.max_string {
        return Err(Error::err("string exceeds maximum allowed size (proto-max-bulk-len)"));
    }
    Ok(())
}

fn append(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let tail = call.args.at(2);
    let Some(length) = call.engine.peek_string(db, &key)?.map(<[u8]>::len) else {
        call.engine.set_string(db, &key, tail, None);
        call.notify(EventClass::STRING, "append", &key);
        call.engine.dirty(1);
        call.reply.len(tail.len());
        return Ok(());
    };
    too_long(call, length + tail.len())?;
    let length = call.engine.edit_string(db, &key, |bytes| {
        bytes.extend_from_slice(tail);
        bytes.len()
    })?;
    call.notify(EventClass::STRING, "append", &key);
    call.engine.dirty(1);
    call.reply.len(length);
    Ok(())
}

fn strlen(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let length = call.engine.read_string(call.db, &key)?.map_or(0, <[u8]>::len);
    call.reply.len(length);
    Ok(())
}

fn getrange(call: &mut Call<'_>) -> Result<(), Error> {
    let (start, end) = (call.integer(2)?, call.integer(3)?);
    let key = call.key(1);
    let value = call.engine.read_string(call.db, &key)?.unwrap_or_default();
    // Two negative offsets in the wrong order are empty even where clamping would make them equal.
    let range = if start < 0 && end < 0 && start > end { None } else { range_of(start, end, value.len()) };
    call.reply.bulk(range.and_then(|(from, to)| value.get(from..to)).unwrap_or_default());
    Ok(())
}

/// GETRANGE clamps an end before the first byte to the first byte.
fn range_of(start: i64, end: i64, length: usize) -> Option<(usize, usize)> {
    let lowest = -i64::try_from(length).unwrap_or(i64::MAX);
    clamp(start, if end < lowest { 0 } else { end }, length)
}

fn setrange(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let offset = call.integer(2)?;
    let value = call.args.at(3);
    let offset = usize::try_from(offset).map_err(|_| Error::err("offset is out of range"))?;
    call.engine.exists(db, &key);
    let length = call.engine.peek_string(db, &key)?.map(<[u8]>::len);
    if value.is_empty() {
        call.reply.len(length.unwrap_or(0));
        return Ok(());
    }
    let end = offset.saturating_add(value.len());
    too_long(call, end)?;
    let length = call.engine.edit_string(db, &key, |bytes| {
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset..end].copy_from_slice(value);
        bytes.len()
    })?;
    call.notify(EventClass::STRING, "setrange", &key);
    call.engine.dirty(1);
    call.reply.len(length);
    Ok(())
}

fn incr(call: &mut Call<'_>) -> Result<(), Error> {
    increment(call, 1)
}

fn decr(call: &mut Call<'_>) -> Result<(), Error> {
    increment(call, -1)
}

fn incrby(call: &mut Call<'_>) -> Result<(), Error> {
    let by = call.integer(2)?;
    increment(call, by)
}

fn decrby(call: &mut Call<'_>) -> Result<(), Error> {
    let by = call.integer(2)?;
    let by = by.checked_neg().ok_or(Error::err("decrement would overflow"))?;
    increment(call, by)
}

fn increment(call: &mut Call<'_>, by: i64) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let old = match call.engine.peek_string(db, &key)? {
        None => 0,
        Some(text) => parse_i64(text).ok_or(Error::NotInteger)?,
    };
    let new = old.checked_add(by).ok_or(Error::Overflow)?;
    let mut digits = itoa::Buffer::new();
    call.engine.replace_string(db, &key, digits.format(new).as_bytes());
    call.notify(EventClass::STRING, "incrby", &key);
    call.engine.dirty(1);
    call.reply.int(new);
    Ok(())
}

fn incrbyfloat(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let old = match call.engine.peek_string(db, &key)? {
        None => Extended::ZERO,
        Some(text) => Extended::parse(text).ok_or(Error::NotFloat)?,
    };
    let by = Extended::parse(call.args.at(2)).ok_or(Error::NotFloat)?;
    let new = old.plus(by).filter(|sum| !sum.is_infinite());
    let text = new.ok_or(Error::err("increment would produce NaN or Infinity"))?.to_text();
    call.engine.replace_text(db, &key, text.as_bytes());
    call.notify(EventClass::STRING, "incrbyfloat", &key);
    call.engine.dirty(1);
    call.reply.bulk(text.as_bytes());
    Ok(())
}

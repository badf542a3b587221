//! DUMP and RESTORE: values as bytes.

use slotway_common::error::Error;
use slotway_common::number::parse_i64;

use crate::call::{Call, DataCommand, reads, writes};
use crate::engine::EventClass;
use crate::rdb;

pub(super) const HANDLERS: &[DataCommand] = &[reads("dump", dump), writes("restore", restore)];

fn dump(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.key(1);
    let Some(record) = call.engine.record(call.db, &key) else {
        call.reply.null();
        return Ok(());
    };
    let mut payload = Vec::new();
    rdb::encode(record, rdb::Compression::Lzf, &mut payload);
    rdb::seal(&mut payload);
    call.reply.bulk(&payload);
    Ok(())
}

#[derive(Default)]
struct Options {
    replace: bool,
    /// The expiry is a Unix time.
    absolute: bool,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(call: &Call<'_>) -> Result<Self, Error> {
        let mut found = Self::default();
        let mut index = 4;
        while index < call.args.len() {
            let value = call.args.get(index + 1);
            let number = |text| parse_i64(text).ok_or(Error::NotInteger);
            if call.args.is(index, "REPLACE") {
                found.replace = true;
            } else if call.args.is(index, "ABSTTL") {
                found.absolute = true;
            } else if let Some(value) = value
                && call.args.is(index, "IDLETIME")
                && found.frequency.is_none()
            {
                let wrong = Error::err("Invalid IDLETIME value, must be >= 0");
                found.idle_seconds = Some(u64::try_from(number(value)?).map_err(|_| wrong)?);
                index += 1;
            } else if let Some(value) = value
                && call.args.is(index, "FREQ")
                && found.idle_seconds.is_none()
            {
                let wrong = Error::err("Invalid FREQ value, must be >= 0 and <= 255");
                found.frequency = Some(u8::try_from(number(value)?).map_err(|_| wrong)?);
                index += 1;
            } else {
                return Err(Error::Syntax);
            }
            index += 1;
        }
        Ok(found)
    }
}

fn restore(call: &mut Call<'_>) -> Result<(), Error> {
    let options = Options::parse(call)?;
    let (key, db) = (call.key(1), call.db);
    let exists = call.engine.exists(db, &key);
    if exists && !options.replace {
        return Err(Error::Line("BUSYKEY Target key name already exists.".into()));
    }
    let time = call.integer(2)?;
    if time < 0 {
        return Err(Error::err("Invalid TTL value, must be >= 0"));
    }
    let encoded =
        rdb::open(call.args.at(3)).ok_or(Error::err("DUMP payload version or checksum are wrong"))?;
    // As in Redis, bytes between the value and the footer mean nothing.
    let (value, _) = rdb::decode(encoded, &call.engine.limits).map_err(|_| Error::err("Bad data format"))?;
    let now = call.now();
    let expire_at = match time {
        0 => None,
        time if options.absolute => Some(time),
        // A time beyond the end of time wraps around, as in Redis.
        time => Some(time.wrapping_add(now)),
    };
    if expire_at.is_some_and(|at| at <= now) {
        if exists {
            call.engine.remove(db, &key);
            call.notify(EventClass::GENERIC, "del", &key);
            call.engine.dirty(1);
        }
    } else {
        if exists {
            call.engine.remove(db, &key);
        }
        call.engine.put(db, &key, value.into_record(key.bytes, expire_at));
        call.engine.restore_access(db, &key, options.idle_seconds, options.frequency);
        call.notify(EventClass::GENERIC, "restore", &key);
        call.engine.dirty(1);
    }
    call.reply.ok();
    Ok(())
}

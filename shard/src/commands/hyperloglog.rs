//! HyperLogLogs: PFADD and what belongs to it.

use slotway_common::error::Error;

use crate::call::{Call, DataCommand, reads, writes};
use crate::engine::{DbIndex, Engine, EventClass, Key};
use crate::types::hyperloglog::{self, Corrupted, REGISTERS};

pub(super) const HANDLERS: &[DataCommand] = &[
    writes("pfadd", pfadd),
    reads("pfcount", pfcount),
    writes("pfmerge", pfmerge),
    writes("pfdebug", pfdebug),
    reads("pfselftest", pfselftest),
];

impl From<Corrupted> for Error {
    fn from(_: Corrupted) -> Self {
        Self::Line("INVALIDOBJ Corrupted HLL object detected".into())
    }
}

/// The string at a key, if there is one.
///
/// # Errors
/// `WRONGTYPE` when it is no HyperLogLog.
fn peek<'e>(engine: &'e Engine, db: DbIndex, key: &Key<'_>) -> Result<Option<&'e [u8]>, Error> {
    match engine.peek_string(db, key)? {
        Some(bytes) if !hyperloglog::is_valid(bytes) => {
            Err(Error::Line("WRONGTYPE Key is not a valid HyperLogLog string value.".into()))
        }
        found => Ok(found),
    }
}

fn pfadd(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db, elements) = (call.key(1), call.db, call.args.rest(2));
    let most = call.engine.limits.hll_sparse_max_bytes;
    let is_new = !call.engine.exists(db, &key);
    peek(call.engine, db, &key)?;
    let added = call.engine.edit_string(db, &key, |bytes| {
        let mut added = u64::from(is_new);
        if is_new {
            *bytes = hyperloglog::new();
        }
        for element in elements.iter() {
            added += u64::from(hyperloglog::add(bytes, element, most)?);
        }
        if added > 0 {
            hyperloglog::outdate(bytes);
        }
        Ok::<u64, Corrupted>(added)
    })??;
    if added > 0 {
        call.notify(EventClass::STRING, "pfadd", &key);
    }
    call.engine.dirty(added);
    call.reply.int(i64::from(added > 0));
    Ok(())
}

/// Merges the registers of the keys from argument `first` on; the second result says whether any of them was dense.
fn merged(call: &mut Call<'_>, first: usize) -> Result<(Box<[u8; REGISTERS]>, bool), Error> {
    let db = call.db;
    let (mut most, mut dense) = (Box::new([0; REGISTERS]), false);
    for index in first..call.args.len() {
        let key = call.key(index);
        call.engine.touch(db, &key);
        if let Some(bytes) = peek(call.engine, db, &key)? {
            dense |= !hyperloglog::is_sparse(bytes);
            hyperloglog::merge(bytes, &mut most)?;
        }
    }
    Ok((most, dense))
}

fn pfcount(call: &mut Call<'_>) -> Result<(), Error> {
    if call.args.len() > 2 {
        let (registers, _) = merged(call, 1)?;
        call.reply.int(hyperloglog::count_registers(&registers) as i64);
        return Ok(());
    }
    let (key, db) = (call.key(1), call.db);
    call.engine.touch(db, &key);
    let Some(bytes) = peek(call.engine, db, &key)? else {
        call.reply.int(0);
        return Ok(());
    };
    let count = match hyperloglog::cached(bytes) {
        Some(count) => count,
        None => {
            let count = hyperloglog::count(bytes)?;
            call.engine.edit_string(db, &key, |bytes| hyperloglog::cache(bytes, count))?;
            call.engine.dirty(1);
            count
        }
    };
    call.reply.int(count as i64);
    Ok(())
}

fn pfmerge(call: &mut Call<'_>) -> Result<(), Error> {
    let (registers, dense) = merged(call, 1)?;
    let (key, db) = (call.key(1), call.db);
    let most = call.engine.limits.hll_sparse_max_bytes;
    call.engine.edit_string(db, &key, |bytes| {
        if bytes.is_empty() {
            *bytes = hyperloglog::new();
        }
        if dense {
            hyperloglog::make_dense(bytes)?;
        }
        for (index, value) in registers.iter().enumerate().filter(|(_, value)| **value > 0) {
            hyperloglog::raise(bytes, index, *value, most)?;
        }
        hyperloglog::outdate(bytes);
        Ok::<(), Corrupted>(())
    })??;
    call.notify(EventClass::STRING, "pfadd", &key);
    call.engine.dirty(1);
    call.reply.ok();
    Ok(())
}

fn pfdebug(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, db, what) = (call.key(2), call.db, call.args.at(1));
    if !call.engine.exists(db, &key) {
        return Err(Error::err("The specified key does not exist"));
    }
    let Some(bytes) = peek(call.engine, db, &key)? else { return Ok(()) };
    let sparse = hyperloglog::is_sparse(bytes);
    let is = |name: &str| what.eq_ignore_ascii_case(name.as_bytes());
    if is("DECODE") {
        if !sparse {
            return Err(Error::err("HLL encoding is not sparse"));
        }
        call.reply.bulk(hyperloglog::describe(bytes).as_bytes());
        return Ok(());
    } else if is("ENCODING") {
        call.reply.simple(if sparse { "sparse" } else { "dense" });
        return Ok(());
    } else if !is("GETREG") && !is("TODENSE") {
        return Err(Error::Bytes([b"Unknown PFDEBUG subcommand '", what, b"'"].concat()));
    }
    if sparse {
        call.engine.edit_string(db, &key, hyperloglog::make_dense)??;
        call.engine.dirty_unseen(1);
    }
    if is("TODENSE") {
        call.reply.int(i64::from(sparse));
        return Ok(());
    }
    let registers = hyperloglog::registers(peek(call.engine, db, &key)?.unwrap_or_default())?;
    call.reply.array(REGISTERS);
    registers.iter().for_each(|value| call.reply.int(i64::from(*value)));
    Ok(())
}

/// Counts elements into a sparse and a dense one, which must come to the same registers and close to the truth. A few
/// thousand elements, as nothing else runs meanwhile; the tests of the type take more.
fn pfselftest(call: &mut Call<'_>) -> Result<(), Error> {
    const ELEMENTS: u64 = 5000;
    let most = call.engine.limits.hll_sparse_max_bytes;
    let (mut sparse, mut dense) = (hyperloglog::new(), hyperloglog::new());
    hyperloglog::make_dense(&mut dense)?;
    for element in 0..ELEMENTS {
        hyperloglog::add(&mut sparse, &element.to_le_bytes(), most)?;
        hyperloglog::add(&mut dense, &element.to_le_bytes(), most)?;
    }
    if hyperloglog::registers(&sparse)? != hyperloglog::registers(&dense)? {
        return Err(Error::err("TESTFAILED sparse and dense registers differ"));
    }
    let count = hyperloglog::count(&dense)?;
    if count.abs_diff(ELEMENTS) > ELEMENTS / 20 {
        return Err(Error::err(format!("TESTFAILED {count} counted of {ELEMENTS}")));
    }
    call.reply.ok();
    Ok(())
}

//! BITFIELD: integers of any width within a string.

use slotway_common::error::Error;
use slotway_common::number::parse_i64;

use crate::call::Call;
use crate::engine::EventClass;

/// Reads the offset of a bit within the longest string. `#n`, where `width` allows it, is the n-th integer of that
/// many bits.
pub(super) fn bit_offset(call: &Call<'_>, text: &[u8], width: Option<u64>) -> Result<u64, Error> {
    let wrong = || Error::err("bit offset is not an integer or out of range");
    let offset = match (text, width) {
        ([b'#', digits @ ..], Some(width)) => parse_i64(digits).ok_or_else(wrong)?.wrapping_mul(width as i64),
        _ => parse_i64(text).ok_or_else(wrong)?,
    };
    u64::try_from(offset)
        .ok()
        .filter(|offset| offset >> 3 < call.engine.limits.max_string as u64)
        .ok_or_else(wrong)
}

/// What becomes of a result that does not fit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// A two's complement or unsigned integer of so many bits.
#[derive(Clone, Copy)]
struct Width {
    signed: bool,
    bits: u32,
}

impl Width {
    fn parse(text: &[u8]) -> Result<Self, Error> {
        let wrong = Error::err(
            "Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        );
        let (signed, digits) = match text {
            [b'i', digits @ ..] => (true, digits),
            [b'u', digits @ ..] => (false, digits),
            _ => return Err(wrong),
        };
        // Redis reads it as a C string.
        let digits = digits.split(|byte| *byte == 0).next().unwrap_or_default();
        let most = if signed { 64 } else { 63 };
        match parse_i64(digits) {
            Some(bits) if (1..=most).contains(&bits) => Ok(Self { signed, bits: bits as u32 }),
            _ => Err(wrong),
        }
    }

    /// The smallest and the largest number of this width.
    fn range(self) -> (i128, i128) {
        if self.signed {
            let half = 1i128 << (self.bits - 1);
            (-half, half - 1)
        } else {
            (0, (1i128 << self.bits) - 1)
        }
    }

    /// Whether SET takes a negative number as a large one: always for an unsigned width; for a signed one redis-server subtracts
    /// it from the largest number in 64 bits, where the difference to one that is small enough does not fit.
    fn takes_as_large(self, number: i64) -> bool {
        let (_, most) = self.range();
        !self.signed || self.bits < 64 && most - i128::from(number) > i128::from(i64::MAX)
    }

    /// The number that the low bits stand for.
    fn of_bits(self, bits: u64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed { ((bits << unused) as i64) >> unused } else { ((bits << unused) >> unused) as i64 }
    }

    /// `number` if it fits, or else what `overflow` makes of it.
    fn fit(self, number: i128, overflow: Overflow) -> Option<i64> {
        let (least, most) = self.range();
        if (least..=most).contains(&number) {
            return Some(number as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.of_bits(number as u64)),
            Overflow::Saturate => Some(number.clamp(least, most) as i64),
            Overflow::Fail => None,
        }
    }
}

enum Action {
    Get,
    Set(i64),
    Add(i64),
}

struct Operation {
    action: Action,
    overflow: Overflow,
    width: Width,
    /// In bits from the string's beginning.
    offset: u64,
}

impl Operation {
    /// Runs on the string, which reaches far enough if it is written to; `None` where nothing was done, as it would
    /// overflow. The second result says whether the string changed.
    fn run(&self, bytes: &mut [u8]) -> (Option<i64>, bool) {
        let old = self.width.of_bits(read(bytes, self.offset, self.width.bits));
        let wanted = match self.action {
            Action::Get => return (Some(old), false),
            Action::Add(by) => i128::from(old) + i128::from(by),
            Action::Set(number) if self.width.takes_as_large(number) => i128::from(number as u64),
            Action::Set(number) => i128::from(number),
        };
        let Some(new) = self.width.fit(wanted, self.overflow) else { return (None, false) };
        write(bytes, self.offset, self.width.bits, new as u64);
        (Some(if matches!(self.action, Action::Set(_)) { old } else { new }), new != old)
    }
}

/// The `bits` bits from `offset` on, most significant first; those behind the end are clear.
fn read(bytes: &[u8], offset: u64, bits: u32) -> u64 {
    (offset..offset + u64::from(bits)).fold(0, |number, at| {
        let byte = bytes.get((at >> 3) as usize).copied().unwrap_or(0);
        (number << 1) | u64::from(byte >> (7 - (at & 7)) & 1)
    })
}

fn write(bytes: &mut [u8], offset: u64, bits: u32, number: u64) {
    for (at, place) in (offset..).zip((0..bits).rev()) {
        if let Some(byte) = bytes.get_mut((at >> 3) as usize) {
            let mask = 0x80 >> (at & 7);
            *byte = if number >> place & 1 == 1 { *byte | mask } else { *byte & !mask };
        }
    }
}

fn parse(call: &Call<'_>) -> Result<Vec<Operation>, Error> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut index = 2;
    while index < call.args.len() {
        let follow = call.args.len() - index - 1;
        if call.args.is(index, "OVERFLOW") && follow >= 1 {
            overflow = match call.args.at(index + 1).to_ascii_uppercase().as_slice() {
                b"WRAP" => Overflow::Wrap,
                b"SAT" => Overflow::Saturate,
                b"FAIL" => Overflow::Fail,
                _ => return Err(Error::err("Invalid OVERFLOW type specified")),
            };
            index += 2;
            continue;
        }
        let gets = call.args.is(index, "GET") && follow >= 2;
        let sets = call.args.is(index, "SET") && follow >= 3;
        if !(gets || sets || call.args.is(index, "INCRBY") && follow >= 3) {
            return Err(Error::Syntax);
        }
        let width = Width::parse(call.args.at(index + 1))?;
        let offset = bit_offset(call, call.args.at(index + 2), Some(width.bits.into()))?;
        let action = match (gets, sets) {
            (true, _) => Action::Get,
            (_, true) => Action::Set(call.integer(index + 3)?),
            _ => Action::Add(call.integer(index + 3)?),
        };
        operations.push(Operation { action, overflow, width, offset });
        index += if gets { 3 } else { 4 };
    }
    Ok(operations)
}

pub(super) fn bitfield(call: &mut Call<'_>) -> Result<(), Error> {
    let operations = parse(call)?;
    run(call, &operations)
}

pub(super) fn bitfield_ro(call: &mut Call<'_>) -> Result<(), Error> {
    let operations = parse(call)?;
    if operations.iter().any(|operation| !matches!(operation.action, Action::Get)) {
        return Err(Error::err("BITFIELD_RO only supports the GET subcommand"));
    }
    run(call, &operations)
}

fn run(call: &mut Call<'_>, operations: &[Operation]) -> Result<(), Error> {
    let (key, db) = (call.key(1), call.db);
    let last_written = operations
        .iter()
        .filter(|operation| !matches!(operation.action, Action::Get))
        .map(|operation| operation.offset + u64::from(operation.width.bits) - 1)
        .max();
    let Some(last) = last_written else {
        let bytes = call.engine.read_string(db, &key)?.unwrap_or_default();
        call.reply.array(operations.len());
        for Operation { width, offset, .. } in operations {
            call.reply.int(width.of_bits(read(bytes, *offset, width.bits)));
        }
        return Ok(());
    };
    // Even where all operations fail in the end, the string grows to the last bit that they name.
    let length = (last >> 3) as usize + 1;
    let (results, changes) = call.engine.edit_string(db, &key, |bytes| {
        let grows = bytes.len() < length;
        if grows {
            bytes.resize(length, 0);
        }
        let mut changes = 0;
        let results: Vec<_> = operations
            .iter()
            .map(|operation| {
                let (result, changed) = operation.run(bytes);
                let writes = !matches!(operation.action, Action::Get) && result.is_some();
                changes += u64::from(changed || writes && grows);
                result
            })
            .collect();
        (results, changes)
    })?;
    if changes > 0 {
        call.notify(EventClass::STRING, "setbit", &key);
    }
    call.engine.dirty(changes);
    call.reply.array(results.len());
    for result in results {
        match result {
            Some(number) => call.reply.int(number),
            None => call.reply.null(),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_do_not_fit_become_what_redis_server_makes_of_them() {
        let set = |bits, number, overflow| {
            let mut bytes = [0; 8];
            let width = Width { signed: true, bits };
            let set = Operation { action: Action::Set(number), overflow, width, offset: 0 };
            set.run(&mut bytes).0.map(|_| width.of_bits(read(&bytes, 0, bits)))
        };
        for (number, saturated) in [
            (32, 31),
            (-33, -32),
            (i64::MIN + 32, -32),
            (i64::MIN + 31, 31),
            (i64::MIN, 31),
            (i64::MAX, 31),
            (-32, -32),
        ] {
            assert_eq!(set(6, number, Overflow::Saturate), Some(saturated), "{number}");
        }
        assert_eq!(set(6, i64::MIN, Overflow::Wrap), Some(0));
        assert_eq!(set(6, i64::MIN + 31, Overflow::Wrap), Some(31));
        assert_eq!(set(6, i64::MIN, Overflow::Fail), None);
        assert_eq!(set(64, i64::MIN, Overflow::Saturate), Some(i64::MIN));
        assert_eq!(set(63, i64::MIN, Overflow::Saturate), Some((1 << 62) - 1));
    }
}

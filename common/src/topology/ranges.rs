//! Sets of hash slots as sorted ranges, and their text form `0-99,105`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::slot::SLOTS;

/// Slots `start..=end`, both below [`SLOTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRange {
    start: u16,
    end: u16,
}

/// A text that is not a range of slots, or ranges that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    #[error("`{0}` is not a slot range such as `0-5460` or `42`")]
    Syntax(String),
    #[error("slot {0} does not exist, the last one is 16383")]
    OutOfRange(u64),
    #[error("slot range {start}-{end} ends before it starts")]
    Reversed { start: u16, end: u16 },
    #[error("slot {0} is named twice")]
    Twice(u16),
}

impl SlotRange {
    /// Both ends belong to the range.
    pub fn new(start: u16, end: u16) -> Result<SlotRange, RangeError> {
        for slot in [start, end] {
            if slot >= SLOTS {
                return Err(RangeError::OutOfRange(u64::from(slot)));
            }
        }
        if start > end {
            return Err(RangeError::Reversed { start, end });
        }
        Ok(SlotRange { start, end })
    }

    pub fn start(self) -> u16 {
        self.start
    }

    /// The last slot, which belongs to the range.
    pub fn end(self) -> u16 {
        self.end
    }

    /// Number of slots, at least 1.
    pub fn count(self) -> usize {
        usize::from(self.end - self.start) + 1
    }

    pub fn contains(self, slot: u16) -> bool {
        self.start <= slot && slot <= self.end
    }

    /// Every slot, ascending.
    pub fn slots(self) -> impl Iterator<Item = u16> {
        self.start..=self.end
    }
}

impl fmt::Display for SlotRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.start == self.end {
            write!(f, "{}", self.start)
        } else {
            write!(f, "{}-{}", self.start, self.end)
        }
    }
}

impl FromStr for SlotRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<SlotRange, RangeError> {
        let number = |part: &str| -> Result<u16, RangeError> {
            if part.is_empty() || part.len() > 9 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(RangeError::Syntax(text.to_owned()));
            }
            let value: u64 = part.parse().map_err(|_| RangeError::Syntax(text.to_owned()))?;
            u16::try_from(value).ok().filter(|slot| *slot < SLOTS).ok_or(RangeError::OutOfRange(value))
        };
        match text.split_once('-') {
            Some((start, end)) => SlotRange::new(number(start.trim())?, number(end.trim())?),
            None => number(text.trim()).and_then(|slot| SlotRange::new(slot, slot)),
        }
    }
}

/// A set of slots. Ranges are sorted, do not overlap and do not touch, so equal sets are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SlotRanges(Vec<SlotRange>);

impl SlotRanges {
    /// All 16,384 slots.
    pub fn all() -> SlotRanges {
        SlotRanges(vec![SlotRange { start: 0, end: SLOTS - 1 }])
    }

    /// Ranges in any order. Naming a slot twice is an error.
    pub fn from_ranges(ranges: impl IntoIterator<Item = SlotRange>) -> Result<SlotRanges, RangeError> {
        let mut sorted: Vec<SlotRange> = ranges.into_iter().collect();
        sorted.sort_by_key(|range| range.start);
        let mut merged = SlotRanges::default();
        for range in sorted {
            match merged.0.last_mut() {
                Some(last) if range.start <= last.end => return Err(RangeError::Twice(range.start)),
                Some(last) if range.start == last.end + 1 => last.end = range.end,
                _ => merged.0.push(range),
            }
        }
        Ok(merged)
    }

    /// Slots in any order; repetitions are ignored, numbers above the last slot too.
    pub fn from_slots(slots: impl IntoIterator<Item = u16>) -> SlotRanges {
        let mut sorted: Vec<u16> = slots.into_iter().filter(|slot| *slot < SLOTS).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut ranges: Vec<SlotRange> = Vec::new();
        for slot in sorted {
            match ranges.last_mut() {
                Some(last) if last.end + 1 == slot => last.end = slot,
                _ => ranges.push(SlotRange { start: slot, end: slot }),
            }
        }
        SlotRanges(ranges)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of slots, 0 to 16384.
    pub fn count(&self) -> usize {
        self.0.iter().map(|range| range.count()).sum()
    }

    pub fn contains(&self, slot: u16) -> bool {
        let after = self.0.partition_point(|range| range.start <= slot);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|range| range.contains(slot))
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> &[SlotRange] {
        &self.0
    }

    /// Every slot, ascending.
    pub fn slots(&self) -> impl Iterator<Item = u16> {
        self.0.iter().flat_map(|range| range.slots())
    }
}

impl FromIterator<u16> for SlotRanges {
    fn from_iter<I: IntoIterator<Item = u16>>(slots: I) -> SlotRanges {
        SlotRanges::from_slots(slots)
    }
}

impl fmt::Display for SlotRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            range.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for SlotRanges {
    type Err = RangeError;

    /// Ranges separated by commas; the empty text is the empty set.
    fn from_str(text: &str) -> Result<SlotRanges, RangeError> {
        if text.trim().is_empty() {
            return Ok(SlotRanges::default());
        }
        let ranges: Result<Vec<SlotRange>, RangeError> =
            text.split(',').map(|part| part.trim().parse()).collect();
        SlotRanges::from_ranges(ranges?)
    }
}

impl TryFrom<String> for SlotRanges {
    type Error = RangeError;

    fn try_from(text: String) -> Result<SlotRanges, RangeError> {
        text.parse()
    }
}

impl From<SlotRanges> for String {
    fn from(ranges: SlotRanges) -> String {
        ranges.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_read_and_written_in_order() {
        let ranges: SlotRanges = "105, 0-98,99".parse().unwrap();
        assert_eq!(ranges.to_string(), "0-99,105");
        assert_eq!(ranges.count(), 101);
        assert_eq!("".parse::<SlotRanges>().unwrap(), SlotRanges::default());
        assert_eq!(SlotRanges::all().to_string(), "0-16383");
    }

    #[test]
    fn bad_texts_say_why() {
        let reason = |text: &str| text.parse::<SlotRanges>().unwrap_err().to_string();
        assert_eq!(reason("1-"), "`1-` is not a slot range such as `0-5460` or `42`");
        assert_eq!(reason("-1"), "`-1` is not a slot range such as `0-5460` or `42`");
        assert_eq!(reason("1,,2"), "`` is not a slot range such as `0-5460` or `42`");
        assert_eq!(reason("+3"), "`+3` is not a slot range such as `0-5460` or `42`");
        assert_eq!(reason("16384"), "slot 16384 does not exist, the last one is 16383");
        assert_eq!(reason("0-99999"), "slot 99999 does not exist, the last one is 16383");
        assert_eq!(reason("9-3"), "slot range 9-3 ends before it starts");
        assert_eq!(reason("0-9,5-7"), "slot 5 is named twice");
        assert_eq!(reason("99999999999999999999"), reason("99999999999999999999"));
    }

    proptest! {
        #[test]
        fn any_set_round_trips(slots in proptest::collection::btree_set(0u16..SLOTS, 0..200)) {
            let ranges: SlotRanges = slots.iter().copied().collect();
            prop_assert_eq!(ranges.to_string().parse::<SlotRanges>().unwrap(), ranges.clone());
            prop_assert_eq!(ranges.slots().collect::<Vec<_>>(), slots.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(ranges.count(), slots.len());
            for slot in 0..SLOTS {
                prop_assert_eq!(ranges.contains(slot), slots.contains(&slot));
            }
        }
    }
}

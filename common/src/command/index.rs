//! From a command's name to its row: a hash table of constant size, made at compile time.

use super::row::Command;
use super::table::{COUNT, TABLE};

/// The longest name that fits; every row's does, or the build fails.
const LONGEST: usize = 24;
/// Four times the number of names, so that most are found at their first place.
const PLACES: usize = 1024;
const EMPTY: u16 = u16::MAX;

/// A name in lower case as three words: its first eight bytes, those after them, its last eight. Together with the
/// length they determine a name of at most 24 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Packed {
    first: u64,
    middle: u64,
    last: u64,
    length: u64,
}

#[derive(Clone, Copy)]
struct Place {
    name: Packed,
    id: u16,
}

static INDEX: [Place; PLACES] = build();

/// The row of the command of that name, in any case. Subcommands are not found here, see [`Command::subcommand`].
#[must_use]
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    let packed = pack(name)?;
    let mut at = packed.hash();
    loop {
        let place = &INDEX[at % PLACES];
        if place.name == packed {
            return TABLE.get(usize::from(place.id));
        }
        if place.id == EMPTY {
            return None;
        }
        at += 1;
    }
}

#[inline]
const fn pack(name: &[u8]) -> Option<Packed> {
    let length = name.len();
    let (first, middle, last) =
        if let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            let middle = if length <= 16 {
                0
            } else if let (true, Some(middle)) = (length <= LONGEST, name.split_at(8).1.first_chunk::<8>()) {
                u64::from_le_bytes(*middle)
            } else {
                return None;
            };
            (u64::from_le_bytes(*first), middle, u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (u32::from_le_bytes(*first) as u64, 0, u32::from_le_bytes(*last) as u64)
        } else {
            match *name {
                [a] => (a as u64, 0, 0),
                [a, b] => (u16::from_le_bytes([a, b]) as u64, 0, 0),
                [a, b, c] => (u32::from_le_bytes([a, b, c, 0]) as u64, 0, 0),
                _ => return None,
            }
        };
    Some(Packed { first: lower(first), middle: lower(middle), last: lower(last), length: length as u64 })
}

/// ASCII letters of a word in lower case, every other byte unchanged.
#[inline]
const fn lower(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Bytes without their top bit cannot carry into their neighbours when these are added.
    let low = word & (ONES * 0x7f);
    let from_a = low + ONES * (0x80 - b'A' as u64);
    let after_z = low + ONES * (0x7f - b'Z' as u64);
    let upper = (from_a & !after_z) & !word & (ONES * 0x80);
    word | (upper >> 2)
}

impl Packed {
    #[inline]
    const fn hash(self) -> usize {
        let mixed = self.first ^ self.last.rotate_left(21) ^ self.middle.rotate_left(43) ^ self.length;
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize
    }

    const fn equals(self, other: Self) -> bool {
        self.first == other.first
            && self.middle == other.middle
            && self.last == other.last
            && self.length == other.length
    }
}

const fn build() -> [Place; PLACES] {
    let nothing = Packed { first: 0, middle: 0, last: 0, length: 0 };
    let mut index = [Place { name: nothing, id: EMPTY }; PLACES];
    let mut id = 0;
    while id < COUNT {
        if TABLE[id].container.is_none() {
            let Some(name) = pack(TABLE[id].name.as_bytes()) else { panic!("a command's name is too long") };
            let mut at = name.hash() % PLACES;
            while index[at].id != EMPTY {
                assert!(!index[at].name.equals(name), "two commands have the same name");
                at = (at + 1) % PLACES;
            }
            index[at] = Place { name, id: id as u16 };
        }
        id += 1;
    }
    index
}

impl Command {
    /// Its subcommands.
    #[must_use]
    pub fn subcommands(&self) -> &'static [Command] {
        let (from, to) = self.subcommand_rows;
        TABLE.get(usize::from(from)..usize::from(to)).unwrap_or_default()
    }

    /// Its subcommand of that name, in any case.
    #[must_use]
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Command> {
        self.subcommands().iter().find(|row| row.last_name().as_bytes().eq_ignore_ascii_case(name))
    }
}

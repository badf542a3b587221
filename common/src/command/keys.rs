//! Finds the keys of a call.

use super::key_spec::{Begin, Find, KeyFlags, KeySpec, uses};
use super::row::{Command, KeyFinder};
use crate::number::parse_i64;
use crate::resp::Args;

/// The arguments do not have the shape in which the command's keys could be found: the call is going to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnclearKeys;

impl std::fmt::Display for UnclearKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Invalid arguments specified for command")
    }
}

impl std::error::Error for UnclearKeys {}

/// Keys that one spec found: the arguments `first`, `first + step`, … up to and including `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRange {
    pub first: u32,
    pub last: u32,
    pub step: u32,
    pub flags: KeyFlags,
}

impl KeyRange {
    const NONE: Self = Self { first: 1, last: 0, step: 1, flags: KeyFlags::NONE };

    fn one(index: usize, flags: KeyFlags) -> Self {
        Self { first: index as u32, last: index as u32, step: 1, flags }
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.first > self.last { 0 } else { ((self.last - self.first) / self.step) as usize + 1 }
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first > self.last
    }

    /// The positions of the keys among the arguments.
    pub fn positions(&self) -> impl Iterator<Item = usize> + use<> {
        (self.first as usize..=self.last as usize).step_by(self.step as usize)
    }
}

/// The keys of one call, as positions among its arguments. No command has more than three groups of keys, so this
/// never allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    ranges: [KeyRange; 3],
    count: u8,
}

impl Keys {
    const NONE: Self = Self { ranges: [KeyRange::NONE; 3], count: 0 };

    fn add(&mut self, range: KeyRange) {
        if let Some(place) = self.ranges.get_mut(usize::from(self.count)) {
            *place = range;
            self.count += 1;
        }
    }

    /// The groups, in the order of the command's specs. None is empty.
    #[must_use]
    pub fn ranges(&self) -> &[KeyRange] {
        self.ranges.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// The position of the first key.
    #[must_use]
    #[inline]
    pub fn first(&self) -> Option<usize> {
        if self.count == 0 { None } else { Some(self.ranges[0].first as usize) }
    }

    /// The number of keys, the same key twice counted twice.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges().iter().map(KeyRange::len).sum()
    }

    /// Whether there is no key.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The positions of the keys among the arguments.
    pub fn positions(&self) -> impl Iterator<Item = usize> + use<> {
        let keys = *self;
        (0..usize::from(keys.count)).flat_map(move |n| keys.ranges[n].positions())
    }

    /// The positions of the keys, each with what the command does with it.
    pub fn with_flags(&self) -> impl Iterator<Item = (usize, KeyFlags)> + use<> {
        let keys = *self;
        (0..usize::from(keys.count)).flat_map(move |n| {
            let range = keys.ranges[n];
            range.positions().map(move |position| (position, range.flags))
        })
    }
}

/// So many numbered databases there are.
pub const DATABASES: u32 = 16;

/// The argument that is a key of another database than the one that the command runs in, and that database.
#[must_use]
pub fn key_elsewhere(command: &Command, args: &Args<'_>) -> Option<(usize, u32)> {
    let (key, database) = match command.name {
        "move" => (1, 2),
        "copy" => (2, (3..args.len()).find(|at| args.is(*at, "DB"))? + 1),
        _ => return None,
    };
    let database = parse_i64(args.get(database)?)?;
    u32::try_from(database).ok().filter(|database| *database < DATABASES).map(|database| (key, database))
}

/// The keys of a call of `command`, of which `args` are the arguments, the name included. The number of arguments is
/// already checked against the command's arity.
///
/// # Errors
/// When the arguments are such that the command is going to fail, as a number of keys that is none or is larger
/// than the number of arguments.
#[inline]
pub fn keys(command: &Command, args: &Args<'_>) -> Result<Keys, UnclearKeys> {
    // Nearly every call: one key at a fixed place.
    if let (KeyFinder::Specs, [spec]) = (command.finder, command.key_specs)
        && let (Begin::Index(index), Find::Range { last: 0, .. }) = (spec.begin, spec.find)
        && !spec.flags.contains(KeyFlags::NOT_KEY)
    {
        let mut keys = Keys::NONE;
        keys.add(KeyRange::one(usize::from(index), spec.flags));
        return Ok(keys);
    }
    match command.finder {
        KeyFinder::Specs => by_specs(command.key_specs, args, false),
        KeyFinder::Set => Ok(of_set(args)),
        KeyFinder::BitField => Ok(of_bitfield(args)),
        KeyFinder::Sort { store } => Ok(of_sort(args, store)),
        KeyFinder::Migrate => Ok(of_migrate(args)),
        KeyFinder::Merge => Ok(of_merge(args)),
    }
}

/// The shard channels of a call of SPUBLISH, SSUBSCRIBE or SUNSUBSCRIBE, which are routed by slot as keys are, but are
/// none. Empty for every other command.
#[must_use]
pub fn channels(command: &Command, args: &Args<'_>) -> Keys {
    match command.key_specs {
        [spec] if spec.flags.contains(KeyFlags::NOT_KEY) => {
            by_specs(command.key_specs, args, true).unwrap_or(Keys::NONE)
        }
        _ => Keys::NONE,
    }
}

fn by_specs(specs: &[KeySpec], args: &Args<'_>, channels: bool) -> Result<Keys, UnclearKeys> {
    let mut keys = Keys::NONE;
    for spec in specs {
        if spec.flags.contains(KeyFlags::NOT_KEY) != channels {
            continue;
        }
        let first = match spec.begin {
            Begin::Index(index) => usize::from(index),
            Begin::Keyword(keyword, from) => match keyword_position(args, keyword, from) {
                Some(position) => position + 1,
                None => continue,
            },
            Begin::Unknown => return Err(UnclearKeys),
        };
        keys.add(range_from(first, spec, args)?);
        if spec.flags.contains(KeyFlags::INCOMPLETE) {
            return Err(UnclearKeys);
        }
    }
    Ok(keys)
}

/// A keyword that is the last argument has nothing after it and is none.
fn keyword_position(args: &Args<'_>, keyword: &str, from: i8) -> Option<usize> {
    if from > 0 {
        (usize::from(from.unsigned_abs())..args.len().saturating_sub(1)).find(|&i| args.is(i, keyword))
    } else {
        let start = args.len().checked_sub(usize::from(from.unsigned_abs()))?;
        (1..=start).rev().find(|&i| args.is(i, keyword))
    }
}

fn range_from(begin: usize, spec: &KeySpec, args: &Args<'_>) -> Result<KeyRange, UnclearKeys> {
    // Signed, since a last key before the first one has to be noticed. Arguments are far fewer than 2^31.
    let (first, last, step) = match spec.find {
        Find::Range { last, step, .. } if last >= 0 => (begin as i64, begin as i64 + i64::from(last), step),
        Find::Range { last, step, limit: 0 | 1 } => (begin as i64, args.len() as i64 + i64::from(last), step),
        Find::Range { last, step, limit } => {
            let rest = args.len() as i64 - begin as i64;
            (begin as i64, begin as i64 + rest / i64::from(limit) + i64::from(last), step)
        }
        Find::Counted { count, first, step } => {
            let number = args.get(begin + usize::from(count)).and_then(parse_i64).ok_or(UnclearKeys)?;
            let first = begin as i64 + i64::from(first);
            if !(0..=args.len() as i64).contains(&number) {
                return Err(UnclearKeys);
            }
            (first, first + number - 1, step)
        }
        Find::Unknown => return Err(UnclearKeys),
    };
    if last >= args.len() as i64 || last < first || first >= args.len() as i64 {
        return Err(UnclearKeys);
    }
    Ok(KeyRange { first: first as u32, last: last as u32, step: u32::from(step), flags: spec.flags })
}

fn only(index: usize, flags: KeyFlags) -> Keys {
    let mut keys = Keys::NONE;
    keys.add(KeyRange::one(index, flags));
    keys
}

/// SET reads its key only when it has the GET option.
fn of_set(args: &Args<'_>) -> Keys {
    let gets = (3..args.len()).any(|i| args.is(i, "get"));
    only(1, if gets { uses::RW_ACCESS_UPDATE } else { uses::OW_UPDATE })
}

/// BITFIELD only reads its key when every operation is a GET.
fn of_bitfield(args: &Args<'_>) -> Keys {
    let mut reads_only = true;
    let mut i = 2;
    while i < args.len() {
        let left = args.len() - i - 1;
        if args.is(i, "get") && left >= 2 {
            i += 2;
        } else if args.is(i, "overflow") && left >= 1 {
            i += 1;
        } else {
            reads_only = false;
            break;
        }
        i += 1;
    }
    only(1, if reads_only { uses::RO_ACCESS } else { uses::RW_ACCESS_UPDATE })
}

/// SORT has a destination when there is a STORE option; the last one counts. What BY and GET read is not told.
fn of_sort(args: &Args<'_>, store: bool) -> Keys {
    let mut keys = only(1, uses::RO_ACCESS);
    let mut destination = None;
    let mut i = 2;
    while store && i < args.len() {
        if args.is(i, "limit") {
            i += 2;
        } else if args.is(i, "get") || args.is(i, "by") {
            i += 1;
        } else if args.is(i, "store") && i + 1 < args.len() {
            destination = Some(i + 1);
        }
        i += 1;
    }
    if let Some(index) = destination {
        keys.add(KeyRange::one(index, uses::OW_UPDATE));
    }
    keys
}

/// PFMERGE writes its first key also when there is no other. Redis finds no key then, and in a cluster runs it anywhere.
fn of_merge(args: &Args<'_>) -> Keys {
    let mut keys = only(1, uses::RW_ACCESS_INSERT);
    if args.len() > 2 {
        keys.add(KeyRange { first: 2, last: args.len() as u32 - 1, step: 1, flags: uses::RO_ACCESS });
    }
    keys
}

/// MIGRATE has one key at place 3, or an empty argument there and its keys after KEYS.
fn of_migrate(args: &Args<'_>) -> Keys {
    let flags = uses::RW_ACCESS_DELETE;
    let mut i = 6;
    while i < args.len() {
        if args.is(i, "keys") {
            let mut keys = Keys::NONE;
            if args.at(3).is_empty() && i + 1 < args.len() {
                keys.add(KeyRange { first: i as u32 + 1, last: args.len() as u32 - 1, step: 1, flags });
            }
            return keys;
        }
        i += if args.is(i, "auth") {
            2
        } else if args.is(i, "auth2") {
            3
        } else {
            1
        };
    }
    only(3, flags)
}

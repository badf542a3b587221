//! The bounds of ranges by score and by member.

use slotway_common::error::Error;
use slotway_common::number::parse_f64;

use crate::types::ZSet;
use crate::types::item::IntText;

/// Scores from one bound to another, each included or not.
#[derive(Clone, Copy)]
pub(super) struct ScoreRange {
    least: f64,
    most: f64,
    above_least: bool,
    below_most: bool,
}

impl ScoreRange {
    /// # Errors
    /// `ERR min or max is not a float`
    pub(super) fn parse(least: &[u8], most: &[u8]) -> Result<Self, Error> {
        let bound = |text| score_bound(text).ok_or(Error::err("min or max is not a float"));
        let ((least, above_least), (most, below_most)) = (bound(least)?, bound(most)?);
        Ok(Self { least, most, above_least, below_most })
    }

    /// The ranks of the members in this range: the first one, and how many.
    pub(super) fn find(&self, zset: &ZSet) -> (usize, usize) {
        let from =
            zset.rank_by_score(|score| score < self.least || (self.above_least && score == self.least));
        let to = zset.rank_by_score(|score| score < self.most || (!self.below_most && score == self.most));
        (from, to.saturating_sub(from))
    }
}

/// A bound with `(` before it if it is not included. Redis reads the number with C's `strtod` and looks only at what is
/// left over: blanks before it, no text at all (0) and numbers out of range are taken.
fn score_bound(text: &[u8]) -> Option<(f64, bool)> {
    let (text, excluded) = match text {
        [b'(', rest @ ..] => (rest, true),
        text => (text, false),
    };
    // A C string ends at its first zero byte.
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some((0.0, excluded));
    }
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | 0x09..=0x0D)).count();
    let text = &text[blanks..];
    let number = parse_f64(text).or_else(|| {
        // Too large or too small for a double: infinity or zero.
        let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
        let is_decimal = digits.first().is_some_and(|first| first.is_ascii_digit() || *first == b'.');
        is_decimal.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
    })?;
    Some((number, excluded))
}

/// Members from one bound to another in the order of their bytes.
pub(super) struct LexRange<'a> {
    least: LexBound<'a>,
    most: LexBound<'a>,
}

#[derive(Clone, Copy, PartialEq)]
enum LexBound<'a> {
    BeforeAll,
    Including(&'a [u8]),
    Excluding(&'a [u8]),
    AfterAll,
}

impl<'a> LexBound<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        match text {
            [b'-'] | [b'-', 0, ..] => Some(LexBound::BeforeAll),
            [b'+'] | [b'+', 0, ..] => Some(LexBound::AfterAll),
            [b'[', member @ ..] => Some(LexBound::Including(member)),
            [b'(', member @ ..] => Some(LexBound::Excluding(member)),
            _ => None,
        }
    }
}

impl<'a> LexRange<'a> {
    /// # Errors
    /// `ERR min or max not valid string range item`
    pub(super) fn parse(least: &'a [u8], most: &'a [u8]) -> Result<Self, Error> {
        let bound = |text| LexBound::parse(text).ok_or(Error::err("min or max not valid string range item"));
        Ok(Self { least: bound(least)?, most: bound(most)? })
    }

    fn reached(&self, member: &[u8]) -> bool {
        match self.least {
            LexBound::BeforeAll => true,
            LexBound::Including(least) => member >= least,
            LexBound::Excluding(least) => member > least,
            LexBound::AfterAll => false,
        }
    }

    fn not_passed(&self, member: &[u8]) -> bool {
        match self.most {
            LexBound::BeforeAll => false,
            LexBound::Including(most) => member <= most,
            LexBound::Excluding(most) => member < most,
            LexBound::AfterAll => true,
        }
    }

    /// Whether no member can be in this range.
    fn is_empty(&self) -> bool {
        match (self.least, self.most) {
            (LexBound::AfterAll, _) | (_, LexBound::BeforeAll) => true,
            (LexBound::BeforeAll, _) | (_, LexBound::AfterAll) => false,
            (LexBound::Including(least), LexBound::Including(most)) => least > most,
            (
                LexBound::Including(least) | LexBound::Excluding(least),
                LexBound::Including(most) | LexBound::Excluding(most),
            ) => least >= most,
        }
    }

    /// The ranks of the members in this range: the first one, and how many. All scores should be equal; where they are
    /// not, this finds what Redis finds in a small sorted set, where it walks: from the first member (`reverse`: the
    /// last) that has reached the range as long as they are in it.
    pub(super) fn find(&self, zset: &ZSet, reverse: bool) -> (usize, usize) {
        let mut text = IntText::new();
        let end = |reverse| zset.iter_from(if reverse { zset.len() - 1 } else { 0 }, reverse);
        let first = end(false).next().is_some_and(|(member, _)| self.not_passed(member.text(&mut text)));
        let last = end(true).next().is_some_and(|(member, _)| self.reached(member.text(&mut text)));
        if !first || !last {
            return (0, 0);
        }
        if self.is_empty() {
            return (0, 0);
        }
        if zset.encoding() == "listpack" {
            let (before, inside): (&dyn Fn(&[u8]) -> bool, &dyn Fn(&[u8]) -> bool) = if reverse {
                (&|member| !self.not_passed(member), &|member| self.reached(member))
            } else {
                (&|member| !self.reached(member), &|member| self.not_passed(member))
            };
            let skipped = end(reverse).take_while(|(member, _)| before(member.text(&mut text))).count();
            let rest = end(reverse).skip(skipped);
            let count = rest.take_while(|(member, _)| inside(member.text(&mut text))).count();
            return (if reverse { zset.len() - skipped - count } else { skipped }, count);
        }
        let from = zset.rank_by_member(|member| !self.reached(member));
        let to = zset.rank_by_member(|member| self.not_passed(member));
        (from, to.saturating_sub(from))
    }
}

//! The options by which XADD and XTRIM trim a stream.

use slotway_common::error::Error;

use super::id::{exact, of_new};
use crate::call::Call;
use crate::types::Stream;
use crate::types::stream::{Excess, Id};

/// How a stream is trimmed.
#[derive(Clone, Copy)]
pub(super) struct Trimming {
    excess: Excess,
    approximately: bool,
    /// 0: no limit.
    limit: usize,
}

/// The id that XADD asks for.
#[derive(Clone, Copy)]
pub(super) enum NewId {
    Automatic,
    /// The next one of this millisecond.
    InMillisecond(u64),
    Given(Id),
}

/// What stands before the fields of XADD.
pub(super) struct Adding {
    pub id: NewId,
    /// The argument that is the id.
    pub id_at: usize,
    pub only_existing: bool,
    pub trimming: Option<Trimming>,
}

/// The options as they are read.
#[derive(Default)]
struct Options {
    excess: Option<Excess>,
    approximately: bool,
    limit: Option<i64>,
}

impl Options {
    /// Reads the option at `index`; gives the number of its arguments, or nothing if it is none.
    fn read(&mut self, call: &Call<'_>, index: usize) -> Result<Option<usize>, Error> {
        let follow = call.args.len() - index - 1;
        let by_length = call.args.is(index, "MAXLEN");
        if follow > 0 && (by_length || call.args.is(index, "MINID")) {
            if self.excess.is_some() {
                return Err(Error::err(
                    "syntax error, MAXLEN and MINID options at the same time are not compatible",
                ));
            }
            let mark = call.args.at(index + 1);
            let is_mark = follow >= 2 && matches!(mark, b"~" | b"=");
            self.approximately = is_mark && mark == b"~";
            let value = index + 1 + usize::from(is_mark);
            self.excess = Some(if by_length {
                let most = usize::try_from(call.integer(value)?);
                Excess::Longer(most.map_err(|_| Error::err("The MAXLEN argument must be >= 0."))?)
            } else {
                Excess::Below(exact(call.args.at(value))?)
            });
            return Ok(Some(value + 1 - index));
        }
        if follow > 0 && call.args.is(index, "LIMIT") {
            let limit = call.integer(index + 1)?;
            if limit < 0 {
                return Err(Error::err("The LIMIT argument must be >= 0."));
            }
            self.limit = Some(limit);
            return Ok(Some(2));
        }
        Ok(None)
    }

    fn finish(&self, call: &Call<'_>, must_trim: bool) -> Result<Option<Trimming>, Error> {
        if self.excess.is_none() && self.limit.is_some_and(|limit| limit > 0) {
            return Err(Error::err(
                "syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if self.excess.is_none() && must_trim {
            return Err(Error::err("syntax error, XTRIM must be called with a trimming strategy"));
        }
        let limit = match self.limit {
            Some(_) if !self.approximately => {
                return Err(Error::err("syntax error, LIMIT cannot be used without the special ~ option"));
            }
            Some(limit) => usize::try_from(limit).unwrap_or(0),
            // So much that nobody notices.
            None if self.approximately => {
                match call.engine.limits.stream_node_max_entries.saturating_mul(100) {
                    0 => 10_000,
                    limit => limit.min(1_000_000),
                }
            }
            None => 0,
        };
        let approximately = self.approximately;
        Ok(self.excess.map(|excess| Trimming { excess, approximately, limit }))
    }
}

impl Trimming {
    /// Reads the arguments of XTRIM.
    pub(super) fn parse(call: &Call<'_>) -> Result<Self, Error> {
        let mut options = Options::default();
        let mut index = 2;
        while index < call.args.len() {
            index += options.read(call, index)?.ok_or(Error::Syntax)?;
        }
        options.finish(call, true)?.ok_or(Error::Syntax)
    }

    /// Reads the arguments of XADD up to the id.
    pub(super) fn parse_adding(call: &Call<'_>) -> Result<Adding, Error> {
        let mut options = Options::default();
        let (mut id, mut only_existing) = (NewId::Automatic, false);
        let mut index = 2;
        while index < call.args.len() && call.args.at(index) != b"*" {
            if let Some(arguments) = options.read(call, index)? {
                index += arguments;
            } else if call.args.is(index, "NOMKSTREAM") {
                only_existing = true;
                index += 1;
            } else {
                id = of_new(call.args.at(index))?.map_or_else(NewId::InMillisecond, NewId::Given);
                break;
            }
        }
        let trimming = options.finish(call, false)?;
        Ok(Adding { id, id_at: index, only_existing, trimming })
    }

    /// Trims; gives the number of entries that went.
    pub(super) fn run(self, stream: &mut Stream) -> usize {
        stream.trim(self.excess, self.approximately, self.limit)
    }
}

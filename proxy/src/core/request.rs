//! A client's request, and what becomes of it.

use slotway_common::error::Error;
use slotway_common::resp::Args;
use slotway_common::resp::request::Span;

use crate::session::Stall;

/// What becomes of the requests behind the one that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It is dealt with; the next one follows.
    Next,
    /// It has not been begun and has to wait: it stays in the client's input.
    Wait(Stall),
}

/// One request, as it lies in the read buffer.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub args: Args<'a>,
    /// Places of the arguments within `frame`.
    pub spans: &'a [Span],
    /// The request as it came in, or nothing for an inline request, which shards are not sent.
    pub frame: Option<&'a [u8]>,
}

impl Request<'_> {
    /// The bytes of arguments `from..to` with their headers and line ends, if the request came as a multibulk.
    #[inline]
    pub(super) fn raw(&self, from: usize, to: usize) -> Option<&[u8]> {
        let end = |index: usize| {
            self.spans.get(index).map(|(start, length)| *start as usize + *length as usize + 2)
        };
        self.frame?.get(end(from.checked_sub(1)?)?..end(to.checked_sub(1)?)?)
    }
}

/// Why a batch is not sent.
pub(crate) enum Unsent {
    /// The client has to wait first.
    Wait(Stall),
    /// It will not be: nothing has run.
    Refused(Error),
    /// What was watched is elsewhere by now.
    Broken,
    /// Its slots are on several shards.
    Across,
}

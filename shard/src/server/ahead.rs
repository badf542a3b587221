//! Reads the requests of a pipeline ahead, so that their lookups can be prepared together.

use slotway_common::resp::request::{Parsed, Span};
use slotway_common::resp::{Args, Limits, Parser, ProtocolError};

use crate::dispatch::Prepared;
use crate::engine::prefetch::{BATCH, Lookup};

/// A request that was read ahead.
pub(super) struct Frame {
    /// Bytes from the end of the request before.
    pub(super) length: usize,
    pub(super) prepared: Prepared,
    /// Where its arguments' places stand.
    spans: std::ops::Range<usize>,
}

/// Why no more was read ahead.
pub(super) enum End {
    /// Enough for one batch.
    More,
    /// The next request is not whole yet; so many bytes of empty requests stand before it.
    Incomplete(usize),
    /// An inline request of this many bytes comes next; its arguments are the parser's own.
    Inline(usize),
    /// What comes next is no request.
    Malformed(ProtocolError),
}

/// The requests that were read ahead; reused from batch to batch.
#[derive(Default)]
pub(super) struct Ahead {
    frames: Vec<Frame>,
    /// Places of all arguments, from the start of the batch.
    spans: Vec<Span>,
}

impl Ahead {
    /// Reads whole multibulk requests from the start of `input`, at most one batch.
    pub(super) fn read(
        &mut self,
        parser: &mut Parser,
        input: &[u8],
        limits: &mut Limits,
        internal: bool,
    ) -> End {
        self.frames.clear();
        self.spans.clear();
        // Before AUTH a request may be refused that is legal after it.
        let most = if limits.authenticated { BATCH } else { 1 };
        let mut at = 0;
        let mut skipped = 0;
        while self.frames.len() < most {
            let rest = &input[at..];
            let length = match parser.parse(rest, limits) {
                Ok(Parsed::Frame(length)) => length,
                Ok(Parsed::Incomplete) => return End::Incomplete(skipped),
                Err(error) => return End::Malformed(error),
            };
            if parser.is_inline() {
                return End::Inline(skipped + length);
            }
            let args = parser.args(rest);
            if !args.is_empty() {
                let prepared = Prepared::new(&args, internal);
                let first = self.spans.len();
                self.spans.extend(parser.spans().iter().map(|&(start, length)| (start + at as u32, length)));
                self.frames.push(Frame {
                    length: skipped + length,
                    prepared,
                    spans: first..self.spans.len(),
                });
                skipped = 0;
            } else {
                skipped += length;
            }
            at += length;
        }
        End::More
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// What the requests will look up; `input` must be what was read.
    pub(super) fn lookups<'a>(&'a self, input: &'a [u8]) -> impl Iterator<Item = Lookup<'a>> {
        self.frames(input).filter_map(|(frame, args)| {
            let (slot, hash) = frame.prepared.key()?;
            // These two have the score before the member; the others begin with the field or member.
            let scored = frame.prepared.command().is_some_and(|row| matches!(row.name, "zadd" | "zincrby"));
            Some(Lookup { slot, hash, element: args.at(if scored { 3 } else { 2 }) })
        })
    }

    /// The requests with their arguments; `input` must be what was read.
    pub(super) fn frames<'a>(&'a self, input: &'a [u8]) -> impl Iterator<Item = (&'a Frame, Args<'a>)> {
        self.frames.iter().map(move |frame| (frame, Args::new(input, &self.spans[frame.spans.clone()])))
    }
}

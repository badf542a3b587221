//! What is kept of a split request for the slow log, which has to show the whole although each shard sees a part.

use slotway_common::resp::request::Parsed;
use slotway_common::resp::{Args, Limits, Parser};
use slotway_common::slow_log::shown_args;

/// Bytes of a split request that are kept for the slow log as they came; of a longer one what the log would show.
const MAX_KEPT: usize = 4096;

/// A split request, as far as the slow log needs it: it has to show the whole.
#[derive(Debug)]
pub(crate) enum Kept {
    Frame(Box<[u8]>),
    Shown(Vec<Vec<u8>>),
}

impl Kept {
    pub(crate) fn new(frame: Option<&[u8]>, args: &Args<'_>) -> Self {
        match frame {
            Some(frame) if frame.len() <= MAX_KEPT => Self::Frame(frame.into()),
            _ => Self::Shown(shown_args(args, |_| false)),
        }
    }

    /// The arguments as the slow log shows them.
    pub(crate) fn into_shown(self) -> Vec<Vec<u8>> {
        let frame = match self {
            Self::Frame(frame) => frame,
            Self::Shown(shown) => return shown,
        };
        let mut parser = Parser::new();
        let limits = Limits { max_bulk: usize::MAX, authenticated: true };
        match parser.parse(&frame, &limits) {
            Ok(Parsed::Frame(_)) => shown_args(&parser.args(&frame), |_| false),
            _ => Vec::new(),
        }
    }
}

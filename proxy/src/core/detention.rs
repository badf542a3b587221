//! Refusals of shards, and the requests that they hold back.

use slotway_common::resp::Protocol;

use crate::ids::{SessionId, UpstreamId};
use crate::upstream::Entry;

/// What a shard says instead of running a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Moved { slot: u16, address: String },
    Parked { slot: u16 },
}

impl Refusal {
    /// Reads `-MOVED <slot> <host:port>` and `-PARKED <slot>`; `None` for every other error.
    pub(super) fn parse(reply: &[u8]) -> Option<Self> {
        let line = reply.strip_prefix(b"-")?.strip_suffix(b"\r\n")?;
        let number = |text: &str| text.parse().ok();
        if let Some(rest) = line.strip_prefix(b"MOVED ") {
            let (slot, address) = std::str::from_utf8(rest).ok()?.split_once(' ')?;
            return Some(Self::Moved { slot: number(slot)?, address: address.to_owned() });
        }
        let rest = line.strip_prefix(b"PARKED ")?;
        let slot = std::str::from_utf8(rest).ok()?.split(' ').next()?;
        Some(Self::Parked { slot: number(slot)? })
    }

    pub(super) fn slot(&self) -> u16 {
        match self {
            Self::Moved { slot, .. } | Self::Parked { slot } => *slot,
        }
    }
}

/// A refused request with what is needed to send it again.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) frame: Vec<u8>,
    pub(super) entry: Entry,
    pub(super) protocol: Protocol,
    pub(super) database: u32,
}

/// Slots whose requests wait.
#[derive(Debug, Default)]
pub(super) struct Detention {
    pub(super) slots: Vec<u16>,
    pub(super) refused: Vec<Refused>,
    /// RESUMEs without an answer: the connections that may still refuse something.
    pub(super) resuming: Vec<(UpstreamId, u16)>,
    /// How long to wait once all refusals are here.
    pub(super) delay_ms: u64,
    pub(super) waiting: Vec<SessionId>,
}

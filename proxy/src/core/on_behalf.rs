//! In whose name shards run commands.

use slotway_common::resp::{Protocol, request};

use crate::ids::SessionId;
use crate::tracking::Mark;

/// For whom the parts of a transaction run, also when that client has gone meanwhile.
pub(crate) struct OnBehalf {
    pub(super) session: SessionId,
    pub(super) protocol: Protocol,
    pub(super) database: u32,
    pub(super) name: Option<Name>,
    pub(super) mark: Option<Mark>,
}

impl OnBehalf {
    /// A request that has a shard run commands of a part: in the client's name where its user may not do all, and marked where
    /// the client is tracked.
    pub(crate) fn wrap(&self, frame: Vec<u8>) -> Vec<u8> {
        let frame = match &self.name {
            // No keys: the part holds their slots itself.
            Some(name) => name.wrap(&frame, &[]),
            None => frame,
        };
        match self.mark {
            Some(mark) => mark.wrap(&frame).0,
            None => frame,
        }
    }
}

/// A client whose user may not do all, as shards are told of it.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) user: Vec<u8>,
    pub(super) created: u64,
    pub(super) client: Vec<u8>,
}

impl Name {
    /// The request that has a shard run another one, on these slots, in the client's name.
    pub(super) fn wrap(&self, frame: &[u8], slots: &[(u16, &[u8])]) -> Vec<u8> {
        let mut created = itoa::Buffer::new();
        let words: [&[u8]; 5] =
            [b"SLOTWAY-AS", &self.user, created.format(self.created).as_bytes(), &self.client, frame];
        let words: Vec<&[u8]> = words.into_iter().chain(slots.iter().map(|(_, key)| *key)).collect();
        let mut out = Vec::new();
        request::encode(words.into_iter(), &mut out);
        out
    }
}

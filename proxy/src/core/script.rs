//! Scripts that a shard does not know.
//!
//! EVAL loads a script where its keys are, so EVALSHA may come to a shard that was never given it. Such a shard refuses the
//! slot (see [`super::refusal`]), so that nothing overtakes the call; the script is looked for on all shards and loaded there, and
//! then the call goes on. Only when nobody knows the script its client is told.

use slotway_common::command::TABLE;
use slotway_common::resp::Parser;
use slotway_common::resp::request::{Limits, Parsed};

use super::{Action, Core, UpstreamId};
use crate::counters::Source;
use crate::upstream::{MANY_SLOTS, Owner};

/// A script that is to be loaded on a shard for a call that waits.
#[derive(Clone, Debug)]
pub struct UnknownScript {
    pub digest: Vec<u8>,
    /// Position of the shard that does not know it.
    pub shard: usize,
    upstream: UpstreamId,
    slot: u16,
}

impl Core {
    /// Whether the oldest request of an upstream is a client's that names a script by its digest.
    #[cold]
    pub(super) fn is_unknown_script(&self, upstream: UpstreamId) -> bool {
        let entry = self.upstreams.get(upstream).and_then(|upstream| upstream.front());
        entry.is_some_and(|entry| {
            let command = TABLE.get(usize::from(entry.command));
            matches!(entry.owner, Owner::Client { .. })
                && entry.slot != MANY_SLOTS
                && command.is_some_and(|command| command.name.starts_with("evalsha"))
        })
    }

    /// Takes the reply of a shard that does not know the script of its oldest request.
    #[cold]
    pub(super) fn unknown_script(&mut self, upstream_id: UpstreamId, reply: &[u8]) {
        let Some(upstream) = self.upstreams.get_mut(upstream_id) else { return };
        let frame = upstream.front_frame().to_vec();
        let shard = upstream.shard;
        let Some((mut entry, sent_at)) = upstream.take() else { return };
        let slot = entry.slot;
        if entry.searched {
            self.counters.error(Source::Upstream);
            self.count(&entry, sent_at);
            self.pass_on(entry.owner, reply, true);
            self.forgive(upstream_id, slot);
            return;
        }
        entry.searched = true;
        let digest = digest_of(&frame);
        self.hold_refused(upstream_id, slot, frame, entry);
        // A call without keys goes to the owner of slot 0 when it is sent again.
        let shard = self.view.owner(slot).unwrap_or(shard);
        self.actions.push(Action::FindScript(UnknownScript { digest, shard, upstream: upstream_id, slot }));
    }

    /// The script has been loaded, or nobody knows it: the call is made again.
    pub fn script_found(&mut self, unknown: &UnknownScript) {
        self.resume_held(unknown.upstream, unknown.slot);
    }
}

/// The digest that a call names.
fn digest_of(frame: &[u8]) -> Vec<u8> {
    let mut parser = Parser::new();
    let limits = Limits { max_bulk: usize::MAX, authenticated: true };
    match parser.parse(frame, &limits) {
        Ok(Parsed::Frame(_)) => parser.args(frame).at(1).to_vec(),
        _ => Vec::new(),
    }
}

//! Scripts that a shard does not know.
//!
//! EVAL loads a script where its keys are, so EVALSHA may come to a shard that was never given it. Such a shard refuses the
//! slot (see [`super::refusal`]), so that nothing overtakes the call; the script is looked for on all shards and loaded there, and
//! then the call goes on. Only when nobody knows the script its client is told. A transaction that calls such scripts is refused
//! as a whole, before anything of it runs, and goes on in the same way.

use slotway_common::command::TABLE;
use slotway_common::resp::Parser;
use slotway_common::resp::request::{Limits, Parsed};

use super::refusal::slots_of_frame;
use super::{Action, Core, UnknownScripts, UpstreamId};
use crate::counters::Source;
use crate::tracking::unmarked;
use crate::transaction::with_unknown_scripts;
use crate::upstream::{Entry, MANY_SLOTS, Owner};

/// What calls a script by its digest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    Script,
    Transaction,
}

fn caller(entry: &Entry, frame: &[u8]) -> Option<Caller> {
    let command = TABLE.get(usize::from(entry.command))?;
    let is_one = matches!(entry.owner, Owner::Client { .. }) && entry.slot != MANY_SLOTS;
    match command.name {
        "slotway-exec" => Some(Caller::Transaction),
        name if name.starts_with("evalsha") && is_one => Some(Caller::Script),
        // In a client's name.
        "slotway-as" if is_one && digest_of(frame).is_some() => Some(Caller::Script),
        "slotway-as" if runs_transaction(frame) => Some(Caller::Transaction),
        _ => None,
    }
}

fn runs_transaction(frame: &[u8]) -> bool {
    let mut parser = Parser::new();
    let limits = Limits { max_bulk: usize::MAX, authenticated: true };
    match parser.parse(frame, &limits) {
        Ok(Parsed::Frame(_)) => {
            let (args, _) = unmarked(parser.args(frame));
            args.is(0, "slotway-exec") || args.is(0, "slotway-as") && runs_transaction(args.at(4))
        }
        _ => false,
    }
}

impl Core {
    /// Whether the oldest request of an upstream is a client's that names a script by its digest.
    #[cold]
    pub(super) fn is_unknown_script(&self, upstream: UpstreamId) -> bool {
        self.upstreams.get(upstream).is_some_and(|upstream| {
            upstream.front().is_some_and(|entry| caller(entry, upstream.front_frame()).is_some())
        })
    }

    /// Takes the reply of a shard that does not know the scripts of its oldest request.
    #[cold]
    pub(super) fn unknown_script(&mut self, upstream_id: UpstreamId, reply: &[u8]) {
        let Some(upstream) = self.upstreams.get_mut(upstream_id) else { return };
        let mut frame = upstream.front_frame().to_vec();
        let shard = upstream.shard;
        let Some((mut entry, sent_at)) = upstream.take() else { return };
        let is_transaction = caller(&entry, &frame) == Some(Caller::Transaction);
        if entry.searched && !is_transaction {
            self.counters.error(Source::Upstream);
            self.count_unknown_script(&entry, &frame, reply);
            self.count(&entry, sent_at);
            self.pass_on(entry.owner, reply, true);
            self.forgive(upstream_id, entry.slot);
            return;
        }
        entry.searched = true;
        let slots = match entry.slot {
            MANY_SLOTS => slots_of_frame(&frame, entry.command, 0),
            slot => vec![slot],
        };
        let digests = if is_transaction {
            frame = with_unknown_scripts(&frame);
            digests_of(reply)
        } else {
            vec![digest_of(&frame).unwrap_or_default()]
        };
        // A call without keys goes to the owner of slot 0 when it is sent again.
        let shard = slots.first().and_then(|slot| self.view.owner(*slot)).unwrap_or(shard);
        self.hold_refused(upstream_id, &slots, frame, entry);
        self.actions.push(Action::FindScripts(UnknownScripts {
            digests,
            shard,
            upstream: upstream_id,
            slots,
        }));
    }

    /// The scripts have been loaded, or nobody knows them: the call is made again.
    pub fn scripts_found(&mut self, unknown: &UnknownScripts) {
        for slot in &unknown.slots {
            self.resume_held(unknown.upstream, *slot);
        }
    }
}

/// The digest that a call names, which may be one in a client's name.
fn digest_of(frame: &[u8]) -> Option<Vec<u8>> {
    let mut parser = Parser::new();
    let limits = Limits { max_bulk: usize::MAX, authenticated: true };
    match parser.parse(frame, &limits) {
        Ok(Parsed::Frame(_)) => {
            let (args, _) = unmarked(parser.args(frame));
            if args.is(0, "slotway-as") {
                return digest_of(args.at(4));
            }
            (args.is(0, "evalsha") || args.is(0, "evalsha_ro")).then(|| args.at(1).to_vec())
        }
        _ => None,
    }
}

/// The digests that the refusal of a transaction names.
fn digests_of(reply: &[u8]) -> Vec<Vec<u8>> {
    let words = reply.split(|byte| byte.is_ascii_whitespace()).skip(1);
    words.filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
}

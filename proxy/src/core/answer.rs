//! Replies of shards find their places.

use slotway_common::command::TABLE;
use slotway_common::error::QUOTED;
use slotway_common::resp::frame::{FrameError, Progress};

use super::detention::Refusal;
use super::{Action, Core, SessionId, UpstreamId};
use crate::counters::Source;
use crate::session::{Closing, Stall};
use crate::upstream::{Entry, Owner};

impl Core {
    /// Takes bytes that a shard sent.
    ///
    /// # Errors
    /// When they are no replies, or replies to nothing: the connection cannot be used any further.
    pub fn upstream_received(&mut self, id: UpstreamId, bytes: &[u8]) -> Result<(), FrameError> {
        self.counters.upstream_input_bytes.add(bytes.len() as u64);
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(upstream) = self.upstreams.get_mut(id) else { return Ok(()) };
            let progress = upstream.scanner.scan(rest)?;
            let kind = upstream.scanner.kind();
            if kind == b'>' {
                let Progress::Complete(end) = progress else {
                    upstream.held.extend_from_slice(rest);
                    return Ok(());
                };
                let (chunk, after) = rest.split_at(end);
                rest = after;
                if upstream.held.is_empty() {
                    self.pushed(id, chunk);
                } else {
                    upstream.held.extend_from_slice(chunk);
                    let whole = std::mem::take(&mut upstream.held);
                    self.pushed(id, &whole);
                }
                continue;
            }
            let Some(owner) = upstream.front().map(|entry| entry.owner) else {
                return Err(FrameError::Unexpected);
            };
            // Errors are looked at before anybody gets them: they may be refusals.
            let passes = kind != b'-' && !matches!(owner, Owner::Ticket(_));
            match progress {
                Progress::Complete(end) => {
                    let (chunk, after) = rest.split_at(end);
                    rest = after;
                    if passes {
                        upstream.begun = false;
                        if let Some((entry, sent_at)) = upstream.take() {
                            self.count(&entry, sent_at);
                            self.pass_on(entry.owner, chunk, true);
                        }
                    } else if upstream.held.is_empty() {
                        self.take_whole(id, chunk);
                    } else {
                        upstream.held.extend_from_slice(chunk);
                        let whole = std::mem::take(&mut upstream.held);
                        self.take_whole(id, &whole);
                    }
                }
                Progress::Partial => {
                    if passes {
                        upstream.begun = true;
                        self.pass_on(owner, rest, false);
                    } else {
                        upstream.held.extend_from_slice(rest);
                    }
                    return Ok(());
                }
            }
        }
        let half = self.budgets.upstream / 2;
        if let Some(upstream) = self.upstreams.get(id)
            && !upstream.waiting.is_empty()
            && upstream.bytes() <= half
        {
            self.room_again(id);
        }
        Ok(())
    }

    /// Takes a complete reply that was not passed on in pieces.
    fn take_whole(&mut self, id: UpstreamId, reply: &[u8]) {
        if let Some(error) = reply.strip_prefix(b"-").and_then(|line| line.strip_prefix(QUOTED)) {
            // A script's own words.
            return self.take_reply(id, &[b"-", error].concat());
        }
        let Some(upstream) = self.upstreams.get_mut(id) else { return };
        if reply.first() == Some(&b'-')
            && let Some(refusal) = Refusal::parse(reply)
            && upstream.front().is_some_and(Entry::is_refusable)
        {
            self.refused(id, &refusal);
            return;
        }
        if reply.first() == Some(&b'-') && self.takes_later(id, reply) {
            return;
        }
        if reply.starts_with(b"-NOSCRIPT") && self.is_unknown_script(id) {
            self.unknown_script(id, reply);
            return;
        }
        if reply.starts_with(b"-ELSEWHERE") && self.borrow_for(id) {
            return;
        }
        self.take_reply(id, reply);
    }

    /// Takes a complete reply that is no refusal.
    fn take_reply(&mut self, id: UpstreamId, reply: &[u8]) {
        let Some(upstream) = self.upstreams.get_mut(id) else { return };
        let unknown_script = reply.starts_with(b"-NOSCRIPT").then(|| upstream.front_frame().to_vec());
        let Some((entry, sent_at)) = upstream.take() else { return };
        match entry.owner {
            Owner::Ticket(ticket) => {
                if let Some(wait) = self.wait_of(ticket) {
                    self.wait_began(wait, id, reply);
                }
                self.settle_ticket(ticket, Ok(reply.to_vec()));
            }
            owner => {
                self.counters.error(Source::Upstream);
                if let Some(frame) = unknown_script {
                    self.count_unknown_script(&entry, &frame, reply);
                }
                self.count(&entry, sent_at);
                self.pass_on(owner, reply, true);
            }
        }
    }

    #[inline]
    pub(super) fn count(&mut self, entry: &Entry, sent_at: u64) {
        // The parts of a split request count once.
        if matches!(entry.owner, Owner::Client { .. } | Owner::Part { part: 0, .. })
            && let Some(command) = TABLE.get(usize::from(entry.command))
        {
            let total = self.now.saturating_sub(entry.received);
            self.counters.answered(command.group, total, self.now.saturating_sub(sent_at));
        }
    }

    #[inline]
    pub(super) fn pass_on(&mut self, owner: Owner, bytes: &[u8], done: bool) {
        match owner {
            Owner::Client { session: id, seq } => {
                let Some(session) = self.sessions.get_mut(id) else { return };
                session.places.deliver(seq, bytes, done, &mut session.out);
                self.delivered(id);
            }
            Owner::Part { session: id, seq, part } => {
                let Some(session) = self.sessions.get_mut(id) else { return };
                session.places.deliver_part(seq, part, bytes, done, &mut session.out);
                self.delivered(id);
            }
            Owner::Ticket(_) => {}
        }
    }

    /// A client got bytes: they are written at the end of the turn, and it may be able to go on.
    #[inline]
    pub(super) fn delivered(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if !session.dirty && (!session.out.is_empty() || session.closing != Closing::No || session.ended) {
            session.dirty = true;
            self.dirty_sessions.push(id);
        }
        let goes_on = match session.stall {
            Stall::None => false,
            Stall::Replies => session.places.is_empty(),
            Stall::Places => session.places.len() <= self.budgets.places / 2,
            _ => false,
        };
        if goes_on {
            self.call_back(id);
        }
        self.account(id);
    }

    /// Ends a command that took more than one step, with its whole reply.
    pub fn finish(&mut self, id: SessionId, seq: u32, reply: &[u8]) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.busy = false;
        session.places.deliver(seq, reply, true, &mut session.out);
        self.delivered(id);
        self.call_back(id);
    }

    /// Sends a client bytes that answer none of its requests, behind what is in turn.
    pub fn push_to(&mut self, id: SessionId, bytes: &[u8]) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.closing == Closing::No {
            session.places.push_as_it_is(bytes, &mut session.out);
            self.delivered(id);
        }
    }

    /// Shows a client a line of MONITOR, unless it wants no replies.
    pub fn show_line(&mut self, id: SessionId, line: &[u8]) {
        if self.sessions.get(id).is_some_and(|session| !session.reply_mode.is_muted()) {
            self.push_to(id, line);
        }
    }

    /// Has the driver do something.
    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }
}

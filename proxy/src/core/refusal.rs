//! Slots that a shard has refused.
//!
//! A refusal sticks: after `MOVED` or `PARKED` for a request, the shard refuses every later request on the same
//! connection that touches a slot of the refused one, until it is told `SLOTWAY RESUME` for that slot. So the order of
//! one client's requests on one slot survives: the refused ones collect here in the order in which they were sent, new
//! ones wait with their clients, and when the answer to RESUME shows that all refusals of that connection are here,
//! they go on together.
//!
//! A request that touches several slots detains all of them as one.
//!
//! A new topology may be here before the refusals that it explains. Slots with requests on their way to another shard than
//! their owner are therefore detained as well, until those are answered.

use slotway_common::command::{self, TABLE};
use slotway_common::error::Error;
use slotway_common::resp::request::{Limits, Parsed};
use slotway_common::resp::{Parser, Protocol};
use slotway_common::slot::slot_of;

use super::detention::{Detention, Refusal, Refused};
use super::errors::error_line;
use super::ticket::Ticket;
use super::{Action, AskError, Core, SessionId, UpstreamId};
use crate::slab::Id;
use crate::tracking::unmarked;
use crate::upstream::{Entry, MANY_SLOTS, Owner, State};

/// A request that was refused for so long fails, in microseconds.
const GIVE_UP_US: u64 = 10_000_000;
/// So often a parked slot is tried again after a millisecond, before the waits get longer.
const SOON: u8 = 10;
/// Longest wait before a parked slot is tried again, in milliseconds.
const MAX_DELAY_MS: u64 = 50;

impl Core {
    /// Has a client wait if the slot is detained.
    #[cold]
    pub(super) fn wait_for_slot(&mut self, id: SessionId, slot: u16) -> bool {
        let Some(detention) = self.detained.get(&slot).and_then(|found| self.detentions.get_mut(*found))
        else {
            return false;
        };
        detention.waiting.push(id);
        true
    }

    /// Takes the refusal of the oldest request of an upstream.
    #[cold]
    pub(super) fn refused(&mut self, upstream_id: UpstreamId, refusal: &Refusal) {
        let Some(upstream) = self.upstreams.get_mut(upstream_id) else { return };
        let frame = upstream.front_frame().to_vec();
        let (protocol, database) = (upstream.protocol, upstream.database);
        let Some((mut entry, _)) = upstream.take() else { return };
        entry.refusals = entry.refusals.saturating_add(1);
        let known = match refusal {
            Refusal::Moved { slot, address } => {
                self.counters.redirects.at(0).inc();
                self.learn_owner(*slot, address)
            }
            Refusal::Parked { .. } => {
                self.counters.redirects.at(1).inc();
                false
            }
        };
        let slots = match entry.slot {
            MANY_SLOTS => slots_of_frame(&frame, entry.command, refusal.slot()),
            slot if slot == refusal.slot() => vec![slot],
            _ => slots_of_frame(&frame, entry.command, refusal.slot()),
        };
        let id = self.detain(&slots);
        // The first redirects are followed at once; shards that point at each other are not followed in a circle.
        let delay_ms = match entry.refusals {
            0..=2 if known => 0,
            // A hand-over takes a few milliseconds.
            0..=SOON if matches!(refusal, Refusal::Parked { .. }) => 1,
            refusals => (1 << u32::from(refusals.min(6))).min(MAX_DELAY_MS),
        };
        if let Some(detention) = self.detentions.get_mut(id) {
            detention.delay_ms = detention.delay_ms.max(delay_ms);
            detention.refused.push(Refused { frame, entry, protocol, database });
        }
        for slot in slots {
            self.resume_on(id, upstream_id, slot);
        }
    }

    /// A shard says who owns a slot. False if nobody is known to be there.
    pub(crate) fn learn_owner(&mut self, slot: u16, address: &str) -> bool {
        self.actions.push(Action::Refresh);
        let before = self.view.owner(slot);
        let known = self.view.moved(slot, address);
        if self.view.owner(slot) != before {
            // Clients of other protocols and databases have connections of their own to who was the owner.
            self.detain_strays(Some(slot));
            self.follow_moves();
        }
        known
    }

    /// Has a request wait that a connection refused for some slots, until [`Core::resume_held`] is called for each.
    pub(super) fn hold_refused(
        &mut self,
        upstream_id: UpstreamId,
        slots: &[u16],
        frame: Vec<u8>,
        entry: Entry,
    ) {
        let Some(upstream) = self.upstreams.get(upstream_id) else { return };
        let (protocol, database) = (upstream.protocol, upstream.database);
        let id = self.detain(slots);
        if let Some(detention) = self.detentions.get_mut(id) {
            detention.refused.push(Refused { frame, entry, protocol, database });
            detention.resuming.extend(slots.iter().map(|slot| (upstream_id, *slot)));
        }
    }

    /// Goes on with what [`Core::hold_refused`] holds.
    pub(super) fn resume_held(&mut self, upstream_id: UpstreamId, slot: u16) {
        let Some(id) = self.detained.get(&slot).copied() else { return };
        let is_open = self.upstreams.get(upstream_id).is_some_and(|upstream| upstream.state != State::Down);
        if is_open && let Some(detention) = self.detentions.get_mut(id) {
            detention.resuming.retain(|resuming| *resuming != (upstream_id, slot));
            self.resume_on(id, upstream_id, slot);
        } else {
            // A connection that broke has forgotten its refusals.
            self.resumed(id, upstream_id, slot);
        }
    }

    /// Has a connection that has refused a slot, and whose request is answered, refuse it no longer.
    pub(super) fn forgive(&mut self, upstream_id: UpstreamId, slot: u16) {
        let id = self.detain(&[slot]);
        self.resume_on(id, upstream_id, slot);
    }

    /// Has a connection tell, behind everything that is on its way there, that it refuses no more for a slot.
    fn resume_on(&mut self, id: Id, upstream_id: UpstreamId, slot: u16) {
        let Some(detention) = self.detentions.get_mut(id) else { return };
        if !detention.resuming.contains(&(upstream_id, slot)) {
            detention.resuming.push((upstream_id, slot));
            let text = slot.to_string();
            let frame = format!("*3\r\n$7\r\nSLOTWAY\r\n$6\r\nRESUME\r\n${}\r\n{text}\r\n", text.len());
            let ticket = Ticket::Resume { detention: id, upstream: upstream_id, slot };
            self.push_ticket(upstream_id, ticket, frame.as_bytes());
        }
    }

    /// Detains the slots of requests that are on their way to who owns them no longer. The new owner must get nothing
    /// for them before it is known which of those were refused: it would overtake them. `only`: the one slot whose owner
    /// has changed, if it is known.
    pub(super) fn detain_strays(&mut self, only: Option<u16>) {
        let mut strays: Vec<(UpstreamId, u16)> = Vec::new();
        for (id, upstream) in self.upstreams.iter() {
            let requests = upstream.unanswered().filter(|(entry, _)| {
                let may_be = only.is_none_or(|only| entry.slot == only || entry.slot == MANY_SLOTS);
                may_be && entry.is_refusable()
            });
            for (entry, frame) in requests {
                let slots = match entry.slot {
                    MANY_SLOTS => slots_of_keys(frame, entry.command),
                    slot => vec![slot],
                };
                let moved = slots.into_iter().filter(|slot| {
                    only.is_none_or(|only| only == *slot) && self.view.owner(*slot) != Some(upstream.shard)
                });
                strays.extend(moved.map(|slot| (id, slot)));
            }
        }
        for (upstream, slot) in strays {
            let id = self.detain(&[slot]);
            self.resume_on(id, upstream, slot);
        }
    }

    /// The detention that holds all of `slots`, those that hold one of them already made into one.
    fn detain(&mut self, slots: &[u16]) -> Id {
        let mut into: Option<Id> = None;
        for slot in slots {
            match (self.detained.get(slot).copied(), into) {
                (Some(found), None) => into = Some(found),
                (Some(found), Some(target)) if found != target => {
                    let Some(other) = self.detentions.remove(found) else { continue };
                    for slot in &other.slots {
                        self.detained.insert(*slot, target);
                    }
                    for (upstream, slot) in &other.resuming {
                        self.retarget(*upstream, *slot, target);
                    }
                    if let Some(target) = self.detentions.get_mut(target) {
                        target.slots.extend(other.slots);
                        target.refused.extend(other.refused);
                        target.resuming.extend(other.resuming);
                        target.waiting.extend(other.waiting);
                        target.delay_ms = target.delay_ms.max(other.delay_ms);
                    }
                }
                _ => {}
            }
        }
        let id = into.unwrap_or_else(|| self.detentions.insert(Detention::default()));
        for slot in slots {
            if self.detained.insert(*slot, id).is_none()
                && let Some(detention) = self.detentions.get_mut(id)
            {
                detention.slots.push(*slot);
            }
        }
        id
    }

    /// Has a request that was not sent yet wait with the refused ones of its slots.
    pub(super) fn detain_request(
        &mut self,
        slots: &[u16],
        frame: Vec<u8>,
        entry: Entry,
        protocol: Protocol,
        database: u32,
    ) {
        let id = self.detain(slots);
        if let Some(detention) = self.detentions.get_mut(id) {
            detention.refused.push(Refused { frame, entry, protocol, database });
        }
    }

    fn retarget(&mut self, upstream: UpstreamId, slot: u16, to: Id) {
        for (_, ticket) in self.tickets.iter_mut() {
            if let Ticket::Resume { detention, upstream: on, slot: of } = ticket
                && (*on, *of) == (upstream, slot)
            {
                *detention = to;
            }
        }
    }

    /// A connection will refuse nothing more for a slot. With the last one the requests go on.
    pub(super) fn resumed(&mut self, id: Id, upstream: UpstreamId, slot: u16) {
        let Some(detention) = self.detentions.get_mut(id) else { return };
        detention.resuming.retain(|resuming| *resuming != (upstream, slot));
        if !detention.resuming.is_empty() {
            return;
        }
        match detention.delay_ms {
            0 => self.release(id),
            after_ms => self.actions.push(Action::Release { detention: id, after_ms }),
        }
    }

    /// Sends the refused requests of a detention again, in their order, and lets its clients go on behind them.
    pub fn release(&mut self, id: Id) {
        // A request may have been refused since the delay began; the answer to its RESUME will come here again.
        if self.detentions.get(id).is_none_or(|detention| !detention.resuming.is_empty()) {
            return;
        }
        let Some(detention) = self.detentions.remove(id) else { return };
        for slot in &detention.slots {
            self.detained.remove(slot);
        }
        for refused in detention.refused {
            self.send_again(refused);
        }
        for waiting in detention.waiting {
            self.call_back(waiting);
        }
    }

    /// Sends what waits for its next attempt again at once: slots have changed hands, so it may go through now.
    pub(super) fn release_delayed(&mut self) {
        let delayed = self.detentions.iter().filter(|(_, detention)| detention.resuming.is_empty());
        let delayed: Vec<Id> = delayed.map(|(id, _)| id).collect();
        delayed.into_iter().for_each(|id| self.release(id));
    }

    fn send_again(&mut self, refused: Refused) {
        let Refused { frame, entry, protocol, database } = refused;
        // It never ran, and nobody waits for it any more.
        if let Owner::Client { session, .. } | Owner::Part { session, .. } = entry.owner
            && self.sessions.get(session).is_none()
        {
            return;
        }
        if self.now.saturating_sub(entry.received) > GIVE_UP_US {
            let line = error_line(&Error::TryAgain(
                "the slot of this command is being moved; it was not executed".into(),
            ));
            self.fail_entry(&entry, &line, false, false, AskError::Down);
            return;
        }
        let route = self.route(protocol, database);
        let mut parser = Parser::new();
        let limits = Limits { max_bulk: usize::MAX, authenticated: true };
        let Ok(Parsed::Frame(_)) = parser.parse(&frame, &limits) else { return };
        let args = parser.args(&frame);
        if matches!(entry.owner, Owner::Part { .. }) {
            let (args, mark) = unmarked(args);
            self.resend_part(&entry, route, &frame, &args, mark);
            return;
        }
        // All slots of a request that was not split were owned by one shard, and the others may not have moved with
        // the one that it was refused for; then it cannot be answered as a whole any more.
        let owners: Vec<Option<usize>> = match entry.slot {
            MANY_SLOTS => {
                slots_of_frame(&frame, entry.command, 0).iter().map(|slot| self.view.owner(*slot)).collect()
            }
            slot => vec![self.view.owner(slot)],
        };
        let owner = owners.first().copied().flatten();
        let (Some(owner), true) = (owner, owners.iter().all(|other| *other == owner)) else {
            let line = error_line(&Error::TryAgain(
                "the slots of this command are being moved apart; it was not executed".into(),
            ));
            self.fail_entry(&entry, &line, false, false, AskError::Down);
            return;
        };
        let link = self.link_of_route(route, owner);
        self.resend(link, entry, &frame);
    }

    /// Sends a request over a connection once more.
    pub(super) fn resend(&mut self, link: UpstreamId, entry: Entry, frame: &[u8]) {
        let Some(upstream) = self.upstreams.get_mut(link) else { return };
        if upstream.state == State::Down {
            let shard = upstream.shard;
            let line = error_line(&self.down_error(shard));
            self.fail_entry(&entry, &line, false, false, AskError::Down);
            return;
        }
        let received = entry.received;
        upstream.push(frame, entry);
        upstream.used = received.max(self.now);
        self.touch_upstream(link);
    }
}

/// The slots of the keys of a request, without repetition, and in any case the one it was refused for.
pub(super) fn slots_of_frame(frame: &[u8], command: u16, refused_for: u16) -> Vec<u16> {
    let mut slots = slots_of_keys(frame, command);
    if slots.is_empty() {
        slots.push(refused_for);
    }
    slots
}

/// The slots of the keys of a request, without repetition.
fn slots_of_keys(frame: &[u8], command: u16) -> Vec<u16> {
    let mut parser = Parser::new();
    let limits = Limits { max_bulk: usize::MAX, authenticated: true };
    let mut slots = Vec::new();
    if let (Ok(Parsed::Frame(_)), Some(command)) =
        (parser.parse(frame, &limits), TABLE.get(usize::from(command)))
    {
        let (args, _) = unmarked(parser.args(frame));
        if let Ok(keys) = command::keys(command, &args) {
            slots.extend(keys.positions().map(|position| slot_of(args.at(position))));
        }
    }
    slots.sort_unstable();
    slots.dedup();
    slots
}

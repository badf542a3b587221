//! Requests on keys of many slots, sent in one part a shard. MSET, which is atomic, is then a transaction of one command.

use slotway_common::command::{Command, Merge, TABLE};
use slotway_common::resp::Args;
use slotway_common::slot::slot_of;

use super::errors::error_line;
use super::scratch::{NOTHING, Scratch};
use super::{Core, Flow, Request, SessionId, Work};
use crate::items::Items;
use crate::kept::Kept;
use crate::merge::{Gather, Merging};
use crate::session::Stall;
use crate::tracking::{Mark, WORDS, quiet_head};
use crate::upstream::{Entry, MANY_SLOTS, Owner, State};

impl Core {
    /// Sends each shard the items whose keys it owns, and merges the replies.
    pub(super) fn split(&mut self, id: SessionId, command: &'static Command, request: &Request<'_>) -> Flow {
        let args = &request.args;
        let Some(items) = Items::of(command, args) else {
            return self.fail_partial(id, command, args);
        };
        if items.count == 1 {
            return self.forward(id, command, request);
        }
        let mut scratch = std::mem::take(&mut self.split);
        let flow = self.split_with(id, command, request, items, &mut scratch);
        self.split = scratch;
        flow
    }

    fn split_with(
        &mut self,
        id: SessionId,
        command: &'static Command,
        request: &Request<'_>,
        items: Items,
        scratch: &mut Scratch,
    ) -> Flow {
        let args = &request.args;
        let mut first_slot = MANY_SLOTS;
        let mut same_slot = true;
        scratch.owners.clear();
        scratch.shards.clear();
        scratch.shards.resize(self.view.shards.len(), NOTHING);
        for item in 0..items.count {
            let slot = slot_of(args.at(items.first + item * items.step));
            if item == 0 {
                first_slot = slot;
            }
            same_slot &= slot == first_slot;
            let Some(owner) = self.view.owner(slot) else {
                self.reply_unowned(id, slot);
                return Flow::Next;
            };
            if !self.detained.is_empty() && self.wait_for_slot(id, slot) {
                return Flow::Wait(Stall::Slot);
            }
            scratch.owners.push(owner as u16);
            if let Some(share) = scratch.shards.get_mut(owner) {
                share.items += 1;
            }
        }
        let owner = usize::from(scratch.owners.first().copied().unwrap_or(0));
        if scratch.shards.get(owner).is_some_and(|share| share.items as usize == items.count) {
            let slot = if same_slot { first_slot } else { MANY_SLOTS };
            return self.forward_to(id, command, request, slot, owner);
        }
        if command.merge == Merge::AllOk {
            // All of it or nothing.
            return self.begin_job(id, command, request, Work::Run);
        }

        let Some(session) = self.sessions.get_mut(id) else { return Flow::Next };
        if !session.places.is_empty() && session.in_flight_route != session.route {
            return Flow::Wait(Stall::Replies);
        }
        let route = session.route;
        // Everything that can stop the request is looked at before any part of it is sent.
        for shard in 0..scratch.shards.len() {
            if scratch.shards[shard].items == 0 {
                continue;
            }
            let link = self.link_of_route(route, shard);
            scratch.shards[shard].upstream = link;
            let Some(upstream) = self.upstreams.get(link) else { return Flow::Next };
            if upstream.state == State::Down {
                self.reply_down(id, shard);
                return Flow::Next;
            }
            if upstream.bytes() > self.budgets.upstream {
                return self.wait_for_room(id, link);
            }
        }

        let mut gather = Gather::new(Merging::of(command.merge), command.is_write());
        for (shard, share) in scratch.shards.iter_mut().enumerate().filter(|(_, share)| share.items > 0) {
            share.part = gather.add_part(self.shard_name(shard), share.items);
            if let Some(upstream) = self.upstreams.get_mut(share.upstream) {
                share.from = upstream.buffer().len();
                write_head(
                    upstream.buffer(),
                    share.part,
                    self.mark,
                    args.at(0),
                    share.items as usize * items.step,
                );
            }
        }
        if gather.needs_items() {
            let parts = scratch.owners.iter().map(|&owner| scratch.shards[usize::from(owner)].part).collect();
            gather.set_items(parts);
        }
        for (item, &owner) in scratch.owners.iter().enumerate() {
            let share = &scratch.shards[usize::from(owner)];
            let Some(upstream) = self.upstreams.get_mut(share.upstream) else { continue };
            let arguments = items.arguments(item);
            match request.raw(arguments.start, arguments.end) {
                Some(raw) => upstream.buffer().extend_from_slice(raw),
                None => arguments.for_each(|index| write_bulk(upstream.buffer(), args.at(index))),
            }
        }
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Next };
        gather.muted = session.mute_next();
        gather.request = self.policy.slow_from.is_some().then(|| Kept::new(request.frame, &request.args));
        let seq = session.places.open_gather(gather);
        session.in_flight_route = route;
        self.counters.split_requests.inc();
        for share in scratch.shards.iter().filter(|share| share.items > 0) {
            let entry = Entry {
                owner: Owner::Part { session: id, seq, part: share.part },
                length: 0,
                slot: MANY_SLOTS,
                command: command.id,
                writes: command.is_write(),
                refusals: 0,
                searched: false,
                received: self.now,
            };
            if let Some(upstream) = self.upstreams.get_mut(share.upstream) {
                upstream.commit(share.from, entry);
            }
            self.touch_upstream(share.upstream);
        }
        Flow::Next
    }

    /// Sends a part that a shard refused to those that own its slots now.
    pub(super) fn resend_part(
        &mut self,
        entry: &Entry,
        route: u16,
        frame: &[u8],
        args: &Args<'_>,
        mark: Option<Mark>,
    ) {
        let Owner::Part { session: id, seq, part } = entry.owner else { return };
        let Some(command) = TABLE.get(usize::from(entry.command)) else { return };
        let Some(items) = Items::of(command, args) else { return };
        let mut owners = Vec::with_capacity(items.count);
        let mut shares = vec![NOTHING; self.view.shards.len()];
        for item in 0..items.count {
            let owner = self.view.owner(slot_of(args.at(items.arguments(item).start)));
            let Some(share) = owner.and_then(|owner| shares.get_mut(owner)) else {
                let line = error_line(&slotway_common::error::Error::ClusterDown(
                    "Hash slot is not served by any shard".into(),
                ));
                self.fail_entry(entry, &line, false, false, super::AskError::Down);
                return;
            };
            share.items += 1;
            owners.push(owner.unwrap_or(0));
        }
        let single = shares.iter().filter(|share| share.items > 0).count() == 1;
        for (shard, share) in shares.iter_mut().enumerate().filter(|(_, share)| share.items > 0) {
            share.upstream = self.link_of_route(route, shard);
            let name = self.shard_name(shard);
            let gather = self.sessions.get_mut(id).and_then(|session| session.places.gather(seq));
            let Some(gather) = gather else { return };
            share.part = if single { part } else { gather.add_part(name, share.items) };
        }
        if !single {
            let places: Vec<u16> = owners.iter().map(|&owner| shares[owner].part).collect();
            if let Some(gather) = self.sessions.get_mut(id).and_then(|session| session.places.gather(seq)) {
                gather.split_part(part, &places);
            }
        }
        // Of the part that counts the first part counts.
        let mut counts = part == 0;
        for (shard, share) in shares.iter().enumerate().filter(|(_, share)| share.items > 0) {
            let head = u16::from(!std::mem::take(&mut counts));
            let entry = Entry { owner: Owner::Part { session: id, seq, part: share.part }, ..*entry };
            let mut own = Vec::new();
            if !single {
                write_head(&mut own, head, mark, args.at(0), share.items as usize * items.step);
                for item in (0..items.count).filter(|item| owners[*item] == shard) {
                    items.arguments(item).for_each(|index| write_bulk(&mut own, args.at(index)));
                }
            }
            self.resend(share.upstream, entry, if single { frame } else { &own });
        }
    }
}

/// Begins part `part` of a request, of `arguments` arguments besides its name. The first one counts, the others are quiet.
fn write_head(out: &mut Vec<u8>, part: u16, mark: Option<Mark>, name: &[u8], arguments: usize) {
    let words = arguments + 1 + if mark.is_some() { WORDS } else { 0 };
    if part == 0 {
        let mut digits = itoa::Buffer::new();
        out.push(b'*');
        out.extend_from_slice(digits.format(words).as_bytes());
        out.extend_from_slice(b"\r\n");
    } else {
        quiet_head(out, words);
    }
    if let Some(mark) = mark {
        mark.words(out);
    }
    write_bulk(out, name);
}

fn write_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut digits = itoa::Buffer::new();
    out.push(b'$');
    out.extend_from_slice(digits.format(bytes.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

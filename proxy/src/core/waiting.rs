//! Clients that wait for data on a shard.
//!
//! `SLOTWAY-BLOCK` goes over the connection that the client's other requests take, so it keeps its place among them, and is
//! refused and sent again like them. If there is nothing, the shard answers `+WAITING`, and what the client gets comes
//! later as a push with the number of the wait. So any number of clients wait over one connection, and cost memory only.

use slotway_common::command::find_by_full_name;
use slotway_common::resp::frame::{Elements, string};
use slotway_common::resp::request;
use tokio::sync::oneshot;

use super::awaited::{Asked, Wait};
use super::ticket::Ticket;
use super::{AskError, Core, Job, SessionId, Unsent, UpstreamId};
use crate::upstream::{Entry, MANY_SLOTS, Owner, State};

/// How a shard is to wait for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// It runs it.
    Served,
    /// It tells when there may be something, or something else at a key, which the command has an error for.
    Signal,
    /// The same of a command that has waited before: what it cannot use it goes on waiting beside.
    SignalAgain,
}

impl Waiting {
    fn word(self) -> &'static [u8] {
        match self {
            Self::Served => b"0",
            Self::Signal => b"1",
            Self::SignalAgain => b"2",
        }
    }
}

impl Core {
    /// Sends a command that may wait, for a job. All slots must be of one shard; `left` are
    /// the milliseconds that it may wait if that is not what the command says.
    pub(crate) fn ask_blocking(
        &mut self,
        job: &Job,
        command: &[u8],
        slots: &[(u16, &[u8])],
        left: Option<i64>,
        wait: Waiting,
    ) -> Result<Asked, Unsent> {
        let shard = self.owner_of_all(slots, None)?;
        let token = self.next_token();
        let (mut number, mut time) = (itoa::Buffer::new(), itoa::Buffer::new());
        let words: [&[u8]; 5] = [
            b"SLOTWAY-BLOCK",
            number.format(token).as_bytes(),
            command,
            left.map_or(&b""[..], |left| time.format(left).as_bytes()),
            wait.word(),
        ];
        let words: Vec<&[u8]> = words.into_iter().chain(slots.iter().map(|(_, key)| *key)).collect();
        let mut frame = Vec::new();
        request::encode(words.into_iter(), &mut frame);
        if let Some(mark) = job.mark.filter(|_| wait == Waiting::Served) {
            frame = mark.wrap(&frame).0;
        }
        let (reply_to, reply) = oneshot::channel();
        let (sender, pushed) = oneshot::channel();
        self.waits.insert(token, Wait { session: job.session, upstream: None, sender });
        if let Some(session) = self.sessions.get_mut(job.session) {
            session.waits.push(token);
        }
        let ticket = self.add_ticket(Ticket::Block { wait: token, sender: reply_to });
        let row = find_by_full_name(b"slotway-block").map_or(u16::MAX, |row| row.id);
        let slot = if let [(slot, _)] = slots { *slot } else { MANY_SLOTS };
        let entry = Entry {
            owner: Owner::Ticket(ticket),
            length: 0,
            slot,
            command: row,
            writes: true,
            refusals: 0,
            searched: false,
            received: self.now,
        };
        self.ask_on_slots(job, shard, slots, entry, frame);
        Ok(Asked { token, shard, reply, pushed })
    }

    /// A shard has answered the request that began a wait.
    pub(super) fn wait_began(&mut self, token: u64, upstream: UpstreamId, reply: &[u8]) {
        if !reply.starts_with(b"+WAITING") {
            if let Some(session) = self.client_of_wait(token) {
                self.begin_reply(session);
            }
            return;
        }
        match self.waits.get_mut(&token) {
            Some(wait) => {
                wait.upstream = Some(upstream);
                let session = wait.session;
                if let Some(how) = self.unblocked(session) {
                    self.tell_unblock(upstream, token, Some(&how));
                }
            }
            // The client has gone meanwhile.
            None => self.tell_unblock(upstream, token, None),
        }
    }

    /// Takes a push of a shard.
    pub(super) fn take_push(&mut self, push: &[u8]) {
        let Some(mut elements) = Elements::open(push) else { return };
        if elements.next().and_then(string) != Some(b"served") {
            return;
        }
        let token = elements.next().and_then(string).and_then(|text| std::str::from_utf8(text).ok());
        let (Some(token), Some(reply)) = (token.and_then(|text| text.parse().ok()), elements.next()) else {
            return;
        };
        if let Some(wait) = self.end_wait(token) {
            self.begin_reply(wait.session);
            let _ = wait.sender.send(Ok(reply.to_vec()));
        }
    }

    /// The client of a wait.
    pub(super) fn client_of_wait(&self, token: u64) -> Option<SessionId> {
        self.waits.get(&token).map(|wait| wait.session)
    }

    /// A job's reply is here, though its client has yet to get it: what that is to forget from now on comes behind it.
    fn begin_reply(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id).filter(|session| session.marks) {
            let seq = session.places.first();
            session.places.begin(seq);
        }
    }

    fn end_wait(&mut self, token: u64) -> Option<Wait> {
        let wait = self.waits.remove(&token)?;
        if let Some(session) = self.sessions.get_mut(wait.session) {
            session.waits.retain(|other| *other != token);
            session.blocked &= session.waiting.is_some() || !session.waits.is_empty();
        }
        Some(wait)
    }

    /// A connection broke: what was to come over it will not.
    pub(super) fn lose_waits(&mut self, upstream: UpstreamId) {
        let lost: Vec<u64> = self
            .waits
            .iter()
            .filter(|(_, wait)| wait.upstream == Some(upstream))
            .map(|(token, _)| *token)
            .collect();
        for token in lost {
            if let Some(wait) = self.end_wait(token) {
                let _ = wait.sender.send(Err(AskError::Lost));
            }
        }
    }

    /// Ends a wait without a word to its client.
    pub(crate) fn cancel_wait(&mut self, token: u64) {
        if let Some(upstream) = self.end_wait(token).and_then(|wait| wait.upstream) {
            self.tell_unblock(upstream, token, None);
        }
    }

    /// Ends all waits of a client that has gone.
    pub(super) fn cancel_waits(&mut self, waits: &[u64]) {
        for token in waits {
            self.cancel_wait(*token);
        }
    }

    /// CLIENT UNBLOCK: has the shards tell a client that it need not wait; false if it does not.
    pub(crate) fn unblock(&mut self, client: u64, how: &[u8]) -> bool {
        let Some(session) =
            self.sessions.iter().find(|(_, session)| session.client == client).map(|(id, _)| id)
        else {
            return false;
        };
        let Some(session) = self.sessions.get_mut(session).filter(|session| session.blocked) else {
            return false;
        };
        // A shard may just have told it of something, and it waits again.
        if let Some(waiting) = &mut session.waiting {
            *waiting = Some(how.into());
        }
        for token in session.waits.clone() {
            if let Some(upstream) = self.waits.get(&token).and_then(|wait| wait.upstream) {
                self.tell_unblock(upstream, token, Some(how));
            }
        }
        true
    }

    /// A command that may wait begins or ends.
    pub(crate) fn set_waiting(&mut self, id: SessionId, waits: bool) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.waiting = waits.then_some(None);
            session.blocked &= waits;
        }
    }

    /// All that a client waits for has to come still.
    pub(crate) fn set_blocked(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.blocked = session.waiting.is_some();
        }
    }

    /// How CLIENT UNBLOCK has ended the wait of a client, if it has.
    pub(crate) fn unblocked(&self, id: SessionId) -> Option<Box<[u8]>> {
        self.sessions.get(id)?.waiting.clone()?
    }

    fn tell_unblock(&mut self, upstream: UpstreamId, token: u64, how: Option<&[u8]>) {
        if self.upstreams.get(upstream).is_some_and(|upstream| upstream.state == State::Ready) {
            let mut number = itoa::Buffer::new();
            let words: Vec<&[u8]> =
                [&b"SLOTWAY-UNBLOCK"[..], number.format(token).as_bytes()].into_iter().chain(how).collect();
            let mut frame = Vec::new();
            request::encode(words.into_iter(), &mut frame);
            let (sender, _) = oneshot::channel();
            self.push_ticket(upstream, Ticket::Ask(sender), &frame);
        }
    }
}

//! Clients that wait for a key (BLPOP and the like).
//!
//! A command that finds nothing leaves a [`Waiter`] and no reply. What later makes one of its keys is a command of somebody
//! else; after that one, and everything that runs as one with it, the waiters of the key are served, first come first served:
//! each runs its own command on that key alone, and the one that finds nothing goes on waiting. So nothing is handed over
//! that was not taken, and what a waiter does is logged and seen as if its client had sent it then.
//!
//! A waiter lives with the connection that it came over. It ends with its time, with CLIENT UNBLOCK, or when its slot goes
//! to another shard: then its client is sent there.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use slotway_common::command::{Blocks, Command};
use slotway_common::error::Error;
use slotway_common::fault;
use slotway_common::resp::{Protocol, Reply};
use slotway_common::slot::{Slot, slot_of};
use tokio::sync::Notify;

use crate::call::want::{Awaited, Want};
use crate::client::{Client, Waits};
use crate::engine::{DbIndex, Engine, Record};
use crate::session::Session;

/// How the client of a waiter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// As the reply that its connection waits for.
    Direct,
    /// As a push with this number, over the connection of its proxy.
    Token(u64),
    /// The same, but nothing is run: the push says that there is something.
    Signal(u64),
}

impl Route {
    /// The number of a wait of a proxy's client.
    #[must_use]
    pub fn token(self) -> Option<u64> {
        match self {
            Self::Direct => None,
            Self::Token(token) | Self::Signal(token) => Some(token),
        }
    }
}

/// A client that waits.
pub struct Waiter {
    pub client: Rc<Client>,
    pub route: Route,
    pub db: DbIndex,
    pub protocol: Protocol,
    pub command: &'static Command,
    pub args: Vec<Vec<u8>>,
    keys: Vec<usize>,
    pub awaited: Awaited,
    deadline: Option<i64>,
    /// It is not told (CLIENT REPLY).
    muted: bool,
}

/// Those who wait for a key.
#[derive(Default)]
struct Queue {
    /// Their numbers, which grow: first come, first served.
    ids: VecDeque<u64>,
    /// How many wait for what.
    kinds: [usize; Awaited::ALL.len()],
}

impl Queue {
    fn add(&mut self, id: u64, awaited: Awaited) -> bool {
        // It is the newest, so a key that it names twice is at the end.
        let is_new = self.ids.back() != Some(&id);
        if is_new {
            self.ids.push_back(id);
            self.kinds[awaited as usize] += 1;
        }
        is_new
    }

    fn remove(&mut self, id: u64, awaited: Awaited) -> bool {
        let Ok(place) = self.ids.binary_search(&id) else { return false };
        self.ids.remove(place);
        self.kinds[awaited as usize] -= 1;
        true
    }

    /// The first behind `id`.
    fn after(&self, id: u64) -> Option<u64> {
        self.ids.get(self.ids.partition_point(|other| *other <= id)).copied()
    }

    /// Whether somebody here is concerned by what the key holds now. A group's waiters are told, too, when their stream is gone.
    fn concerns(&self, found: Option<&Record>) -> bool {
        Awaited::ALL.into_iter().any(|awaited| {
            self.kinds[awaited as usize] > 0
                && (awaited == Awaited::Group || found.is_some_and(|record| awaited.fits(record)))
        })
    }
}

/// All who wait on a shard.
#[derive(Default)]
pub struct Blocked {
    waiters: BTreeMap<u64, Waiter>,
    /// By the number of the connection and that of the wait, if it is a proxy's.
    by_client: BTreeMap<(u64, Option<u64>), u64>,
    by_key: HashMap<(DbIndex, Box<[u8]>), Queue>,
    deadlines: BTreeSet<(i64, u64)>,
    /// Keys that may have what somebody waits for.
    ready: VecDeque<(DbIndex, Box<[u8]>)>,
    last: u64,
    /// The first deadline may have changed.
    pub changed: Rc<Notify>,
}

impl Blocked {
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// A key was written: somebody may wait for it.
    pub fn touched(&mut self, db: DbIndex, key: &[u8]) {
        let entry = (db, Box::from(key));
        if self.by_key.contains_key(&entry) && !self.ready.contains(&entry) {
            self.ready.push_back(entry);
        }
    }

    /// Two databases have changed places.
    pub fn swapped(&mut self, a: DbIndex, b: DbIndex) {
        let keys: Vec<_> = self.by_key.keys().filter(|(db, _)| *db == a || *db == b).cloned().collect();
        for (db, key) in keys {
            self.touched(db, &key);
        }
    }

    /// All keys of a database, or of all, are gone.
    pub fn flushed(&mut self, wanted: Option<DbIndex>) {
        let keys: Vec<_> =
            self.by_key.keys().filter(|(db, _)| wanted.is_none_or(|wanted| wanted == *db)).cloned().collect();
        for (db, key) in keys {
            self.touched(db, &key);
        }
    }

    #[must_use]
    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The first deadline, in milliseconds since 1970.
    #[must_use]
    pub fn first_deadline(&self) -> Option<i64> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn find(&self, client: u64, token: Option<u64>) -> Option<u64> {
        self.by_client.get(&(client, token)).copied()
    }

    /// Any waiter of a connection.
    fn any_of(&self, client: u64) -> Option<u64> {
        self.by_client.range((client, None)..=(client, Some(u64::MAX))).next().map(|(_, id)| *id)
    }
}

impl Blocked {
    /// Has a client wait.
    pub fn add(
        &mut self,
        engine: &mut Engine,
        session: &Session,
        route: Route,
        command: &'static Command,
        args: Vec<Vec<u8>>,
        want: Want,
    ) {
        self.last += 1;
        let id = self.last;
        for key in want.keys.iter().filter_map(|index| args.get(*index)) {
            let waiting = self.by_key.entry((session.db, key.as_slice().into())).or_default();
            if waiting.add(id, want.awaited) {
                engine.add_interest(slot_of(key));
            }
        }
        if let Some(deadline) = want.deadline {
            self.deadlines.insert((deadline, id));
            self.changed.notify_one();
        }
        if route == Route::Direct {
            session.client.waits.set(Waits::Data);
        }
        let waiter = Waiter {
            client: session.client.clone(),
            route,
            db: session.db,
            protocol: session.protocol,
            command,
            args,
            keys: want.keys,
            awaited: want.awaited,
            deadline: want.deadline,
            muted: session.muted,
        };
        self.by_client.insert((session.client.id, route.token()), id);
        self.waiters.insert(id, waiter);
    }

    /// Takes a waiter out.
    pub fn remove(&mut self, engine: &mut Engine, id: u64) -> Option<Waiter> {
        let waiter = self.waiters.remove(&id)?;
        self.by_client.remove(&(waiter.client.id, waiter.route.token()));
        if let Some(deadline) = waiter.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        for key in waiter.keys.iter().filter_map(|index| waiter.args.get(*index)) {
            let entry = (waiter.db, Box::from(key.as_slice()));
            let Some(waiting) = self.by_key.get_mut(&entry) else { continue };
            if waiting.remove(id, waiter.awaited) {
                engine.drop_interest(slot_of(key));
            }
            if waiting.ids.is_empty() {
                self.by_key.remove(&entry);
            }
        }
        Some(waiter)
    }

    /// Ends the wait of a client that is gone, and of all clients of a proxy that is.
    pub fn forget(&mut self, engine: &mut Engine, client: u64) {
        while let Some(id) = self.any_of(client) {
            self.remove(engine, id);
        }
    }

    /// Ends the wait of a client of a proxy without a word, or with one for CLIENT UNBLOCK; false if it does not wait.
    pub fn cancel(&mut self, engine: &mut Engine, client: u64, token: u64, tell: Option<Unblock>) -> bool {
        let found = self.find(client, Some(token));
        found.inspect(|id| self.end(engine, *id, tell)).is_some()
    }

    /// CLIENT UNBLOCK; false if the client does not wait.
    pub fn unblock(&mut self, engine: &mut Engine, client: u64, how: Unblock) -> bool {
        let found = self.find(client, None);
        found.inspect(|id| self.end(engine, *id, Some(how))).is_some()
    }

    fn end(&mut self, engine: &mut Engine, id: u64, how: Option<Unblock>) {
        let Some(waiter) = self.remove(engine, id) else { return };
        match how {
            None => {}
            Some(Unblock::TimedOut) => waiter.tell_nothing(),
            Some(Unblock::Refused) => {
                waiter.tell_error(&Error::Line("UNBLOCKED client unblocked via CLIENT UNBLOCK".into()))
            }
        }
    }

    /// Ends the waits whose time is up.
    pub fn time_out(&mut self, engine: &mut Engine, now: i64) {
        while let Some((_, id)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.end(engine, id, Some(Unblock::TimedOut));
        }
    }

    /// A slot has gone to another shard: those who wait for its keys are told so, with an error that sends them there.
    pub fn slot_left(&mut self, engine: &mut Engine, slot: Slot, error: &Error) {
        let waits = |waiter: &Waiter| {
            waiter.keys.iter().filter_map(|index| waiter.args.get(*index)).any(|key| slot_of(key) == slot)
        };
        let ids: Vec<u64> =
            self.waiters.iter().filter(|(_, waiter)| waits(waiter)).map(|(id, _)| *id).collect();
        for waiter in ids.into_iter().filter_map(|id| self.remove(engine, id)) {
            waiter.tell_error(error);
        }
    }

    /// The next key that may have what somebody waits for.
    pub fn take_ready(&mut self) -> Option<(DbIndex, Box<[u8]>)> {
        self.ready.pop_front()
    }

    /// The number of the waiter that came last.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.last
    }

    /// The first waiter for a key behind number `last`, and not behind `newest`, as long as what the key holds concerns anybody
    /// there.
    #[must_use]
    pub fn next(
        &self,
        entry: &(DbIndex, Box<[u8]>),
        (last, newest): (u64, u64),
        found: Option<&Record>,
    ) -> Option<u64> {
        let waiting = self.by_key.get(entry)?;
        let next = match fault::planted("waiter-out-of-order") {
            true => waiting.ids.back().copied().filter(|_| last == 0),
            false => waiting.after(last),
        };
        next.filter(|id| *id <= newest && waiting.concerns(found))
    }

    #[must_use]
    pub fn waiter(&self, id: u64) -> Option<&Waiter> {
        self.waiters.get(&id)
    }
}

/// What CLIENT UNBLOCK has a client told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unblock {
    /// That its time is up.
    TimedOut,
    /// An error.
    Refused,
}

impl Waiter {
    /// Where a key stands among those that it waits for.
    #[must_use]
    pub fn place_of(&self, key: &[u8]) -> usize {
        let is_key = |index: &usize| self.args.get(*index).is_some_and(|arg| arg == key);
        self.keys.iter().position(is_key).unwrap_or(0)
    }

    /// The command as it is run for one of its keys.
    #[must_use]
    pub fn words_for(&self, key: &[u8]) -> Vec<Vec<u8>> {
        let name = self.args.first().cloned().unwrap_or_default();
        let arg = |index: usize| self.args.get(index).cloned().unwrap_or_default();
        match self.command.blocks {
            Some(Blocks::FirstOfKeys) => vec![name, key.to_vec(), b"0".to_vec()],
            Some(Blocks::FirstOfCounted) => {
                let after = self.keys.last().map_or(0, |last| last + 1);
                let mut words = vec![name, b"0".to_vec(), b"1".to_vec(), key.to_vec()];
                words.extend(self.args.get(after..).unwrap_or_default().iter().cloned());
                words
            }
            Some(Blocks::Streams) => {
                let first = self.keys.first().copied().unwrap_or(0);
                let at = self.keys.iter().copied().find(|index| arg(*index) == key).unwrap_or(first);
                let mut words = self.args.get(..first).unwrap_or_default().to_vec();
                words.extend([key.to_vec(), arg(at + self.keys.len())]);
                words
            }
            Some(Blocks::Source | Blocks::Replicas) | None => self.args.clone(),
        }
    }

    fn tell_nothing(&self) {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, self.protocol);
        if self.awaited == Awaited::Replicas {
            reply.int(0);
        } else {
            reply.null_array();
        }
        self.tell(&out);
    }

    /// Ends the wait with an error.
    pub fn tell_error(&self, error: &Error) {
        let mut out = Vec::new();
        Reply::new(&mut out, self.protocol).error(error);
        self.tell(&out);
    }

    /// Ends the wait with a reply.
    pub fn tell(&self, reply: &[u8]) {
        match self.route {
            Route::Direct => {
                self.client.waits.set(Waits::Nothing);
                if self.muted {
                    self.client.wake();
                } else {
                    self.client.push(reply);
                }
            }
            Route::Token(token) | Route::Signal(token) => {
                let mut push = Vec::new();
                let token = token.to_string();
                let head = format!(">3\r\n$6\r\nserved\r\n${}\r\n{token}\r\n", token.len());
                push.extend_from_slice(head.as_bytes());
                push.extend_from_slice(reply);
                self.client.push(&push);
            }
        }
    }
}

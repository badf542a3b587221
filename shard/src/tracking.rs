//! Client-side caching: who is to be told that a key has changed (CLIENT TRACKING).
//!
//! Who is told is a tracker: a client that speaks to this shard itself, or one of a proxy, by the number that the proxy gave it.
//! The keys that a tracker has read are remembered until the first of them changes; then it is told, once. Trackers that
//! broadcast are told of all keys with their prefixes, when the requests that came together have run.
//!
//! What a tracker is told goes over the connection over which it read, behind the reply: whoever wrote, the reply was
//! appended to that connection's output before. A connection that ends takes its trackers with it, and a slot that leaves tells
//! them first, so that nobody goes on believing what nobody watches any more.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use rand::Rng;
use slotway_common::resp::{Protocol, Reply};
use slotway_common::slot::{Slot, slot_of};
use slotway_common::tracking::{
    INVALIDATE, INVALIDATE_BEHIND, Tracking, broken_redirection, invalidation, put_keys,
};

use crate::client::{Client, Clients};
use crate::engine::Engine;
use crate::settings::HotSettings;

/// Output that may wait for a proxy, in bytes.
const MOST_FOR_PROXY: usize = 256 * 1024 * 1024;

/// Who is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrackerId {
    /// The client of this number.
    Client(u64),
    /// A client of a proxy, by the number that the proxy gave it.
    Token(u64),
}

/// What is noted of the commands of a tracker.
#[derive(Clone, Debug)]
pub struct Mark {
    pub id: TrackerId,
    /// The keys that it reads are remembered.
    pub remembers: bool,
    /// The keys of the script that runs.
    pub script_keys: Vec<Box<[u8]>>,
}

impl Mark {
    #[must_use]
    pub fn new(id: TrackerId, remembers: bool) -> Self {
        Self { id, remembers, script_keys: Vec::new() }
    }
}

/// Who has changed a key, if it is a client that is tracked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writer {
    pub id: Option<TrackerId>,
    pub in_script: bool,
}

struct Tracker {
    /// The connection that it is told over.
    client: Rc<Client>,
    broadcast: bool,
    no_loop: bool,
}

/// A key that somebody has read.
struct Remembered {
    key: Rc<[u8]>,
    slot: Slot,
    trackers: Vec<TrackerId>,
}

/// Those who are told of all keys with a prefix.
#[derive(Default)]
struct Prefix {
    trackers: Vec<TrackerId>,
    /// What has changed since they were told, and by whom.
    changed: BTreeMap<Box<[u8]>, Option<TrackerId>>,
}

/// Whom a shard tells of what.
#[derive(Default)]
pub struct Trackers {
    trackers: HashMap<TrackerId, Tracker>,
    /// The numbers that came over a connection.
    tokens: HashMap<u64, HashSet<u64>>,
    /// Places in `remembered`.
    places: HashMap<Rc<[u8]>, usize>,
    remembered: Vec<Remembered>,
    /// Keys of each slot that are remembered.
    slots: HashMap<Slot, usize>,
    /// Pairs of a key and one who has read it.
    items: usize,
    prefixes: BTreeMap<Box<[u8]>, Prefix>,
    has_broadcasts: bool,
    /// The client whose command runs, while it does: what it is told comes with the reply.
    current: Option<Current>,
    own: Vec<u8>,
    /// Keys that are remembered at most; 0: no limit.
    most: usize,
}

/// A command that runs.
#[derive(Clone, Copy)]
struct Current {
    /// The client whose connection it came over.
    client: u64,
    /// What it tells over that connection is written before its reply.
    ahead: bool,
}

/// What telling somebody needs.
pub struct Around<'a> {
    pub clients: &'a Clients,
    pub hot: &'a HotSettings,
}

impl Trackers {
    /// Clients that are tracked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.trackers.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trackers.is_empty()
    }

    /// Whether somebody is to be told, or keys are remembered for somebody who is gone.
    #[must_use]
    #[inline]
    pub fn is_used(&self) -> bool {
        !(self.trackers.is_empty() && self.remembered.is_empty())
    }

    /// Keys, pairs of a key and a client, and prefixes (INFO).
    #[must_use]
    pub fn totals(&self) -> (usize, usize, usize) {
        (self.remembered.len(), self.items, self.prefixes.len())
    }

    /// What its own command has to tell the client of this number is kept for [`Trackers::take_own`]. A proxy is told
    /// `ahead` of the reply: it knows then that this belongs behind it, before anything else that it answers.
    pub fn begin_own(&mut self, client: u64, ahead: bool) {
        self.current = Some(Current { client, ahead });
    }

    pub fn take_own(&mut self) -> Vec<u8> {
        self.current = None;
        std::mem::take(&mut self.own)
    }

    /// Begins to track a client that speaks to this shard itself, or goes on in another way.
    pub fn enable(&mut self, engine: &mut Engine, client: &Rc<Client>, tracking: Tracking) {
        let id = TrackerId::Client(client.id);
        let tracker =
            Tracker { client: client.clone(), broadcast: tracking.broadcast, no_loop: tracking.no_loop };
        self.trackers.insert(id, tracker);
        for prefix in &tracking.prefixes {
            self.add_prefix(engine, id, prefix);
        }
        *client.tracking.borrow_mut() = Some(Box::new(tracking));
    }

    /// A client is not tracked any more. What it has read stays remembered, as in Redis, until it changes.
    pub fn disable(&mut self, engine: &mut Engine, client: &Client) {
        *client.tracking.borrow_mut() = None;
        self.remove(engine, TrackerId::Client(client.id));
    }

    /// A command of a proxy's client comes over this connection: that is how it is told from now on.
    pub fn meet(&mut self, client: &Rc<Client>, token: u64, no_loop: bool) {
        let id = TrackerId::Token(token);
        if let Some(tracker) = self.trackers.get_mut(&id) {
            tracker.no_loop = no_loop;
            if tracker.client.id == client.id {
                return;
            }
            let before = std::mem::replace(&mut tracker.client, client.clone());
            self.leave_connection(before.id, token);
        } else {
            let tracker = Tracker { client: client.clone(), broadcast: false, no_loop };
            self.trackers.insert(id, tracker);
        }
        self.tokens.entry(client.id).or_default().insert(token);
    }

    fn leave_connection(&mut self, connection: u64, token: u64) {
        if let Some(tokens) = self.tokens.get_mut(&connection) {
            tokens.remove(&token);
            if tokens.is_empty() {
                self.tokens.remove(&connection);
            }
        }
    }

    /// Tells a proxy's client of all keys with some prefixes from now on, in the place of what it was told of before.
    pub fn broadcast<'a>(
        &mut self,
        engine: &mut Engine,
        client: &Rc<Client>,
        token: u64,
        no_loop: bool,
        prefixes: impl Iterator<Item = &'a [u8]>,
    ) {
        let id = TrackerId::Token(token);
        self.forget_token(engine, token);
        self.meet(client, token, no_loop);
        if let Some(tracker) = self.trackers.get_mut(&id) {
            tracker.broadcast = true;
        }
        for prefix in prefixes {
            self.add_prefix(engine, id, prefix);
        }
    }

    /// A proxy's client is not tracked any more.
    pub fn forget_token(&mut self, engine: &mut Engine, token: u64) {
        if let Some(connection) = self.remove(engine, TrackerId::Token(token)) {
            self.leave_connection(connection, token);
        }
    }

    /// A connection has ended: nobody can be told over it.
    pub fn forget(&mut self, engine: &mut Engine, client: &Client) {
        if self.trackers.is_empty() {
            return;
        }
        self.remove(engine, TrackerId::Client(client.id));
        for token in self.tokens.remove(&client.id).unwrap_or_default() {
            self.remove(engine, TrackerId::Token(token));
        }
    }

    /// Gives the number of the connection that it was told over.
    fn remove(&mut self, engine: &mut Engine, id: TrackerId) -> Option<u64> {
        let tracker = self.trackers.remove(&id)?;
        if tracker.broadcast {
            let of = |prefix: &Prefix| prefix.trackers.contains(&id);
            let names: Vec<Box<[u8]>> =
                self.prefixes.iter().filter(|(_, prefix)| of(prefix)).map(|(name, _)| name.clone()).collect();
            for name in names {
                let Some(prefix) = self.prefixes.get_mut(&name) else { continue };
                prefix.trackers.retain(|other| *other != id);
                if prefix.trackers.is_empty() {
                    self.prefixes.remove(&name);
                }
            }
            if self.prefixes.is_empty() {
                engine.track_all(false);
                self.slots.keys().for_each(|slot| engine.track_slot(*slot, true));
            }
        }
        Some(tracker.client.id)
    }

    fn add_prefix(&mut self, engine: &mut Engine, id: TrackerId, name: &[u8]) {
        if self.prefixes.is_empty() {
            engine.track_all(true);
        }
        let prefix = self.prefixes.entry(name.into()).or_default();
        if !prefix.trackers.contains(&id) {
            prefix.trackers.push(id);
        }
    }

    /// Remembers that a tracker has read a key.
    pub fn remember(&mut self, engine: &mut Engine, around: &Around<'_>, id: TrackerId, key: &[u8]) {
        if let Some(found) = self.places.get(key).and_then(|place| self.remembered.get_mut(*place)) {
            if !found.trackers.contains(&id) {
                found.trackers.push(id);
                self.items += 1;
            }
            return;
        }
        let (key, slot): (Rc<[u8]>, Slot) = (Rc::from(key), slot_of(key));
        self.places.insert(key.clone(), self.remembered.len());
        self.remembered.push(Remembered { key, slot, trackers: vec![id] });
        self.items += 1;
        let keys = self.slots.entry(slot).or_default();
        *keys += 1;
        if *keys == 1 {
            engine.track_slot(slot, true);
        }
        self.keep_to_limit(engine, around);
    }

    /// Tells of keys drawn at random until no more are remembered than may be.
    fn keep_to_limit(&mut self, engine: &mut Engine, around: &Around<'_>) {
        while self.most > 0 && self.remembered.len() > self.most {
            let place = engine.random().random_range(0..self.remembered.len());
            self.tell_all(engine, around, place, None);
        }
    }

    /// Tells those who have read a key, and forgets that they have.
    fn tell_all(
        &mut self,
        engine: &mut Engine,
        around: &Around<'_>,
        place: usize,
        writer: Option<TrackerId>,
    ) {
        if place >= self.remembered.len() {
            return;
        }
        let Remembered { key, slot, trackers } = self.remembered.swap_remove(place);
        self.places.remove(&key);
        if let Some(moved) = self.remembered.get(place) {
            self.places.insert(moved.key.clone(), place);
        }
        self.items -= trackers.len();
        if let Some(keys) = self.slots.get_mut(&slot) {
            *keys -= 1;
            if *keys == 0 {
                self.slots.remove(&slot);
                if self.prefixes.is_empty() {
                    engine.track_slot(slot, false);
                }
            }
        }
        for id in trackers {
            let wants = |tracker: &Tracker| !(tracker.broadcast || tracker.no_loop && writer == Some(id));
            if self.trackers.get(&id).is_some_and(wants) {
                self.tell(around, id, Some(&[&*key]));
            }
        }
    }

    /// A key has changed.
    pub fn changed(&mut self, engine: &mut Engine, around: &Around<'_>, key: &[u8], writer: Writer) {
        for (name, prefix) in &mut self.prefixes {
            if key.starts_with(name) {
                // As in Redis, what a script changes is nobody's own doing for those who are told of prefixes.
                prefix.changed.insert(key.into(), writer.id.filter(|_| !writer.in_script));
                self.has_broadcasts = true;
            }
        }
        if let Some(place) = self.places.get(key).copied() {
            self.tell_all(engine, around, place, writer.id);
        }
    }

    /// Tells one tracker of keys, or that all are to be forgotten.
    fn tell(&mut self, around: &Around<'_>, id: TrackerId, keys: Option<&[&[u8]]>) {
        let Some(client) = self.trackers.get(&id).map(|tracker| tracker.client.clone()) else { return };
        let token = match id {
            TrackerId::Token(token) => token,
            TrackerId::Client(_) => return self.tell_client(around, &client, keys),
        };
        let mut push = Vec::new();
        let mut reply = Reply::new(&mut push, Protocol::Resp3);
        reply.push(3);
        let ahead = self.current.is_some_and(|current| current.ahead && current.client == client.id);
        reply.bulk(if ahead { INVALIDATE_BEHIND } else { INVALIDATE });
        reply.bulk(itoa::Buffer::new().format(token).as_bytes());
        put_keys(&mut push, Protocol::Resp3, keys);
        self.send(&client, &push, MOST_FOR_PROXY);
    }

    fn tell_client(&mut self, around: &Around<'_>, client: &Rc<Client>, keys: Option<&[&[u8]]>) {
        let redirect = client.tracking.borrow().as_ref().and_then(|tracking| tracking.redirect);
        let mut payload = Vec::new();
        put_keys(&mut payload, client.protocol.get(), keys);
        let (target, instead) = match redirect {
            None => (client.clone(), false),
            Some(to) => match around.clients.get(to) {
                Some(target) => (target.clone(), true),
                None => {
                    if let Some(tracking) = &mut *client.tracking.borrow_mut() {
                        tracking.broken = true;
                    }
                    if client.protocol.get() == Protocol::Resp3 {
                        self.send(client, &broken_redirection(to), around.hot.output(client).budget());
                    }
                    return;
                }
            },
        };
        let subscribed = target.listens.get();
        if let Some(push) = invalidation(target.protocol.get(), instead, subscribed, &payload) {
            self.send(&target, &push, around.hot.output(&target).budget());
        }
    }

    fn send(&mut self, client: &Client, push: &[u8], most: usize) {
        if self.current.is_some_and(|current| current.client == client.id) {
            self.own.extend_from_slice(push);
        } else if client.output_bytes.get() + client.pushed.borrow().len() + push.len() <= most {
            client.push(push);
        } else if !client.killed.get() {
            tracing::warn!("client {} closed: it does not read what it is to forget", client.address);
            client.kill();
        }
    }

    /// True when those who are told of prefixes have not been told of all.
    #[must_use]
    #[inline]
    pub fn has_broadcasts(&self) -> bool {
        self.has_broadcasts
    }

    pub fn send_broadcasts(&mut self, around: &Around<'_>) {
        self.has_broadcasts = false;
        let due: Vec<_> = self
            .prefixes
            .values_mut()
            .filter(|prefix| !prefix.changed.is_empty())
            .map(|prefix| (prefix.trackers.clone(), std::mem::take(&mut prefix.changed)))
            .collect();
        for (trackers, changed) in due {
            for id in trackers {
                let no_loop = self.trackers.get(&id).is_some_and(|tracker| tracker.no_loop);
                let by_others = changed.iter().filter(|(_, writer)| !(no_loop && **writer == Some(id)));
                let keys: Vec<&[u8]> = by_others.map(|(key, _)| &**key).collect();
                if !keys.is_empty() {
                    self.tell(around, id, Some(&keys));
                }
            }
        }
    }

    /// No more keys than these are remembered from now on; 0: no limit.
    pub fn set_most(&mut self, engine: &mut Engine, around: &Around<'_>, most: usize) {
        self.most = most;
        self.keep_to_limit(engine, around);
    }

    /// A database was emptied: everything is to be forgotten, of whatever database, as in Redis.
    pub fn flushed(&mut self, engine: &mut Engine, around: &Around<'_>) {
        self.tell_to_forget(around, |_| true);
        self.forget_keys(engine);
    }

    /// Slots go to another shard: who has read keys of them is told, since nobody here sees what becomes of them. Who is told
    /// of prefixes is told to forget everything: what it hears from the new owner must not come before a reply from here.
    pub fn slots_left(&mut self, engine: &mut Engine, around: &Around<'_>, left: &HashSet<Slot>) {
        let mut place = 0;
        while let Some(found) = self.remembered.get(place) {
            if left.contains(&found.slot) {
                self.tell_all(engine, around, place, None);
            } else {
                place += 1;
            }
        }
        self.send_broadcasts(around);
        self.tell_to_forget(around, |tracker| tracker.broadcast);
    }

    /// Tells everybody to forget everything.
    fn tell_to_forget(&mut self, around: &Around<'_>, wanted: impl Fn(&Tracker) -> bool) {
        let all: Vec<TrackerId> =
            self.trackers.iter().filter(|(_, tracker)| wanted(tracker)).map(|(id, _)| *id).collect();
        for id in all {
            self.tell(around, id, None);
        }
    }

    fn forget_keys(&mut self, engine: &mut Engine) {
        for slot in std::mem::take(&mut self.slots).into_keys() {
            if self.prefixes.is_empty() {
                engine.track_slot(slot, false);
            }
        }
        (self.places, self.remembered, self.items) = (HashMap::new(), Vec::new(), 0);
        self.prefixes.values_mut().for_each(|prefix| prefix.changed.clear());
        self.has_broadcasts = false;
    }
}

#[cfg(test)]
mod tests;

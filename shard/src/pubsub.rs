//! Who listens to which channels and patterns.
//!
//! A channel lives on the shard of its slot, a pattern on every shard, and so do the channels of keyspace events. A proxy is one listener however many of its clients
//! listen; it tells their number, its weight, so that PUBLISH can answer with the number of clients.

use std::collections::HashMap;
use std::rc::Rc;

use slotway_common::pubsub::{Kind, append_push, confirm, is_everywhere, matches, message};
use slotway_common::resp::Protocol;
use slotway_common::slot::{Slot, slot_of};

use crate::client::Client;

/// Output that may wait for a proxy, in bytes; it reads at once, so one that has so much unread stands still.
const MOST_FOR_PROXY: usize = 256 * 1024 * 1024;

/// All subscriptions of this shard's connections.
#[derive(Default)]
pub struct PubSub {
    channels: Topics,
    patterns: Topics,
    shard: Topics,
    /// The frame being sent.
    frame: Vec<u8>,
}

#[derive(Default)]
struct Topics(HashMap<Rc<[u8]>, Topic>);

/// Those who listen to one channel or pattern.
#[derive(Default)]
struct Topic {
    listeners: Vec<Listener>,
}

struct Listener {
    client: Rc<Client>,
    weight: u64,
}

/// Where the messages go that a client sends to itself: before the reply to its PUBLISH.
pub struct Publisher<'a> {
    pub client: &'a Client,
    pub out: &'a mut Vec<u8>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Clients that get it, once for each of their subscriptions that match.
    pub clients: u64,
    /// Listeners that were closed, because they read too slowly.
    pub closed: u64,
}

impl Topic {
    /// Sends a push, in RESP3, to all listeners. One for which more than `most` bytes would wait is closed.
    fn send(&self, push: &[u8], most: usize, mut publisher: Option<&mut Publisher<'_>>, sent: &mut Sent) {
        for Listener { client, weight } in &self.listeners {
            sent.clients += weight;
            if let Some(publisher) = publisher.as_deref_mut().filter(|of| of.client.id == client.id) {
                append_push(publisher.out, client.protocol.get(), push);
                continue;
            }
            let is_proxy = client.internal.borrow().is_some();
            let most = if is_proxy { MOST_FOR_PROXY } else { most };
            let mut pushed = client.pushed.borrow_mut();
            if client.output_bytes.get() + pushed.len() + push.len() > most {
                drop(pushed);
                if !client.killed.get() {
                    tracing::warn!("client {} closed: it does not read its messages", client.address);
                    client.kill();
                    sent.closed += 1;
                }
                continue;
            }
            let protocol = if is_proxy { Protocol::Resp3 } else { client.protocol.get() };
            append_push(&mut pushed, protocol, push);
            drop(pushed);
            client.wake();
        }
    }

    fn weight(&self) -> u64 {
        self.listeners.iter().map(|listener| listener.weight).sum()
    }
}

impl Topics {
    fn set(&mut self, name: &Rc<[u8]>, client: &Rc<Client>, weight: u64) {
        let topic = self.0.entry(name.clone()).or_default();
        match topic.listeners.iter_mut().find(|listener| listener.client.id == client.id) {
            Some(listener) => listener.weight = weight,
            None => topic.listeners.push(Listener { client: client.clone(), weight }),
        }
    }

    fn remove(&mut self, name: &[u8], client: u64) {
        let Some(topic) = self.0.get_mut(name) else { return };
        if let Some(position) = topic.listeners.iter().position(|listener| listener.client.id == client) {
            topic.listeners.remove(position);
        }
        if topic.listeners.is_empty() {
            self.0.remove(name);
        }
        if self.0.is_empty() {
            self.0 = HashMap::new();
        }
    }
}

impl PubSub {
    fn topics(&self, kind: Kind) -> &Topics {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shard,
        }
    }

    fn topics_mut(&mut self, kind: Kind) -> &mut Topics {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard,
        }
    }

    /// Subscribes a client to names, or unsubscribes it, from all of the kind if there are none; appends the
    /// confirmations.
    pub fn change<'a>(
        &mut self,
        client: &Rc<Client>,
        kind: Kind,
        begins: bool,
        names: impl ExactSizeIterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) {
        let mut mine = client.subscriptions.borrow_mut();
        let mine = mine.get_or_insert_with(Box::default);
        let changed = mine.change(kind, begins, names, client.protocol.get(), out);
        let topics = self.topics_mut(kind);
        for name in &changed {
            if begins {
                topics.set(name, client, 1);
            } else {
                topics.remove(name, client.id);
            }
        }
        client.listens.set(!mine.is_empty());
    }

    /// Takes note that so many clients of a proxy listen, which has this connection.
    pub fn set_weight(&mut self, client: &Rc<Client>, kind: Kind, name: &[u8], weight: u64) {
        let mut mine = client.subscriptions.borrow_mut();
        let mine = mine.get_or_insert_with(Box::default);
        if weight == 0 {
            mine.remove(kind, name);
            self.topics_mut(kind).remove(name, client.id);
        } else {
            let name: Rc<[u8]> = Rc::from(name);
            mine.add(kind, &name);
            self.topics_mut(kind).set(&name, client, weight);
        }
        client.listens.set(!mine.is_empty());
    }

    /// Ends all subscriptions of a client, without telling it.
    pub fn forget(&mut self, client: &Client) {
        let Some(mine) = client.subscriptions.borrow_mut().take() else { return };
        for kind in Kind::ALL {
            for name in mine.names(kind).iter() {
                self.topics_mut(kind).remove(name, client.id);
            }
        }
        client.listens.set(false);
    }

    /// Ends the subscriptions to channels of slots that this shard does not own any more. Clients are told; a proxy
    /// knows better, and subscribes at the new owner.
    pub fn let_go(&mut self, owns: impl Fn(Slot) -> bool) {
        for kind in [Kind::Channel, Kind::Shard] {
            let leaves = |name: &[u8]| !is_everywhere(kind, name) && !owns(slot_of(name));
            let gone = |name: &Rc<[u8]>| leaves(name).then(|| name.clone());
            let gone: Vec<Rc<[u8]>> = self.topics(kind).0.keys().filter_map(gone).collect();
            for name in gone {
                let Some(topic) = self.topics_mut(kind).0.remove(&name) else { continue };
                for Listener { client, .. } in topic.listeners {
                    let mut mine = client.subscriptions.borrow_mut();
                    let Some(mine) = &mut *mine else { continue };
                    mine.remove(kind, &name);
                    client.listens.set(!mine.is_empty());
                    if client.internal.borrow().is_none() {
                        let mut push = Vec::new();
                        confirm(&mut push, client.protocol.get(), kind, false, Some(&name), mine.count(kind));
                        client.push(&push);
                    }
                }
            }
        }
    }

    /// Sends a message to all that listen to the channel, and for a channel that is no shard channel to those whose
    /// patterns match. A listener for which more than `most` bytes would wait is closed.
    pub fn publish(
        &mut self,
        kind: Kind,
        channel: &[u8],
        payload: &[u8],
        most: usize,
        mut publisher: Option<&mut Publisher<'_>>,
    ) -> Sent {
        let mut sent = Sent::default();
        let mut frame = std::mem::take(&mut self.frame);
        if let Some(topic) = self.topics(kind).0.get(channel) {
            message(&mut frame, kind, None, channel, payload);
            topic.send(&frame, most, publisher.as_deref_mut(), &mut sent);
        }
        if kind == Kind::Channel {
            for (pattern, topic) in &self.patterns.0 {
                if matches(pattern, channel) {
                    frame.clear();
                    message(&mut frame, Kind::Pattern, Some(pattern), channel, payload);
                    topic.send(&frame, most, publisher.as_deref_mut(), &mut sent);
                }
            }
        }
        frame.clear();
        frame.shrink_to(64 * 1024);
        self.frame = frame;
        sent
    }

    /// The names that somebody listens to.
    pub fn names(&self, kind: Kind) -> impl ExactSizeIterator<Item = &[u8]> {
        self.topics(kind).0.keys().map(|name| &**name)
    }

    /// How many clients listen to a name.
    #[must_use]
    pub fn clients(&self, kind: Kind, name: &[u8]) -> u64 {
        self.topics(kind).0.get(name).map_or(0, Topic::weight)
    }
}

#[cfg(test)]
mod tests;

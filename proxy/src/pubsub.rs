//! The channels and patterns that clients of one worker listen to.
//!
//! The shard of a channel is told once, however many clients listen, with their number as weight; what it sends is given to
//! all of them here. A client is a listener from the moment at which the shard's answer to that is read, so that it gets
//! exactly the messages that the shard counted it for.

use std::collections::HashMap;
use std::rc::Rc;

use slotway_common::pubsub::{Kind, is_everywhere};
use slotway_common::resp::request;
use slotway_common::slot::slot_of;

use crate::ids::SessionId;

/// A channel or pattern.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) slot: u16,
    /// Clients that want it, those that are about to become listeners included.
    pub(crate) weight: u64,
    /// Clients that get its messages.
    pub(crate) listeners: Vec<SessionId>,
    /// The shard that is told of a channel; patterns and channels of keyspace events are told to all.
    pub(crate) home: Option<usize>,
    /// The channel has moved, and the shard that it was on may still send what came first.
    pub(crate) draining: Option<Box<Draining>>,
}

/// Messages of a new owner that must not overtake those of the old one.
#[derive(Debug, Default)]
pub(crate) struct Draining {
    /// The old owner.
    pub(crate) from: usize,
    pub(crate) waiting: Vec<Vec<u8>>,
    bytes: usize,
}

/// Bytes of messages that wait for an old owner; beyond this they no longer do.
const MOST_WAITING: usize = 4 * 1024 * 1024;

impl Draining {
    pub(crate) fn new(from: usize) -> Self {
        Self { from, ..Self::default() }
    }

    /// Has a message wait. False when too much does.
    pub(crate) fn hold(&mut self, message: &[u8]) -> bool {
        self.bytes += message.len();
        self.waiting.push(message.to_vec());
        self.bytes <= MOST_WAITING
    }
}

/// All topics of a worker.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_kind: [HashMap<Rc<[u8]>, Topic>; 3],
    /// Channels by the shard that they are told to.
    channels_at: Vec<usize>,
    /// Names that are told to all shards.
    everywhere: usize,
}

/// What is to be told to one shard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) shard: usize,
    pub(crate) kind: Kind,
    pub(crate) names: Vec<Rc<[u8]>>,
}

/// Names in one request to a shard.
const MOST_NAMES: usize = 1000;

impl Topics {
    fn of(&self, kind: Kind) -> &HashMap<Rc<[u8]>, Topic> {
        &self.by_kind[kind as usize]
    }

    pub(crate) fn get_mut(&mut self, kind: Kind, name: &[u8]) -> Option<&mut Topic> {
        self.by_kind[kind as usize].get_mut(name)
    }

    /// Names that somebody listens to.
    pub(crate) fn len(&self) -> usize {
        self.by_kind.iter().map(HashMap::len).sum()
    }

    /// Names that are told to a shard: its channels, and those that are told to all.
    pub(crate) fn told_to(&self, shard: usize) -> usize {
        self.channels_at.get(shard).copied().unwrap_or(0) + self.everywhere
    }

    /// One client more wants it.
    pub(crate) fn want(&mut self, kind: Kind, name: &Rc<[u8]>) {
        let topic = self.by_kind[kind as usize].entry(name.clone()).or_insert_with(|| {
            self.everywhere += usize::from(is_everywhere(kind, name));
            Topic { slot: slot_of(name), weight: 0, listeners: Vec::new(), home: None, draining: None }
        });
        topic.weight += 1;
    }

    /// One client less wants it.
    pub(crate) fn unwant(&mut self, kind: Kind, name: &[u8]) {
        if let Some(topic) = self.get_mut(kind, name) {
            topic.weight = topic.weight.saturating_sub(1);
        }
    }

    pub(crate) fn add_listener(&mut self, kind: Kind, name: &[u8], client: SessionId) {
        if let Some(topic) = self.get_mut(kind, name)
            && !topic.listeners.contains(&client)
        {
            topic.listeners.push(client);
        }
    }

    /// A client gets nothing of it any more. Forgets the topic with the last one that wants it.
    pub(crate) fn remove_listener(&mut self, kind: Kind, name: &[u8], client: SessionId) {
        let Some(topic) = self.get_mut(kind, name) else { return };
        if let Some(position) = topic.listeners.iter().position(|listener| *listener == client) {
            topic.listeners.swap_remove(position);
        }
        if topic.weight == 0 && topic.listeners.is_empty() {
            let home = topic.home;
            let all = &mut self.by_kind[kind as usize];
            all.remove(name);
            if all.is_empty() {
                *all = HashMap::new();
            }
            self.everywhere -= usize::from(is_everywhere(kind, name));
            self.count_at(home, None);
        }
    }

    fn count_at(&mut self, before: Option<usize>, now: Option<usize>) {
        if let Some(count) = before.and_then(|shard| self.channels_at.get_mut(shard)) {
            *count = count.saturating_sub(1);
        }
        if let Some(shard) = now {
            if self.channels_at.len() <= shard {
                self.channels_at.resize(shard + 1, 0);
            }
            self.channels_at[shard] += 1;
        }
    }

    /// The shard that a channel is told to from now on.
    pub(crate) fn set_home(&mut self, kind: Kind, name: &[u8], home: Option<usize>) {
        let Some(topic) = self.get_mut(kind, name) else { return };
        let before = std::mem::replace(&mut topic.home, home);
        self.count_at(before, home);
    }

    /// Names by the shard that is to be told of them.
    pub(crate) fn shares(
        &self,
        kind: Kind,
        names: impl IntoIterator<Item = Rc<[u8]>>,
        shards: &[usize],
    ) -> Vec<Share> {
        let (everywhere, names): (Vec<Rc<[u8]>>, Vec<Rc<[u8]>>) =
            names.into_iter().partition(|name| is_everywhere(kind, name));
        let mut shares = Vec::new();
        for shard in shards {
            let parts = everywhere.chunks(MOST_NAMES);
            shares.extend(parts.map(|part| Share { shard: *shard, kind, names: part.to_vec() }));
        }
        let mut by_shard: HashMap<usize, Share> = HashMap::new();
        for name in names {
            let Some(shard) = self.of(kind).get(&name).and_then(|topic| topic.home) else { continue };
            let share = by_shard.entry(shard).or_insert_with(|| Share { shard, kind, names: Vec::new() });
            share.names.push(name);
            if share.names.len() == MOST_NAMES {
                shares.extend(by_shard.remove(&shard));
            }
        }
        shares.extend(by_shard.into_values());
        shares
    }

    /// All that is to be told to a shard that knows nothing.
    pub(crate) fn all_of(&self, shard: usize) -> Vec<Share> {
        let here = |kind| {
            let wanted = self.of(kind).iter().filter(move |(_, topic)| topic.weight > 0);
            wanted.filter(move |(name, topic)| is_everywhere(kind, name) || topic.home == Some(shard))
        };
        Kind::ALL
            .into_iter()
            .flat_map(|kind| self.shares(kind, here(kind).map(|(name, _)| name.clone()), &[shard]))
            .collect()
    }

    /// Channels whose slot is owned by another shard than the one that is told of them.
    pub(crate) fn moved(&self, owner: impl Fn(u16) -> Option<usize>) -> Vec<(Kind, Rc<[u8]>, usize, usize)> {
        let mut moved = Vec::new();
        for kind in [Kind::Channel, Kind::Shard] {
            for (name, topic) in self.of(kind) {
                if let (Some(home), Some(owner)) = (topic.home, owner(topic.slot))
                    && home != owner
                {
                    moved.push((kind, name.clone(), home, owner));
                }
            }
        }
        moved
    }

    /// The request that tells a shard how many clients listen to some names.
    pub(crate) fn request(&self, share: &Share, leaving: bool) -> Vec<u8> {
        let weight = |name: &Rc<[u8]>| self.of(share.kind).get(name).map_or(0, |topic| topic.weight);
        let weights: Vec<String> =
            share.names.iter().map(|name| if leaving { 0 } else { weight(name) }.to_string()).collect();
        let mut words: Vec<&[u8]> = vec![b"SLOTWAY-SUBSCRIBE", share.kind.word().as_bytes()];
        for (name, weight) in share.names.iter().zip(&weights) {
            words.push(name);
            words.push(weight.as_bytes());
        }
        let mut frame = Vec::new();
        request::encode(words.into_iter(), &mut frame);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Rc<[u8]> {
        Rc::from(text.as_bytes())
    }

    fn listen(topics: &mut Topics, kind: Kind, text: &str, home: Option<usize>) {
        topics.want(kind, &name(text));
        topics.set_home(kind, text.as_bytes(), home);
    }

    #[test]
    fn a_shard_is_told_the_number_of_clients_that_want_a_name() {
        let mut topics = Topics::default();
        listen(&mut topics, Kind::Channel, "a", Some(2));
        listen(&mut topics, Kind::Channel, "a", Some(2));
        listen(&mut topics, Kind::Channel, "b", Some(1));
        let shares = topics.shares(Kind::Channel, [name("a")], &[]);
        assert_eq!(shares, [Share { shard: 2, kind: Kind::Channel, names: vec![name("a")] }]);
        let told = |leaving| String::from_utf8(topics.request(&shares[0], leaving)).unwrap();
        assert!(told(false).ends_with("$7\r\nchannel\r\n$1\r\na\r\n$1\r\n2\r\n"));
        assert!(told(true).ends_with("$1\r\na\r\n$1\r\n0\r\n"));
        assert_eq!((topics.told_to(1), topics.told_to(2)), (1, 1));
    }

    #[test]
    fn a_topic_is_forgotten_with_the_last_client_that_wants_it() {
        let mut topics = Topics::default();
        listen(&mut topics, Kind::Channel, "a", Some(0));
        topics.add_listener(Kind::Channel, b"a", SessionId::NONE);
        topics.add_listener(Kind::Channel, b"a", SessionId::NONE);
        assert_eq!(topics.get_mut(Kind::Channel, b"a").unwrap().listeners.len(), 1);
        topics.unwant(Kind::Channel, b"a");
        topics.remove_listener(Kind::Channel, b"a", SessionId::NONE);
        assert_eq!((topics.len(), topics.told_to(0)), (0, 0));
    }

    #[test]
    fn a_shard_that_knows_nothing_is_told_its_channels_and_all_patterns() {
        let mut topics = Topics::default();
        listen(&mut topics, Kind::Channel, "a", Some(0));
        listen(&mut topics, Kind::Shard, "a", Some(1));
        listen(&mut topics, Kind::Pattern, "*", None);
        let kinds: Vec<Kind> = topics.all_of(1).iter().map(|share| share.kind).collect();
        assert_eq!(kinds, [Kind::Pattern, Kind::Shard]);
        assert_eq!((topics.told_to(1), topics.told_to(7)), (2, 1));
    }

    #[test]
    fn channels_of_keyspace_events_are_told_to_every_shard() {
        let mut topics = Topics::default();
        listen(&mut topics, Kind::Channel, "__keyspace@0__:a", None);
        listen(&mut topics, Kind::Channel, "a", Some(0));
        let names = ["__keyspace@0__:a", "a"].map(name);
        let shares = topics.shares(Kind::Channel, names, &[0, 1]);
        let told: Vec<(usize, usize)> = shares.iter().map(|share| (share.shard, share.names.len())).collect();
        assert_eq!(told, [(0, 1), (1, 1), (0, 1)]);
        assert_eq!(topics.all_of(1).len(), 1);
        assert_eq!((topics.told_to(0), topics.told_to(1)), (2, 1));
        topics.unwant(Kind::Channel, b"__keyspace@0__:a");
        topics.remove_listener(Kind::Channel, b"__keyspace@0__:a", SessionId::NONE);
        assert_eq!((topics.told_to(0), topics.told_to(1)), (1, 0));
    }

    #[test]
    fn many_names_are_told_in_several_requests() {
        let mut topics = Topics::default();
        let names: Vec<Rc<[u8]>> = (0..2500).map(|number| name(&number.to_string())).collect();
        names.iter().for_each(|name| {
            topics.want(Kind::Channel, name);
            topics.set_home(Kind::Channel, name, Some(0));
        });
        let shares = topics.shares(Kind::Channel, names, &[]);
        assert_eq!(shares.iter().map(|share| share.names.len()).collect::<Vec<_>>(), [1000, 1000, 500]);
    }

    #[test]
    fn channels_whose_slot_has_moved_are_found() {
        let mut topics = Topics::default();
        listen(&mut topics, Kind::Channel, "a", Some(0));
        listen(&mut topics, Kind::Pattern, "*", None);
        assert_eq!(topics.moved(|_| Some(0)), []);
        assert_eq!(topics.moved(|_| Some(3)), [(Kind::Channel, name("a"), 0, 3)]);
        assert_eq!(topics.moved(|_| None), []);
    }

    #[test]
    fn what_waits_for_an_old_owner_is_bounded() {
        let mut draining = Draining::new(1);
        assert!(draining.hold(&[0; 1000]));
        assert!(!draining.hold(&vec![0; MOST_WAITING]));
    }
}

//! What shards send without being asked.

use slotway_common::pubsub::Kind;
use slotway_common::resp::frame::{Elements, string};
use slotway_common::tracking::{INVALIDATE, INVALIDATE_BEHIND};

use super::{Core, UpstreamId};

impl Core {
    /// Takes a whole push; its first element says what it is about.
    pub(super) fn pushed(&mut self, id: UpstreamId, push: &[u8]) {
        let word = Elements::open(push).and_then(|mut elements| elements.next()).and_then(string);
        match word.and_then(Kind::of_message) {
            Some(kind) => self.message(id, kind, push),
            None if word == Some(INVALIDATE) => self.invalidated(id, push, None),
            None if word == Some(INVALIDATE_BEHIND) => self.invalidated(id, push, self.place_of_front(id)),
            None if word == Some(b"full") => self.doubt_room(),
            None if word == Some(b"later") => self.came_later(id, push),
            None if word == Some(b"slow") => self.told_slow(id, push),
            None if word == Some(b"monitor") => self.told_monitor(id, push),
            None if word == Some(b"monitored") => self.told_monitored(id, push),
            None => self.take_push(push),
        }
    }
}

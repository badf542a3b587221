//! Keyspace events, as messages.

use slotway_common::pubsub::{Kind, event_channel, key_channel};

use super::Node;
use crate::engine::{Engine, Event};
use crate::pubsub::Publisher;

impl Node {
    /// Sends what has happened to keys to those who listen. A client that listens itself gets what its command did at `own`.
    #[cold]
    pub fn announce(&mut self, engine: &mut Engine, mut own: Option<Publisher<'_>>) {
        let wanted = engine.wanted_events();
        let most = self.hot.pubsub_output.budget();
        for Event { name, db, key } in engine.take_events() {
            let mut send = |channel: &[u8], payload: &[u8]| {
                let sent = self.pubsub.publish(Kind::Channel, channel, payload, most, own.as_mut());
                self.stats.closed_for_output += sent.closed;
            };
            if wanted.by_key {
                send(&key_channel(db, &key), name.as_bytes());
            }
            if wanted.by_event {
                send(&event_channel(db, name), &key);
            }
        }
    }
}

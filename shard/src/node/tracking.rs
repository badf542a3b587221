//! Tells those who are tracked what happens to keys.

use std::collections::HashSet;

use slotway_common::slot::Slot;

use super::Node;
use crate::engine::Engine;
use crate::tracking::{Around, TrackerId, Writer};

impl Node {
    /// Remembers keys that a tracker has read.
    #[cold]
    pub fn remember_read<'a>(
        &mut self,
        engine: &mut Engine,
        id: TrackerId,
        keys: impl Iterator<Item = &'a [u8]>,
    ) {
        let Self { tracking, clients, hot, .. } = self;
        for key in keys {
            tracking.remember(engine, &Around { clients, hot }, id, key);
        }
    }

    /// No more keys than these are remembered from now on; 0: no limit.
    pub fn limit_remembered(&mut self, engine: &mut Engine, most: usize) {
        let Self { tracking, clients, hot, .. } = self;
        tracking.set_most(engine, &Around { clients, hot }, most);
    }

    /// Tells of keys that have changed.
    #[cold]
    pub fn tell_changed<'a>(
        &mut self,
        engine: &mut Engine,
        keys: impl Iterator<Item = &'a [u8]>,
        writer: Writer,
    ) {
        let Self { tracking, clients, hot, .. } = self;
        if !tracking.is_used() {
            return;
        }
        for key in keys {
            tracking.changed(engine, &Around { clients, hot }, key, writer);
        }
    }

    /// Tells of keys that went without a command: by expiry or eviction.
    #[cold]
    pub fn tell_gone(&mut self, engine: &mut Engine) {
        let gone = engine.take_gone();
        self.tell_changed(engine, gone.iter().map(|key| &**key), Writer::default());
        self.tell_broadcasts();
    }

    /// Tells those who are told of prefixes what has changed.
    #[cold]
    pub fn tell_broadcasts(&mut self) {
        let Self { tracking, clients, hot, .. } = self;
        tracking.send_broadcasts(&Around { clients, hot });
    }

    /// A database was emptied: everything is to be forgotten.
    #[cold]
    pub fn tell_flushed(&mut self, engine: &mut Engine) {
        let Self { tracking, clients, hot, .. } = self;
        tracking.flushed(engine, &Around { clients, hot });
    }

    /// Tells of slots that go to another shard.
    #[cold]
    pub fn tell_slots_left(&mut self, engine: &mut Engine, left: &HashSet<Slot>) {
        let Self { tracking, clients, hot, .. } = self;
        if tracking.is_used() {
            tracking.slots_left(engine, &Around { clients, hot }, left);
        }
    }
}

//! Clients whose replies are pending.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::client::Client;

/// Clients whose replies are held, by the change that they wait for.
#[derive(Default)]
pub(super) struct Pending(BTreeMap<u64, Vec<Rc<Client>>>);

impl Pending {
    pub(super) fn add(&mut self, sequence: u64, client: Rc<Client>) {
        self.0.entry(sequence).or_default().push(client);
    }

    /// Wakes those whose changes are safe.
    pub(super) fn wake(&mut self, released: u64) {
        while let Some(entry) = self.0.first_entry()
            && *entry.key() <= released
        {
            entry.remove().iter().for_each(|client| client.wake());
        }
    }
}

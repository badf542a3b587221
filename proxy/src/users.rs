//! The cluster's users, as this process knows them.

use std::sync::Arc;

use serde::Deserialize;
use slotway_common::acl::{StoredUser, Users};

/// Users as shards tell them: `SLOTWAY USERS`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StoredUsers {
    pub version: u64,
    pub users: Vec<StoredUser>,
}

/// The cluster's users as this process knows them.
#[derive(Debug, Default)]
pub struct KnownUsers {
    stored: StoredUsers,
    /// Whether a shard has told them; nobody is served before.
    known: bool,
    /// What they come to.
    current: Arc<Users>,
}

impl KnownUsers {
    /// The version that is known, if any is.
    pub fn version(&self) -> Option<u64> {
        self.known.then_some(self.stored.version)
    }

    /// The cluster was founded anew: what comes next holds, whatever its version.
    pub fn forget(&mut self) {
        self.known = false;
    }

    pub fn current(&self) -> &Arc<Users> {
        &self.current
    }

    /// Keeps users if they are newer than those that were known; false if they are not.
    pub(crate) fn keep(&mut self, newest: StoredUsers) -> bool {
        if self.version().is_some_and(|known| known >= newest.version) {
            return false;
        }
        (self.stored, self.known) = (newest, true);
        true
    }

    /// The default user has had another password since this generation; what is known of users may be newer.
    pub(crate) fn require(&mut self, password: &[u8], generation: u64) {
        let is_older = self.stored.version < generation;
        let default = self.stored.users.iter_mut().find(|user| *user.name.bytes() == *b"default");
        if let Some(default) = default.filter(|_| is_older) {
            default.require(password);
        }
    }

    /// Works out what they come to with the password of the settings; false while no shard has told them.
    pub(crate) fn update(&mut self, password: &[u8]) -> bool {
        if self.known {
            self.current = Arc::new(Users::new(&self.stored.users, self.stored.version, password));
        }
        self.known
    }
}

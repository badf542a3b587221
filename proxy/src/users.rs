//! The cluster's users, as this process knows them.

use std::sync::Arc;

use serde::Deserialize;
use slotway_common::acl::{StoredUser, Users};
use slotway_common::settings::Name;

use crate::context::Context;
use crate::worker::Worker;

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
}

/// Takes over users if they are newer than those that are known.
pub(crate) async fn take_over(context: &Arc<Context>, newest: StoredUsers) {
    if keep(context, newest) {
        changed(context).await;
    }
}

/// The same, and waits until every worker follows what is known now: another task may have begun to take it over, and not
/// have come to all workers yet.
pub(crate) async fn follow(context: &Arc<Context>, newest: Option<StoredUsers>) {
    if let Some(newest) = newest {
        keep(context, newest);
    }
    changed(context).await;
}

/// Whether they are newer than those that were known.
fn keep(context: &Arc<Context>, newest: StoredUsers) -> bool {
    let mut users = context.users.lock();
    if users.version().is_some_and(|known| known >= newest.version) {
        return false;
    }
    (users.stored, users.known) = (newest, true);
    true
}

/// The default user has had another password since this generation; what is known of users may be newer.
pub(crate) async fn require(context: &Arc<Context>, password: &[u8], generation: u64) {
    {
        let mut users = context.users.lock();
        let is_older = users.stored.version < generation;
        let default = users.stored.users.iter_mut().find(|user| *user.name.bytes() == *b"default");
        if let Some(default) = default.filter(|_| is_older) {
            default.require(password);
        }
    }
    changed(context).await;
}

/// Has every worker follow the users as they are now.
async fn changed(context: &Arc<Context>) {
    let password = context.settings.lock().values.text(Name::Requirepass).into_owned();
    {
        let mut users = context.users.lock();
        if !users.known {
            return;
        }
        users.current = Arc::new(Users::new(&users.stored.users, users.stored.version, &password));
    }
    let follow = |worker: &std::rc::Rc<Worker>| {
        // The newest, should two changes overtake each other on their way here.
        let current = Arc::clone(worker.context.users.lock().current());
        worker.with(|core| core.apply_users(&current));
    };
    context.fleet.each(follow).await;
}

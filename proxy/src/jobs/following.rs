//! Workers follow the settings and users of the cluster.

use std::rc::Rc;
use std::sync::Arc;

use slotway_common::settings::Name;

use crate::context::Context;
use crate::policy::Policy;
use crate::users::StoredUsers;
use crate::worker::Worker;

/// Has every worker follow the settings as they are now.
pub(crate) async fn changed_settings(context: &Arc<Context>) {
    let follow = |worker: &Rc<Worker>| {
        // The newest, should two changes overtake each other on their way here.
        let policy = Arc::new(Policy::of(&worker.context.settings.lock().values));
        worker.with(|core| core.apply_policy(policy));
    };
    context.fleet.each(follow).await;
}

/// Takes over users if they are newer than those that are known.
pub(crate) async fn take_over_users(context: &Arc<Context>, newest: StoredUsers) {
    if context.users.lock().keep(newest) {
        changed_users(context).await;
    }
}

/// The same, and waits until every worker follows what is known now: another task may have begun to take it over, and not
/// have come to all workers yet.
pub(crate) async fn follow_users(context: &Arc<Context>, newest: Option<StoredUsers>) {
    if let Some(newest) = newest {
        context.users.lock().keep(newest);
    }
    changed_users(context).await;
}

/// The default user has had another password since this generation; what is known of users may be newer.
pub(crate) async fn require_password(context: &Arc<Context>, password: &[u8], generation: u64) {
    context.users.lock().require(password, generation);
    changed_users(context).await;
}

/// Has every worker follow the users as they are now.
async fn changed_users(context: &Arc<Context>) {
    let password = context.settings.lock().values.text(Name::Requirepass).into_owned();
    if !context.users.lock().update(&password) {
        return;
    }
    let follow = |worker: &Rc<Worker>| {
        // The newest, should two changes overtake each other on their way here.
        let current = Arc::clone(worker.context.users.lock().current());
        worker.with(|core| core.apply_users(&current));
    };
    context.fleet.each(follow).await;
}

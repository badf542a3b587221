//! ACL SETUSER, DELUSER and LOG.
//!
//! Users belong to the cluster's committed state. A change is worked out here and proposed with the version that it is a change of,
//! and answered when the live shards and this proxy follow.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slotway_common::acl::{self, AclLog, Entry};
use slotway_common::cluster_state::Change;
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::resp::{Reply, Value};
use slotway_common::settings::Name;
use tokio::time::sleep;

use super::asking::{ask_all_reachable, decode, plain};
use super::config::{commit, wait_for_shards};
use super::following::follow_users;
use super::functions::ask_any;
use crate::core::Job;
use crate::users::StoredUsers;
use crate::worker::Worker;

/// Others may change the users at the same time; then it is tried again, so often.
const ATTEMPTS: usize = 20;
/// Before that, for the shards to follow.
const PAUSE: Duration = Duration::from_millis(2);

pub(super) async fn change(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let context = &worker.context;
    let _one_at_a_time = context.changing_settings.lock().await;
    let args = job.args.args();
    let deletes = job.command.name == "acl|deluser";
    let mut result = Err(Error::TryAgain("the users keep changing".into()));
    for _ in 0..ATTEMPTS {
        let current = Arc::clone(context.users.lock().current());
        let all_channels = context.settings.lock().values.choice(Name::AclPubsubDefault) == "allchannels";
        let planned = if deletes {
            acl::delete(&current, &args.rest(2))?
        } else {
            acl::set(&current, &args.rest(2), all_channels)?
        };
        let count = planned.len();
        if !planned.is_empty() {
            let proposed = Change::SetUsers { users: planned, expected: current.version() };
            match commit(context, proposed).await {
                Ok(generation) => wait_for_shards(worker, generation).await,
                Err(error @ Error::Generic(_)) => {
                    result = Err(error);
                    sleep(PAUSE).await;
                    fetch(worker).await?;
                    continue;
                }
                Err(error) => return Err(error),
            }
            fetch(worker).await?;
        }
        if deletes {
            reply.len(count);
        } else {
            reply.ok();
        }
        return Ok(());
    }
    result
}

/// Takes over the users that the shards have, on every worker.
async fn fetch(worker: &Rc<Worker>) -> Result<(), Error> {
    let known = worker.context.users.lock().version().map_or_else(String::new, |known| known.to_string());
    let answer = ask_any(worker, &[b"SLOTWAY", b"USERS", known.as_bytes()], plain).await?;
    let newest: Option<StoredUsers> = match decode(&answer)? {
        Value::Bulk(json) => Some(
            serde_json::from_slice(&json)
                .map_err(|error| Error::err(format!("a shard's reply could not be read: {error}")))?,
        ),
        // There is nothing newer.
        _ => None,
    };
    follow_users(&worker.context, newest).await;
    Ok(())
}

pub(super) async fn log(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let Some(count) = acl::log_count(&job.args.args())? else {
        worker.context.acl_log.lock().reset();
        ask_all_reachable(worker, &[b"ACL", b"LOG", b"RESET"]).await;
        reply.ok();
        return Ok(());
    };
    let mut others = Vec::new();
    for (_, answer) in ask_all_reachable(worker, &[b"SLOTWAY", b"ACLLOG"]).await {
        // A shard that is down has nothing to tell.
        let Ok(Ok(entries)) = answer.map(|answer| decode(&answer)) else { continue };
        others.extend(entries.as_array().unwrap_or_default().iter().filter_map(Entry::read));
    }
    let most = worker.core.borrow().policy.acl_log;
    let merged: AclLog = worker.context.acl_log.lock().with(others, most);
    acl::write_log(&merged, count, clock::now_us(), reply);
    Ok(())
}

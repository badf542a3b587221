//! ACL SETUSER and DELUSER of a client that speaks to this shard: the users are the cluster's.

use std::rc::Rc;
use std::time::Duration;

use slotway_common::acl::{self, UserChange};
use slotway_common::cluster_state::Change;
use slotway_common::error::Error;
use slotway_common::resp::{Protocol, Reply};
use slotway_common::settings::Name;
use tokio::time::sleep;

use super::state::Server;
use crate::client::Client;
use crate::control::ProposeError;
use crate::dispatch::{OwnedWords, write_error};

/// Others may change the users at the same time; then it is tried again, so often.
const ATTEMPTS: usize = 20;
/// Between two looks whether this shard follows.
const PAUSE: Duration = Duration::from_millis(1);

/// Has the cluster make the change that a call asks for, and leaves the reply with the client.
pub(super) async fn change(server: Rc<Server>, client: Rc<Client>, protocol: Protocol, words: Vec<Vec<u8>>) {
    let result = attempt(&server, &words).await;
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, protocol);
    match result {
        Ok(None) => reply.ok(),
        Ok(Some(count)) => reply.len(count),
        Err(error) => write_error(&mut server.shard.borrow_mut().node, &error, &mut reply),
    }
    *client.users_reply.borrow_mut() = Some(out);
    client.wake();
}

/// The number of users that went, for DELUSER.
async fn attempt(server: &Rc<Server>, words: &[Vec<u8>]) -> Result<Option<usize>, Error> {
    let Some(control) = server.control.clone() else {
        return Err(Error::ClusterDown("this node follows no cluster".into()));
    };
    let words = OwnedWords::new(words);
    let args = words.args();
    let deletes = args.is(1, "DELUSER");
    let mut reason = String::new();
    for _ in 0..ATTEMPTS {
        let (users, expected): (Vec<UserChange>, u64) = {
            let node = &server.shard.borrow().node;
            let all_channels = node.settings.values.choice(Name::AclPubsubDefault) == "allchannels";
            let planned = if deletes {
                acl::delete(&node.users, &args.rest(2))
            } else {
                acl::set(&node.users, &args.rest(2), all_channels)
            };
            (planned?, node.users.version())
        };
        let count = deletes.then_some(users.len());
        if users.is_empty() {
            return Ok(count);
        }
        match control.propose(Change::SetUsers { users, expected }).await {
            Ok(generation) => {
                while server.shard.borrow().node.state.generation < generation {
                    sleep(PAUSE).await;
                }
                return Ok(count);
            }
            Err(ProposeError::Refused(refused)) => reason = refused,
            Err(ProposeError::Unknown(unknown)) => return Err(Error::ClusterDown(unknown.into())),
        }
        sleep(PAUSE).await;
    }
    Err(Error::err(reason))
}

//! What the data thread does for transactions across shards beside running requests: goes on with parts whose turn has come, and asks
//! for the outcome of those whose proxy is silent.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use slotway_common::internal::Connection;
use slotway_common::platform::clock;
use slotway_common::resp::Value;
use slotway_common::transaction_id::TransactionId;
use tokio::time::{sleep, sleep_until};

use super::logging::synced;
use super::state::Server;
use crate::across::{self, Told};
use crate::node::Shard;

/// Between two looks at whether a proxy is silent.
const LOOK: Duration = Duration::from_millis(100);
/// For one answer of another shard.
const PATIENCE: Duration = Duration::from_secs(2);

/// Goes on with parts that wait for their slots; runs as long as the process does.
pub(super) async fn go_on(server: Rc<Server>) {
    let news = server.shard.borrow().node.locks.news.clone();
    let mut next = None;
    loop {
        match next {
            Some(at) => tokio::select! {
                () = news.notified() => {}
                () = sleep_until(at) => {}
            },
            None => news.notified().await,
        }
        let Shard { engine, node } = &mut *server.shard.borrow_mut();
        next = across::go_on(engine, node)
            .map(|at| tokio::time::Instant::now() + at.duration_since(clock::monotonic()));
    }
}

/// Asks for outcomes; runs as long as the process does.
pub(super) async fn resolve(server: Rc<Server>) {
    loop {
        sleep(LOOK).await;
        let in_doubt = {
            let node = &mut server.shard.borrow_mut().node;
            node.parts.forget_old(clock::monotonic());
            across::in_doubt(node, clock::monotonic())
        };
        let mut by_decider: BTreeMap<Rc<str>, Vec<TransactionId>> = BTreeMap::new();
        for (id, decider) in in_doubt {
            by_decider.entry(decider).or_default().push(id);
        }
        for (decider, ids) in by_decider {
            if let Err(reason) = ask(&server, &decider, &ids).await {
                tracing::warn!(
                    "{} transactions are in doubt until shard {decider} tells how they have ended: {reason}",
                    ids.len()
                );
                sleep(PATIENCE / 4).await;
            }
        }
    }
}

/// Asks the shard that decides about transactions, and ends the parts here.
async fn ask(server: &Server, decider: &str, ids: &[TransactionId]) -> Result<(), String> {
    let (identity, secret, found, own) = {
        let node = &server.shard.borrow().node;
        let found = node.state.shard(decider).and_then(|shard| shard.primary());
        let found = found.map(|node| (node.address.clone(), node.id.clone()));
        (node.identity.clone(), node.secret.clone(), found, node.shard.clone())
    };
    let secret = secret.ok_or("this node has no secret")?;
    let (address, node) = found.ok_or("it is no shard of the cluster any more")?;
    let error = |error: slotway_common::internal::CallError| error.to_string();
    let mut connection =
        Connection::open(&address, &identity, &secret, Some(&node), PATIENCE).await.map_err(error)?;
    for id in ids {
        let name = id.to_string();
        let told = match connection.call(&["SLOTWAY", "OUTCOME", &name, &own]).await.map_err(error)? {
            Value::Bulk(values) => Told::Committed(values),
            Value::Simple(word) if word == b"ABORTED" => Told::GivenUp,
            _ => continue,
        };
        let ended = {
            let Shard { engine, node } = &mut *server.shard.borrow_mut();
            across::resolve(engine, node, *id, &told)
        };
        if !ended {
            continue;
        }
        let committed = told != Told::GivenUp;
        let word = if committed { "committed" } else { "given up" };
        tracing::warn!("transaction {id}, whose proxy was silent, is {word}: shard {decider} has decided it");
        if committed {
            // It may forget only what is safe here.
            synced(server).await?;
            connection.call(&["SLOTWAY", "OUTCOME", &name, &own, "done"]).await.map_err(error)?;
        }
    }
    Ok(())
}

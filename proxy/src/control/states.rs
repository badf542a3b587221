//! Waits for new states of the cluster.

use std::sync::Arc;
use std::time::Duration;

use slotway_common::cluster_state::ClusterState;
use slotway_common::internal::{CallError, Connection};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::context::Context;

/// Before another node is asked.
const PAUSE: Duration = Duration::from_millis(100);
/// For an answer; a node answers after a second at the latest, with the state that there is.
const PATIENCE: Duration = Duration::from_secs(3);

/// Sends each state that is newer than the ones before. Goes from node to node as they fail; ends with the receiver.
pub(super) async fn follow(context: Arc<Context>, told: mpsc::Sender<ClusterState>) {
    let mut turn = 0;
    loop {
        let nodes: Vec<(String, String)> = {
            let topology = context.topology.lock();
            let nodes = topology.shards.iter().flat_map(|shard| &shard.nodes);
            nodes.map(|node| (node.id.clone(), node.control.clone())).collect()
        };
        if let Some((node, address)) = nodes.get(turn % nodes.len().max(1)) {
            match ask(&context, node, address, &told).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(%node, %address, %error, "node does not tell the cluster's state")
                }
            }
        }
        turn = turn.wrapping_add(1);
        sleep(PAUSE).await;
    }
}

/// Asks one node again and again. Ends well when nobody wants to know any more.
async fn ask(
    context: &Context,
    node: &str,
    address: &str,
    told: &mpsc::Sender<ClusterState>,
) -> Result<(), CallError> {
    let Context { identity, secret, .. } = context;
    let mut connection = Connection::open(address, identity, secret, Some(node), PATIENCE).await?;
    let mut generation = 0;
    loop {
        let answer = connection.call(&["SLOTWAY", "STATE", &generation.to_string()]).await?;
        let state = ClusterState::from_json(answer.as_bytes().unwrap_or_default())
            .map_err(|error| CallError::Refused(format!("its state is not readable: {error}")))?;
        if state.is_founded() && state.generation > generation {
            generation = state.generation;
            if told.send(state).await.is_err() {
                return Ok(());
            }
        }
    }
}

//! Follows the cluster's state, by numbered changes where it can.

use std::sync::Arc;
use std::time::Duration;

use slotway_common::cluster_state::{ClusterState, Update};
use slotway_common::internal::{CallError, Connection};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::context::Context;

/// Before another node is asked.
const PAUSE: Duration = Duration::from_millis(100);
/// For an answer; a node answers after a second at the latest, with no change if there is none.
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
    let refused = |error: String| CallError::Refused(format!("its changes cannot be followed: {error}"));
    let mut state = ClusterState::default();
    loop {
        let generation = state.generation.to_string();
        let answer = connection.call(&["SLOTWAY", "CHANGES", &state.id, &generation]).await?;
        let update: Update = serde_json::from_slice(answer.as_bytes().unwrap_or_default())
            .map_err(|error| refused(error.to_string()))?;
        // A gap ends the connection; the next one begins with the whole state.
        let is_new = state.follow(update).map_err(|gap| refused(gap.to_string()))?;
        if is_new && state.is_founded() && told.send(state.clone()).await.is_err() {
            return Ok(());
        }
    }
}

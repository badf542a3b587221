//! Follows the committed state, and drives the moves that lead away from this shard.

mod drive;
mod target_link;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use slotway_common::admin::Health;
use slotway_common::cluster_state::ClusterState;
use tokio::task::spawn_local;

use super::state::Server;
use crate::control::Control;

/// Follows the committed state for as long as the process runs, and tells `health` whether it serves.
///
/// # Errors
/// When what the node has stored belongs to another cluster.
pub(super) async fn follow(
    server: Rc<Server>,
    mut control: Control,
    health: Arc<Health>,
) -> Result<(), String> {
    let mut driven: BTreeSet<String> = BTreeSet::new();
    loop {
        let state = control.state();
        {
            let shard = &mut *server.shard.borrow_mut();
            if let Some(other) =
                shard.node.log_cluster.as_ref().filter(|id| state.is_founded() && **id != state.id)
            {
                return Err(format!("the log belongs to cluster {other}, and this is cluster {}", state.id));
            }
            shard.adopt(&state);
            match shard.node.not_serving() {
                None => health.set_ready(),
                Some(reason) => health.set_not_ready(reason),
            }
        }
        driven.retain(|id| state.migrations.iter().any(|migration| migration.id == *id));
        for id in departures(&server, &state) {
            if driven.insert(id.clone()) {
                spawn_local(drive::drive(server.clone(), control.clone(), id));
            }
        }
        control.changed().await;
    }
}

/// The moves under way whose source this node is, as the process that the state means: one that has just been started
/// holds nothing, and must not hand that over as what its slots held.
fn departures(server: &Server, state: &ClusterState) -> Vec<String> {
    let me = {
        let node = &server.shard.borrow().node;
        if node.not_serving().is_some() {
            return Vec::new();
        }
        node.identity.node.clone()
    };
    let Some((shard, _)) = state.node(&me) else { return Vec::new() };
    let leaving = state
        .migrations
        .iter()
        .filter(|migration| migration.source == shard.name && migration.source_epoch == shard.epoch);
    leaving.map(|migration| migration.id.clone()).collect()
}

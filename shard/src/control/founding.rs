//! How a cluster begins: its first voters make the group, and its first leader founds the cluster from the file.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::{Change, ClusterState, Proposal, Shard};
use slotway_common::internal::Connection;
use slotway_common::platform::{clock, random};
use slotway_common::settings::Settings;
use tokio::time::sleep;

use super::group::Group;
use super::raft::{Place, number, places, voters};

/// Between two questions to the other nodes.
const PAUSE: Duration = Duration::from_millis(20);
/// For a node to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// Before another one than the first voter begins: two that begin at once split the votes.
const TURN: Duration = Duration::from_secs(2);

/// What another node says of itself; the fields of `Status` that matter here.
#[derive(Deserialize)]
struct Other {
    cluster: String,
    initialized: bool,
}

/// Makes the group if this node is to, and nobody else has.
///
/// Only a node that has never been part of a group does, and only while more than half of the voters that the file
/// names answer and no node of the file belongs to a cluster. So a node that was added to the file, or one that has lost
/// its directory, does not make a second cluster beside the one that is there.
pub async fn begin(group: &Group, file: &ClusterFile) {
    let wanted = state_of(file);
    let chosen = voters(&wanted);
    let Some(turn) = chosen.iter().position(|place| place.node == group.node()) else { return };
    let began = clock::monotonic();
    let mut told = false;
    while group.peers.log.is_empty() {
        let mut answering = 1;
        let mut founded = None;
        for place in places(&wanted).filter(|place| place.node != group.node()) {
            let is_voter = chosen.contains(&place);
            match ask(group, &place).await {
                Some(other) if !other.cluster.is_empty() => founded = Some((place, other.cluster)),
                Some(_) if is_voter => answering += 1,
                _ => {}
            }
        }
        if let Some((place, cluster)) = founded {
            if !told {
                tracing::info!(
                    "node {} belongs to the cluster of id {cluster} already: waiting to become part of it",
                    place.node
                );
                told = true;
            }
            sleep(PATIENCE).await;
            continue;
        }
        let turn = TURN * u32::try_from(turn).unwrap_or(u32::MAX);
        if answering * 2 > chosen.len() && clock::monotonic().duration_since(began) >= turn {
            let members: BTreeMap<u64, Place> =
                chosen.iter().map(|place| (number(&place.node), place.clone())).collect();
            match group.raft.initialize(members).await {
                Ok(()) => tracing::info!("a new group of {} voters begins", chosen.len()),
                Err(error) => tracing::info!("no new group begins: {error}"),
            }
            return;
        }
        sleep(PAUSE).await;
    }
}

async fn ask(group: &Group, place: &Place) -> Option<Other> {
    let peers = &group.peers;
    let mut connection =
        Connection::open(&place.control, &peers.identity, &peers.secret, Some(&place.node), PATIENCE)
            .await
            .ok()?;
    let answer = connection.call(&["SLOTWAY", "RAFT", "STATUS"]).await.ok()?;
    let other: Other = serde_json::from_slice(answer.as_bytes()?).ok()?;
    // One that is part of a group which is not founded yet brings this node into it.
    (!other.initialized || !other.cluster.is_empty()).then_some(other)
}

/// The change that founds the cluster as the file has it.
pub fn proposal(file: &ClusterFile) -> Proposal {
    let mut settings = Settings::new();
    for (name, value) in &file.settings {
        // The file was checked when it was read.
        if let Err(reason) = settings.load(name, value.as_bytes()) {
            tracing::error!("{reason}");
        }
    }
    Proposal {
        request: random::hex_id::<16>(),
        change: Change::Found {
            cluster: file.cluster.clone(),
            id: random::hex_id::<16>(),
            hash_seed: u64::from_le_bytes(random::secret_bytes()),
            shards: state_of(file).shards,
            settings: settings.stored(),
        },
    }
}

/// The shards as the file has them.
fn state_of(file: &ClusterFile) -> ClusterState {
    let mut state = ClusterState::default();
    state.shards = file.topology().shards.into_iter().map(Shard::from).collect();
    state
}

//! What the leader does beside committing proposals: it founds the cluster, and keeps the group to the cluster's nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::ClusterState;
use tokio::time::timeout;

use super::founding;
use super::group::Group;
use super::raft::{Place, number, places, voters};

/// Between two looks when nothing has changed.
const INTERVAL: Duration = Duration::from_millis(500);
/// Least time between two steps that failed.
const PAUSE: Duration = Duration::from_millis(100);
/// For one step.
const PATIENCE: Duration = Duration::from_secs(5);
/// Entries that a node may be behind to become a voter.
const NEAR: u64 = 100;

/// A step towards the group that the state wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Add(Place),
    /// These are to vote. Also ends a change of voters that an earlier leader has begun.
    Voters(BTreeSet<u64>),
    Remove(BTreeSet<u64>),
}

/// The group as it is.
#[derive(Debug, Default)]
pub struct Members {
    pub voters: BTreeSet<u64>,
    /// Voters are changing.
    pub is_joint: bool,
    pub nodes: BTreeMap<u64, Place>,
    /// Nodes that have nearly all of the log.
    pub near: BTreeSet<u64>,
}

/// Runs for as long as the node does.
pub async fn run(group: Arc<Group>, file: ClusterFile) {
    let mut metrics = group.raft.metrics();
    let mut state = group.state.clone();
    let mut led = None;
    loop {
        let changed = async {
            tokio::select! {
                changed = metrics.changed() => changed.is_ok(),
                changed = state.changed() => changed.is_ok(),
            }
        };
        // Silence is a reason to look again, too.
        if let Ok(false) = timeout(INTERVAL, changed).await {
            return;
        }
        let (leader, term) = {
            let metrics = group.raft.metrics();
            let metrics = metrics.borrow();
            (metrics.current_leader, metrics.current_term)
        };
        if leader != Some(number(group.node())) {
            continue;
        }
        if led.replace(term) != Some(term) {
            tracing::info!("node {} leads the group of nodes, in term {term}", group.node());
        }
        if let Err(reason) = lead(&group, &file).await {
            tracing::warn!("the group of nodes was not changed: {reason}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn lead(group: &Group, file: &ClusterFile) -> Result<(), String> {
    let state = group.current();
    if !state.is_founded() {
        // A log that founds it may be there and not yet be applied: then this one does nothing.
        group.commit(&founding::proposal(file)).await?;
        tracing::info!("cluster {} founded", file.cluster);
        return Ok(());
    }
    let Some(step) = next_step(&members(group), &state) else { return Ok(()) };
    tracing::info!("the group of nodes changes: {step:?}");
    let change = async {
        match step {
            Step::Add(place) => group
                .raft
                .add_learner(number(&place.node), place, false)
                .await
                .map_err(|error| error.to_string()),
            Step::Voters(voters) => {
                group.raft.change_membership(voters, true).await.map_err(|error| error.to_string())
            }
            Step::Remove(nodes) => group
                .raft
                .change_membership(ChangeMembers::RemoveNodes(nodes), true)
                .await
                .map_err(|error| error.to_string()),
        }
    };
    match timeout(PATIENCE, change).await {
        Ok(result) => result.map(drop),
        Err(_) => Err("too few nodes answer".to_owned()),
    }
}

fn members(group: &Group) -> Members {
    let metrics = group.raft.metrics().borrow().clone();
    let membership = metrics.membership_config.membership();
    let last = metrics.last_log_index.unwrap_or(0);
    let is_near = |index: u64| index.saturating_add(NEAR) >= last;
    let replicated = metrics.replication.iter().flatten();
    let near = replicated.filter(|(_, matched)| matched.is_some_and(|id| is_near(id.index)));
    Members {
        voters: membership.voter_ids().collect(),
        is_joint: membership.get_joint_config().len() > 1,
        nodes: membership.nodes().map(|(id, place)| (*id, place.clone())).collect(),
        near: near.map(|(id, _)| *id).chain([number(group.node())]).collect(),
    }
}

/// What brings the group nearer to the state; `None` when it is there, or has to wait.
fn next_step(members: &Members, state: &ClusterState) -> Option<Step> {
    let wanted: BTreeMap<u64, Place> = places(state).map(|place| (number(&place.node), place)).collect();
    if let Some((_, place)) = wanted.iter().find(|(id, _)| !members.nodes.contains_key(id)) {
        return Some(Step::Add(place.clone()));
    }
    let voters: BTreeSet<u64> = voters(state).iter().map(|place| number(&place.node)).collect();
    if (voters != members.voters || members.is_joint) && !voters.is_empty() {
        // One that is far behind, or not running, would stop the group. The others are asked to wait for it.
        let ready = voters.iter().all(|id| members.voters.contains(id) || members.near.contains(id));
        return ready.then_some(Step::Voters(voters));
    }
    let removed: BTreeSet<u64> =
        members.nodes.keys().filter(|id| !wanted.contains_key(id)).copied().collect();
    (!removed.is_empty()).then_some(Step::Remove(removed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotway_common::cluster_state::{Node, Shard};

    fn cluster(names: &[&str]) -> ClusterState {
        let mut state = ClusterState::default();
        state.shards.extend(names.iter().map(|name| Shard {
            name: (*name).to_owned(),
            epoch: 1,
            nodes: vec![Node {
                id: format!("{name}-0"),
                address: String::new(),
                control: format!("h:{name}"),
                admin: String::new(),
                incarnation: 0,
            }],
            slots: [].into_iter().collect(),
        }));
        state
    }

    fn ids(names: &[&str]) -> BTreeSet<u64> {
        names.iter().map(|name| number(&format!("{name}-0"))).collect()
    }

    fn group(voters: &[&str], nodes: &[&str]) -> Members {
        let nodes = cluster(nodes);
        Members {
            voters: ids(voters),
            is_joint: false,
            nodes: places(&nodes).map(|place| (number(&place.node), place)).collect(),
            near: places(&nodes).map(|place| number(&place.node)).collect(),
        }
    }

    #[test]
    fn nodes_join_before_voters_change_and_leave_after() {
        let state = cluster(&["b", "c", "d"]);
        let step = next_step(&group(&["a", "b", "c"], &["a", "b", "c"]), &state);
        assert!(matches!(step, Some(Step::Add(place)) if place.node == "d-0"));
        let step = next_step(&group(&["a", "b", "c"], &["a", "b", "c", "d"]), &state);
        assert_eq!(step, Some(Step::Voters(ids(&["b", "c", "d"]))));
        let step = next_step(&group(&["b", "c", "d"], &["a", "b", "c", "d"]), &state);
        assert_eq!(step, Some(Step::Remove(ids(&["a"]))));
        assert_eq!(next_step(&group(&["b", "c", "d"], &["b", "c", "d"]), &state), None);
    }

    #[test]
    fn a_node_that_does_not_answer_does_not_become_a_voter() {
        let mut members = group(&["a"], &["a", "b", "c"]);
        members.near.remove(&number("c-0"));
        assert_eq!(next_step(&members, &cluster(&["a", "b", "c"])), None);
    }

    #[test]
    fn a_change_of_voters_that_was_begun_is_ended() {
        let mut members = group(&["a", "b", "c"], &["a", "b", "c"]);
        members.is_joint = true;
        assert_eq!(
            next_step(&members, &cluster(&["a", "b", "c"])),
            Some(Step::Voters(ids(&["a", "b", "c"])))
        );
    }
}

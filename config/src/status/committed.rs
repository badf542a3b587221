//! The cluster's committed state: what its nodes agree on, who leads them, and where the file wants something else.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::{ClusterState, Node};
use slotway_common::handshake::Identity;
use slotway_common::internal::Connection;
use slotway_common::secret::Secret;
use slotway_common::topology::SlotRanges;
use tokio::task::JoinSet;

use crate::control::{Control, ControlPlane};
use crate::plan;
use crate::units::plural;

/// For a node to say who leads.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the nodes have committed.
#[derive(Debug, Default, Serialize)]
pub struct Committed {
    /// Made when the cluster was founded.
    pub id: String,
    pub generation: u64,
    /// The node that leads the others; `None` while none does.
    pub leader: Option<String>,
    /// How often a leader was looked for.
    pub term: u64,
    pub voters: Vec<String>,
    pub shards: Vec<Owner>,
    /// What the file wants and the cluster has otherwise, one line; `None` when they agree.
    pub file_differs: Option<String>,
}

/// A shard as the state has it.
#[derive(Debug, Serialize)]
pub struct Owner {
    pub shard: String,
    pub epoch: u64,
    pub slots: SlotRanges,
}

/// Of a node's answer to `SLOTWAY RAFT STATUS`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Role {
    leader: Option<String>,
    term: u64,
    voters: Vec<String>,
}

/// What the cluster says; `None` if nobody answers, or it was never founded.
pub(super) async fn collect(file: &ClusterFile, secret: &Secret) -> Option<Committed> {
    let state = Control::new(file, secret.clone()).state().await.ok().filter(ClusterState::is_founded)?;
    let identity = Identity { cluster: file.cluster.clone(), node: "slotway".to_owned() };
    let mut asked = JoinSet::new();
    for node in state.shards.iter().flat_map(|shard| shard.nodes.clone()) {
        let (identity, secret) = (identity.clone(), secret.clone());
        asked.spawn(async move { ask(&node, &identity, &secret).await });
    }
    let answers = asked.join_all().await.into_iter().flatten();
    // A node that is cut off may know an older leader only.
    let newest = answers.max_by_key(|role| (role.leader.is_some(), role.term)).unwrap_or_default();
    Some(of(file, &state, newest))
}

async fn ask(node: &Node, identity: &Identity, secret: &Secret) -> Option<Role> {
    let mut connection =
        Connection::open(&node.control, identity, secret, Some(&node.id), PATIENCE).await.ok()?;
    let answer = connection.call(&["SLOTWAY", "RAFT", "STATUS"]).await.ok()?;
    serde_json::from_slice(answer.as_bytes()?).ok()
}

fn of(file: &ClusterFile, state: &ClusterState, role: Role) -> Committed {
    let owner = |shard: &slotway_common::cluster_state::Shard| Owner {
        shard: shard.name.clone(),
        epoch: shard.epoch,
        slots: shard.slots.clone(),
    };
    Committed {
        id: state.id.clone(),
        generation: state.generation,
        leader: role.leader,
        term: role.term,
        voters: role.voters,
        shards: state.shards.iter().map(owner).collect(),
        file_differs: difference(file, state),
    }
}

fn difference(file: &ClusterFile, state: &ClusterState) -> Option<String> {
    let plan = match plan::plan(file, state) {
        Ok(plan) if plan.is_empty() => return None,
        Ok(plan) => plan,
        Err(refusal) => return Some(format!("the file cannot be applied: {refusal}")),
    };
    let names =
        |verb: &str, names: Vec<&str>| (!names.is_empty()).then(|| format!("{verb} {}", names.join(", ")));
    let slots = plan.slots_to_move();
    let wishes = [
        names("add shard", plan.add.iter().map(|shard| shard.name.as_str()).collect()),
        (slots > 0).then(|| format!("move {}", plural(slots, "slot"))),
        names("remove shard", plan.remove.iter().map(String::as_str).collect()),
        names("set", plan.settings.iter().map(|setting| setting.name.as_str()).collect()),
    ];
    let wishes: Vec<String> = wishes.into_iter().flatten().collect();
    Some(format!("the file wants to {}: see `slotway plan`", wishes.join("; ")))
}

/// Two lines at most.
pub(super) fn render(committed: &Committed, text: &mut String) {
    let leader = match &committed.leader {
        Some(node) => format!("node {node} leads {}", plural(committed.voters.len(), "voter")),
        None => "no node leads".to_owned(),
    };
    let epochs: Vec<String> =
        committed.shards.iter().map(|owner| format!("{} {}", owner.shard, owner.epoch)).collect();
    text.push_str(&format!(
        "state: generation {}, epochs {}; {leader} in term {}\n",
        committed.generation,
        epochs.join(", "),
        committed.term
    ));
    if let Some(difference) = &committed.file_differs {
        text.push_str(difference);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{file, founded};

    #[test]
    fn leader_epochs_and_what_the_file_wants_are_shown() {
        let state = founded(&file(&[("a", ""), ("b", ""), ("c", "")]));
        let role = Role { leader: Some("b-0".to_owned()), term: 4, voters: vec!["b-0".to_owned()] };
        let mut text = String::new();
        let wanted = file(&[("a", ""), ("b", ""), ("c", ""), ("d", "")]);
        render(&of(&wanted, &state, role), &mut text);
        let epoch = state.shards[0].epoch;
        assert_eq!(
            text,
            format!(
                "state: generation {}, epochs a {epoch}, b {epoch}, c {epoch}; node b-0 leads 1 voter in term 4\n\
                 the file wants to add shard d; move 4096 slots: see `slotway plan`\n",
                state.generation
            )
        );
        text.clear();
        render(&of(&file(&[("a", ""), ("b", ""), ("c", "")]), &state, Role::default()), &mut text);
        assert!(text.ends_with("; no node leads in term 0\n"), "{text}");
    }
}

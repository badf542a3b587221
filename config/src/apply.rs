//! `slotway apply`: makes the cluster as its file wants it, while it serves.
//!
//! Moves run in the cluster, not here: this command proposes them and looks on, so it can end at any time and be
//! repeated. What it may do is what was agreed to: when the cluster has changed otherwise meanwhile, it stops and says
//! so, rather than move something else.

pub(crate) mod progress;
mod report;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use report::{Report, Terminal};

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::{
    AbortReason, Change, ClusterState, Migration, MoveProgress, Node, Outcome, Phase,
};
use tokio::time::{Instant, sleep};

use crate::control::{ControlError, ControlPlane, Presence};
use crate::plan::{self, Plan, Refusal};
use crate::units::plural;

/// Between two looks at moves.
const POLL: Duration = Duration::from_millis(200);

/// For the process of a new shard, which somebody may have to start by hand.
pub(crate) const START_PATIENCE: Duration = Duration::from_secs(120);

/// How often moves are begun in all when they end for passing reasons.
const MOST_ATTEMPTS: u32 = 5;

/// Why a plan was not carried out to its end. One line.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Refusal(#[from] Refusal),
    #[error("the cluster has changed since the plan was made: {0}")]
    Changed(String),
    #[error("the cluster refused to {what}: {reason}")]
    Refused { what: String, reason: String },
    #[error(
        "node {node} has not started within {} s: start it with `{command}` (a process that has run since the node left \
         the cluster must be stopped first), and apply again", .waited.as_secs()
    )]
    NotStarted { node: String, command: String, waited: Duration },
    #[error(
        "node {node} has not answered for {} s ({reason}): start it with `{command}`, and apply again; what has not \
         moved stays where it is", .waited.as_secs()
    )]
    Silent { node: String, command: String, waited: Duration, reason: String },
    #[error(
        "move {id} from {source_shard} to {target} ended after {moved} of {total} slots: {reason}; the rest stays at \
         {source_shard}"
    )]
    Aborted { id: String, source_shard: String, target: String, moved: usize, total: usize, reason: String },
}

/// What has come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The cluster is as the file wants it.
    Done,
    /// The moves run; nobody looks on.
    Started,
}

/// A plan that somebody has agreed to, on its way into the cluster.
pub(crate) struct Apply<'a, C, R> {
    pub(crate) cluster: &'a mut C,
    pub(crate) report: &'a mut R,
    pub(crate) file: &'a ClusterFile,
    /// The file's name in commands that are shown.
    pub(crate) path: &'a str,
    pub(crate) start_patience: Duration,
    /// Whether moves of this plan may have begun.
    pub(crate) begun: &'a Cell<bool>,
}

impl<C: ControlPlane, R: Report> Apply<'_, C, R> {
    /// Carries out `agreed`. With `detach`, ends as soon as the moves have begun.
    pub(crate) async fn run(&mut self, agreed: &Plan, detach: bool) -> Result<Applied, ApplyError> {
        let mut state = self.cluster.state().await?;
        let mut planned = plan::plan(self.file, &state)?;
        if let Some(difference) = planned.difference(agreed) {
            return Err(ApplyError::Changed(difference));
        }
        self.begun.set(!planned.running.is_empty());
        let routes = Routes::of(agreed);
        for shard in &planned.add {
            self.propose(Change::AddShard { shard: shard.clone() }, &format!("add shard {}", shard.name))
                .await?;
            self.report.say(&format!("shard {} has joined", shard.name));
        }
        let mut attempts = 0;
        loop {
            let joined = agreed.add.iter().map(|shard| shard.name.as_str());
            let targets = planned.moves.iter().map(|planned| planned.target.as_str());
            let needed: BTreeSet<String> = joined.chain(targets).map(str::to_owned).collect();
            self.wait_until_started(&needed).await?;
            let sources = planned.moves.iter().map(|planned| planned.source.clone());
            self.wait_until_answering(&needed.into_iter().chain(sources).collect()).await?;
            if !planned.moves.is_empty() {
                // From here on they may have begun, whatever becomes of the answer.
                self.begun.set(true);
                self.propose(Change::StartMoves { moves: planned.moves.clone() }, "begin the moves").await?;
            }
            if detach {
                return Ok(Applied::Started);
            }
            let running = planned.running.iter().map(|migration| migration.id.clone());
            let ids: Vec<String> =
                running.chain(planned.moves.iter().map(|planned| planned.id.clone())).collect();
            state = self.follow(&ids).await?;
            let ended_early: Vec<(&Migration, &AbortReason)> = ids
                .iter()
                .filter_map(|id| state.migration(id))
                .filter_map(|migration| match &migration.phase {
                    Phase::Aborted(reason) => Some((migration, reason)),
                    Phase::Running | Phase::Finished => None,
                })
                .collect();
            attempts += u32::from(!ended_early.is_empty());
            for (migration, reason) in ended_early {
                if !reason.kind.is_passing() || attempts >= MOST_ATTEMPTS {
                    return Err(aborted(migration, reason));
                }
                self.report.say(&format!(
                    "move {} ended after {} of {}: {reason}; beginning again",
                    migration.id,
                    migration.moved.count(),
                    plural(migration.slots.count(), "slot")
                ));
            }
            planned = plan::plan(self.file, &state)?;
            routes.allow(&planned)?;
            if planned.all_moves().next().is_none() && planned.running.is_empty() {
                break;
            }
        }
        self.finish(&planned).await?;
        Ok(Applied::Done)
    }

    /// What comes after the moves.
    async fn finish(&mut self, planned: &Plan) -> Result<(), ApplyError> {
        for name in &planned.remove {
            self.propose(Change::RemoveShard { name: name.clone() }, &format!("remove shard {name}")).await?;
            self.report.say(&format!("shard {name} has left: stop its processes"));
        }
        if !planned.settings.is_empty() {
            let values =
                planned.settings.iter().map(|change| (change.name.clone(), change.value.clone())).collect();
            self.propose(Change::Set { values }, "change the settings").await?;
            for change in &planned.settings {
                self.report.say(&format!("{} is {} now", change.name, change.to));
            }
        }
        Ok(())
    }

    async fn propose(&mut self, change: Change, what: &str) -> Result<(), ApplyError> {
        match self.cluster.propose(change).await? {
            Outcome::Done { .. } => Ok(()),
            Outcome::Refused(reason) => Err(ApplyError::Refused { what: what.to_owned(), reason }),
        }
    }

    /// Waits until the primaries of these shards have started once.
    async fn wait_until_started(&mut self, shards: &BTreeSet<String>) -> Result<(), ApplyError> {
        let start = Instant::now();
        let mut state = self.cluster.state().await?;
        let mut told = false;
        loop {
            let fresh = shards
                .iter()
                .filter_map(|name| state.shard(name))
                .find_map(|shard| shard.primary().filter(|node| node.incarnation == 0));
            let Some(node) = fresh else { return Ok(()) };
            let command = self.start_command(node);
            if start.elapsed() >= self.start_patience {
                let waited = self.start_patience;
                return Err(ApplyError::NotStarted { node: node.id.clone(), command, waited });
            }
            if !told && start.elapsed() >= POLL {
                told = true;
                self.report.say(&format!(
                    "waiting up to {} s for node {} at {}: start it with `{command}`",
                    self.start_patience.as_secs(),
                    node.id,
                    node.address
                ));
            }
            if let Some(newer) = self.cluster.newer(state.generation).await? {
                state = newer;
            }
            sleep(POLL).await;
        }
    }

    /// Waits until the primaries of these shards answer: moves from or to one that is down would only end early. One that
    /// may be only out of reach from here is named, and left to the cluster.
    async fn wait_until_answering(&mut self, shards: &BTreeSet<String>) -> Result<(), ApplyError> {
        let start = Instant::now();
        let mut told: BTreeSet<String> = BTreeSet::new();
        for name in shards {
            loop {
                let state = self.cluster.state().await?;
                let Some(node) = state.shard(name).and_then(|shard| shard.nodes.first()) else { break };
                let (command, waited) = (self.start_command(node), self.start_patience);
                let reason = match self.cluster.presence(node).await {
                    Presence::Answers => break,
                    Presence::Absent(reason) => reason,
                    Presence::Unclear(reason) => {
                        self.report.say(&format!(
                            "node {} at {} does not answer here ({reason}): if its process is down, start it with `{command}`",
                            node.id, node.address
                        ));
                        break;
                    }
                };
                if start.elapsed() >= waited {
                    return Err(ApplyError::Silent { node: node.id.clone(), command, waited, reason });
                }
                if told.insert(node.id.clone()) {
                    self.report.say(&format!(
                        "waiting up to {} s for node {} at {}, which does not answer: start it with `{command}`",
                        waited.as_secs(),
                        node.id,
                        node.address
                    ));
                }
                sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// What starts the process of a node.
    fn start_command(&self, node: &Node) -> String {
        let local = self.file.node(&node.id).is_none_or(|(_, node)| node.client.is_loopback());
        if local {
            format!("slotway up {}", self.path)
        } else {
            format!("slotway-shard --cluster {} --node {}", self.path, node.id)
        }
    }

    /// Shows moves until they have ended, and gives the state then.
    async fn follow(&mut self, ids: &[String]) -> Result<ClusterState, ApplyError> {
        let mut state = self.cluster.state().await?;
        let mut ended: BTreeSet<String> = BTreeSet::new();
        loop {
            let running: Vec<Migration> =
                state.migrations.iter().filter(|migration| ids.contains(&migration.id)).cloned().collect();
            for migration in ids.iter().filter_map(|id| state.migration(id)) {
                if migration.phase == Phase::Finished && ended.insert(migration.id.clone()) {
                    self.report.ended(migration);
                }
            }
            if running.is_empty() {
                self.report.finish();
                return Ok(state);
            }
            let figures = figures(self.cluster, &state, &running).await;
            self.report.progress(&running, &figures);
            if let Some(newer) = self.cluster.newer(state.generation).await? {
                state = newer;
            }
            sleep(POLL).await;
        }
    }
}

/// What the sources say of these moves, by id. A source that does not answer says nothing: its moves are in the state.
pub(crate) async fn figures<C: ControlPlane>(
    cluster: &mut C,
    state: &ClusterState,
    running: &[Migration],
) -> BTreeMap<String, MoveProgress> {
    let sources: BTreeSet<&str> = running.iter().map(|migration| migration.source.as_str()).collect();
    let mut figures = BTreeMap::new();
    for node in sources.into_iter().filter_map(|name| state.shard(name)?.primary()) {
        for progress in cluster.progress(node).await.unwrap_or_default() {
            figures.insert(progress.id.clone(), progress);
        }
    }
    figures
}

fn aborted(migration: &Migration, reason: &AbortReason) -> ApplyError {
    ApplyError::Aborted {
        id: migration.id.clone(),
        source_shard: migration.source.clone(),
        target: migration.target.clone(),
        moved: migration.moved.count(),
        total: migration.slots.count(),
        reason: reason.text.clone(),
    }
}

/// Where each slot may be taken from and where it must end: what was agreed to.
struct Routes(BTreeMap<u16, Route>);

#[derive(Default)]
struct Route {
    sources: BTreeSet<String>,
    target: String,
}

impl Routes {
    fn of(agreed: &Plan) -> Self {
        let running =
            agreed.running.iter().map(|migration| (&migration.slots, &migration.source, &migration.target));
        let planned = agreed.all_moves().map(|planned| (&planned.slots, &planned.source, &planned.target));
        let mut routes: BTreeMap<u16, Route> = BTreeMap::new();
        for (slots, source, target) in running.chain(planned) {
            for slot in slots.slots() {
                let route = routes.entry(slot).or_default();
                route.sources.insert(source.clone());
                route.target.clone_from(target);
            }
        }
        Self(routes)
    }

    /// An error if a later plan has other moves: somebody else has changed the cluster.
    fn allow(&self, planned: &Plan) -> Result<(), ApplyError> {
        for one in planned.all_moves() {
            let agreed = |slot: &u16| {
                self.0
                    .get(slot)
                    .is_some_and(|route| route.sources.contains(&one.source) && route.target == one.target)
            };
            if let Some(slot) = one.slots.slots().find(|slot| !agreed(slot)) {
                return Err(ApplyError::Changed(format!(
                    "slot {slot} is at {} now and would have to move to {}",
                    one.source, one.target
                )));
            }
        }
        Ok(())
    }
}

//! `slotway up`: the processes of a cluster file that run on this machine, as children.
//!
//! What runs already and belongs to the cluster is left alone. A child that ends is reported and not started again:
//! an operator decides that, with the same command. Children watch a pipe on their standard input, so they stop
//! however this process ends.

mod child;
mod occupancy;
mod output;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use slotway_common::cluster_file::{ClusterFile, Shard};
use slotway_common::handshake::Identity;
use slotway_common::secret::Secret;
use slotway_common::shutdown;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::control::{Control, ControlPlane};
use crate::processes::{Process, Role};
use crate::{CommandError, http};
use child::{Child, Ended};
use occupancy::Occupancy;
use output::Output;

/// Between two looks at processes that are not ready.
const POLL: Duration = Duration::from_millis(50);

/// For an answer of a process on this machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// After this long of waiting it is told what is waited for, and again each time it doubles.
const FIRST_NOTICE: Duration = Duration::from_secs(5);

/// Between two questions whether a node that is not ready belongs to the cluster yet.
const MEMBERSHIP_EVERY: Duration = Duration::from_secs(1);

/// For proxies to drain, then for shards to stop. After that they are killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Signals within this time are one request.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// Starts what is missing, and stays until Ctrl-C or until all children have ended.
pub async fn run(path: &Path, file: ClusterFile) -> Result<ExitCode, CommandError> {
    let mut requests = shutdown::Requests::listen(false).map_err(CommandError::Signals)?;
    let secret = file.secret()?;
    let identity = Identity { cluster: file.cluster.clone(), node: "slotway".to_owned() };
    let (local, elsewhere): (Vec<Process>, Vec<Process>) =
        Process::all(&file).into_iter().partition(Process::is_local);
    if local.is_empty() {
        return Err(CommandError::NothingLocal);
    }
    let output = Arc::new(Output::new(local.iter().map(|process| process.id.as_str())));
    for process in &elsewhere {
        output.say(&format!("{} at {} is on another host: not started", process.id, process.address));
    }

    for process in &local {
        for (port, name) in process.derived_outgoing() {
            output.say(&format!(
                "the {name} port of {}, {port}, is one that the system gives to outgoing connections: write `{name}: PORT` \
                 with a port that it does not",
                process.id
            ));
        }
    }

    // Everything is looked at before anything starts, so that a taken port changes nothing.
    let mut missing = Vec::new();
    for process in &local {
        match occupancy::look(process, &identity, &secret).await? {
            Occupancy::Free => missing.push(process.clone()),
            Occupancy::Member => output.say(&format!("{} is running already: left alone", process.id)),
        }
    }

    let (ended, endings) = mpsc::unbounded_channel();
    let mut cluster = Cluster {
        path,
        file: &file,
        identity,
        secret,
        output,
        children: Vec::new(),
        outside: BTreeSet::new(),
        ended,
        endings,
    };
    let result = tokio::select! {
        reason = requests.next() => {
            cluster.output.say(&format!("{reason}: stopping"));
            Ok(())
        }
        result = cluster.serve(&local, &missing) => result,
    };
    let stopped = tokio::select! {
        () = cluster.stop() => true,
        () = impatience(&mut requests) => false,
    };
    if !stopped {
        cluster.kill().await;
    }
    // All children gone by themselves is a failure, a request to stop is not.
    result.map(|()| ExitCode::SUCCESS)
}

/// A second request to stop, which hurries the first. What tools such as timeout(1) send twice at once counts once.
async fn impatience(requests: &mut shutdown::Requests) {
    let start = Instant::now();
    loop {
        requests.next().await;
        if start.elapsed() > SAME_REQUEST {
            return;
        }
    }
}

struct Cluster<'a> {
    path: &'a Path,
    file: &'a ClusterFile,
    identity: Identity,
    secret: Secret,
    output: Arc<Output>,
    children: Vec<Child>,
    /// Nodes of the file that run and are not in the cluster yet.
    outside: BTreeSet<String>,
    ended: mpsc::UnboundedSender<Ended>,
    endings: mpsc::UnboundedReceiver<Ended>,
}

impl Cluster<'_> {
    fn start(&mut self, process: &Process) -> Result<(), CommandError> {
        let child = Child::start(process, self.path, &self.output, self.ended.clone())?;
        self.output.say(&format!("{} started as process {}", child.id, child.process_id));
        self.children.push(child);
        Ok(())
    }

    /// Starts what is missing, waits until everything is ready, says so, and reports children that end.
    async fn serve(&mut self, local: &[Process], missing: &[Process]) -> Result<(), CommandError> {
        // Shards first: a proxy whose first attempt to connect fails waits before the next one.
        for role in [Role::Shard, Role::Proxy] {
            for process in missing.iter().filter(|process| process.role == role) {
                self.start(process)?;
            }
            self.wait_until_ready(local, role).await?;
            if role == Role::Shard && !missing.is_empty() {
                self.find_outside(local).await;
            }
        }
        let endpoints: Vec<String> = self.file.proxies.iter().map(|proxy| proxy.listen.to_string()).collect();
        let endpoint = match endpoints.as_slice() {
            [] => "the shards' addresses (the file has no proxy)".to_owned(),
            endpoints => endpoints.join(", "),
        };
        let has_joined = |shard: &&Shard| !shard.nodes.iter().any(|node| self.outside.contains(&node.id));
        let shards = self.file.shards.iter().filter(has_joined).count();
        let plural = if shards == 1 { "shard" } else { "shards" };
        let then = if self.children.is_empty() { "" } else { "; Ctrl-C stops it" };
        self.output
            .say(&format!("cluster {} is ready at {endpoint} ({shards} {plural}){then}", self.file.cluster));
        if missing.is_empty() && self.children.is_empty() {
            return Ok(());
        }
        while let Some(ended) = self.endings.recv().await {
            self.children.retain(|child| child.id != ended.id);
            self.report(&ended);
            if self.children.is_empty() {
                return Err(CommandError::AllEnded);
            }
        }
        Ok(())
    }

    fn report(&self, ended: &Ended) {
        let loss = match ended.role {
            Role::Shard => "its slots fail",
            Role::Proxy => "clients cannot connect to it",
        };
        self.output.say(&format!(
            "{} ended ({}): {loss} until it is started again with `slotway up {}`",
            ended.id,
            ended.status,
            self.path.display()
        ));
    }

    async fn wait_until_ready(&mut self, local: &[Process], role: Role) -> Result<(), CommandError> {
        let start = Instant::now();
        let mut next_notice = FIRST_NOTICE;
        let mut next_membership = MEMBERSHIP_EVERY;
        loop {
            let mut waiting = None;
            for process in local.iter().filter(|process| process.role == role) {
                if self.outside.contains(&process.id) {
                    continue;
                }
                match http::get(&process.admin, "/readyz", PATIENCE).await {
                    Ok((true, _)) => {}
                    Ok((false, reason)) => waiting = waiting.or(Some((process, reason))),
                    Err(reason) => {
                        waiting = waiting.or(Some((process, reason)));
                        self.adopt_place_of(process).await?;
                    }
                }
            }
            let Some((process, reason)) = waiting else { return Ok(()) };
            if role == Role::Shard && start.elapsed() >= next_membership {
                self.find_outside(local).await;
                next_membership = start.elapsed() + MEMBERSHIP_EVERY;
            }
            if start.elapsed() >= next_notice {
                next_notice *= 2;
                self.output.say(&format!("still waiting for {}: {reason}", process.id));
            }
            tokio::select! {
                () = sleep(POLL) => {}
                Some(ended) = self.endings.recv() => {
                    self.children.retain(|child| child.id != ended.id);
                    self.output.say(&format!("{} ended ({})", ended.id, ended.status));
                    return Err(CommandError::EndedEarly(ended.id));
                }
            }
        }
    }

    /// Finds nodes that run but are not in the cluster's committed state: they get ready when they have been added, and
    /// that is for an operator to do.
    async fn find_outside(&mut self, local: &[Process]) {
        let Ok(state) = Control::new(self.file, self.secret.clone()).state().await else { return };
        if !state.is_founded() {
            return;
        }
        for process in local.iter().filter(|process| process.role == Role::Shard) {
            if state.node(&process.id).is_none() && self.outside.insert(process.id.clone()) {
                self.output.say(&format!(
                    "{} runs and is not in the cluster yet: `slotway apply {}` adds it",
                    process.id,
                    self.path.display()
                ));
            }
        }
    }

    /// Starts a process that was running when we looked and has ended since, as the last children of a killed
    /// `slotway up` do.
    async fn adopt_place_of(&mut self, process: &Process) -> Result<(), CommandError> {
        if self.children.iter().any(|child| child.id == process.id) {
            return Ok(());
        }
        match occupancy::look(process, &self.identity, &self.secret).await? {
            Occupancy::Member => Ok(()),
            Occupancy::Free => {
                self.output.say(&format!("{} has ended meanwhile: started", process.id));
                self.start(process)
            }
        }
    }

    /// Proxies first, so that shards answer what is in flight.
    async fn stop(&mut self) {
        for role in [Role::Proxy, Role::Shard] {
            for child in self.children.iter_mut().filter(|child| child.role == role) {
                child.ask_to_stop();
            }
            let drained = timeout(STOP_TIMEOUT, async {
                while self.children.iter().any(|child| child.role == role) {
                    let Some(ended) = self.endings.recv().await else { return };
                    self.children.retain(|child| child.id != ended.id);
                }
            });
            if drained.await.is_err() {
                for child in self.children.iter_mut().filter(|child| child.role == role) {
                    self.output.say(&format!("{} does not stop: killed", child.id));
                    child.kill();
                }
            }
        }
        self.wait_for_all().await;
    }

    async fn kill(&mut self) {
        self.output.say("killing what has not stopped");
        self.children.iter_mut().for_each(Child::kill);
        self.wait_for_all().await;
    }

    async fn wait_for_all(&mut self) {
        while !self.children.is_empty() {
            let Some(ended) = self.endings.recv().await else { return };
            self.children.retain(|child| child.id != ended.id);
        }
    }
}

//! A cluster whose slots are moved, and whose processes are made to fail meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;

use slotway_common::cluster_state::{Change, ClusterState, Migration, Move, Outcome, Phase};
use slotway_common::resp::Value;
use slotway_common::slot::{SLOTS, Slot};
use slotway_common::topology::SlotRanges;

use crate::client::Client;
use crate::cluster::{Cluster, Layout, Plan, Up};
use crate::control::ControlPort;
use crate::folder::Folder;
use crate::history::{Loss, Running, tag_of};
use crate::process;
use crate::relay::Relays;
use crate::wait::{wait_for, wait_until};

/// Such a cluster.
pub struct Site {
    pub cluster: Cluster,
    /// What was started later, oldest first.
    ups: Vec<Up>,
    faults: Folder,
    moves: u32,
    /// The nodes keep logs, so that killing one loses nothing.
    has_log: bool,
    relays: Option<Relays>,
    /// What has reached their disks, if that is followed.
    pub(crate) durable: Option<Folder>,
}

impl Site {
    /// Starts a cluster in which faults can be armed, with bugs planted in it (separated by commas; none: empty).
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(plan: &Plan, planted: &str) -> Site {
        Site::start_with(plan, planted, None, None)
    }

    /// Starts a cluster whose links can be cut.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_behind_relays(plan: &Plan) -> Site {
        Site::start_with(plan, "", Some(Relays::new().expect("relays")), None)
    }

    pub(crate) fn start_with(
        plan: &Plan,
        planted: &str,
        mut relays: Option<Relays>,
        durable: Option<Folder>,
    ) -> Site {
        let faults = Folder::new().expect("a folder for faults");
        let mut environment = vec![
            ("SLOTWAY_FAULTS".to_owned(), faults.path().display().to_string()),
            ("SLOTWAY_PLANTED".to_owned(), planted.to_owned()),
        ];
        if let Some(relays) = &relays {
            environment.push(("SLOTWAY_DETOURS".to_owned(), relays.table().display().to_string()));
        }
        if let Some(folder) = &durable {
            environment.push(("SLOTWAY_DURABLE".to_owned(), folder.path().display().to_string()));
        }
        let has_log = !plan.settings.iter().any(|(name, value)| name == "appendonly" && value == "no");
        let prepare = |layout: &Layout| relays.as_mut().map_or(Ok(()), |relays| relays.place(layout));
        let cluster = Cluster::start_prepared(plan, &environment, prepare).expect("the cluster starts");
        let site = Site { cluster, ups: Vec::new(), faults, moves: 0, has_log, relays, durable };
        wait_until("the starts of all nodes are committed", || {
            site.state().shards.iter().flat_map(|shard| &shard.nodes).all(|node| node.incarnation != 0)
        });
        site
    }

    /// What the links of the cluster go through.
    ///
    /// # Panics
    /// When it was started without relays.
    #[must_use]
    pub fn relays(&self) -> &Relays {
        self.relays.as_ref().expect("a cluster behind relays")
    }

    /// The shard whose node leads the others.
    ///
    /// # Panics
    /// When there is none for a long time.
    #[must_use]
    pub fn leader(&self) -> String {
        wait_for("a leader", || {
            self.nodes().into_iter().find_map(|node| {
                let status = ControlPort::open(self.cluster.layout(), &node).ok()?.status().ok()?;
                let leader = status["leader"].as_str()?;
                leader
                    .strip_suffix("-0")
                    .filter(|_| self.nodes().iter().any(|known| known == leader))
                    .map(str::to_owned)
            })
        })
    }

    /// Has the next process that comes to a point do something there: `kill` or `pause <milliseconds>`.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn arm(&self, point: &str, action: &str) {
        // Written whole: a process may look at any time.
        let unfinished = self.faults.path().join(format!(".{point}"));
        std::fs::write(&unfinished, action).expect("a fault is written");
        std::fs::rename(unfinished, self.fault(point)).expect("a fault is armed");
    }

    fn fault(&self, point: &str) -> PathBuf {
        self.faults.path().join(point)
    }

    /// Waits until an armed fault has happened.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_for_fault(&self, point: &str) {
        wait_until(&format!("a process comes to {point}"), || !self.fault(point).exists());
    }

    /// Every node of the cluster file.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.cluster.layout().nodes.iter().map(|node| node.id.clone()).collect()
    }

    /// The process that runs as a node or proxy, or ran last.
    #[must_use]
    pub fn process(&self, id: &str) -> u32 {
        let later = self.ups.iter().rev().find_map(|up| up.started(id));
        later.unwrap_or_else(|| self.cluster.process_id(id))
    }

    /// Nodes whose processes have ended.
    #[must_use]
    pub fn dead(&self) -> Vec<String> {
        let mut nodes = self.nodes();
        nodes.retain(|node| !process::is_running(self.process(node)));
        nodes
    }

    /// Kills a node or proxy as `kill -9` does, and waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill(&self, id: &str) {
        let process = self.process(id);
        process::signal(process, "KILL");
        wait_until("a killed process ends", || !process::is_running(process));
    }

    /// Stops or continues a process.
    pub fn signal(&self, id: &str, name: &str) {
        process::signal(self.process(id), name);
    }

    /// Disarms a fault that may not have happened.
    pub fn disarm(&self, point: &str) {
        // It may have happened.
        let _ = std::fs::remove_file(self.fault(point));
    }

    /// Starts what does not run, and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    pub fn restart(&mut self) {
        self.ups.push(self.cluster.start_missing().expect("killed processes start again"));
    }

    /// Starts what does not run, and has the process that comes to a point on its way killed there.
    ///
    /// # Panics
    /// When none does.
    pub fn restart_and_die(&mut self, point: &str) {
        self.arm(point, "kill");
        self.ups.push(self.cluster.layout().up().expect("slotway up starts"));
        self.wait_for_fault(point);
        wait_until(&format!("a process dies at {point}"), || !self.dead().is_empty());
    }

    /// Starts what does not run, and gives the node's line with `text`, which says why it cannot start.
    ///
    /// # Panics
    /// When it can, or says something else.
    pub fn restart_and_fail(&mut self, node: &str, text: &str) -> String {
        let mut up = self.cluster.layout().up().expect("slotway up starts");
        assert!(up.wait_until_ready().is_err(), "{node} starts");
        let said = up.wait_for_line(text);
        self.ups.push(up);
        assert!(said.starts_with(node), "{said}");
        said
    }

    /// The directory of a node's log.
    ///
    /// # Panics
    /// When the cluster's directory is gone.
    #[must_use]
    pub fn log_directory(&self, node: &str) -> PathBuf {
        let directory = self.cluster.layout().directory().canonicalize().expect("the cluster's directory");
        directory.join("data/test").join(node).join("log")
    }

    /// Starts a new shard's process, which waits to be added.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_new_shard(&mut self, name: &str) {
        let up = self.cluster.layout().up().expect("slotway up starts");
        up.wait_for_line(&format!("{name}-0 started as process"));
        self.ups.push(up);
    }

    /// The newest state that a node knows.
    ///
    /// # Panics
    /// When no node answers.
    #[must_use]
    pub fn state(&self) -> ClusterState {
        wait_for("a node tells the state", || {
            let dead = self.dead();
            let living = self.nodes().into_iter().filter(|node| !dead.contains(node));
            living
                .filter_map(|node| ControlPort::open(self.cluster.layout(), &node).ok()?.state().ok())
                .filter(ClusterState::is_founded)
                .max_by_key(|state| state.generation)
        })
    }

    /// Has the cluster make a change.
    ///
    /// # Panics
    /// When no outcome is known for a long time.
    pub fn propose(&self, change: &Change) -> Outcome {
        wait_for("a change is decided", || {
            // A node may die of an armed fault at any time.
            let dead = self.dead();
            let living = self.nodes().into_iter().find(|node| !dead.contains(node))?;
            ControlPort::open(self.cluster.layout(), &living).ok()?.propose(change.clone()).ok()
        })
    }

    /// Begins a move and gives its id.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn begin_move(&mut self, source: &str, target: &str, slots: &SlotRanges) -> String {
        self.moves += 1;
        let id = format!("move-{}", self.moves);
        let (source, target, slots) = (source.to_owned(), target.to_owned(), slots.clone());
        let moves = vec![Move { id: id.clone(), source, target, slots }];
        let outcome = self.propose(&Change::StartMoves { moves });
        assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
        id
    }

    /// Waits until a move has ended, and tells how.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end_of_move(&self, id: &str) -> Migration {
        wait_for(&format!("move {id} ends"), || {
            let found = self.state().migration(id).cloned()?;
            (found.phase != Phase::Running).then_some(found)
        })
    }

    /// Moves slots, and does not take no for an answer.
    ///
    /// # Panics
    /// When the move does not end well.
    pub fn move_slots(&mut self, source: &str, target: &str, slots: &SlotRanges) {
        let id = self.begin_move(source, target, slots);
        let ended = self.end_of_move(&id);
        assert_eq!(ended.phase, Phase::Finished, "{ended:?}");
    }

    /// Moves what is left of a move that has ended.
    ///
    /// # Panics
    /// When that does not end well.
    pub fn move_rest(&mut self, ended: &Migration) {
        let rest = ended.remaining();
        if !rest.is_empty() {
            self.move_slots(&ended.source, &ended.target, &rest);
        }
    }

    /// Begins a move, has the process that comes to a point of it killed there, starts it again, and gives the move as it
    /// ended then, and what was lost: the keys of the slots that the killed shard is left with, or none if there are logs.
    ///
    /// # Panics
    /// When no process is killed, or the move does not end.
    pub fn move_with_a_death(
        &mut self,
        point: &str,
        (source, target): (&str, &str),
        slots: &SlotRanges,
        load: &Running,
    ) -> (Migration, Loss) {
        let from = load.now();
        self.arm(point, "kill");
        let id = self.begin_move(source, target, slots);
        let dead = wait_for(&format!("a process dies at {point}"), || self.dead().pop());
        let until = load.now();
        self.restart();
        let ended = self.end_of_move(&id);
        let done = ended.moved.count();
        eprintln!("{point}: {dead} died; {id} is {:?} with {done} slots moved", ended.phase);
        let state = self.state();
        let (shard, _) = state.node(&dead).expect("the killed node belongs to the cluster");
        let slots = if self.has_log { Vec::new() } else { shard.slots.slots().collect() };
        (ended, Loss { slots, from, until })
    }

    /// The first `count` slots of a shard.
    ///
    /// # Panics
    /// When it has fewer.
    #[must_use]
    pub fn slots_of(&self, shard: &str, count: usize) -> SlotRanges {
        let state = self.state();
        let owned = &state.shard(shard).expect("a shard of that name").slots;
        assert!(owned.count() >= count, "shard {shard} has {owned}");
        owned.slots().take(count).collect()
    }

    /// Checks that every slot has one owner, that all nodes agree on it, and that the owner alone serves it.
    ///
    /// # Panics
    /// When that does not get so.
    pub fn assert_one_owner_each(&self, some: &[Slot]) {
        let state = wait_for("all nodes know the same state", || {
            let states: Option<Vec<ClusterState>> = self
                .nodes()
                .iter()
                .map(|node| ControlPort::open(self.cluster.layout(), node).ok()?.state().ok())
                .collect();
            let states = states?;
            let first = states.first()?.clone();
            states.iter().all(|state| *state == first).then_some(first)
        });
        for slot in 0..SLOTS {
            let owners = state.shards.iter().filter(|shard| shard.slots.contains(slot)).count();
            assert_eq!(owners, 1, "slot {slot} has {owners} owners");
        }
        let mut clients: BTreeMap<&str, Client> = BTreeMap::new();
        for shard in &state.shards {
            let node = self.cluster.layout().nodes.iter().find(|node| node.id == format!("{}-0", shard.name));
            let node = node.expect("a node for each shard");
            clients.insert(&shard.name, Client::connect(node.address).expect("each shard is there"));
        }
        for slot in some.iter().copied().chain((0..SLOTS).step_by(199)) {
            let key = format!("nothing:{{{}}}", tag_of(slot));
            for shard in &state.shards {
                let client = clients.get_mut(shard.name.as_str()).expect("a client for each shard");
                wait_until(&format!("shard {} knows that slot {slot} is its own or not", shard.name), || {
                    let reply = client.call(&["GET", &key]).expect("a shard answers");
                    match &reply {
                        null if null.is_null() => shard.slots.contains(slot),
                        Value::Error(text) if text.starts_with(b"MOVED ") => !shard.slots.contains(slot),
                        other => panic!("slot {slot} at shard {}: {other}", shard.name),
                    }
                });
            }
        }
    }
}

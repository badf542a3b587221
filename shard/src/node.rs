//! What a shard process knows beside its data: who it is, who is connected, what it is set to, and
//! what it has counted.

mod adopt;
mod call;
mod counters;
mod events;
mod following;
mod metrics;
pub mod settings;
mod tracking;

pub use call::{Function, Handlers, NodeCall, NodeHandler};
pub use counters::{Rates, ServerStats};

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slotway_common::acl::{AclLog, Users};
use slotway_common::cluster_state::ClusterState;
use slotway_common::command::Command;
use slotway_common::error::Error;
use slotway_common::fault;
use slotway_common::handshake::Identity;
use slotway_common::latency::Latency;
use slotway_common::platform::{clock, random};
use slotway_common::secret::Secret;
use slotway_common::slot::Slot;
use slotway_common::slow_log::SlowLog;
use slotway_common::topology::{SlotMap, Topology};

use crate::blocked::Blocked;
use crate::changes::{Changes, Executed};
use crate::client::{Client, Clients, Waits};
use crate::engine::Engine;
use crate::locks::Locks;
use crate::log::load::Loaded;
use crate::log::{Fsync, Log};
use crate::metrics::{BusySlots, ShardCells};
use crate::migration::Moves;
use crate::monitor::Monitors;
use crate::parts::Parts;
use crate::pubsub::PubSub;
use crate::role::{Durability, Standing};
use crate::script::Scripts;
use crate::settings::{HotSettings, NodeSettings};
use crate::tracking::Trackers;

/// The data and everything around it, owned by the data thread.
pub struct Shard {
    pub engine: Engine,
    pub node: Node,
}

impl Shard {
    /// What reading the log fills.
    pub fn loaded(&mut self) -> Loaded<'_> {
        let Node { log, changes, moves, parts, .. } = &mut self.node;
        Loaded { engine: &mut self.engine, log, changes, arrived: &mut moves.arrived, parts }
    }
}

/// Which commands CLIENT PAUSE holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseScope {
    Writes,
    All,
}

/// A pause in force.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    /// Milliseconds since 1970.
    pub until: i64,
    pub scope: PauseScope,
}

/// The process around the engine.
pub struct Node {
    pub identity: Identity,
    pub secret: Option<Secret>,
    /// 40 hexadecimal digits, new at every start.
    pub run_id: String,
    pub started_at: i64,
    /// Bytes that were allocated before there was any data.
    pub startup_bytes: u64,
    /// The number of this process among all that have been this node.
    pub incarnation: u64,
    /// Its shard's name and its client address, as its file has them.
    pub shard: String,
    pub address: String,
    /// The committed state that is in force here.
    pub state: Arc<ClusterState>,
    /// Of the state.
    pub topology: Rc<Topology>,
    pub slot_map: SlotMap,
    /// How many slots of it this shard owns.
    assigned: usize,
    /// This shard's place in the topology; `usize::MAX` when it is not there.
    pub shard_index: usize,
    /// The same while this node serves its shard's slots, otherwise `usize::MAX`.
    serving_index: usize,
    /// Why it does not serve them, in one line.
    not_serving: Option<String>,
    pub handlers: &'static Handlers,
    pub standing: Standing,
    /// How long reading the log took, and the keys that it has brought.
    pub loaded: Option<(Duration, u64)>,
    /// What happens to the data, numbered.
    pub changes: Changes,
    pub log: Log,
    /// The id of the cluster that what was read belongs to.
    pub log_cluster: Option<String>,
    pub clients: Clients,
    /// Who may do what.
    pub users: Rc<Users>,
    pub acl_log: AclLog,
    pub settings: NodeSettings,
    pub hot: HotSettings,
    pub stats: ServerStats,
    pub slow_log: SlowLog,
    pub latency: Latency,
    pub monitors: Monitors,
    /// What a proxy is told before the reply to what it has just sent.
    pub told: Vec<u8>,
    pub blocked: Blocked,
    pub pubsub: PubSub,
    pub tracking: Trackers,
    pub scripts: Scripts,
    pub pause: Option<Pause>,
    /// Connections of proxies that have been told that there is memory left, and are to be told when there is not.
    pub told_room: Vec<Rc<Client>>,
    /// An engine without data, kept for questions of proxies about calls that cannot run.
    pub empty_engine: Option<Box<Engine>>,
    /// Whether expired keys are removed that nobody asks for; DEBUG switches it.
    pub active_expire: bool,
    /// Who holds slots.
    pub locks: Locks,
    /// Its parts of transactions across shards.
    pub parts: Parts,
    /// Slots on their way to or from other shards.
    pub moves: Moves,
    /// Set by SHUTDOWN and signals: the server stops.
    pub stopping: bool,
    pub busy_slots: Arc<BusySlots>,
    cells: Arc<ShardCells>,
}

impl Node {
    /// A node that has not heard of the cluster's state yet.
    #[must_use]
    pub fn new(
        identity: Identity,
        secret: Option<Secret>,
        incarnation: u64,
        cells: Arc<ShardCells>,
        handlers: &'static Handlers,
    ) -> Self {
        let topology =
            Topology { version: 0, cluster: identity.cluster.clone(), id: String::new(), shards: Vec::new() };
        Self {
            identity,
            secret,
            run_id: random::hex_id::<20>(),
            started_at: clock::now_ms(),
            startup_bytes: 0,
            incarnation,
            shard: String::new(),
            address: String::new(),
            state: Arc::default(),
            slot_map: topology.slot_map(),
            assigned: 0,
            topology: Rc::new(topology),
            shard_index: usize::MAX,
            serving_index: usize::MAX,
            not_serving: Some("the cluster has not been founded yet".to_owned()),
            handlers,
            standing: Standing::default(),
            loaded: None,
            changes: Changes::default(),
            log: Log::default(),
            log_cluster: None,
            clients: Clients::default(),
            users: Rc::default(),
            acl_log: AclLog::default(),
            settings: NodeSettings::default(),
            hot: HotSettings::default(),
            stats: ServerStats::default(),
            slow_log: SlowLog::default(),
            latency: Latency::default(),
            monitors: Monitors::default(),
            told: Vec::new(),
            blocked: Blocked::default(),
            pubsub: PubSub::default(),
            tracking: Trackers::default(),
            scripts: Scripts::default(),
            pause: None,
            told_room: Vec::new(),
            empty_engine: None,
            active_expire: true,
            locks: Locks::default(),
            parts: Parts::default(),
            moves: Moves::default(),
            stopping: false,
            busy_slots: Arc::default(),
            cells,
        }
    }

    /// True when this shard owns the slot and this node serves it.
    #[must_use]
    #[inline]
    pub fn owns(&self, slot: Slot) -> bool {
        self.slot_map.shard_of(slot) == Some(self.serving_index)
    }

    /// Slots that the shard owns, whether this node serves them or not.
    #[must_use]
    pub fn assigned(&self) -> usize {
        self.assigned
    }

    /// Slots that this node serves.
    #[must_use]
    pub fn owned(&self) -> usize {
        if self.not_serving.is_none() { self.assigned() } else { 0 }
    }

    /// Why this node serves no slots.
    #[must_use]
    pub fn not_serving(&self) -> Option<&str> {
        self.not_serving.as_deref()
    }

    /// Refuses what needs a slot while this node serves none. Another process of the cluster is told which shard that is.
    ///
    /// # Errors
    /// `CLUSTERDOWN`.
    pub fn check_serving(&self, internal: bool) -> Result<(), Error> {
        match &self.not_serving {
            // Whatever the cluster has committed.
            _ if self.standing.loading().is_some() => Err(Error::Loading),
            None => Ok(()),
            Some(_) if !internal => Err(Error::ClusterDown("Hash slot not served".into())),
            Some(reason) => Err(Error::ClusterDown(
                format!("shard '{}' at {} is down: {reason}", self.shard, self.address).into(),
            )),
        }
    }

    /// Whether messages to a channel of that slot are sent from here, whatever runs.
    #[must_use]
    pub fn has_channel(&self, slot: Slot) -> bool {
        self.not_serving.is_none() && self.slot_map.shard_of(slot) == Some(self.shard_index)
    }

    /// While commands run on copies of keys this node serves no slot: each key is looked at by itself.
    pub fn set_aside(&mut self, on: bool) {
        let serving = self.not_serving.is_none() && !on;
        self.serving_index = if serving { self.shard_index } else { usize::MAX };
    }

    /// True when this shard runs commands on the slot now.
    #[must_use]
    #[inline]
    pub fn serves(&self, slot: Slot) -> bool {
        self.owns(slot) && self.locks.holder(slot).is_none()
            || fault::planted("target-serves-early") && self.moves.arrived.contains_key(&slot)
    }

    /// The client address of the slot's owner, if it has one.
    #[must_use]
    pub fn owner_address(&self, slot: Slot) -> Option<&str> {
        let shard = self.topology.shards.get(self.slot_map.shard_of(slot)?)?;
        shard.primary().map(|node| node.address.as_str())
    }

    /// The error that sends a client to the owner of a slot.
    #[must_use]
    pub fn moved(&self, slot: Slot) -> Error {
        match self.owner_address(slot) {
            Some(address) => Error::Moved { slot, address: address.to_owned() },
            None => Error::ClusterDown("Hash slot not served".into()),
        }
    }

    /// Notes for the metrics how long a command took, whoever it was for.
    #[inline]
    pub fn observe(&mut self, command: &Command, took: Duration) {
        self.cells.observe(command, took.as_nanos() as u64);
    }

    /// Notes for the metrics how long so many slots were parked.
    pub fn observe_park(&self, parked: Duration, slots: u64) {
        self.cells.slot_park_duration.observe_many(parked.as_nanos() as u64, slots);
    }

    /// Notes for the metrics how long a part of a transaction has waited for its slots and held them.
    pub fn observe_part(&self, took: Duration) {
        self.cells.transaction_part_duration.observe_nanoseconds(took.as_nanos() as u64);
    }

    /// The log has failed: nothing more is written. With `appendfsync always` nothing is read either, since it could show
    /// what is not on disk.
    pub fn stop_writing(&mut self, reason: String) {
        let hides_data = self.log.fsync() == Fsync::Always;
        self.standing.set_durability(Durability::Failed { reason: reason.clone(), hides_data });
        self.log.fail(reason);
    }

    /// Passes on what a command, expiry or eviction has changed; `executed` is the command. True when the writer should slow
    /// down, because the slots that it writes to are moving.
    #[inline]
    pub fn note_changes(&mut self, engine: &mut Engine, executed: Option<&Executed<'_>>) -> bool {
        let is_copied = self.changes.note(engine, executed);
        self.log.hand_over_much(&mut self.changes);
        is_copied && self.moves.is_congested(&self.changes)
    }

    /// Takes note that a proxy has been told that there is memory left.
    pub fn tell_room(&mut self, client: &Rc<Client>) {
        if !self.told_room.iter().any(|told| told.id == client.id) {
            self.told_room.push(client.clone());
        }
    }

    /// Tells proxies that there is no memory left any more, so that they ask before their clients queue commands.
    #[cold]
    pub fn tell_full(&mut self) {
        for client in std::mem::take(&mut self.told_room) {
            client.push(b">1\r\n$4\r\nfull\r\n");
        }
    }

    /// Clients that wait for data, or for the end of a pause.
    #[must_use]
    pub fn waiting_clients(&self) -> usize {
        let paused = self.clients.iter().filter(|client| client.waits.get() == Waits::Pause);
        self.blocked.len() + paused.count()
    }
}

//! What the hosts of one simulation, its clients and its faults have in common. All of it belongs to one thread.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::ClusterState;
use slotway_common::secret::Secret;
use slotway_common::slot::Slot;
use slotway_shard::control::Control;
use slotway_shard::server::Window;
use slotway_tests::history::{Commands, History, Keys};

/// A process that runs as a node.
pub struct Process {
    pub incarnation: u64,
    pub window: Window,
    pub control: Control,
}

/// Whether the data thread of a node stands still.
#[derive(Default)]
pub struct Pause {
    pub paused: Cell<bool>,
    pub waker: RefCell<Option<Waker>>,
}

/// See the module.
pub struct Shared {
    pub seed: u64,
    pub file: ClusterFile,
    pub secret: Secret,
    pub keys: Keys,
    /// The slots that they are in, and that move.
    pub slots: Vec<Slot>,
    /// The nodes' processes by node id.
    pub processes: RefCell<BTreeMap<String, Process>>,
    pub pauses: BTreeMap<String, Pause>,
    /// What clients have done and seen.
    pub history: RefCell<History>,
    /// Clients' next numbers, which outlive the proxy.
    pub numbers: RefCell<BTreeMap<u32, u32>>,
    /// No more moves are begun.
    pub quiet: Cell<bool>,
    /// Clients stop.
    pub stop: Cell<bool>,
    /// Clients that have not stopped yet.
    pub working: RefCell<BTreeSet<u32>>,
    /// What each client sends.
    pub commands: RefCell<BTreeMap<u32, Commands>>,
    /// The keys are read for the last time.
    pub last_reads: Cell<bool>,
    pub done: Cell<bool>,
    pub trace: RefCell<Trace>,
    /// What must never be and was.
    pub wrong: RefCell<Vec<String>>,
    /// States that a proxy has come to by the changes that it was told.
    pub followed: RefCell<Vec<ClusterState>>,
    /// A move that is to be aborted at once.
    pub to_abort: RefCell<Option<String>>,
    /// How many moves have been begun.
    pub moves: Cell<u32>,
}

impl Shared {
    /// Notes an event.
    pub fn note(&self, event: impl AsRef<str>) {
        self.trace.borrow_mut().note(now(), event.as_ref());
    }

    /// Shows what goes over a connection, if the trace is shown at all. No part of the trace.
    pub fn show(&self, what: &str, where_to: impl std::fmt::Debug, bytes: &[u8]) {
        if self.trace.borrow().shown {
            let text: String =
                String::from_utf8_lossy(bytes).replace("\r\n", " ").chars().take(600).collect();
            println!("{:>10.3} ms  | {what} {where_to:?}: {text}", now() as f64 / 1000.0);
        }
    }

    /// Notes that something has happened that must not.
    pub fn wrong(&self, what: String) {
        self.note(format!("WRONG: {what}"));
        let mut wrong = self.wrong.borrow_mut();
        if wrong.len() < 20 && !wrong.contains(&what) {
            wrong.push(what);
        }
    }

    /// The next number among a client's commands.
    pub fn number(&self, client: u32) -> u32 {
        let mut numbers = self.numbers.borrow_mut();
        let number = numbers.entry(client).or_default();
        *number += 1;
        *number
    }
}

/// Simulated time since the simulation began.
pub fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_else(|| TIME.get())
}

thread_local! {
    /// For who is no host.
    static TIME: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Tells who is no host the time.
pub fn set_time(elapsed: Duration) {
    TIME.set(elapsed);
}

/// The same in microseconds.
pub fn now() -> u64 {
    u64::try_from(elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Everything that has happened, as a digest, and as lines if they are wanted.
#[derive(Default)]
pub struct Trace {
    pub hasher: DefaultHasher,
    pub events: u64,
    pub shown: bool,
}

impl Trace {
    fn note(&mut self, time: u64, event: &str) {
        (time, event).hash(&mut self.hasher);
        self.events += 1;
        if self.shown {
            println!("{:>10.3} ms  {event}", time as f64 / 1000.0);
        }
    }

    pub fn digest(&self) -> u64 {
        self.hasher.finish()
    }
}

/// Shared by everybody.
pub type Common = Rc<Shared>;

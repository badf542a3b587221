//! One simulation from its beginning to its end.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::Phase;
use slotway_common::platform::simulation;
use slotway_common::secret::Secret;
use slotway_tests::history::{Errors, Keys};

use crate::faults::{Faults, LATENCY};
use crate::invariants::Invariants;
use crate::shared::{Shared, Trace, set_time};
use crate::{clients, node, operator};

/// The cluster: three voters, and one that only learns and owns nothing at first.
const FILE: &str = "\
cluster: simulated
shards:
  - { name: a, slots: 0-5460, nodes: ['a:7001'] }
  - { name: b, slots: 5461-10922, nodes: ['b:7001'] }
  - { name: c, slots: 10923-16383, nodes: ['c:7001'] }
  - { name: d, slots: [], nodes: ['d:7001'] }
";
/// Simulated time in which things go wrong, and the longest that it may take until everything has come to rest.
const TROUBLE: Duration = Duration::from_secs(12);
const REST: Duration = Duration::from_secs(45);
/// One step.
const TICK: Duration = Duration::from_millis(1);

/// What came of a simulation.
pub struct Report {
    /// What was wrong, one line each.
    pub wrong: Vec<String>,
    /// The same for the same seed.
    pub digest: u64,
    pub events: u64,
    pub commands: usize,
    pub moves: u32,
    /// Of the last 64 that have ended.
    pub finished: usize,
    pub losses: usize,
    pub elapsed: Duration,
}

/// Runs the simulation of a seed. A process can do this once.
pub fn run(seed: u64, shown: bool) -> Result<Report> {
    simulation::enter(seed);
    let file = ClusterFile::of_bytes(Path::new("simulated"), FILE.as_bytes())?;
    // Four of each third of the slots.
    let slots: Vec<u16> = [40, 5500, 11000].into_iter().flat_map(|first| first..first + 4).collect();
    let nodes: Vec<(String, String, std::path::PathBuf)> = file
        .shards
        .iter()
        .flat_map(|shard| {
            shard.nodes.iter().map(|node| (shard.name.clone(), node.id.clone(), node.directory.clone()))
        })
        .collect();
    let common = Rc::new(Shared {
        seed,
        secret: Secret::from_bytes(b"the secret of a simulated cluster"),
        keys: Keys::new("s", slots.iter().copied()),
        slots,
        file,
        processes: RefCell::default(),
        pauses: nodes.iter().map(|(_, id, _)| (id.clone(), Default::default())).collect(),
        history: RefCell::default(),
        numbers: RefCell::default(),
        working: RefCell::default(),
        commands: RefCell::default(),
        quiet: Cell::new(false),
        stop: Cell::new(false),
        last_reads: Cell::new(false),
        done: Cell::new(false),
        trace: RefCell::new(Trace { shown, ..Trace::default() }),
        wrong: RefCell::default(),
        followed: RefCell::default(),
        to_abort: RefCell::default(),
        moves: Cell::new(0),
    });
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .min_message_latency(Duration::ZERO)
        .max_message_latency(LATENCY)
        .simulation_duration(TROUBLE + REST * 10)
        .tcp_capacity(4096)
        .enable_random_order()
        .build();
    for (host, id, _) in &nodes {
        let (common, id) = (Rc::clone(&common), id.clone());
        sim.host(host.as_str(), move || node::run(Rc::clone(&common), id.clone()));
    }
    let shared = Rc::clone(&common);
    sim.host("proxy", move || clients::run(Rc::clone(&shared)));
    let shared = Rc::clone(&common);
    sim.host("direct", move || clients::run_direct(Rc::clone(&shared)));
    let shared = Rc::clone(&common);
    sim.host("operator", move || operator::run(Rc::clone(&shared)));
    let hosts = nodes.iter().map(|(host, ..)| host.clone()).chain(["proxy".to_owned()]).collect();
    let count = nodes.len();
    let mut faults = Faults::new(&common, hosts, nodes);
    let mut invariants = Invariants::new(&common);
    let mut rested_at = None;
    while common.wrong.borrow().is_empty() && !common.done.get() {
        sim.step().map_err(|error| anyhow::anyhow!("{error}"))?;
        set_time(sim.elapsed());
        let visited = simulation::visited();
        visited.iter().for_each(|place| common.note(place));
        invariants.check(&faults.deaths);
        let is_peaceful = sim.elapsed() > TROUBLE;
        faults.step(&mut sim, &visited, is_peaceful);
        if !is_peaceful {
            continue;
        }
        common.quiet.set(true);
        if rested_at.is_none() && invariants.is_settled(count) {
            common.note("all is at rest");
            common.stop.set(true);
            rested_at = Some(sim.elapsed());
        }
        if common.stop.get() && common.working.borrow().is_empty() {
            common.last_reads.set(true);
        }
        if sim.elapsed() > TROUBLE + REST {
            let what = match rested_at {
                None => format!("it does not come to rest: {}", invariants.unrest()),
                Some(_) if common.last_reads.get() => "the keys cannot be read at the end".to_owned(),
                Some(_) => format!("clients {:?} get no replies", common.working.borrow()),
            };
            common.wrong(what);
        }
    }
    let mut wrong = common.wrong.borrow().clone();
    if wrong.is_empty() {
        wrong = common.history.borrow().check(Errors::OfFaults);
    }
    let (commands, losses) = {
        let history = common.history.borrow();
        (history.acknowledged(), history.losses.len())
    };
    let finished = {
        let processes = common.processes.borrow();
        let ended = processes.values().map(|process| {
            let state = process.control.state();
            state.ended.iter().filter(|ended| ended.phase == Phase::Finished).count()
        });
        ended.max().unwrap_or(0)
    };
    let (digest, events) = (common.trace.borrow().digest(), common.trace.borrow().events);
    let elapsed = sim.elapsed();
    // Hosts end in an order that nobody has chosen, and have nothing to say any more.
    std::mem::forget(sim);
    Ok(Report { wrong, digest, events, commands, moves: common.moves.get(), finished, losses, elapsed })
}

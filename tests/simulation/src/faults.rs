//! What goes wrong: hosts crash and start again, links hang, connections break, threads stand still.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use slotway_common::cluster_state::{ClusterState, Migration};
use slotway_common::platform::simulation::{disk, net};
use turmoil::Sim;

use crate::shared::Common;

/// Milliseconds between two faults, on average: in each simulation one of these.
const EVERY: [u32; 4] = [150, 400, 1000, 3000];
/// One fault in so many times that a move comes to one of its steps.
const AT_STEP: [u32; 4] = [8, 20, 60, 1000];
/// One move in so many is aborted while its slots are parked.
const ABORTED: u32 = 8;
/// Milliseconds that faults last at most.
const LONGEST: [u64; 3] = [40, 600, 3000];
/// Milliseconds that a message takes at most, when nothing is wrong, and when its link is slow.
pub const LATENCY: Duration = Duration::from_millis(4);
const SLOW: Duration = Duration::from_millis(120);

/// What ends a fault.
#[derive(Clone, Debug)]
enum Cure {
    /// A host starts again.
    Start(String),
    /// So does one that was off, and the network with it.
    PowerOn(String),
    /// Messages that were held back go on.
    Release(String, String),
    /// A data thread goes on.
    Unpause(String),
    /// A link is fast again.
    Fast(String, String),
}

/// See the module.
pub struct Faults {
    common: Common,
    random: SmallRng,
    /// Hosts of nodes with the nodes' ids and directories.
    nodes: Vec<(String, String, PathBuf)>,
    /// All hosts.
    hosts: Vec<String>,
    dead: BTreeSet<String>,
    held: BTreeSet<(String, String)>,
    cures: Vec<(Duration, Cure)>,
    every: u32,
    at_step: u32,
    /// When the process of an incarnation has died, in microseconds.
    pub deaths: BTreeMap<u64, u64>,
}

impl Faults {
    pub fn new(common: &Common, hosts: Vec<String>, nodes: Vec<(String, String, PathBuf)>) -> Self {
        let mut random = SmallRng::seed_from_u64(common.seed ^ 0xfa17);
        Self {
            common: common.clone(),
            every: EVERY.choose(&mut random).copied().unwrap_or(1),
            at_step: AT_STEP.choose(&mut random).copied().unwrap_or(1),
            random,
            nodes,
            hosts,
            dead: BTreeSet::new(),
            held: BTreeSet::new(),
            cures: Vec::new(),
            deaths: BTreeMap::new(),
        }
    }

    /// To be called after each step. `visited`: steps of moves that some hosts have come to.
    pub fn step(&mut self, sim: &mut Sim<'_>, visited: &[&'static str], is_peaceful: bool) {
        let due: Vec<Cure> = {
            let now = sim.elapsed();
            let (due, later) = std::mem::take(&mut self.cures)
                .into_iter()
                .partition::<Vec<_>, _>(|(when, _)| is_peaceful || *when <= now);
            self.cures = later;
            due.into_iter().map(|(_, cure)| cure).collect()
        };
        for cure in due {
            self.cure(sim, &cure);
        }
        if is_peaceful {
            return;
        }
        if self.random.random_ratio(1, self.every) {
            let any = self.hosts.choose(&mut self.random).cloned();
            self.fail(sim, any);
        }
        let is_parked = visited.iter().any(|step| matches!(*step, "source-parked" | "target-prepared"));
        if is_parked && self.random.random_ratio(1, ABORTED) {
            *self.common.to_abort.borrow_mut() = self.any_move().map(|migration| migration.id);
        }
        for step in visited {
            if self.random.random_ratio(1, self.at_step) {
                let host = self.host_of_move(step);
                self.fail(sim, host);
            }
        }
    }

    fn newest_state(&self) -> Option<Arc<ClusterState>> {
        let processes = self.common.processes.borrow();
        processes.values().map(|process| process.control.state()).max_by_key(|state| state.generation)
    }

    /// A move under way.
    fn any_move(&mut self) -> Option<Migration> {
        self.newest_state()?.migrations.choose(&mut self.random).cloned()
    }

    /// A host that takes part in a move under way, the one that has come to the step if there is one move only.
    fn host_of_move(&mut self, step: &str) -> Option<String> {
        let state = self.newest_state()?;
        let migration = self.any_move()?;
        let shard = match (step.starts_with("source"), self.random.random_ratio(3, 4)) {
            (true, true) | (false, false) => &migration.source,
            _ => &migration.target,
        };
        let id = &state.shard(shard)?.primary()?.id;
        self.nodes.iter().find(|(_, node, _)| node == id).map(|(host, ..)| host.clone())
    }

    fn fail(&mut self, sim: &mut Sim<'_>, host: Option<String>) {
        let Some(host) = host else { return };
        let longest = LONGEST.choose(&mut self.random).copied().unwrap_or(1);
        let after = sim.elapsed() + Duration::from_millis(self.random.random_range(1..longest));
        let other = self.hosts.choose(&mut self.random).cloned().unwrap_or_default();
        match self.random.random_range(0..100) {
            0..22 => self.crash(sim, &host, after, false),
            22..30 => self.crash(sim, &host, after, true),
            30..45 => self.hold(sim, &host, &other, after),
            45..55 => {
                for other in self.hosts.clone() {
                    self.hold(sim, &host, &other, after);
                }
            }
            55..72 => {
                let (ip, other) = (sim.lookup(host.as_str()), sim.lookup(other.as_str()));
                let broken = if self.random.random() {
                    net::break_connections(|local, remote| local == ip || remote == ip)
                } else {
                    net::break_connections(|local, remote| (local, remote) == (ip, other))
                };
                self.common.note(format!("{broken} connections of {host} break"));
            }
            72..88 => self.pause(&host, after),
            _ => {
                if host != other {
                    sim.set_link_max_message_latency(host.as_str(), other.as_str(), SLOW);
                    self.common.note(format!("the link between {host} and {other} is slow"));
                    self.cures.push((after, Cure::Fast(host, other)));
                }
            }
        }
    }

    fn node(&self, host: &str) -> Option<(String, PathBuf)> {
        self.nodes
            .iter()
            .find(|(known, ..)| known == host)
            .map(|(_, id, directory)| (id.clone(), directory.clone()))
    }

    /// The process is killed; or the machine is off, so that nobody is told.
    fn crash(&mut self, sim: &mut Sim<'_>, host: &str, after: Duration, is_power_loss: bool) {
        if self.dead.contains(host) || self.dead.len() > 1 {
            return;
        }
        self.common.note(format!("{host} crashes{}", if is_power_loss { " without a word" } else { "" }));
        if is_power_loss {
            for other in self.hosts.iter().filter(|other| *other != host) {
                let pair = pair(host, other);
                if self.held.remove(&pair) {
                    sim.release(host, other.as_str());
                }
                sim.partition(host, other.as_str());
            }
        }
        self.dead.insert(host.to_owned());
        sim.crash(host);
        if let Some((id, directory)) = self.node(host) {
            disk::crash(&directory);
            if let Some(process) = self.common.processes.borrow_mut().remove(&id) {
                self.deaths.insert(process.incarnation, sim.elapsed().as_micros() as u64);
            }
            self.unpause(&id);
        }
        let cure = if is_power_loss { Cure::PowerOn } else { Cure::Start };
        self.cures.push((after, cure(host.to_owned())));
    }

    fn hold(&mut self, sim: &mut Sim<'_>, host: &str, other: &str, after: Duration) {
        let is_off =
            |host: &str| self.cures.iter().any(|(_, cure)| matches!(cure, Cure::PowerOn(off) if off == host));
        if host == other || is_off(host) || is_off(other) || !self.held.insert(pair(host, other)) {
            return;
        }
        self.common.note(format!("the link between {host} and {other} hangs"));
        sim.hold(host, other);
        self.cures.push((after, Cure::Release(host.to_owned(), other.to_owned())));
    }

    fn pause(&mut self, host: &str, after: Duration) {
        let Some((id, _)) = self.node(host) else { return };
        if self.dead.contains(host) || self.common.pauses[&id].paused.replace(true) {
            return;
        }
        self.common.note(format!("the data thread of {id} stands still"));
        self.cures.push((after, Cure::Unpause(id)));
    }

    fn unpause(&self, id: &str) {
        let pause = &self.common.pauses[id];
        if pause.paused.replace(false)
            && let Some(waker) = pause.waker.take()
        {
            waker.wake();
        }
    }

    fn cure(&mut self, sim: &mut Sim<'_>, cure: &Cure) {
        self.common.note(format!("over: {cure:?}"));
        match cure {
            Cure::Start(host) => {
                self.dead.remove(host);
                sim.bounce(host.as_str());
            }
            Cure::PowerOn(host) => {
                self.dead.remove(host);
                for other in self.hosts.iter().filter(|other| *other != host) {
                    sim.repair(host.as_str(), other.as_str());
                }
                sim.bounce(host.as_str());
                // What is left of connections to it is found by the next probe.
                let ip = sim.lookup(host.as_str());
                net::break_connections(|local, remote| remote == ip && local != ip);
            }
            Cure::Release(host, other) => {
                if self.held.remove(&pair(host, other)) {
                    sim.release(host.as_str(), other.as_str());
                }
            }
            Cure::Unpause(id) => self.unpause(id),
            Cure::Fast(host, other) => {
                sim.set_link_max_message_latency(host.as_str(), other.as_str(), LATENCY);
            }
        }
    }
}

fn pair(host: &str, other: &str) -> (String, String) {
    if host < other { (host.to_owned(), other.to_owned()) } else { (other.to_owned(), host.to_owned()) }
}

//! Runs clients and collects what they see.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::alone::Alone;
use super::commands::{Commands, Keys, database_of};
use super::connection::Connection;
use super::{History, LAST, Loss, Operation, Outcome};
use crate::wait::{wait_for, wait_until};

/// Clients that work until they are told to stop.
pub struct Load {
    /// The proxy.
    pub endpoint: SocketAddr,
    pub keys: Keys,
    /// Clients that wait for each reply.
    pub clients: u32,
    /// Clients that send `depth` commands before they wait.
    pub pipelined: u32,
    pub depth: usize,
    /// Whether one more client has databases of its own, which it flushes, swaps and scans. It expects no errors.
    pub alone: bool,
    /// How long a client rests after each reply, or each `depth` of them: the machine is the servers', too.
    pub pace: Duration,
}

impl Load {
    /// Five clients of each kind.
    #[must_use]
    pub fn new(endpoint: SocketAddr, keys: Keys) -> Load {
        Load {
            endpoint,
            keys,
            clients: 5,
            pipelined: 5,
            depth: 8,
            alone: false,
            pace: Duration::from_micros(500),
        }
    }

    #[must_use]
    pub fn start(self) -> Running {
        let shared = Arc::new(Shared {
            began: Instant::now(),
            stop: AtomicBool::new(false),
            answered: AtomicU64::new(0),
        });
        let mut threads = Vec::new();
        for client in 0..self.clients + self.pipelined {
            let depth = if client < self.clients { 1 } else { self.depth };
            let commands = Commands::new(self.keys.clone(), client, u64::from(client) + 1);
            // Each protocol has connections of its own to the shards.
            let connection = Connection::new(self.endpoint, database_of(client), client % 4 == 3);
            let worker =
                Worker { client, commands, connection, depth, pace: self.pace, shared: shared.clone() };
            threads
                .push(std::thread::spawn(move || History { operations: worker.run(), ..History::default() }));
        }
        if self.alone {
            let alone = Alone::new(self.endpoint, self.keys.clone());
            let shared = shared.clone();
            threads.push(std::thread::spawn(move || History {
                complaints: alone.run(&shared.stop),
                ..History::default()
            }));
        }
        Running { shared, threads, endpoint: self.endpoint, keys: self.keys }
    }
}

struct Shared {
    began: Instant,
    stop: AtomicBool,
    answered: AtomicU64,
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A load under way. It ends with this value.
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<History>>,
    endpoint: SocketAddr,
    keys: Keys,
}

impl Running {
    /// Microseconds since it began.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.shared.now()
    }

    /// Waits until so many more commands have been answered without an error.
    ///
    /// # Panics
    /// When they are not for a long time.
    pub fn wait_for(&self, commands: u64) {
        let wanted = self.shared.answered.load(Ordering::Relaxed) + commands;
        wait_until("the load goes on", || self.shared.answered.load(Ordering::Relaxed) >= wanted);
    }

    /// Ends it, and reads all keys.
    ///
    /// # Panics
    /// When the keys cannot be read.
    #[must_use]
    pub fn stop(mut self, losses: Vec<Loss>) -> History {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut history = History { losses, ..History::default() };
        for thread in std::mem::take(&mut self.threads) {
            let part = thread.join().expect("a client of the load ends well");
            history.operations.extend(part.operations);
            history.complaints.extend(part.complaints);
        }
        // Replies without a connection or a shard are waited for; what they say is what is checked.
        let never = AtomicBool::new(false);
        let mut connections =
            [0_u8, 3].map(|database| (database, Connection::new(self.endpoint, database, false)));
        for (number, (database, words)) in self.keys.last_reads().into_iter().enumerate() {
            let Some((_, connection)) = connections.iter_mut().find(|(of, _)| *of == database) else {
                continue;
            };
            let (invoked, outcome) = wait_for("a key can be read at the end", || {
                let invoked = self.shared.now();
                match connection.open(&never)?.call(&words) {
                    Ok(reply) => match Outcome::of(reply) {
                        Outcome::Refused(_) | Outcome::Unknown(_) => None,
                        outcome @ Outcome::Reply(_) => Some((invoked, outcome)),
                    },
                    Err(_) => {
                        connection.broken();
                        None
                    }
                }
            });
            history.operations.push(Operation {
                client: LAST,
                number: number as u32,
                database,
                words,
                invoked,
                returned: self.shared.now(),
                outcome,
            });
        }
        history
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

struct Worker {
    client: u32,
    commands: Commands,
    connection: Connection,
    depth: usize,
    pace: Duration,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(mut self) -> Vec<Operation> {
        let mut operations: Vec<Operation> = Vec::new();
        let database = database_of(self.client);
        while !self.shared.stop.load(Ordering::Relaxed) {
            let Some(client) = self.connection.open(&self.shared.stop) else { break };
            let first = operations.len();
            let mut broken = None;
            for _ in 0..self.depth {
                let words = self.commands.draw();
                let invoked = self.shared.now();
                if let Err(error) = client.send(&words) {
                    broken.get_or_insert(error);
                }
                operations.push(Operation {
                    client: self.client,
                    number: operations.len() as u32,
                    database,
                    words,
                    invoked,
                    returned: invoked,
                    outcome: Outcome::Unknown(String::new()),
                });
            }
            for operation in &mut operations[first..] {
                let outcome = match &broken {
                    Some(error) => Outcome::Unknown(error.to_string()),
                    None => match client.receive() {
                        Ok(reply) => Outcome::of(reply),
                        Err(error) => {
                            let outcome = Outcome::Unknown(error.to_string());
                            broken = Some(error);
                            outcome
                        }
                    },
                };
                operation.returned = self.shared.now();
                if matches!(outcome, Outcome::Reply(_)) {
                    self.shared.answered.fetch_add(1, Ordering::Relaxed);
                }
                operation.outcome = outcome;
            }
            if broken.is_some() {
                self.connection.broken();
            }
            std::thread::sleep(self.pace);
        }
        operations
    }
}

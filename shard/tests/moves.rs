//! Two shards in one process, with sockets between them: slots move while clients write.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use slotway_common::admin::Health;
use slotway_common::cluster_state::{
    AbortReason, Change, ClusterState, Move, Node as StateNode, Outcome, Phase, Shard as StateShard,
};
use slotway_common::handshake::Identity;
use slotway_common::platform::net;
use slotway_common::resp::{Value, request};
use slotway_common::secret::Secret;
use slotway_common::shutdown;
use slotway_shard::commands::HANDLERS;
use slotway_shard::control::{Control, Proposals};
use slotway_shard::engine::{Engine, LazyFree};
use slotway_shard::metrics::ShardCells;
use slotway_shard::node::{Node, Shard};
use slotway_shard::server;

/// A blocking client of one shard.
struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        Self { stream, received: Vec::new() }
    }

    fn run(&mut self, line: &str) -> Value {
        self.call(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }

    fn call(&mut self, words: &[&[u8]]) -> Value {
        let mut bytes = Vec::new();
        request::encode(words.iter().copied(), &mut bytes);
        self.stream.write_all(&bytes).unwrap();
        loop {
            if let Some((value, length)) = Value::parse(&self.received).unwrap() {
                self.received.drain(..length);
                return value;
            }
            let mut chunk = [0; 65536];
            let count = self.stream.read(&mut chunk).unwrap();
            assert!(count > 0, "the shard has closed the connection");
            self.received.extend_from_slice(&chunk[..count]);
        }
    }
}

/// A client that follows MOVED, as cluster clients do.
struct Follower {
    clients: BTreeMap<String, Client>,
    owner: String,
}

impl Follower {
    fn new(pair: &Pair) -> Self {
        Self { clients: BTreeMap::new(), owner: pair.addresses[0].clone() }
    }

    fn call(&mut self, words: &[&[u8]]) -> Value {
        for _ in 0..1000 {
            let address = self.owner.clone();
            let client = self.clients.entry(address).or_insert_with_key(|address| Client::connect(address));
            match client.call(words) {
                Value::Error(text) if text.starts_with(b"MOVED ") => {
                    let text = String::from_utf8(text.to_vec()).unwrap();
                    self.owner = text.rsplit(' ').next().unwrap().to_owned();
                }
                value => return value,
            }
        }
        panic!("the shards point at each other");
    }
}

struct Pair {
    addresses: Vec<String>,
    proposals: Proposals,
    thread: Option<JoinHandle<()>>,
}

impl Pair {
    fn start() -> Self {
        let names = ["a", "b"];
        let addresses: Vec<String> = names
            .iter()
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string())
            .collect();
        let mut state = ClusterState::default();
        let shards = names.iter().zip(&addresses).map(|(name, address)| StateShard {
            name: (*name).to_owned(),
            epoch: 1,
            nodes: vec![StateNode {
                id: format!("{name}-0"),
                address: address.clone(),
                control: format!("127.0.0.1:{}", 1),
                admin: format!("127.0.0.1:{}", 2),
                incarnation: 1,
            }],
            slots: if *name == "a" { "0-16383".parse().unwrap() } else { "".parse().unwrap() },
        });
        let found = Change::Found {
            cluster: "test".to_owned(),
            id: "00".to_owned(),
            hash_seed: 1,
            shards: shards.collect(),
            settings: BTreeMap::new(),
        };
        let proposal = slotway_common::cluster_state::Proposal { request: "1".to_owned(), change: found };
        assert!(matches!(state.apply(&proposal), Outcome::Done { .. }));
        let proposals = Proposals::new(state);
        let thread = {
            let (addresses, proposals) = (addresses.clone(), proposals.clone());
            std::thread::spawn(move || serve(&addresses, &proposals))
        };
        let pair = Self { addresses, proposals, thread: Some(thread) };
        for address in &pair.addresses {
            while TcpStream::connect(address).is_err() {
                std::thread::yield_now();
            }
        }
        pair
    }

    fn start_move(&self, id: &str, from: &str, to: &str, slots: &str) {
        let moves = vec![Move {
            id: id.to_owned(),
            source: from.to_owned(),
            target: to.to_owned(),
            slots: slots.parse().unwrap(),
        }];
        let outcome = self.proposals.apply(Change::StartMoves { moves });
        assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    }

    fn end_of(&self, id: &str) -> Phase {
        loop {
            let state = self.proposals.state();
            match &state.migration(id).unwrap().phase {
                Phase::Running => std::thread::yield_now(),
                ended => return ended.clone(),
            }
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for address in &self.addresses {
            let mut stream = TcpStream::connect(address).unwrap();
            let _ = stream.write_all(b"SHUTDOWN NOSAVE\r\n");
            let _ = stream.read(&mut [0; 16]);
        }
        let _ = self.thread.take().unwrap().join();
    }
}

fn serve(addresses: &[String], proposals: &Proposals) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let shard = async |index: usize, name: &str| {
            let control = Control::in_memory(proposals);
            let identity = Identity { cluster: "test".to_owned(), node: format!("{name}-0") };
            let secret = Some(Secret::from_bytes(b"secret"));
            let node = Node::new(identity, secret, 1, Arc::new(ShardCells::default()), &HANDLERS);
            let shard = Shard { engine: Engine::new(LazyFree::start().unwrap()), node };
            let listener = net::listen(&addresses[index], 100).unwrap();
            let requests = shutdown::Requests::listen(false).unwrap();
            server::run(shard, listener, Health::new(), requests, control, None).await.unwrap();
        };
        tokio::join!(shard(0, "a"), shard(1, "b"));
    });
}

#[test]
fn slots_move_there_and_back_with_everything_in_them() {
    let pair = Pair::start();
    let mut a = Client::connect(&pair.addresses[0]);
    for key in 0..20_000 {
        let value = "v".repeat(key % 700);
        a.call(&[b"SET", format!("key:{key}").as_bytes(), value.as_bytes()]);
    }
    a.run("SELECT 5");
    for element in 0..50_000 {
        a.call(&[b"RPUSH", b"list", format!("element {element}").as_bytes()]);
    }
    a.run("SELECT 0");
    pair.start_move("1", "a", "b", "0-16383");
    assert_eq!(pair.end_of("1"), Phase::Finished);
    let mut b = Client::connect(&pair.addresses[1]);
    assert_eq!(b.run("DBSIZE"), Value::Int(20000));
    assert_eq!(a.run("DBSIZE"), Value::Int(0));
    for key in 0..20_000 {
        let value = b.call(&[b"GET", format!("key:{key}").as_bytes()]);
        assert_eq!(value.as_bytes().unwrap().len(), key % 700);
    }
    b.run("SELECT 5");
    assert_eq!(b.run("LLEN list"), Value::Int(50000));
    assert_eq!(b.run("LINDEX list 49999").as_bytes().unwrap(), b"element 49999");
    pair.start_move("2", "b", "a", "0-16383");
    assert_eq!(pair.end_of("2"), Phase::Finished);
    assert_eq!(a.run("DBSIZE"), Value::Int(20000));
}

/// Clients that append to lists while `moves` does what it likes with the slots; afterwards everything that was
/// acknowledged must be there once, in its order.
fn under_writes(pair: &Pair, moves: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                scope.spawn(move || {
                    let mut client = Follower::new(pair);
                    let mut count = 0u64;
                    while !stop.load(Ordering::Relaxed) || count < 2000 {
                        let key = format!("{writer}:{}", count % 50);
                        let value = format!("{count}");
                        let reply = client.call(&[b"RPUSH", key.as_bytes(), value.as_bytes()]);
                        assert_eq!(reply, Value::Int((count / 50 + 1) as i64));
                        count += 1;
                    }
                    (writer, count)
                })
            })
            .collect();
        moves();
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            let (writer, count) = writer.join().unwrap();
            let mut client = Follower::new(pair);
            for key in 0..50 {
                let name = format!("{writer}:{key}");
                let found = client.call(&[b"LRANGE", name.as_bytes(), b"0", b"-1"]);
                let expected: Vec<String> =
                    (0..count).filter(|number| number % 50 == key).map(|number| number.to_string()).collect();
                let found: Vec<String> = found
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|value| String::from_utf8_lossy(value.as_bytes().unwrap()).into_owned())
                    .collect();
                assert_eq!(found, expected);
            }
        }
    });
}

#[test]
fn clients_that_write_during_moves_lose_nothing() {
    let pair = Pair::start();
    under_writes(&pair, || {
        for round in 0..2 {
            let (from, to) = if round % 2 == 0 { ("a", "b") } else { ("b", "a") };
            pair.start_move(&format!("{round}"), from, to, "0-16383");
            assert_eq!(pair.end_of(&format!("{round}")), Phase::Finished);
        }
    });
}

/// The moves are aborted at random, and of many commits their proposer never learns what became of them.
#[test]
fn aborts_and_unknown_outcomes_lose_nothing() {
    let seed = std::env::var("SLOTWAY_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    eprintln!("SLOTWAY_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let pair = Pair::start();
    pair.proposals.disturb(random.random());
    under_writes(&pair, || {
        for round in 0..3 {
            let id = format!("{round}");
            let owned = |name: &str| pair.proposals.state().shard(name).unwrap().slots.clone();
            let (from, to) = if owned("a").count() >= owned("b").count() { ("a", "b") } else { ("b", "a") };
            pair.start_move(&id, from, to, &owned(from).to_string());
            if random.random() {
                std::thread::sleep(std::time::Duration::from_millis(random.random_range(0..60)));
                pair.proposals
                    .apply(Change::AbortMove { id: id.clone(), reason: AbortReason::asked("asked") });
            }
            pair.end_of(&id);
        }
    });
}

//! A shard that keeps strings in a map and does what a test tells it: hold its replies, refuse slots, disappear.

mod transactions;

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use transactions::Part;

use slotway_common::handshake;
use slotway_common::resp::request::Parsed;
use slotway_common::resp::{Args, Limits, Parser, Protocol, Reply};
use slotway_common::secret::Secret;
use slotway_common::slot::slot_of;
use slotway_common::topology::{SlotRanges, Topology};

type Watched = Vec<((u32, Vec<u8>), Option<Vec<u8>>)>;
type Keys = HashMap<(u32, Vec<u8>), Vec<u8>>;

#[derive(Default)]
struct State {
    owned: Mutex<HashSet<u16>>,
    keys: Mutex<Keys>,
    /// Where slots that were given away are now.
    moved: Mutex<HashMap<u16, String>>,
    parked: Mutex<HashSet<u16>>,
    /// What proxies watch, by their numbers: what the keys were.
    watches: Mutex<HashMap<Vec<u8>, Watched>>,
    /// Parts of transactions that are prepared, by the transactions' ids.
    prepared: Mutex<HashMap<Vec<u8>, Part>>,
    /// What is asked to prepare is told to wait, and answered at once after that.
    answers_later: AtomicBool,
    /// The next request with this name is not answered: its connection breaks.
    breaks_at: Mutex<Option<&'static str>>,
    topology: Mutex<String>,
    /// Requests are read and not answered while this is set.
    held: Mutex<bool>,
    released: Condvar,
    /// Requests of clients, in the order in which they ran, as text.
    log: Mutex<Vec<String>>,
    connections: Mutex<Vec<TcpStream>>,
    stopping: AtomicBool,
}

pub struct FakeShard {
    pub name: String,
    pub address: SocketAddr,
    state: Arc<State>,
    acceptor: Option<JoinHandle<()>>,
}

impl FakeShard {
    pub fn start(name: &str, slots: &str) -> Self {
        let state = Arc::new(State::default());
        let ranges: SlotRanges = slots.parse().expect("ranges");
        state.owned.lock().expect("state").extend(ranges.slots());
        let mut shard = Self {
            name: name.to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            state,
            acceptor: None,
        };
        shard.listen();
        shard
    }

    /// Serves (again) at its address.
    pub fn listen(&mut self) {
        let listener = TcpListener::bind(self.address).expect("the shard's port");
        self.address = listener.local_addr().expect("an address");
        self.state.stopping.store(false, Ordering::SeqCst);
        let (state, name) = (Arc::clone(&self.state), self.name.clone());
        self.acceptor = Some(std::thread::spawn(move || {
            for stream in listener.incoming() {
                if state.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (state, name) = (Arc::clone(&state), name.clone());
                std::thread::spawn(move || {
                    if let Ok(copy) = stream.try_clone() {
                        state.connections.lock().expect("state").push(copy);
                    }
                    Connection::new(state, name).serve(stream);
                });
            }
        }));
    }

    /// Stops listening and breaks every connection, as a process that is killed.
    pub fn kill(&mut self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().expect("the acceptor");
        }
        self.break_connections();
    }

    /// Breaks every connection; new ones are accepted.
    pub fn break_connections(&self) {
        for stream in self.state.connections.lock().expect("state").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.release();
    }

    /// Answers nothing until [`Self::release`].
    pub fn hold(&self) {
        *self.state.held.lock().expect("state") = true;
    }

    pub fn release(&self) {
        *self.state.held.lock().expect("state") = false;
        self.state.released.notify_all();
    }

    /// What it tells as the topology.
    pub fn tell(&self, topology: &Topology) {
        *self.state.topology.lock().expect("state") = topology.to_json();
    }

    /// The requests that ran so far.
    pub fn log(&self) -> Vec<String> {
        self.state.log.lock().expect("state").clone()
    }

    /// Breaks the connection over which the next request with this name comes, before it runs.
    pub fn break_at(&self, name: &'static str) {
        *self.state.breaks_at.lock().expect("state") = Some(name);
    }

    /// Has everything that it prepares wait first.
    pub fn answer_later(&self) {
        self.state.answers_later.store(true, Ordering::SeqCst);
    }

    pub fn park(&self, slot: u16) {
        self.state.parked.lock().expect("state").insert(slot);
    }

    pub fn unpark(&self, slot: u16) {
        self.state.parked.lock().expect("state").remove(&slot);
    }

    pub fn give_away(&self, slot: u16, to: &str) -> Keys {
        // In this order nothing is written to a slot whose keys are gone. None moves that a transaction holds.
        let mut keys = loop {
            let keys = self.state.keys.lock().expect("state");
            let prepared = self.state.prepared.lock().expect("state");
            if !prepared.values().any(|part| part.slots.contains(&slot)) {
                break keys;
            }
            drop((prepared, keys));
            std::thread::yield_now();
        };
        self.state.owned.lock().expect("state").remove(&slot);
        self.state.moved.lock().expect("state").insert(slot, to.to_owned());
        let (gone, kept) =
            std::mem::take(&mut *keys).into_iter().partition(|((_, key), _)| slot_of(key) == slot);
        *keys = kept;
        gone
    }

    pub fn take_in(&self, slot: u16, keys: Keys) {
        self.state.keys.lock().expect("state").extend(keys);
        self.state.owned.lock().expect("state").insert(slot);
        self.state.moved.lock().expect("state").remove(&slot);
    }
}

impl Drop for FakeShard {
    fn drop(&mut self) {
        if self.acceptor.is_some() {
            self.kill();
        }
    }
}

struct Connection {
    state: Arc<State>,
    name: String,
    handshake: Option<handshake::Server>,
    protocol: Protocol,
    database: u32,
    refused: HashSet<u16>,
}

impl Connection {
    fn new(state: Arc<State>, name: String) -> Self {
        Self { state, name, handshake: None, protocol: Protocol::Resp2, database: 0, refused: HashSet::new() }
    }

    fn serve(&mut self, mut stream: TcpStream) {
        let mut input = Vec::new();
        let mut parser = Parser::new();
        let mut chunk = [0; 65536];
        loop {
            match stream.read(&mut chunk) {
                Ok(count) if count > 0 => input.extend_from_slice(&chunk[..count]),
                _ => return,
            }
            let mut out = Vec::new();
            let mut at = 0;
            while let Parsed::Frame(length) =
                parser.parse(&input[at..], &Limits::default()).expect("a request")
            {
                let args = parser.args(&input[at..]);
                if !args.is(0, "SLOTWAY") {
                    let held = self.state.held.lock().expect("state");
                    drop(self.state.released.wait_while(held, |held| *held).expect("state"));
                }
                if self.breaks_at(args.at(0)) {
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
                self.answer(&args, &mut out);
                at += length;
            }
            input.drain(..at);
            if stream.write_all(&out).is_err() {
                return;
            }
        }
    }

    fn breaks_at(&self, name: &[u8]) -> bool {
        let mut at = self.state.breaks_at.lock().expect("state");
        let breaks = at.is_some_and(|wanted| wanted.as_bytes() == name);
        at.take_if(|_| breaks);
        breaks
    }

    fn answer(&mut self, args: &Args<'_>, out: &mut Vec<u8>) {
        // A part of a request counts for nothing, which is no concern here.
        let args = &if args.is(0, "SLOTWAY-QUIET") { args.rest(1) } else { *args };
        if args.is(0, "SLOTWAY") {
            return self.internal(args, out);
        }
        if args.at(0).starts_with(b"SLOTWAY-") {
            return self.transaction(args, out);
        }
        let text: Vec<String> = args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
        let name = text[0].to_ascii_uppercase();
        let step = if name == "MSET" { 2 } else { 1 };
        let last = match name.as_str() {
            "MGET" | "DEL" | "MSET" => args.len(),
            _ => 2,
        };
        // The keys first: nothing is decided while a slot is on its way.
        let shared = Arc::clone(&self.state);
        let mut keys = shared.keys.lock().expect("state");
        let slots: Vec<u16> = (1..last).step_by(step).map(|index| slot_of(args.at(index))).collect();
        if let Some(refusal) = self.refuse(&slots) {
            out.extend_from_slice(refusal.as_bytes());
            return;
        }
        self.state.log.lock().expect("state").push(text.join(" "));
        run(args, self.database, &mut keys, Reply::new(out, self.protocol));
    }

    fn refuse(&mut self, slots: &[u16]) -> Option<String> {
        let moved = self.state.moved.lock().expect("state");
        let parked = self.state.parked.lock().expect("state");
        let owned = self.state.owned.lock().expect("state");
        let refused = slots.iter().find_map(|slot| {
            if parked.contains(slot) {
                Some(format!("-PARKED {slot}\r\n"))
            } else if let Some(address) = moved.get(slot).filter(|_| !owned.contains(slot)) {
                Some(format!("-MOVED {slot} {address}\r\n"))
            } else if self.refused.contains(slot) {
                Some(format!("-PARKED {slot}\r\n"))
            } else {
                assert!(owned.contains(slot), "a request for slot {slot} came to {}", self.name);
                None
            }
        })?;
        self.refused.extend(slots);
        Some(refused)
    }

    fn internal(&mut self, args: &Args<'_>, out: &mut Vec<u8>) {
        let mut reply = Reply::new(out, self.protocol);
        let fields: Vec<&[u8]> = args.rest(2).iter().collect();
        if args.is(1, "CONNECT") {
            let identity =
                handshake::Identity { cluster: "test".to_owned(), node: format!("{}-0", self.name) };
            let (server, answer) =
                handshake::Server::connect(&identity, &Secret::from_bytes(super::SECRET), &fields)
                    .expect("CONNECT");
            self.handshake = Some(server);
            reply.array(answer.len());
            answer.iter().for_each(|field| reply.bulk(field.as_bytes()));
        } else if args.is(1, "PROVE") {
            let proven = self.handshake.take().expect("CONNECT").prove(&fields, 16).expect("a proof");
            self.database = proven.mode.database;
            self.protocol = if proven.mode.resp == 3 { Protocol::Resp3 } else { Protocol::Resp2 };
            reply.ok();
        } else if args.is(1, "TOPOLOGY") {
            reply.bulk(self.state.topology.lock().expect("state").as_bytes());
        } else if args.is(1, "SETTINGS") {
            reply.bulk(b"{\"version\":0,\"values\":{}}");
        } else if args.is(1, "USERS") {
            reply.bulk(b"{\"version\":0,\"users\":[]}");
        } else if args.is(1, "RESUME") {
            let slot = String::from_utf8_lossy(args.at(2)).parse().expect("a slot");
            self.refused.remove(&slot);
            reply.ok();
        } else if args.is(1, "ON") {
            self.on(args, out);
        } else {
            reply.ok();
        }
    }

    fn on(&self, args: &Args<'_>, out: &mut Vec<u8>) {
        let asked: SlotRanges = String::from_utf8_lossy(args.at(2)).parse().expect("ranges");
        let owned = self.state.owned.lock().expect("state");
        let (mine, others): (Vec<u16>, Vec<u16>) = asked.slots().partition(|slot| owned.contains(slot));
        drop(owned);
        let mine = SlotRanges::from_slots(mine);
        let mut keys = self.state.keys.lock().expect("state");
        let present: Vec<Vec<u8>> = keys
            .keys()
            .filter(|(database, key)| *database == self.database && mine.contains(slot_of(key)))
            .map(|(_, key)| key.clone())
            .collect();
        let mut reply = Reply::new(out, self.protocol);
        reply.array(2);
        reply.bulk(SlotRanges::from_slots(others).to_string().as_bytes());
        if args.is(3, "DBSIZE") {
            reply.len(present.len());
        } else if args.is(3, "KEYS") {
            reply.array(present.len());
            present.iter().for_each(|key| reply.bulk(key));
        } else if args.is(3, "RANDOMKEY") {
            reply.optional(present.first().map(Vec::as_slice));
        } else {
            keys.retain(|(_, key), _| !mine.contains(slot_of(key)));
            reply.ok();
        }
    }
}

/// Runs a command on strings.
fn run(args: &Args<'_>, database: u32, keys: &mut Keys, mut reply: Reply<'_>) {
    let at = |index: usize| (database, args.at(index).to_vec());
    match String::from_utf8_lossy(args.at(0)).to_ascii_uppercase().as_str() {
        "GET" => reply.optional(keys.get(&at(1)).map(Vec::as_slice)),
        "SET" => {
            keys.insert(at(1), args.at(2).to_vec());
            reply.ok();
        }
        "APPEND" => {
            let value = keys.entry(at(1)).or_default();
            value.extend_from_slice(args.at(2));
            reply.len(value.len());
        }
        "MGET" => {
            reply.array(args.len() - 1);
            (1..args.len()).for_each(|index| reply.optional(keys.get(&at(index)).map(Vec::as_slice)));
        }
        "MSET" => {
            for index in (1..args.len()).step_by(2) {
                keys.insert(at(index), args.at(index + 1).to_vec());
            }
            reply.ok();
        }
        "DEL" => reply.len((1..args.len()).filter(|index| keys.remove(&at(*index)).is_some()).count()),
        "PING" => reply.simple("PONG"),
        _ => reply.raw(b"-ERR not played here\r\n"),
    }
}

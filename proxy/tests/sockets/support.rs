//! A proxy in this process, over shards that the test plays itself.

pub mod fake_shard;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use slotway_common::admin::Health;
use slotway_common::handshake::Identity;
use slotway_common::platform::net;
use slotway_common::resp::{Value, request};
use slotway_common::secret::Secret;
use slotway_common::settings::Settings;
use slotway_common::slot::slot_of;
use slotway_common::topology::{Node, Shard, Topology};
use slotway_proxy::context::Context;
use slotway_proxy::core::Budgets;
use slotway_proxy::server::{Server, Start};
use tokio::sync::oneshot;

use fake_shard::FakeShard;

/// Longer than anything here takes; only a broken proxy reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

pub const SECRET: &[u8] = b"the cluster's secret";
const RANGES: [&str; 3] = ["0-5460", "5461-10922", "10923-16383"];

/// Three shards and a proxy.
pub struct Cluster {
    pub shards: Vec<FakeShard>,
    pub address: SocketAddr,
    pub context: Arc<Context>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Cluster {
    pub fn start() -> Self {
        Self::with_budgets(Budgets::default())
    }

    pub fn with_budgets(budgets: Budgets) -> Self {
        slotway_common::logs::start();
        let shards: Vec<FakeShard> =
            ["a", "b", "c"].iter().zip(RANGES).map(|(name, slots)| FakeShard::start(name, slots)).collect();
        let topology = topology(&shards);
        shards.iter().for_each(|shard| shard.tell(&topology));
        let (started, server) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let server = Server::start(Start {
                identity: Identity { cluster: "test".to_owned(), node: "proxy-0".to_owned() },
                secret: Secret::from_bytes(SECRET),
                listen: "127.0.0.1:0".to_owned(),
                topology,
                settings: Settings::new(),
                workers: 2,
                budgets,
                health: Health::new(),
            })
            .expect("workers");
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = net::listen("127.0.0.1:0", 128).expect("a port");
                let address = listener.local_addr().expect("an address");
                started.send((address, Arc::clone(server.context()))).expect("a test");
                server
                    .serve(listener, async {
                        stopped.await.map_or_else(|_| "dropped".to_owned(), |()| String::new())
                    })
                    .await;
                server.drain().await;
            });
        });
        let (address, context) = server.recv_timeout(PATIENCE).expect("a proxy");
        let cluster = Self { shards, address, context, stop: Some(stop), thread: Some(thread) };
        let mut client = cluster.client();
        wait_until("the proxy serves", || !matches!(client.call("GET x"), Value::Error(_)));
        cluster
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Asks the proxy to stop, as SIGTERM does.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has stopped.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the proxy");
        }
    }

    /// Moves a slot with its keys from one shard to another, as the shards see it.
    pub fn move_slot(&self, slot: u16, from: usize, to: usize) {
        let keys = self.shards[from].give_away(slot, &self.shards[to].address.to_string());
        self.shards[to].take_in(slot, keys);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
        self.join();
    }
}

pub fn topology(shards: &[FakeShard]) -> Topology {
    let shard = |shard: &FakeShard, slots: &str| Shard {
        name: shard.name.clone(),
        slots: slots.parse().expect("ranges"),
        nodes: vec![Node {
            id: format!("{}-0", shard.name),
            address: shard.address.to_string(),
            control: String::new(),
            admin: String::new(),
        }],
    };
    Topology {
        version: 1,
        cluster: "test".to_owned(),
        id: String::new(),
        shards: shards.iter().zip(RANGES).map(|(fake, slots)| shard(fake, slots)).collect(),
    }
}

/// The `number`th key that shard `shard` owns at the start.
pub fn key(shard: usize, number: usize) -> String {
    let owner = |key: &str| {
        usize::from(slot_of(key.as_bytes()) > 5460) + usize::from(slot_of(key.as_bytes()) > 10922)
    };
    (0..).map(|n| format!("k{n}")).filter(|key| owner(key) == shard).nth(number).expect("endless")
}

/// Tries until `condition` holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::yield_now();
    }
}

/// A client.
pub struct Client {
    pub stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a proxy");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, received: Vec::new() }
    }

    /// Sends one request of words separated by blanks and returns its reply.
    pub fn call(&mut self, request: &str) -> Value {
        self.send(&[request]);
        self.receive()
    }

    /// As [`Self::call`], the reply as text.
    pub fn text(&mut self, request: &str) -> String {
        self.call(request).to_string()
    }

    /// The next reply as text.
    pub fn text_of_next(&mut self) -> String {
        self.receive().to_string()
    }

    /// Sends requests in one write.
    pub fn send<T: AsRef<str>>(&mut self, requests: &[T]) {
        let mut bytes = Vec::new();
        for request in requests {
            let words: Vec<&[u8]> = request.as_ref().split(' ').map(str::as_bytes).collect();
            request::encode(words.into_iter(), &mut bytes);
        }
        self.stream.write_all(&bytes).expect("a connection");
    }

    /// The next reply.
    pub fn receive(&mut self) -> Value {
        self.try_receive().expect("a reply")
    }

    /// The next reply; nothing when the connection has ended.
    pub fn try_receive(&mut self) -> Option<Value> {
        loop {
            if let Some((value, length)) = Value::parse(&self.received).expect("a reply") {
                self.received.drain(..length);
                return Some(value);
            }
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no reply: {error}"),
            }
        }
    }

    pub fn receive_texts(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.receive().to_string()).collect()
    }
}

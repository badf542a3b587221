//! A proxy: the real core, driven as the real worker drives it, with clients that need no sockets.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use slotway_common::cluster_state::{ClusterState, Update};
use slotway_common::handshake::{Identity, Mode};
use slotway_common::internal::{CallError, Connection};
use slotway_common::platform::net::{ReadHalf, WriteHalf};
use slotway_common::platform::random;
use slotway_common::resp::{Value, request};
use slotway_common::topology::Topology;
use slotway_proxy::connect;
use slotway_proxy::core::{Action, Budgets, Core, SessionId, UpstreamId};
use slotway_proxy::policy::Policy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use crate::shared::Common;

/// For a connection to a shard to be opened; the first wait after a failed attempt, and the longest.
const PATIENCE: Duration = Duration::from_secs(1);
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// For a node to tell its state.
const PATIENCE_WITH_NODE: Duration = Duration::from_secs(3);
/// Before another node is asked.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
pub struct Proxy {
    common: Common,
    identity: Identity,
    core: RefCell<Core>,
    began: Instant,
    shards: RefCell<Vec<(UpstreamId, mpsc::UnboundedSender<Vec<u8>>)>>,
    clients: RefCell<Vec<(SessionId, Rc<Inbox>)>>,
    opened: Cell<u64>,
}

/// What a client has got and not looked at.
#[derive(Default)]
struct Inbox {
    bytes: RefCell<Vec<u8>>,
    closed: Cell<bool>,
    news: Notify,
}

/// A client's connection.
pub struct Client {
    proxy: Rc<Proxy>,
    id: SessionId,
    inbox: Rc<Inbox>,
}

impl Proxy {
    /// Starts one on this host; it ends with the host.
    pub fn start(common: &Common) -> Rc<Self> {
        let identity = Identity { cluster: common.file.cluster.clone(), node: "proxy-0".to_owned() };
        let mut core = Core::new(Budgets::default());
        core.now = 1;
        core.apply_policy(Arc::new(Policy { known: true, ..Policy::default() }));
        core.apply_users(&Arc::default());
        core.apply_topology(&Topology { version: 0, ..common.file.topology() });
        core.warm_up();
        let proxy = Rc::new(Self {
            common: Rc::clone(common),
            identity,
            core: RefCell::new(core),
            began: Instant::now(),
            shards: RefCell::default(),
            clients: RefCell::default(),
            opened: Cell::new(0),
        });
        spawn_local(Rc::clone(&proxy).follow());
        spawn_local(Rc::clone(&proxy).tick());
        proxy.turn(|_| ());
        proxy
    }

    /// A new client.
    pub fn open(self: &Rc<Self>) -> Client {
        let address = SocketAddr::from(([10, 0, 0, 1], 1));
        let number = self.opened.get() + 1;
        self.opened.set(number);
        let id = self.turn(|core| core.open_session(number, address, address));
        let inbox = Rc::<Inbox>::default();
        self.clients.borrow_mut().push((id, Rc::clone(&inbox)));
        Client { proxy: Rc::clone(self), id, inbox }
    }

    /// One turn of the event loop: something comes in, and what follows from it goes out.
    fn turn<R>(self: &Rc<Self>, run: impl FnOnce(&mut Core) -> R) -> R {
        let core = &mut *self.core.borrow_mut();
        core.now = self.began.elapsed().as_micros() as u64 + 1;
        let result = run(core);
        while core.has_work() {
            core.settle();
            for action in core.take_actions() {
                self.perform(core, action);
            }
            while let Some((id, upstream)) = core.next_upstream() {
                let bytes = upstream.unsent().to_vec();
                let shards = self.shards.borrow();
                let Some((_, shard)) = shards.iter().find(|(known, _)| *known == id) else { continue };
                // One that has broken is told of by its reader.
                let _ = shard.send(bytes.clone());
                self.common.show("proxy ->", id, &bytes);
                core.upstream_wrote(id, bytes.len(), false);
            }
            while let Some((id, session)) = core.next_session() {
                let bytes = session.unsent().to_vec();
                if let Some((_, inbox)) = self.clients.borrow().iter().find(|(known, _)| *known == id) {
                    inbox.bytes.borrow_mut().extend(&bytes);
                    inbox.news.notify_one();
                }
                core.session_wrote(id, bytes.len(), false);
            }
        }
        result
    }

    fn perform(self: &Rc<Self>, core: &mut Core, action: Action) {
        match action {
            Action::Connect(id) => drop(spawn_local(Rc::clone(self).upstream(id))),
            Action::Disconnect(id) => self.shards.borrow_mut().retain(|(known, _)| *known != id),
            Action::Close(id) => {
                self.clients.borrow_mut().retain(|(known, inbox)| {
                    if *known == id {
                        inbox.closed.set(true);
                        inbox.news.notify_one();
                    }
                    *known != id
                });
                core.close_session(id);
            }
            Action::Release { detention, after_ms } => {
                let proxy = Rc::clone(self);
                spawn_local(async move {
                    sleep(Duration::from_millis(after_ms)).await;
                    proxy.turn(|core| core.release(detention));
                });
            }
            Action::Run(job) => self.common.wrong(format!("the simulation has no {}", job.command.name)),
            // States are followed as they are made; nothing stops reading, and nobody monitors.
            Action::Refresh
            | Action::Read(_)
            | Action::FindScripts(_)
            | Action::Redirect { .. }
            | Action::Monitor(_)
            | Action::MonitorLeft(_) => {}
        }
    }

    async fn tick(self: Rc<Self>) {
        loop {
            sleep(PAUSE).await;
            self.turn(Core::tick);
        }
    }

    /// Keeps a connection to a shard, as long as it is needed.
    async fn upstream(self: Rc<Self>, id: UpstreamId) {
        let mut backoff = BACKOFF.0;
        loop {
            let Some((node, address, protocol, database)) = self.core.borrow().upstream_target(id) else {
                return;
            };
            let mode = Mode { resp: protocol.number(), database };
            let opening = connect::open(&address, &self.identity, &self.common.secret, &node, mode);
            let reason = match timeout(PATIENCE, opening).await {
                Ok(Ok(stream)) => {
                    backoff = BACKOFF.0;
                    let (reader, writer) = stream.into_split();
                    let (sender, to_send) = mpsc::unbounded_channel();
                    self.shards.borrow_mut().push((id, sender));
                    self.common.show("proxy has opened", id, node.as_bytes());
                    self.turn(|core| core.upstream_opened(id));
                    let reason = tokio::select! {
                        reason = self.read(id, reader) => reason,
                        reason = write(to_send, writer) => reason,
                    };
                    self.shards.borrow_mut().retain(|(known, _)| *known != id);
                    if self.core.borrow().upstream_target(id).is_none() {
                        return;
                    }
                    self.turn(|core| core.upstream_lost(id, &reason));
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            self.turn(|core| core.upstream_failed(id, &reason));
            sleep(backoff.mul_f64(random::generator().random_range(0.5..1.0))).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    async fn read(self: &Rc<Self>, id: UpstreamId, mut reader: ReadHalf) -> String {
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            match reader.read_buf(&mut buffer).await {
                Ok(0) => return "closed by the shard".to_owned(),
                Ok(_) => {}
                Err(error) => return error.to_string(),
            }
            self.common.show("proxy <-", id, &buffer);
            if let Err(error) = self.turn(|core| core.upstream_received(id, &buffer)) {
                self.common.wrong(format!("a reply of a shard is not readable: {error}"));
                return error.to_string();
            }
        }
    }

    /// Follows the cluster's states, from one node after the other.
    async fn follow(self: Rc<Self>) {
        let nodes: Vec<(String, String)> = {
            let nodes = self.common.file.shards.iter().flat_map(|shard| &shard.nodes);
            nodes.map(|node| (node.id.clone(), node.control.to_string())).collect()
        };
        let mut random = random::generator();
        loop {
            let (node, address) = &nodes[random.random_range(0..nodes.len())];
            // Any reason is one to ask another node.
            let _ = self.ask(node, address).await;
            sleep(PAUSE).await;
        }
    }

    async fn ask(self: &Rc<Self>, node: &str, address: &str) -> Result<(), CallError> {
        let secret = &self.common.secret;
        let mut connection =
            Connection::open(address, &self.identity, secret, Some(node), PATIENCE_WITH_NODE).await?;
        let mut state = ClusterState::default();
        loop {
            let generation = state.generation.to_string();
            let answer = connection.call(&["SLOTWAY", "CHANGES", &state.id, &generation]).await?;
            let refused = |error: &dyn std::fmt::Display| CallError::Refused(error.to_string());
            let update: Update = serde_json::from_slice(answer.as_bytes().unwrap_or_default())
                .map_err(|error| refused(&error))?;
            let is_new = state.follow(update).map_err(|gap| refused(&gap))?;
            if is_new && state.is_founded() {
                self.common.show("proxy follows", state.generation, node.as_bytes());
                self.common.followed.borrow_mut().push(state.clone());
                let topology = state.topology();
                self.turn(|core| {
                    core.apply_topology(&topology);
                    core.warm_up();
                });
            }
        }
    }
}

async fn write(mut to_send: mpsc::UnboundedReceiver<Vec<u8>>, mut writer: WriteHalf) -> String {
    while let Some(bytes) = to_send.recv().await {
        if let Err(error) = writer.write_all(&bytes).await {
            return error.to_string();
        }
    }
    "it is no longer needed".to_owned()
}

impl Client {
    /// Sends commands, all in one.
    pub fn send(&self, commands: &[Vec<String>]) {
        let mut bytes = Vec::new();
        for words in commands {
            request::encode(words.iter().map(String::as_bytes), &mut bytes);
        }
        self.proxy.turn(|core| core.received(self.id, &bytes));
    }

    /// The next reply; `None` when the connection is closed.
    pub async fn receive(&self) -> Option<Value> {
        loop {
            let parsed = Value::parse(&self.inbox.bytes.borrow());
            if let Ok(Some((value, length))) = parsed {
                self.inbox.bytes.borrow_mut().drain(..length);
                return Some(value);
            }
            if self.inbox.closed.get() || parsed.is_err() {
                return None;
            }
            self.inbox.news.notified().await;
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A host that crashes drops everything in any order.
        if let Ok(mut clients) = self.proxy.clients.try_borrow_mut() {
            clients.retain(|(known, _)| *known != self.id);
        }
        if let Ok(mut core) = self.proxy.core.try_borrow_mut() {
            core.close_session(self.id);
        }
    }
}

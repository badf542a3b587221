//! The core without sockets: bytes in, bytes out.

mod flow;
mod refusals;
mod shards;
mod subscriptions;
mod tracking;
mod users;

use std::net::SocketAddr;
use std::sync::Arc;

use slotway_common::slot::slot_of;

use super::{Action, Budgets, Core, SessionId, UpstreamId};
use crate::fixtures::topology;
use crate::policy::Policy;

/// A core with three shards that a test plays itself.
pub(super) struct Stage {
    pub core: Core,
    pub actions: Vec<Action>,
}

const SHARDS: [(&str, &str, &str); 3] =
    [("a", "h:1", "0-5460"), ("b", "h:2", "5461-10922"), ("c", "h:3", "10923-16383")];

impl Stage {
    pub fn new() -> Self {
        Self::with_budgets(Budgets::default())
    }

    pub fn with_budgets(budgets: Budgets) -> Self {
        let mut core = Core::new(budgets);
        core.now = 1;
        core.apply_topology(&topology(1, &SHARDS));
        let policy = Policy { known: true, ..Policy::default() };
        core.apply_policy(Arc::new(policy));
        core.apply_users(&Arc::default());
        Self { core, actions: Vec::new() }
    }

    pub fn client(&mut self) -> SessionId {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        self.core.open_session(7, address, address)
    }

    /// The upstream for a shard, with RESP2 and database 0 unless told.
    pub fn upstream(&self, shard: usize) -> UpstreamId {
        self.upstream_of(shard, 0)
    }

    pub fn upstream_of(&self, shard: usize, database: u32) -> UpstreamId {
        let found = |(id, upstream): (UpstreamId, &crate::upstream::Upstream)| {
            (upstream.shard == shard && upstream.database == database).then_some(id)
        };
        self.core.upstreams.iter().find_map(found).expect("an upstream")
    }

    /// The connection to a shard for subscriptions.
    pub fn listening(&self, shard: usize) -> UpstreamId {
        let found = |(id, upstream): (UpstreamId, &crate::upstream::Upstream)| {
            let listens = upstream.purpose == crate::upstream::Purpose::Subscriptions;
            (upstream.shard == shard && listens).then_some(id)
        };
        self.core.upstreams.iter().find_map(found).expect("a connection for subscriptions")
    }

    /// Sends inline text as a client; `|` stands for a line end.
    pub fn send(&mut self, client: SessionId, text: &str) {
        let mut bytes = Vec::new();
        for line in text.split('|') {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            slotway_common::resp::request::encode(words.into_iter(), &mut bytes);
        }
        self.core.received(client, &bytes);
        self.turn();
    }

    /// Ends the turn and opens the connections that were asked for.
    pub fn turn(&mut self) {
        self.core.settle();
        for action in self.core.take_actions() {
            match action {
                Action::Connect(id) => self.core.upstream_opened(id),
                Action::Close(id) => {
                    self.core.close_session(id);
                    self.actions.push(Action::Close(id));
                }
                other => self.actions.push(other),
            }
        }
    }

    /// What the shard is sent, as inline text, requests separated by `|`.
    pub fn sent(&mut self, shard: usize) -> String {
        let id = self.upstream(shard);
        self.sent_on(id)
    }

    pub fn sent_on(&mut self, id: UpstreamId) -> String {
        self.turn();
        let bytes =
            self.core.upstreams.get(id).map(|upstream| upstream.unsent().to_vec()).unwrap_or_default();
        self.core.upstream_wrote(id, bytes.len(), false);
        inline(&bytes)
    }

    /// A reply of a shard; `|` stands for a line end.
    pub fn answer(&mut self, shard: usize, text: &str) {
        let id = self.upstream(shard);
        self.answer_on(id, text);
    }

    pub fn answer_on(&mut self, id: UpstreamId, text: &str) {
        self.core.upstream_received(id, text.replace('|', "\r\n").as_bytes()).expect("replies");
        self.turn();
    }

    /// What the client gets, line ends shown as `|`.
    pub fn got(&mut self, client: SessionId) -> String {
        self.turn();
        let Some(session) = self.core.sessions.get(client) else { return "(closed)".to_owned() };
        let text = String::from_utf8_lossy(session.unsent()).replace("\r\n", "|");
        let count = session.unsent().len();
        self.core.session_wrote(client, count, false);
        self.turn();
        text
    }

    pub fn closed(&self, client: SessionId) -> bool {
        self.core.sessions.get(client).is_none()
    }
}

/// Requests as inline text, separated by `|`.
pub(super) fn inline(mut bytes: &[u8]) -> String {
    let mut requests = Vec::new();
    let mut parser = slotway_common::resp::Parser::new();
    while let Ok(slotway_common::resp::request::Parsed::Frame(length)) =
        parser.parse(bytes, &slotway_common::resp::Limits::default())
    {
        let words: Vec<String> =
            parser.args(bytes).iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        requests.push(words.join(" "));
        bytes = &bytes[length..];
    }
    requests.join("|")
}

/// A key of the shard, the `number`th that this is asked for.
pub(super) fn key(shard: usize, number: usize) -> String {
    let ranges = [0..=5460, 5461..=10922, 10923..=16383];
    (0..)
        .map(|n| format!("k{n}"))
        .filter(|key| ranges[shard].contains(&slot_of(key.as_bytes())))
        .nth(number)
        .unwrap()
}

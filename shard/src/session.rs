//! What the shard knows of a connection.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use slotway_common::acl::User;
use slotway_common::command::{self, Command, Effects, Route, Window};
use slotway_common::error::Error;
use slotway_common::handshake;
use slotway_common::pubsub::Kind;
use slotway_common::reply_mode::ReplyMode;
use slotway_common::resp::{Args, Protocol};
use slotway_common::slot::Slot;
use slotway_common::topology::SlotRanges;

use crate::call::FirstKey;
use crate::call::want::Want;
use crate::client::{Client, Waits};
use crate::engine::{Engine, WatchId};
use crate::tracking::Mark;
use crate::transaction::Transaction;

/// The state of one connection. What other connections may ask or change is in [`Session::client`].
pub struct Session {
    pub client: Rc<Client>,
    pub db: usize,
    pub protocol: Protocol,
    /// The client of a proxy in whose name it runs something, where that may not do all.
    pub acting: Option<Rc<Acting>>,
    /// What runs was allowed before.
    pub exempt: bool,
    /// A change of the users that the command which has just run asks for.
    pub changes_users: Option<Vec<Vec<u8>>>,
    /// The handshake in progress, before a connection becomes internal.
    pub handshake: Option<handshake::Server>,
    /// The node at the other end of an internal connection.
    pub internal: Option<Rc<str>>,
    /// Slots that were refused on this internal connection and stay refused until RESUME.
    pub refused: Vec<Slot>,
    /// Its commands may wait for data that is not there.
    pub may_wait: bool,
    /// What the command that has just run waits for.
    pub wants: Option<Want>,
    /// The commands that wait for EXEC, after MULTI.
    pub transaction: Option<Box<Transaction>>,
    /// It watches keys.
    pub watching: bool,
    /// The watches that a proxy has made over this connection for its clients.
    pub tokens: HashSet<u64>,
    /// The slots that the fan-out command in progress covers; all when there is none.
    pub only: Option<SlotRanges>,
    pub reply_mode: ReplyMode,
    /// The command that runs, or that it waits for, is not answered (CLIENT REPLY).
    pub muted: bool,
    /// Messages to itself that its command has made while that is not answered.
    pub pushes: Vec<u8>,
    /// It is tracked, or what runs is a command of a proxy's client that is.
    pub mark: Option<Box<Mark>>,
    /// Nothing of what runs counts, or is shown: it is a part of what does, or serves a proxy only.
    pub quiet: bool,
    /// The proxy at the other end has clients in MONITOR mode: it is told what its transactions and scripts run.
    pub shows: bool,
    /// What the proxy is told is about the script or the wait of this number, not about the request whose reply comes next.
    pub told_of: Option<ToldOf>,
    /// What runs is called by a script.
    pub in_script: bool,
    /// What runs is part of another command, which cannot wait.
    pub nested: bool,
    /// Its script is slow: what runs for it belongs to that.
    pub scripting: bool,
    /// It writes to slots that are being moved, faster than they can be copied.
    pub slowed: bool,
    /// The last change that the reply in progress can tell of.
    pub tells_of: u64,
    /// Up to this one changes were as safe as replies need them when the connection last looked.
    pub released: u64,
    /// The connection becomes the stream of a move with this id when the replies so far are written.
    pub import: Option<String>,
    /// The script that runs uses keys of other shards, before it has written anything: its proxy has it run otherwise.
    pub elsewhere: bool,
    /// What runs does so on copies of some keys.
    pub borrowed: Option<Box<Borrowed>>,
    /// The number under which the reply comes later of what runs now.
    pub later: u64,
    /// Closed when the replies so far are written.
    pub closing: bool,
}

impl Session {
    #[must_use]
    pub fn new(client: Rc<Client>) -> Self {
        Self {
            client,
            db: 0,
            protocol: Protocol::Resp2,
            acting: None,
            exempt: false,
            changes_users: None,
            handshake: None,
            internal: None,
            refused: Vec::new(),
            may_wait: false,
            wants: None,
            transaction: None,
            watching: false,
            tokens: HashSet::new(),
            only: None,
            reply_mode: ReplyMode::ON,
            muted: false,
            pushes: Vec::new(),
            mark: None,
            quiet: false,
            shows: false,
            told_of: None,
            in_script: false,
            nested: false,
            scripting: false,
            slowed: false,
            tells_of: 0,
            released: 0,
            import: None,
            elsewhere: false,
            borrowed: None,
            later: 0,
            closing: false,
        }
    }
}

impl Session {
    /// The connection becomes the stream of a move.
    pub fn become_stream(&mut self, id: String) {
        self.import = Some(id);
        self.client.waits.set(Waits::Stream);
    }

    /// MULTI.
    pub fn begin_transaction(&mut self) {
        self.transaction = Some(Box::default());
        self.client.multi.set(0);
    }

    /// Forgets the queued commands; false if there was no MULTI.
    pub fn end_transaction(&mut self) -> bool {
        self.client.queued_bytes.set(0);
        self.client.multi.set(-1);
        self.transaction.take().is_some()
    }

    /// Takes note that a command of a transaction was refused: EXEC will run none.
    #[inline]
    pub fn abort_transaction(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.aborted = true;
        }
    }

    /// Queues a command. A client that queues more than `most` bytes is closed.
    pub fn queue(
        &mut self,
        command: &'static Command,
        key: Option<FirstKey>,
        args: &Args<'_>,
        effects: Effects,
        most: usize,
    ) {
        let Some(transaction) = &mut self.transaction else { return };
        if transaction.aborted {
            // Nothing of it will run.
            return;
        }
        transaction.queued.push(command, key, args, effects);
        let bytes = transaction.queued.bytes();
        self.client.queued_bytes.set(bytes);
        self.client.multi.set(transaction.queued.count() as i64);
        if bytes > most {
            tracing::warn!(
                "client {} closed: its transaction is over client-query-buffer-limit",
                self.client.address
            );
            self.client.kill();
        }
    }

    /// Ends a transaction for EXEC. `None` without one.
    pub fn take_transaction(&mut self) -> Option<Transaction> {
        let transaction = self.transaction.take()?;
        self.end_transaction();
        Some(*transaction)
    }

    /// Ends the watch of this client.
    pub fn unwatch(&mut self, engine: &mut Engine) {
        if std::mem::take(&mut self.watching) {
            engine.end_watch(WatchId::Client(self.client.id));
        }
    }

    /// Ends all that this connection watches, its proxy's clients included.
    pub fn end_watches(&mut self, engine: &mut Engine) {
        self.unwatch(engine);
        for token in std::mem::take(&mut self.tokens) {
            engine.end_watch(WatchId::Token(token));
        }
    }

    /// What the proxy is told is about: nothing for the request whose reply comes next.
    #[must_use]
    pub fn told_of(&self) -> String {
        match self.told_of {
            None => String::new(),
            Some(ToldOf::Script(number)) => format!("script {number}"),
            Some(ToldOf::Wait(number)) => format!("wait {number}"),
        }
    }

    /// Nothing has to be asked before a command.
    #[inline]
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.exempt || self.client.free.get() && self.acting.is_none()
    }

    /// Whom commands run as.
    #[must_use]
    pub fn user(&self) -> Arc<User> {
        match &self.acting {
            Some(acting) => acting.user.clone(),
            None => self.client.login.borrow().user().clone(),
        }
    }

    /// Nothing more is run, and this request not answered, until the cluster has changed its users.
    pub fn wait_for_users(&mut self, words: Vec<Vec<u8>>) {
        self.changes_users = Some(words);
        self.client.waits.set(Waits::Users);
    }

    /// What a slow script goes on with, while the connection waits for it with what is left.
    #[must_use]
    pub fn lend(&mut self) -> Self {
        let mut waiting = Self::new(self.client.clone());
        (waiting.internal, waiting.protocol) = (self.internal.clone(), self.protocol);
        self.client.waits.set(Waits::Script);
        std::mem::replace(self, waiting)
    }

    /// What a slow script of a proxy's client goes on with, while this connection goes on with other requests, in the database
    /// that it was in before.
    #[must_use]
    pub fn set_apart(&mut self, database: usize, number: u64) -> Self {
        self.scripting = false;
        let mut apart = self.apart(number);
        self.db = database;
        apart.scripting = true;
        apart
    }

    /// What a request of a proxy's client needs whose reply comes later, under that number, while this connection goes on with
    /// other requests.
    #[must_use]
    pub fn apart(&mut self, number: u64) -> Self {
        let mut apart = Self::new(self.client.clone());
        (apart.protocol, apart.exempt, apart.db) = (self.protocol, self.exempt, self.db);
        apart.internal.clone_from(&self.internal);
        (apart.quiet, apart.shows, apart.told_of) = (self.quiet, self.shows, Some(ToldOf::Script(number)));
        (apart.acting, apart.mark) = (self.acting.take(), self.mark.take());
        apart.later = number;
        apart
    }

    /// What runs in nobody's name.
    #[must_use]
    pub fn nobodys() -> Self {
        let client = Client::new(0, String::new(), String::new(), 0);
        Self { exempt: true, ..Self::new(Rc::new(client)) }
    }

    /// Nothing more is run, and this request not answered, until so many bases of the log have ended.
    pub fn wait_for_save(&mut self, bases: u64) {
        self.client.waits.set(Waits::Save { bases });
    }
}

/// A run on copies of keys, of which nothing is to be seen before it is known that it needs no others.
#[derive(Debug, Default)]
pub struct Borrowed {
    /// The keys that there are copies of, if they exist, with their databases, and how much of each there is.
    known: HashMap<(usize, Vec<u8>), Known>,
    /// How much of its keys it has needed up to now.
    used: HashMap<(usize, Vec<u8>), Window>,
    /// Those of which it needs more than there is.
    needs: Vec<(usize, Vec<u8>)>,
    /// Those that it has changed.
    pub written: HashSet<(usize, Vec<u8>)>,
    /// A command that cannot run in this way.
    pub refused: Option<&'static str>,
    /// What it publishes.
    pub messages: Vec<(Kind, Vec<u8>, Vec<u8>)>,
}

/// What is known of a key that was lent.
#[derive(Debug)]
pub struct Known {
    /// How much of it there is.
    pub window: Window,
    /// So many elements it has beside.
    pub hidden: u64,
}

impl Borrowed {
    /// A run on these keys.
    #[must_use]
    pub fn new(known: HashMap<(usize, Vec<u8>), Known>) -> Self {
        Self { known, ..Self::default() }
    }

    /// So many elements there are beside those that a command has counted which answers how many there are.
    #[must_use]
    pub fn uncounted(&self, command: &Command, args: &Args<'_>, db: usize) -> u64 {
        if !matches!(
            command.name,
            "llen" | "scard" | "hlen" | "zcard" | "lpush" | "rpush" | "lpushx" | "rpushx"
        ) {
            return 0;
        }
        self.known.get(&(db, args.at(1).to_vec())).map_or(0, |known| known.hidden)
    }

    /// Whether a command may run on these keys; what it needs beside is noted, and it runs as if there was nothing.
    ///
    /// # Errors
    /// It covers all keys.
    pub fn admit(&mut self, command: &Command, args: &Args<'_>, db: usize) -> Result<(), Error> {
        if command.route == Route::FanOut {
            self.refused.get_or_insert(command.name);
            let text =
                format!("'{}' cannot be part of a transaction with keys on several shards", command.name);
            return Err(Error::err(text));
        }
        for (position, window) in command::windows(command, args) {
            self.need(db, args.at(position), window);
        }
        if let Some((position, other)) = command::key_elsewhere(command, args) {
            self.need(other as usize, args.at(position), Window::Replaced);
        }
        Ok(())
    }

    /// Takes note of a key, of which so much is needed.
    pub fn need(&mut self, db: usize, key: &[u8], window: Window) {
        let key = (db, key.to_vec());
        let used = self.used.remove(&key).unwrap_or(Window::Presence).join(window);
        let is_known = self.known.get(&key).is_some_and(|known| known.window.covers(&used));
        if !is_known && !self.needs.contains(&key) {
            self.needs.push(key.clone());
        }
        self.used.insert(key, used);
    }

    /// The keys of which it needs more than there is, with how much that is.
    pub fn needs(&self) -> impl Iterator<Item = (usize, &[u8], &Window)> {
        self.needs.iter().map(|key| (key.0, key.1.as_slice(), self.used.get(key).unwrap_or(&Window::Whole)))
    }
}

/// Whose commands a proxy is told of behind the reply of their request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldOf {
    /// A script that is slow.
    Script(u64),
    /// A client that waited for data.
    Wait(u64),
}

/// A client of a proxy.
#[derive(Debug)]
pub struct Acting {
    pub user: Arc<User>,
    /// Its line of CLIENT LIST, for ACL LOG.
    pub client: Vec<u8>,
}

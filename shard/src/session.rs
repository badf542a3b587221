//! What the shard knows of a connection.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use slotway_common::acl::{Login, User, Users};
use slotway_common::command::Command;
use slotway_common::handshake;
use slotway_common::pubsub::{Kind, Subscriptions};
use slotway_common::reply_mode::ReplyMode;
use slotway_common::resp::Protocol;
use slotway_common::slot::Slot;
use slotway_common::topology::SlotRanges;
use slotway_common::tracking::Tracking;

use crate::blocked::Want;
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
    /// It waits for a script of its own that is slow.
    pub scripting: bool,
    /// It writes to slots that are being moved, faster than they can be copied.
    pub slowed: bool,
    /// The last change that the reply in progress can tell of.
    pub tells_of: u64,
    /// The connection becomes the stream of a move with this id when the replies so far are written.
    pub import: Option<String>,
    /// It waits until so many bases of the log have ended.
    pub saving: Option<u64>,
    /// No more of its requests run: one of those before.
    pub suspended: bool,
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
            import: None,
            saving: None,
            suspended: false,
            closing: false,
        }
    }
}

impl Session {
    /// The connection becomes the stream of a move.
    pub fn become_stream(&mut self, id: String) {
        self.import = Some(id);
        self.suspended = true;
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
        self.client.awaits_users.set(true);
        self.suspended = true;
    }

    /// Nothing more is run, and this request not answered, until its script has ended.
    pub fn wait_for_script(&mut self) {
        (self.scripting, self.suspended) = (true, true);
    }

    /// What a slow script of a proxy's client goes on with, while this connection goes on with other requests, in the database
    /// that it was in before.
    #[must_use]
    pub fn set_apart(&mut self, database: usize, number: u64) -> Self {
        (self.scripting, self.suspended) = (false, false);
        let mut apart = Self::new(self.client.clone());
        (apart.protocol, apart.exempt) = (self.protocol, self.exempt);
        apart.internal.clone_from(&self.internal);
        (apart.quiet, apart.shows, apart.told_of) = (self.quiet, self.shows, Some(ToldOf::Script(number)));
        apart.db = std::mem::replace(&mut self.db, database);
        (apart.acting, apart.mark) = (self.acting.take(), self.mark.take());
        apart.wait_for_script();
        apart
    }

    /// Nothing more is run, and this request not answered, until so many bases of the log have ended.
    pub fn wait_for_save(&mut self, bases: u64) {
        self.saving = Some(bases);
        self.suspended = true;
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

/// What CLIENT LIST tells of a connection, and how other connections reach it.
pub struct Client {
    pub id: u64,
    pub address: String,
    pub local_address: String,
    /// Milliseconds since 1970.
    pub connected_at: i64,
    pub name: RefCell<Vec<u8>>,
    /// The number of the socket.
    pub descriptor: Cell<i32>,
    /// What CLIENT SETINFO told.
    pub library_name: RefCell<Vec<u8>>,
    pub library_version: RefCell<Vec<u8>>,
    /// Whom it acts as.
    pub login: RefCell<Login>,
    /// It may do all.
    pub free: Cell<bool>,
    /// It waits for a change of the users.
    pub awaits_users: Cell<bool>,
    /// What that came to.
    pub users_reply: RefCell<Option<Vec<u8>>>,
    /// Its user is gone: it is closed when it is answered.
    pub is_leaving: Cell<bool>,
    pub db: Cell<usize>,
    pub protocol: Cell<Protocol>,
    pub last_command: Cell<Option<&'static Command>>,
    pub last_used_at: Cell<i64>,
    /// Set by CLIENT KILL, idle timeout and output limits: the connection's task closes it.
    pub killed: Cell<bool>,
    /// CLIENT NO-EVICT.
    pub no_evict: Cell<bool>,
    /// In MONITOR mode.
    pub monitor: Cell<bool>,
    /// The node of an internal connection.
    pub internal: RefCell<Option<Rc<str>>>,
    /// It waits for data: nothing more of it runs until then.
    pub blocked: Cell<bool>,
    /// CLIENT PAUSE holds its next command back.
    pub paused: Cell<bool>,
    /// It wants no replies now (CLIENT REPLY), and no lines of MONITOR.
    pub muted: Cell<bool>,
    /// The channels and patterns that it, or a proxy for its clients, listens to.
    pub subscriptions: RefCell<Option<Box<Subscriptions>>>,
    /// There are any.
    pub listens: Cell<bool>,
    /// How it is tracked.
    pub tracking: RefCell<Option<Box<Tracking>>>,
    pub input_bytes: Cell<usize>,
    /// Commands that wait for EXEC, or -1.
    pub multi: Cell<i64>,
    /// Bytes of them.
    pub queued_bytes: Cell<usize>,
    pub output_bytes: Cell<usize>,
    /// Since when the output has been over the soft limit, in milliseconds since 1970.
    pub over_soft_limit_since: Cell<Option<i64>>,
    pub total_input: Cell<u64>,
    pub total_output: Cell<u64>,
    /// Output that other connections' commands made (MONITOR, PUBLISH), taken up by the connection's task.
    pub pushed: RefCell<Vec<u8>>,
    pub waker: RefCell<Option<Waker>>,
}

impl Client {
    #[must_use]
    pub fn new(id: u64, address: String, local_address: String, now: i64) -> Self {
        Self {
            id,
            address,
            local_address,
            connected_at: now,
            name: RefCell::default(),
            descriptor: Cell::new(-1),
            library_name: RefCell::default(),
            library_version: RefCell::default(),
            login: RefCell::new(Login::internal()),
            free: Cell::new(true),
            awaits_users: Cell::new(false),
            users_reply: RefCell::default(),
            is_leaving: Cell::new(false),
            db: Cell::new(0),
            protocol: Cell::default(),
            last_command: Cell::new(None),
            last_used_at: Cell::new(now),
            killed: Cell::new(false),
            no_evict: Cell::new(false),
            monitor: Cell::new(false),
            internal: RefCell::default(),
            blocked: Cell::new(false),
            paused: Cell::new(false),
            muted: Cell::new(false),
            subscriptions: RefCell::default(),
            listens: Cell::new(false),
            tracking: RefCell::default(),
            input_bytes: Cell::new(0),
            multi: Cell::new(-1),
            queued_bytes: Cell::new(0),
            output_bytes: Cell::new(0),
            over_soft_limit_since: Cell::new(None),
            total_input: Cell::new(0),
            total_output: Cell::new(0),
            pushed: RefCell::default(),
            waker: RefCell::default(),
        }
    }

    /// Acts as somebody else from now on.
    pub fn set_login(&self, login: Login) {
        self.free.set(login.is_free());
        *self.login.borrow_mut() = login;
    }

    /// Follows a change of the users. Who is gone, or may not listen any more to what it listens to, is closed.
    pub fn follow_users(&self, users: &Users) {
        let before = self.login.borrow().user().clone();
        let stays = self.login.borrow_mut().follow(users);
        let login = self.login.borrow();
        self.free.set(login.is_free());
        let listens = |user: &User| {
            self.subscriptions.borrow().as_ref().is_none_or(|subscriptions| {
                Kind::ALL.into_iter().all(|kind| {
                    subscriptions.names(kind).iter().all(|name| user.may_listen(name, kind == Kind::Pattern))
                })
            })
        };
        if stays && (Arc::ptr_eq(&before, login.user()) || listens(login.user())) {
            return;
        }
        if self.awaits_users.get() {
            self.is_leaving.set(true);
        } else {
            self.kill();
        }
    }

    /// Lets the connection's task look at `killed`, `pushed` and the pause again.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Closes the connection as soon as its task runs.
    pub fn kill(&self) {
        self.killed.set(true);
        self.wake();
    }

    /// It waits for data, or for the end of a pause.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.blocked.get() || self.paused.get()
    }

    /// A client that has subscriptions, and may in RESP2 do little else; proxies are none.
    #[inline]
    pub fn is_subscriber(&self) -> bool {
        self.listens.get() && self.internal.borrow().is_none()
    }

    /// Appends output that is no reply.
    pub fn push(&self, bytes: &[u8]) {
        self.pushed.borrow_mut().extend_from_slice(bytes);
        self.wake();
    }
}

/// All connections, by id.
#[derive(Default)]
pub struct Clients {
    by_id: BTreeMap<u64, Rc<Client>>,
    last_id: u64,
    pub total_received: u64,
    pub rejected: u64,
}

impl Clients {
    /// Registers a new connection.
    pub fn add(&mut self, address: String, local_address: String, now: i64) -> Rc<Client> {
        self.last_id += 1;
        self.total_received += 1;
        let client = Rc::new(Client::new(self.last_id, address, local_address, now));
        self.by_id.insert(client.id, client.clone());
        client
    }

    pub fn remove(&mut self, id: u64) {
        self.by_id.remove(&id);
    }

    #[must_use]
    pub fn get(&self, id: u64) -> Option<&Rc<Client>> {
        self.by_id.get(&id)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All connections, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Client>> {
        self.by_id.values()
    }

    pub fn wake_all(&self) {
        for client in self.iter() {
            client.wake();
        }
    }
}

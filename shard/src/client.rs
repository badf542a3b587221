//! What others may ask of a connection, or change of it.

mod waits;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use slotway_common::acl::{Login, User, Users};
use slotway_common::command::Command;
use slotway_common::pubsub::{Kind, Subscriptions};
use slotway_common::resp::{Protocol, Reply};
use slotway_common::tracking::Tracking;

pub use waits::Waits;

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
    /// What the change of the users came to that it waits for.
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
    /// What its next request has to wait for.
    pub waits: Cell<Waits>,
    /// It has waited for a slot for too long: its next request is refused.
    pub gave_up: Cell<bool>,
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
            waits: Cell::default(),
            gave_up: Cell::new(false),
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
        if self.waits.get() == Waits::Users {
            self.is_leaving.set(true);
        } else {
            self.kill();
        }
    }

    /// Lets the connection's task look at `killed`, `pushed` and `waits` again.
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

    /// Sends a proxy the reply that was to come later under that number, and what its client is to be told behind it.
    pub fn push_later(&self, number: u64, reply: &[u8], behind: &[u8]) {
        let mut push = Vec::new();
        let mut frame = Reply::new(&mut push, Protocol::Resp3);
        frame.push(3);
        frame.bulk(b"later");
        frame.bulk(itoa::Buffer::new().format(number).as_bytes());
        push.extend_from_slice(reply);
        push.extend_from_slice(behind);
        self.push(&push);
    }

    /// Appends its line of CLIENT LIST; `asks` are the bytes of the request in progress.
    pub fn describe(&self, now: i64, asks: usize, out: &mut Vec<u8>) {
        let name =
            |field: &std::cell::RefCell<Vec<u8>>| String::from_utf8_lossy(&field.borrow()).into_owned();
        let mut flags = String::new();
        flags.extend(self.monitor.get().then_some('O'));
        flags.extend(self.is_subscriber().then_some('P'));
        flags.extend((self.multi.get() >= 0).then_some('x'));
        flags.extend(self.waits.get().is_blocked().then_some('b'));
        let tracking = self.tracking.borrow();
        flags.push_str(tracking.as_ref().map_or("", |tracking| tracking.letters()));
        let redirect = tracking.as_ref().map_or(-1, |tracking| tracking.told_redirect());
        flags.extend(self.no_evict.get().then_some('e'));
        if flags.is_empty() {
            flags.push('N');
        }
        let (input, output) = (self.input_bytes.get(), self.output_bytes.get() + self.pushed.borrow().len());
        let queued = self.queued_bytes.get();
        let subscriptions = self.subscriptions.borrow();
        let count = |kind| subscriptions.as_ref().map_or(0, |subscriptions| subscriptions.names(kind).len());
        let mut line = format!(
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db={} sub={} psub={} ssub={} multi={} \
             qbuf={input} qbuf-free=0 argv-mem={asks} multi-mem={queued} rbs=0 rbp=0 obl={output} oll=0 omem={output} tot-mem={} \
             events={} cmd={} user={} redir={redirect} resp={}",
            self.id,
            self.address,
            self.local_address,
            self.descriptor.get(),
            name(&self.name),
            (now - self.connected_at).max(0) / 1000,
            (now - self.last_used_at.get()).max(0) / 1000,
            self.db.get(),
            count(Kind::Channel),
            count(Kind::Pattern),
            count(Kind::Shard),
            self.multi.get(),
            size_of::<Client>() + input + output + queued + asks,
            if output > 0 { "rw" } else { "r" },
            self.last_command.get().map_or("NULL", |command| command.name),
            String::from_utf8_lossy(self.login.borrow().user().name()),
            self.protocol.get().number(),
        );
        for (field, value) in
            [("lib-name", name(&self.library_name)), ("lib-ver", name(&self.library_version))]
        {
            if !value.is_empty() {
                line.push_str(&format!(" {field}={value}"));
            }
        }
        line.push('\n');
        out.extend_from_slice(line.as_bytes());
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

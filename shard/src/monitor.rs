//! MONITOR: shows every command to the connections that watch.

use std::rc::Rc;

use slotway_common::command::Command;
use slotway_common::monitor;
use slotway_common::resp::Args;

use crate::client::Client;
use crate::session::Session;

/// Output that may wait for a watching connection, in bytes; one that is slower is closed.
const MAX_PENDING: usize = 64 * 1024 * 1024;

/// The connections that watch.
#[derive(Default)]
pub struct Monitors {
    watching: Vec<Watcher>,
}

struct Watcher {
    client: Rc<Client>,
    /// Commands over internal connections of this node are not shown.
    without: Option<Rc<str>>,
}

impl Monitors {
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.watching.is_empty()
    }

    pub fn add(&mut self, client: Rc<Client>, without: Option<Rc<str>>) {
        client.monitor.set(true);
        self.remove(client.id);
        self.watching.push(Watcher { client, without });
    }

    pub fn remove(&mut self, id: u64) {
        self.watching.retain(|watcher| watcher.client.id != id);
    }

    /// Shows a command, and gives what was shown.
    pub fn feed(&mut self, at_us: i64, session: &Session, command: &Command, args: &Args<'_>) -> Line {
        let line = Line::new(at_us, session.db, command, args);
        if self.watching.is_empty() {
            return line;
        }
        let address = if session.in_script { "lua" } else { &session.client.address };
        let text = [line.before_address.as_bytes(), address.as_bytes(), &line.after_address].concat();
        for Watcher { client, without } in &self.watching {
            if client.muted.get() || without.is_some() && *without == session.internal {
                continue;
            }
            if client.pushed.borrow().len() > MAX_PENDING {
                client.kill();
            } else {
                client.push(&text);
            }
        }
        line
    }
}

/// The status line of a command, around the client's address.
pub struct Line {
    /// Time and database.
    pub before_address: String,
    /// The arguments, quoted.
    pub after_address: Vec<u8>,
}

impl Line {
    fn new(at_us: i64, db: usize, command: &Command, args: &Args<'_>) -> Self {
        let before_address = format!("+{}.{:06} [{db} ", at_us / 1_000_000, at_us % 1_000_000);
        let mut after_address = vec![b']'];
        monitor::end_line(command, args, &mut after_address);
        Self { before_address, after_address }
    }
}

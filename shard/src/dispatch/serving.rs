//! Those who wait for keys are served once the keys have been written.

use slotway_common::error::Error;
use slotway_common::platform::clock;

use super::accounting::account_served;
use super::perform::{OwnedWords, served};
use crate::blocked::Route;
use crate::call::want::Awaited;
use crate::engine::{Engine, Key};
use crate::node::Node;
use crate::session::{Session, ToldOf};

/// Serves those who wait for keys that have been written.
#[cold]
pub fn serve_ready(engine: &mut Engine, node: &mut Node) {
    while let Some(entry) = node.blocked.take_ready() {
        let (db, key) = (entry.0, &*entry.1);
        let (mut last, newest) = (0, node.blocked.newest());
        // As long as there is something for one of those who are left: most of many go on waiting.
        loop {
            let found = engine.peek_record(db, &Key::new(key));
            let Some(id) = node.blocked.next(&entry, (last, newest), found) else { break };
            last = id;
            let Some(waiter) = node.blocked.waiter(id) else { continue };
            let fits = found.is_some_and(|record| waiter.awaited.fits(record));
            if !fits {
                // A stream that a group waits for will not come back with its group.
                if waiter.awaited == Awaited::Group
                    && let Some(waiter) = node.blocked.remove(engine, id)
                {
                    waiter.tell_error(&Error::Line("UNBLOCKED the stream key no longer exists".into()));
                }
                continue;
            }
            serve(engine, node, id, key);
        }
    }
}

fn serve(engine: &mut Engine, node: &mut Node, id: u64, key: &[u8]) {
    let Some(waiter) = node.blocked.waiter(id) else { return };
    if matches!(waiter.route, Route::Signal(_)) {
        if let Some(waiter) = node.blocked.remove(engine, id) {
            waiter.tell(format!("+READY {}\r\n", waiter.place_of(key)).as_bytes());
        }
        return;
    }
    let words = waiter.words_for(key);
    let mut session = Session::new(waiter.client.clone());
    (session.db, session.protocol, session.may_wait) = (waiter.db, waiter.protocol, true);
    // It was allowed when it began to wait.
    session.exempt = true;
    // Whom a proxy waits for is told in its name.
    session.internal = waiter.client.internal.borrow().clone();
    session.told_of = waiter.route.token().map(ToldOf::Wait);
    let by_group = waiter.awaited == Awaited::Group;
    let mut out = Vec::new();
    let started = clock::monotonic();
    let command = waiter.command;
    served(engine, node, &mut session, command, &words, &mut out);
    if session.wants.is_some() {
        return;
    }
    let took = clock::since(started);
    if by_group && out.starts_with(b"-NOGROUP") {
        out = b"-NOGROUP the consumer group this client was blocked on no longer exists\r\n".to_vec();
    }
    if let Some(waiter) = node.blocked.remove(engine, id) {
        let words = OwnedWords::new(&waiter.args);
        account_served(engine, node, &session, command, &words.args(), took);
        waiter.tell(&out);
    }
}

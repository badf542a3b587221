//! Ends the waits of clients whose time is up.

use std::rc::Rc;
use std::time::Duration;

use slotway_common::platform::clock;
use tokio::time::sleep;

use super::state::Server;
use crate::node::Shard;

/// Looks at nothing but the first deadline, and whether it has changed.
pub(super) async fn time_out(server: Rc<Server>) {
    let changed = server.shard.borrow().node.blocked.changed.clone();
    loop {
        let first = server.shard.borrow().node.blocked.first_deadline();
        let Some(first) = first else {
            changed.notified().await;
            continue;
        };
        let now = clock::now_ms();
        if let Ok(left @ 1..) = u64::try_from(first - now) {
            tokio::select! {
                () = sleep(Duration::from_millis(left)) => {}
                () = changed.notified() => {}
            }
            continue;
        }
        let Shard { engine, node } = &mut *server.shard.borrow_mut();
        engine.set_now(now);
        node.blocked.time_out(engine, now);
    }
}

//! Goes on with a script that is slow, slice by slice, and waits in between for others to be answered.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::sleep;

use super::state::Server;
use crate::eval::slow::go_on;
use crate::node::Shard;

/// Between two looks at whether a script has ended.
const LOOK: Duration = Duration::from_millis(1);

/// Runs as long as the process does.
pub(super) async fn run(server: Rc<Server>) {
    let news = server.shard.borrow().node.scripts.suspended.news.clone();
    loop {
        news.notified().await;
        loop {
            // Others' requests come first; a script can be told to end between two slices.
            yield_now().await;
            let Shard { engine, node } = &mut *server.shard.borrow_mut();
            if !go_on(engine, node) {
                break;
            }
        }
    }
}

/// Waits until no script is in the middle of a run: what it has changed so far must not be copied.
pub(super) async fn between_scripts(server: &Server) {
    while server.shard.borrow().node.scripts.suspended.is_any() {
        sleep(LOOK).await;
    }
}

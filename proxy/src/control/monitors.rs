//! Shows this proxy's MONITOR clients what runs on the shards and does not come from this proxy.

use std::sync::Arc;
use std::time::Duration;

use slotway_common::handshake::Mode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use crate::connect;
use crate::context::Context;

/// Before a shard is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// A longer line is not shown.
const LONGEST_LINE: usize = 1 << 20;

/// Watches the shards for as long as some client is in MONITOR mode. Runs until the process ends.
pub async fn watch(context: Arc<Context>) {
    loop {
        context.monitors.notified().await;
        if !context.fleet.is_monitored() {
            continue;
        }
        let watching = shards(&context).await.into_iter().map(|(node, address)| {
            let context = Arc::clone(&context);
            tokio::spawn(async move {
                loop {
                    if let Err(error) = follow(&context, &node, &address).await {
                        tracing::debug!(%node, %error, "shard cannot be watched");
                    }
                    sleep(PAUSE).await;
                }
            })
        });
        let watching: Vec<_> = watching.collect();
        while context.fleet.is_monitored() {
            context.monitors.notified().await;
        }
        watching.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Node and address of each shard, as the workers know them.
async fn shards(context: &Context) -> Vec<(String, String)> {
    let Some(worker) = context.fleet.workers().first() else { return Vec::new() };
    let shards = worker.start(|worker| {
        let core = worker.core.borrow();
        let present = core.view.shards.iter().filter(|shard| !shard.gone);
        present.map(|shard| (shard.node.clone(), shard.address.to_string())).collect()
    });
    shards.await.unwrap_or_default()
}

/// Shows the lines of one shard until its connection breaks.
async fn follow(context: &Context, node: &str, address: &str) -> Result<(), connect::ConnectError> {
    let mode = Mode { resp: 2, database: 0 };
    let mut stream = connect::open(address, &context.identity, &context.secret, node, mode).await?;
    let own = &context.identity.node;
    stream
        .write_all(format!("*3\r\n$7\r\nSLOTWAY\r\n$7\r\nMONITOR\r\n${}\r\n{own}\r\n", own.len()).as_bytes())
        .await?;
    let mut received = Vec::new();
    loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        let mut at = 0;
        while let Some(end) = memchr::memchr(b'\n', &received[at..]) {
            let line = &received[at..=at + end];
            at += end + 1;
            if line != b"+OK\r\n" {
                context.fleet.show(line.to_vec());
            }
        }
        received.drain(..at);
        if received.len() > LONGEST_LINE {
            received.clear();
        }
    }
}

//! Connections to shards: opening them, reading them, and trying again.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use rand::Rng;
use slotway_common::platform::net::{self, ReadHalf, Stream};
use slotway_common::platform::{clock, random};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{sleep, timeout};

use super::sockets::Driver;
use crate::connect;
use crate::core::UpstreamId;

/// For a connection to be opened and proved. What waits for it fails then, so it is long enough for two lost segments, which
/// the system sends again after one second and after two more, and for a machine that has too much to do.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first wait after a failed attempt, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Interval of keepalive probes: a shard whose machine is gone is noticed after about twice this.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Reads in a row before other tasks get their turn.
const READS: usize = 16;

/// Keeps an upstream connected for as long as it is needed.
pub(super) async fn run(driver: Rc<Driver>, id: UpstreamId) {
    let worker = &driver.worker;
    let mut backoff = BACKOFF.0;
    loop {
        let wait = driver.attempts.borrow_mut().take(clock::monotonic());
        if let Err(wait) = wait {
            sleep(wait).await;
            continue;
        }
        let Some((node, address, protocol, database)) = worker.core.borrow().upstream_target(id) else {
            return;
        };
        let mode = slotway_common::handshake::Mode { resp: protocol.number(), database };
        let opening = connect::open(&address, &worker.context.identity, &worker.context.secret, &node, mode);
        let opened = match timeout(PATIENCE, opening).await {
            Ok(opened) => opened.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} ms", PATIENCE.as_millis())),
        };
        match opened {
            Ok(stream) => {
                backoff = BACKOFF.0;
                let reason = serve(&driver, id, stream).await;
                driver.shards.borrow_mut().remove(id);
                if worker.core.borrow().upstream_target(id).is_none() {
                    return;
                }
                tracing::warn!(shard = %node, %address, %reason, "connection to shard lost");
                worker.with(|core| core.upstream_lost(id, &reason));
            }
            Err(reason) => {
                tracing::debug!(shard = %node, %address, %reason, "no connection to shard");
                worker.with(|core| core.upstream_failed(id, &reason));
                let wait = backoff.mul_f64(random::generator().random_range(0.5..1.0));
                sleep(wait).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }
}

/// Uses an open connection until it breaks; tells why it did.
async fn serve(driver: &Driver, id: UpstreamId, stream: Stream) -> String {
    if let Err(error) = net::tune(&stream, Some(KEEPALIVE)) {
        return error.to_string();
    }
    let (mut reader, writer) = stream.into_split();
    driver.shards.borrow_mut().insert(id, Rc::new(writer));
    driver.worker.with(|core| core.upstream_opened(id));
    poll_fn(|cx| poll_read(driver, id, &mut reader, cx)).await
}

/// Reads and handles what there is. Ready when the connection cannot be used any more.
fn poll_read(driver: &Driver, id: UpstreamId, reader: &mut ReadHalf, cx: &mut Context<'_>) -> Poll<String> {
    let worker = &driver.worker;
    let mut core = worker.core.borrow_mut();
    let mut scratch = driver.scratch.borrow_mut();
    let mut read_any = false;
    let mut result = Poll::Pending;
    for round in 0..=READS {
        if round == READS {
            cx.waker().wake_by_ref();
            break;
        }
        let mut buffer = ReadBuf::new(&mut scratch);
        match Pin::new(&mut *reader).poll_read(cx, &mut buffer) {
            Poll::Pending => break,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                if !read_any {
                    core.now = worker.now();
                    read_any = true;
                }
                if let Err(error) = core.upstream_received(id, buffer.filled()) {
                    result = Poll::Ready(error.to_string());
                    break;
                }
            }
            Poll::Ready(Ok(())) => {
                result = Poll::Ready("closed by the shard".to_owned());
                break;
            }
            Poll::Ready(Err(error)) => {
                result = Poll::Ready(reason_of(&error));
                break;
            }
        }
    }
    if core.has_work() {
        drop(core);
        worker.turn.wake();
    }
    result
}

fn reason_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "reset by the shard".to_owned(),
        _ => error.to_string(),
    }
}

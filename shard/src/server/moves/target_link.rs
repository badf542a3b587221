//! The connection to the target of a move.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use slotway_common::cluster_state::{AbortKind, AbortReason, ClusterState, Migration};
use slotway_common::handshake::Identity;
use slotway_common::internal::{CallError, Connection, REFUSAL};
use slotway_common::platform::net::{self, ReadHalf, WriteHalf};
use slotway_common::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use crate::stream::{Frames, Kind};

/// For the target to accept the connection and the move, and later for any sign of it while it has something to do: a
/// link that drops everything says nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Interval of keepalive probes while there is nothing to do.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// What the target has answered so far.
#[derive(Default)]
pub(super) struct Heard {
    /// The highest frame that it has applied.
    pub(super) applied: Cell<u64>,
    /// Batches that it has complete.
    pub(super) ready: Cell<u64>,
    /// Why there will be no more answers.
    pub(super) failed: RefCell<Option<AbortReason>>,
    /// Something of this has changed.
    pub(super) news: Notify,
}

/// An open slot stream.
pub(super) struct Link {
    writer: WriteHalf,
    pub(super) heard: Rc<Heard>,
    listener: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Link {
    /// Opens the stream of a move.
    ///
    /// # Errors
    /// Why the target cannot be reached or does not want it, in one line.
    pub(super) async fn open(
        state: &ClusterState,
        migration: &Migration,
        identity: &Identity,
        secret: &Secret,
    ) -> Result<Self, AbortReason> {
        let target = &migration.target;
        let node = state.shard(target).and_then(|shard| shard.primary());
        let node = node.ok_or_else(|| AbortReason::failed(format!("there is no shard {target}")))?;
        let failed = |error: CallError| {
            let kind = match &error {
                CallError::Foreign(_) | CallError::Handshake(_) => AbortKind::Refused,
                CallError::Refused(reason) if reason.starts_with(REFUSAL) => AbortKind::Refused,
                _ => AbortKind::Unreachable,
            };
            AbortReason::new(kind, format!("shard {target} at {}: {error}", node.address))
        };
        let mut connection = Connection::open(&node.address, identity, secret, Some(&node.id), PATIENCE)
            .await
            .map_err(failed)?;
        connection.call(&["SLOTWAY", "IMPORT", &migration.id]).await.map_err(failed)?;
        let (stream, received) = connection.into_parts();
        net::tune(&stream, Some(KEEPALIVE)).map_err(AbortReason::unreachable)?;
        let (reader, writer) = stream.into_split();
        let heard = Rc::new(Heard::default());
        let listener = spawn_local(listen(reader, received, heard.clone()));
        Ok(Self { writer, heard, listener })
    }

    /// Writes frames.
    ///
    /// # Errors
    /// When the connection has broken, or takes nothing any more.
    pub(super) async fn send(&mut self, frames: &[u8]) -> Result<(), AbortReason> {
        match timeout(PATIENCE, self.writer.write_all(frames)).await {
            Ok(written) => written.map_err(AbortReason::unreachable),
            Err(_) => Err(silent()),
        }
    }
}

/// What a target that gives no sign is taken for.
pub(super) fn silent() -> AbortReason {
    AbortReason::unreachable(format!("no answer of the target within {} s", PATIENCE.as_secs()))
}

/// What a target has said before it closed the connection.
fn told(payload: &[u8]) -> AbortReason {
    let (kind, text) = payload.split_first().map_or((None, payload), |(kind, text)| (Some(*kind), text));
    let kind = kind.and_then(|kind| AbortKind::ALL.get(usize::from(kind)).copied());
    AbortReason::new(kind.unwrap_or(AbortKind::Failed), String::from_utf8_lossy(text))
}

async fn listen(mut reader: ReadHalf, received: Vec<u8>, heard: Rc<Heard>) {
    let mut frames = Frames::new();
    frames.buffer().extend_from_slice(&received);
    let reason = loop {
        match frames.take() {
            Ok(Some(frame)) => {
                match frame.kind {
                    Kind::Applied => {
                        let number = frame.payload.try_into().map_or(0, u64::from_le_bytes);
                        heard.applied.set(heard.applied.get().max(number));
                    }
                    Kind::Ready => heard.ready.set(heard.ready.get() + 1),
                    Kind::Failed => break told(frame.payload),
                    _ => break AbortReason::failed("the target has sent what only a source sends"),
                }
                heard.news.notify_one();
                continue;
            }
            Ok(None) => {}
            Err(error) => break AbortReason::new(AbortKind::Damaged, error),
        }
        match reader.read_buf(frames.buffer()).await {
            Ok(0) => break AbortReason::unreachable("the target has closed the connection"),
            Ok(_) => {}
            Err(error) => break AbortReason::unreachable(error),
        }
    };
    heard.failed.replace(Some(reason));
    heard.news.notify_one();
}

//! The connection to the target of a move.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use slotway_common::cluster_state::{ClusterState, Migration};
use slotway_common::handshake::Identity;
use slotway_common::internal::Connection;
use slotway_common::platform::net::{OwnedReadHalf, OwnedWriteHalf};
use slotway_common::secret::Secret;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};

use crate::stream::{Frames, Kind};

/// For the target to accept the connection and the move.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the target has answered so far.
#[derive(Default)]
pub(super) struct Heard {
    /// The highest frame that it has applied.
    pub(super) applied: Cell<u64>,
    /// Batches that it has complete.
    pub(super) ready: Cell<u64>,
    /// Why there will be no more answers.
    pub(super) failed: RefCell<Option<String>>,
    /// Something of this has changed.
    pub(super) news: Notify,
}

/// An open slot stream.
pub(super) struct Link {
    pub(super) writer: OwnedWriteHalf,
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
    ) -> Result<Self, String> {
        let target = &migration.target;
        let node = state.shard(target).and_then(|shard| shard.nodes.first());
        let node = node.ok_or_else(|| format!("there is no shard {target}"))?;
        let failed = |reason: String| format!("shard {target} at {}: {reason}", node.address);
        let mut connection = Connection::open(&node.address, identity, secret, Some(&node.id), PATIENCE)
            .await
            .map_err(|error| failed(error.to_string()))?;
        connection
            .call(&["SLOTWAY", "IMPORT", &migration.id])
            .await
            .map_err(|error| failed(error.to_string()))?;
        let (stream, received) = connection.into_parts();
        let (reader, writer) = stream.into_split();
        let heard = Rc::new(Heard::default());
        let listener = spawn_local(listen(reader, received, heard.clone()));
        Ok(Self { writer, heard, listener })
    }
}

async fn listen(mut reader: OwnedReadHalf, received: Vec<u8>, heard: Rc<Heard>) {
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
                    Kind::Failed => break String::from_utf8_lossy(frame.payload).into_owned(),
                    _ => break "the target has sent what only a source sends".to_owned(),
                }
                heard.news.notify_one();
                continue;
            }
            Ok(None) => {}
            Err(error) => break error.to_string(),
        }
        match reader.read_buf(frames.buffer()).await {
            Ok(0) => break "the target has closed the connection".to_owned(),
            Ok(_) => {}
            Err(error) => break error.to_string(),
        }
    };
    heard.failed.replace(Some(reason));
    heard.news.notify_one();
}

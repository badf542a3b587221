//! A handle on the committed state, and what becomes of the changes that are proposed over it.

use std::sync::Arc;

use slotway_common::cluster_state::{Change, ClusterState, Proposal};
use slotway_common::platform::random;
use tokio::sync::{mpsc, oneshot, watch};

/// Why a change is not known to have been made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// The state does not allow it; nothing was changed. One line.
    #[error("{0}")]
    Refused(String),
    /// Nobody has answered in time: it may have been made, may be made later, or never. One line.
    #[error("{0}")]
    Unknown(String),
}

/// A proposal on its way to the cluster, and where its outcome is awaited.
#[derive(Debug)]
pub(super) struct Request {
    pub proposal: Proposal,
    /// Gets the generation once this node has applied it.
    pub answer: oneshot::Sender<Result<u64, ProposeError>>,
}

/// A handle on the committed state. Clones share nothing but the state; each follows it on its own.
#[derive(Clone, Debug)]
pub struct Control {
    state: watch::Receiver<Arc<ClusterState>>,
    requests: mpsc::UnboundedSender<Request>,
    cluster: Arc<str>,
}

impl Control {
    pub(super) fn new(
        state: watch::Receiver<Arc<ClusterState>>,
        requests: mpsc::UnboundedSender<Request>,
    ) -> Self {
        Self { state, requests, cluster: Arc::from("") }
    }

    pub(super) fn of_cluster(self, cluster: String) -> Self {
        Self { cluster: cluster.into(), ..self }
    }

    /// The id of the cluster that the node's directory belonged to at the start; empty if it did not belong to one.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The state as this node has applied it.
    #[must_use]
    pub fn state(&self) -> Arc<ClusterState> {
        self.state.borrow().clone()
    }

    /// Waits until the state is another one than it was when this was called last (or when the handle was made).
    ///
    /// Waits for ever when the node stops.
    pub async fn changed(&mut self) {
        if self.state.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Has the cluster make a change, and waits until it is committed and applied by this node.
    ///
    /// Gives the generation at which it holds. The change is sent again, under one id, until its outcome is known, so it
    /// is made at most once.
    ///
    /// # Errors
    /// [`ProposeError::Refused`] when the state does not allow it, [`ProposeError::Unknown`] when no outcome is known
    /// after about 5 s.
    pub async fn propose(&self, change: Change) -> Result<u64, ProposeError> {
        let proposal = Proposal { request: random::hex_id::<16>(), change };
        let (answer, outcome) = oneshot::channel();
        let stopped = || ProposeError::Unknown("the node is stopping".to_owned());
        self.requests.send(Request { proposal, answer }).map_err(|_| stopped())?;
        outcome.await.unwrap_or_else(|_| Err(stopped()))
    }
}

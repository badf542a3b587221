//! What this node sends to the others: a connection for each, kept, and opened again when it breaks.

use std::time::Duration;

use openraft::error::{RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, Snapshot, StorageIOError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use slotway_common::handshake::Identity;
use slotway_common::internal::{CallError, Connection};
use slotway_common::secret::Secret;
use tokio::task::JoinHandle;

use super::log::LogStore;
use super::machine::Machine;
use super::raft::{Place, TypeConfig, Vote};

/// For a connection to be opened, and for an answer; the library gives up earlier where it should.
const PATIENCE: Duration = Duration::from_secs(5);

/// What all connections to other nodes have in common.
#[derive(Clone)]
pub struct Peers {
    pub identity: Identity,
    pub secret: Secret,
    pub log: LogStore,
    pub machine: Machine,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("the message is not readable: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the connection was given up")]
    GivenUp,
}

impl Peers {
    /// The cluster's id as this node's messages carry it: the one that it belongs to, or would by its log.
    pub fn cluster(&self) -> String {
        let known = self.machine.cluster();
        if known.is_empty() { self.log.founded().unwrap_or_default() } else { known }
    }

    pub fn to(&self, place: &Place) -> Peer {
        Peer { peers: self.clone(), place: place.clone(), link: Link::None, complaint: None }
    }
}

/// A connection, or one on its way: it goes on being opened when the message that wanted it is given up.
enum Link {
    None,
    Opening(JoinHandle<Result<Connection, CallError>>),
    Open(Connection),
}

/// One node.
pub struct Peer {
    peers: Peers,
    place: Place,
    link: Link,
    /// The last reason that was logged.
    complaint: Option<String>,
}

impl Peer {
    /// Sends `SLOTWAY RAFT <cluster> <words>` and reads the JSON of the answer.
    ///
    /// May be dropped at any time; the connection that was in use is then closed.
    pub async fn call<T: DeserializeOwned>(&mut self, words: &[&[u8]]) -> Result<T, PeerError> {
        let result = self.exchange(words).await;
        match &result {
            Ok(_) => self.complaint = None,
            Err(error) => {
                let reason = error.to_string();
                if self.complaint.as_ref() != Some(&reason) {
                    let Place { node, control } = &self.place;
                    tracing::info!("node {node} at {control} does not take part: {reason}");
                    self.complaint = Some(reason);
                }
            }
        }
        result
    }

    async fn exchange<T: DeserializeOwned>(&mut self, words: &[&[u8]]) -> Result<T, PeerError> {
        let mut connection = self.connection().await?;
        let cluster = self.peers.cluster();
        let mut request: Vec<&[u8]> = vec![b"SLOTWAY", b"RAFT", cluster.as_bytes()];
        request.extend(words);
        let answer = connection.call(&request).await;
        if matches!(answer, Ok(_) | Err(CallError::Refused(_))) {
            self.link = Link::Open(connection);
        }
        Ok(serde_json::from_slice(answer?.as_bytes().unwrap_or_default())?)
    }

    /// Takes the connection out, once there is one.
    async fn connection(&mut self) -> Result<Connection, PeerError> {
        match std::mem::replace(&mut self.link, Link::None) {
            Link::Open(connection) => return Ok(connection),
            Link::Opening(opening) => self.link = Link::Opening(opening),
            Link::None => {
                let (peers, place) = (self.peers.clone(), self.place.clone());
                self.link = Link::Opening(tokio::spawn(async move {
                    let Peers { identity, secret, .. } = &peers;
                    Connection::open(&place.control, identity, secret, Some(&place.node), PATIENCE).await
                }));
            }
        }
        let Link::Opening(opening) = &mut self.link else { return Err(PeerError::GivenUp) };
        let opened = opening.await;
        self.link = Link::None;
        Ok(opened.map_err(|_| PeerError::GivenUp)??)
    }
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, _target: u64, place: &Place) -> Peer {
        self.to(place)
    }
}

fn unreachable(error: &PeerError) -> Unreachable {
    Unreachable::new(error)
}

impl Peer {
    async fn send<M: Serialize, T: DeserializeOwned>(
        &mut self,
        kind: &str,
        message: &M,
    ) -> Result<T, RPCError<u64, Place, RaftError<u64>>> {
        let json =
            serde_json::to_vec(message).map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))?;
        let answer = self.call(&[kind.as_bytes(), &json]).await;
        answer.map_err(|error| RPCError::Unreachable(unreachable(&error)))
    }
}

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, Place, RaftError<u64>>> {
        self.send("APPEND", &rpc).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, Place, RaftError<u64>>> {
        self.send("VOTE", &rpc).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<TypeConfig>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<TypeConfig, openraft::error::Fatal<u64>>> {
        let meta = serde_json::to_vec(&(vote, &snapshot.meta)).map_err(|error| {
            StreamingError::StorageError(
                StorageIOError::read_snapshot(Some(snapshot.meta.signature()), &error).into(),
            )
        })?;
        let words: [&[u8]; 3] = [b"SNAPSHOT", &meta, &snapshot.snapshot];
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            answer = self.call(&words) => {
                answer.map_err(|error| StreamingError::Unreachable(unreachable(&error)))
            }
        }
    }

    fn backoff(&self) -> Backoff {
        let waits = [10, 20, 40, 80].into_iter().chain(std::iter::repeat(150));
        Backoff::new(waits.map(Duration::from_millis))
    }
}

//! An internal connection for occasional questions: one request at a time, replies decoded.
//!
//! The proxy's hot path does not use it; the operator command, topology refreshes and tests do.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::handshake::{Client, HandshakeError, Identity, Mode};
use crate::platform::net::{self, Stream};
use crate::resp::{Value, request};
use crate::secret::Secret;

/// A longer reply is not one of ours.
const LONGEST_REPLY: usize = 64 << 20;

/// An open, authenticated connection to a process of the cluster.
pub struct Connection {
    stream: Stream,
    received: Vec<u8>,
    patience: Duration,
    /// The id of the process at the other end.
    pub node: String,
}

/// Why there is no answer. The text is one line.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("{0}")]
    Connect(io::Error),
    #[error("connection lost: {0}")]
    Lost(io::Error),
    #[error("no answer within {} ms", .0.as_millis())]
    Silent(Duration),
    /// Something listens there that does not speak the internal protocol.
    #[error("not a Slotway process: it answered {0}")]
    Foreign(String),
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    /// The process answered with an error, without its leading `-`.
    #[error("{0}")]
    Refused(String),
}

impl Connection {
    /// Connects and proves both ends' membership. `patience` bounds this and later each call.
    ///
    /// `expected` is the id of the node that should be there.
    pub async fn open(
        address: &str,
        identity: &Identity,
        secret: &Secret,
        expected: Option<&str>,
        patience: Duration,
    ) -> Result<Connection, CallError> {
        let stream = timeout(patience, net::connect(address))
            .await
            .map_err(|_| CallError::Connect(io::Error::new(io::ErrorKind::TimedOut, "no connection")))?
            .map_err(CallError::Connect)?;
        let mut connection = Connection { stream, received: Vec::new(), patience, node: String::new() };
        let client = Client::new(identity.clone(), secret.clone());
        let answer = connection.exchange(&client.connect()).await?;
        let fields: Option<Vec<&[u8]>> =
            answer.as_array().map(|items| items.iter().filter_map(Value::as_bytes).collect());
        let Some(fields) = fields else {
            return Err(match answer {
                // A process of another cluster says who it is in its refusal.
                Value::Error(text) if text.starts_with(REFUSAL.as_bytes()) => {
                    CallError::Refused(String::from_utf8_lossy(&text).into_owned())
                }
                Value::Error(text) | Value::Simple(text) => CallError::Foreign(quoted(&text)),
                other => CallError::Foreign(quoted(other.to_string().as_bytes())),
            });
        };
        let connected = client.connected(&fields, expected)?;
        connection.node.clone_from(&connected.server_node);
        connection.call(&connected.prove(Mode { resp: 2, database: 0 })).await?;
        Ok(connection)
    }

    /// The socket, and what was received beyond the last reply, for a connection that speaks something else from now on.
    #[must_use]
    pub fn into_parts(self) -> (Stream, Vec<u8>) {
        (self.stream, self.received)
    }

    /// Sends a command and waits for its reply. An error reply is a [`CallError::Refused`].
    pub async fn call(&mut self, words: &[impl AsRef<[u8]>]) -> Result<Value, CallError> {
        match self.exchange(words).await? {
            Value::Error(text) => Err(CallError::Refused(String::from_utf8_lossy(&text).into_owned())),
            value => Ok(value),
        }
    }

    async fn exchange(&mut self, words: &[impl AsRef<[u8]>]) -> Result<Value, CallError> {
        let patience = self.patience;
        match timeout(patience, self.exchange_patiently(words)).await {
            Ok(result) => result,
            Err(_) => Err(CallError::Silent(patience)),
        }
    }

    async fn exchange_patiently(&mut self, words: &[impl AsRef<[u8]>]) -> Result<Value, CallError> {
        let mut bytes = Vec::new();
        request::encode(words.iter().map(AsRef::as_ref), &mut bytes);
        self.stream.write_all(&bytes).await.map_err(CallError::Lost)?;
        loop {
            match Value::parse(&self.received) {
                Ok(Some((value, length))) => {
                    self.received.drain(..length);
                    return Ok(value);
                }
                Ok(None) => {}
                Err(_) => {
                    return Err(CallError::Foreign(quoted(&self.received)));
                }
            }
            if self.received.len() > LONGEST_REPLY {
                return Err(CallError::Lost(io::Error::other("the reply is longer than 64 MiB")));
            }
            let read = self.stream.read_buf(&mut self.received).await.map_err(CallError::Lost)?;
            if read == 0 {
                return Err(CallError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

/// What the error reply to a refused `SLOTWAY CONNECT` or `SLOTWAY PROVE` starts with, before the reason.
pub const REFUSAL: &str = "ERR handshake refused: ";

/// The beginning of the first line, as far as it can be shown.
fn quoted(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let line = text.lines().next().unwrap_or_default();
    let visible: String = line.chars().filter(|character| !character.is_control()).take(60).collect();
    format!("`{visible}{}`", if visible.len() < line.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests;

//! Opens an internal connection for the hot path: the bare socket, after both ends have proved themselves.

use std::io;

use slotway_common::handshake::{Client, HandshakeError, Identity, Mode};
use slotway_common::platform::net::{self, Stream};
use slotway_common::resp::{Value, request};
use slotway_common::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longest answer, in bytes.
const LONGEST: usize = 4096;

/// Why a connection was not opened, in one line.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{}", describe(.0))]
    Io(#[from] io::Error),
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    #[error("the shard refused the connection: {0}")]
    Refused(String),
    #[error("what listens there is not a shard of Slotway")]
    Foreign,
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => error.to_string(),
    }
}

/// Connects to the node `node` at `address` and has the connection speak `mode`.
///
/// # Errors
/// When nobody answers, or the answer is not that of the expected node.
pub async fn open(
    address: &str,
    identity: &Identity,
    secret: &Secret,
    node: &str,
    mode: Mode,
) -> Result<Stream, ConnectError> {
    let mut stream = net::connect(address).await?;
    let client = Client::new(identity.clone(), secret.clone());
    let answer = exchange(&mut stream, &client.connect()).await?;
    let fields: Option<Vec<&[u8]>> =
        answer.as_array().map(|fields| fields.iter().filter_map(Value::as_bytes).collect());
    let fields = fields.ok_or_else(|| refusal(&answer))?;
    let connected = client.connected(&fields, Some(node))?;
    match exchange(&mut stream, &connected.prove(mode)).await? {
        Value::Simple(_) => Ok(stream),
        other => Err(refusal(&other)),
    }
}

fn refusal(answer: &Value) -> ConnectError {
    match answer {
        Value::Error(text) => ConnectError::Refused(String::from_utf8_lossy(text).into_owned()),
        _ => ConnectError::Foreign,
    }
}

async fn exchange(stream: &mut Stream, words: &[String]) -> Result<Value, ConnectError> {
    let mut bytes = Vec::new();
    request::encode(words.iter().map(String::as_bytes), &mut bytes);
    let answer = ask(stream, &bytes).await?;
    Value::parse(&answer).ok().flatten().map(|(value, _)| value).ok_or(ConnectError::Foreign)
}

/// Sends a request over a connection on which nothing else is asked, and gives the short reply as it came.
///
/// # Errors
/// When the connection breaks, or the reply is none.
pub async fn ask(stream: &mut Stream, request: &[u8]) -> Result<Vec<u8>, ConnectError> {
    stream.write_all(request).await?;
    let mut received = Vec::new();
    loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        // The other end sends nothing that was not asked for, so there is never more than one answer.
        match Value::parse(&received) {
            Ok(Some(_)) => return Ok(received),
            Ok(None) if received.len() < LONGEST => {}
            _ => return Err(ConnectError::Foreign),
        }
    }
}

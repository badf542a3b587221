//! The control port: other nodes, proxies and the operator's command ask here.
//!
//! | request | answer |
//! |---|---|
//! | `SLOTWAY CONNECT`, `SLOTWAY PROVE` | the handshake of all internal connections |
//! | `SLOTWAY PING` | `PONG` |
//! | `SLOTWAY STATE` | the state as this node has applied it, JSON |
//! | `SLOTWAY STATE <generation>` | the same, as soon as it is newer than that, at the latest after a second |
//! | `SLOTWAY CHANGES <cluster id> <generation>` | what changed since that generation, in the same time, JSON |
//! | `SLOTWAY PROPOSE <proposal>` | the outcome once the leader has applied it; waits for a leader for about 5 s |
//! | `SLOTWAY RAFT STATUS` | the node's part in the group, JSON |
//! | `SLOTWAY RAFT <cluster> <kind> <json> …` | messages between nodes |
//!
//! Requests of one connection are answered one after the other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use slotway_common::cluster_state::Proposal;
use slotway_common::error::Error;
use slotway_common::handshake::Server;
use slotway_common::number::parse_i64;
use slotway_common::platform::net::{self, Listener, Stream};
use slotway_common::resp::request::Parsed;
use slotway_common::resp::{Limits, Parser, Protocol, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::group::Group;

/// Connections that wait to be accepted.
pub const BACKLOG: i32 = 128;
/// How long a question for a newer state waits.
const LONG_POLL: Duration = Duration::from_secs(1);
/// Longest argument in bytes: a snapshot.
const LONGEST: usize = 256 << 20;
/// For the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Seconds after which a silent connection is probed.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Accepts connections for as long as the node runs.
pub async fn accept(listener: Listener, group: Arc<Group>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let group = group.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, &group).await {
                        tracing::debug!(%error, "control connection ended");
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: the listener stays readable, so do not spin.
                tracing::warn!("a control connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A connection and what has been read of it.
struct Connection {
    stream: Stream,
    input: Vec<u8>,
    parser: Parser,
}

impl Connection {
    /// Reads one request: its arguments.
    async fn request(&mut self, limits: &Limits) -> io::Result<Vec<Vec<u8>>> {
        loop {
            match self.parser.parse(&self.input, limits) {
                Ok(Parsed::Frame(length)) => {
                    let words: Vec<Vec<u8>> =
                        self.parser.args(&self.input).iter().map(<[u8]>::to_vec).collect();
                    self.input.drain(..length);
                    if !words.is_empty() {
                        return Ok(words);
                    }
                }
                Ok(Parsed::Incomplete) => {
                    if self.stream.read_buf(&mut self.input).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => {
                    self.stream.write_all(&error.reply()).await?;
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
    }

    async fn reply(&mut self, write: impl FnOnce(&mut Reply<'_>)) -> io::Result<()> {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, Protocol::Resp2));
        self.stream.write_all(&out).await
    }
}

async fn serve(stream: Stream, group: &Group) -> io::Result<()> {
    net::tune(&stream, Some(KEEPALIVE))?;
    let mut connection = Connection { stream, input: Vec::new(), parser: Parser::new() };
    timeout(HANDSHAKE, shake_hands(&mut connection, group)).await??;
    let limits = Limits { max_bulk: LONGEST, authenticated: true };
    loop {
        let words = connection.request(&limits).await?;
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        match answer(group, &words).await {
            Ok(text) => connection.reply(|reply| reply.bulk(&text)).await?,
            Err(reason) => connection.reply(|reply| reply.error(&Error::err(reason))).await?,
        }
    }
}

/// Does not return before the other end has proved itself.
async fn shake_hands(connection: &mut Connection, group: &Group) -> io::Result<()> {
    let limits = Limits { authenticated: false, ..Limits::default() };
    let mut handshake = None;
    loop {
        let words = connection.request(&limits).await?;
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let fields = words.get(2..).unwrap_or_default();
        let is = |name: &str| {
            let given = words.iter().take(2).map(|word| word.to_ascii_uppercase());
            given.eq([b"SLOTWAY".to_vec(), name.as_bytes().to_vec()])
        };
        let refused = |error| Error::err(format!("handshake refused: {error}"));
        if is("CONNECT") {
            match Server::connect(&group.peers.identity, &group.peers.secret, fields) {
                Ok((server, answer)) => {
                    handshake = Some(server);
                    let write = |reply: &mut Reply<'_>| {
                        reply.array(answer.len());
                        answer.iter().for_each(|field| reply.bulk(field.as_bytes()));
                    };
                    connection.reply(write).await?;
                }
                Err(error) => connection.reply(|reply| reply.error(&refused(error))).await?,
            }
        } else if is("PROVE") {
            let proven = match handshake.take() {
                Some(server) => server.prove(fields, 1).map_err(refused),
                None => Err(Error::err("PROVE comes after CONNECT")),
            };
            match proven {
                Ok(_) => return connection.reply(|reply| reply.ok()).await,
                Err(error) => connection.reply(|reply| reply.error(&error)).await?,
            }
        } else {
            let closed =
                "this is the control port of a Slotway node: it speaks to nodes, proxies and `slotway` only";
            connection.reply(|reply| reply.error(&Error::err(closed))).await?;
        }
    }
}

async fn answer(group: &Group, words: &[&[u8]]) -> Result<Vec<u8>, String> {
    let unknown = || "there is no such request at the control port".to_owned();
    let Some((first, words)) = words.split_first() else { return Err(unknown()) };
    if !first.eq_ignore_ascii_case(b"SLOTWAY") {
        return Err(unknown());
    }
    match words {
        [b"PING"] => Ok(b"PONG".to_vec()),
        [b"STATE"] => Ok(group.current().to_shown_json().into_bytes()),
        [b"STATE", generation] => {
            newer_than(group, generation).await?;
            Ok(group.current().to_shown_json().into_bytes())
        }
        [b"CHANGES", id, generation] => {
            let known = newer_than(group, generation).await?;
            let update = group.peers.machine.since(&String::from_utf8_lossy(id), known);
            serde_json::to_vec(&update).map_err(|error| error.to_string())
        }
        [b"PROPOSE", proposal] => {
            let proposal: Proposal = serde_json::from_slice(proposal)
                .map_err(|error| format!("the proposal is not readable: {error}"))?;
            let outcome = group.propose(&proposal).await?;
            serde_json::to_vec(&outcome).map_err(|error| error.to_string())
        }
        [b"RAFT", b"STATUS"] => serde_json::to_vec(&group.status()).map_err(|error| error.to_string()),
        [b"RAFT", cluster, kind, json, data @ ..] => {
            let data = data.first().copied().unwrap_or_default();
            group.receive(cluster, kind, json, data).await
        }
        _ => Err(unknown()),
    }
}

/// Waits for a state that is newer than a generation, which comes back. Nothing newer in time is an answer too.
async fn newer_than(group: &Group, generation: &[u8]) -> Result<u64, String> {
    let known = parse_i64(generation).and_then(|known| u64::try_from(known).ok());
    let known = known.ok_or("the generation is not a number")?;
    let mut state = group.state.clone();
    let _ = timeout(LONG_POLL, state.wait_for(|state| state.generation > known)).await;
    Ok(known)
}

//! Opens an internal connection: both ends prove that they know the cluster's secret, without sending it.
//!
//! | step | from | message |
//! |---|---|---|
//! | 1 | client | `SLOTWAY CONNECT <version> <cluster> <node> <client nonce>` |
//! | 2 | server | array: version, cluster, node, server nonce, server proof |
//! | 3 | client | `SLOTWAY PROVE <client proof> <2 or 3> <database>` |
//! | 4 | server | `+OK`, and the connection is internal: it speaks this RESP version and uses this database |
//!
//! A nonce is 32 random bytes, a proof 32 bytes, both in hexadecimal. A proof is HMAC-SHA256 under the secret over the
//! prover's role and every field of steps 1 and 2, each preceded by its length, so that neither end's proof can be
//! used as the other's or in another connection. What follows the handshake is not encrypted.
//!
//! Both sides are state machines without I/O: [`Client`] and [`Server`] take fields and give fields.

mod client;
mod server;

pub use client::{Client, Connected};
pub use server::{Proven, Server};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::platform::random::secret_bytes;
use crate::secret::{Secret, hex};

/// Version of the internal protocol. Two processes whose versions differ do not speak with each other.
pub const PROTOCOL_VERSION: u32 = 3;

/// Clusters and nodes with longer names are refused before anything is computed.
const LONGEST_NAME: usize = 128;

/// Who this process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: String,
    /// `a-0` for the first node of shard `a`, `proxy-0` for the first proxy, `slotway` for the operator command.
    pub node: String,
}

/// The RESP version and the database of an internal connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// 2 or 3.
    pub resp: u8,
    pub database: u32,
}

/// Why an internal connection was not opened. The text is one line that reads the same at either end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("version {theirs} of the internal protocol met version {}", PROTOCOL_VERSION)]
    Version { theirs: String },
    #[error("a process of cluster `{theirs}` met one of cluster `{ours}`")]
    Cluster { ours: String, theirs: String },
    #[error("node `{theirs}` is there, not `{expected}`")]
    Node { expected: String, theirs: String },
    #[error("the secrets differ")]
    Proof,
    #[error("the handshake is malformed: {0}")]
    Malformed(&'static str),
}

/// 32 random bytes that make a proof valid for one connection only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce([u8; 32]);

impl Nonce {
    pub fn random() -> Nonce {
        Nonce(secret_bytes())
    }

    /// For tests and simulations that must repeat.
    pub fn from_bytes(bytes: [u8; 32]) -> Nonce {
        Nonce(bytes)
    }

    fn hex(&self) -> String {
        hex(&self.0)
    }
}

/// What both proofs of one connection are made over.
#[derive(Debug)]
struct Transcript {
    cluster: String,
    client_node: String,
    server_node: String,
    client_nonce: Nonce,
    server_nonce: Nonce,
}

#[derive(Clone, Copy)]
enum Role {
    Client,
    Server,
}

impl Transcript {
    fn mac(&self, secret: &Secret, role: Role) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length, the error is only there in the type.
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).ok()?;
        let role: &[u8] = match role {
            Role::Client => b"slotway client",
            Role::Server => b"slotway server",
        };
        for field in [
            role,
            &PROTOCOL_VERSION.to_be_bytes(),
            self.cluster.as_bytes(),
            self.client_node.as_bytes(),
            self.server_node.as_bytes(),
            &self.client_nonce.0,
            &self.server_nonce.0,
        ] {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        Some(mac)
    }

    fn proof(&self, secret: &Secret, role: Role) -> String {
        self.mac(secret, role).map(|mac| hex(&mac.finalize().into_bytes())).unwrap_or_default()
    }

    /// Takes the same time wherever the proofs differ.
    fn verify(&self, secret: &Secret, role: Role, proof: &[u8]) -> Result<(), HandshakeError> {
        let proof =
            bytes_of_hex(proof).ok_or(HandshakeError::Malformed("a proof is 64 hexadecimal digits"))?;
        self.mac(secret, role).and_then(|mac| mac.verify_slice(&proof).ok()).ok_or(HandshakeError::Proof)
    }
}

fn bytes_of_hex(text: &[u8]) -> Option<[u8; 32]> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    if text.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::try_from(digit(2 * at)? * 16 + digit(2 * at + 1)?).ok()?;
    }
    Some(bytes)
}

fn nonce(text: &[u8]) -> Result<Nonce, HandshakeError> {
    bytes_of_hex(text).map(Nonce).ok_or(HandshakeError::Malformed("a nonce is 64 hexadecimal digits"))
}

fn name(text: &[u8]) -> Result<String, HandshakeError> {
    let fits = !text.is_empty() && text.len() <= LONGEST_NAME && text.iter().all(u8::is_ascii_graphic);
    fits.then(|| String::from_utf8_lossy(text).into_owned())
        .ok_or(HandshakeError::Malformed("a name is 1 to 128 visible ASCII characters"))
}

fn check_version(text: &[u8]) -> Result<(), HandshakeError> {
    if text == PROTOCOL_VERSION.to_string().as_bytes() {
        return Ok(());
    }
    if text.is_empty() || text.len() > 9 || !text.iter().all(u8::is_ascii_digit) {
        return Err(HandshakeError::Malformed("a protocol version is a number"));
    }
    Err(HandshakeError::Version { theirs: String::from_utf8_lossy(text).into_owned() })
}

fn check_cluster(ours: &str, theirs: &str) -> Result<(), HandshakeError> {
    if ours == theirs {
        return Ok(());
    }
    Err(HandshakeError::Cluster { ours: ours.to_owned(), theirs: theirs.to_owned() })
}

#[cfg(test)]
mod tests;

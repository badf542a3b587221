//! The side that connects.

use super::{
    HandshakeError, Identity, Mode, Nonce, PROTOCOL_VERSION, Role, Transcript, check_cluster, check_version,
    name, nonce,
};
use crate::secret::Secret;

/// A connection being opened: sent CONNECT, waiting for the server's fields.
pub struct Client {
    identity: Identity,
    secret: Secret,
    nonce: Nonce,
}

/// The server has proved itself; PROVE remains to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The id of the node that answered.
    pub server_node: String,
    proof: String,
}

impl Client {
    pub fn new(identity: Identity, secret: Secret) -> Client {
        Client::with_nonce(identity, secret, Nonce::random())
    }

    /// For tests and simulations that must repeat.
    pub fn with_nonce(identity: Identity, secret: Secret, nonce: Nonce) -> Client {
        Client { identity, secret, nonce }
    }

    /// The words of the first command: `SLOTWAY CONNECT ...`.
    pub fn connect(&self) -> Vec<String> {
        vec![
            "SLOTWAY".to_owned(),
            "CONNECT".to_owned(),
            PROTOCOL_VERSION.to_string(),
            self.identity.cluster.clone(),
            self.identity.node.clone(),
            self.nonce.hex(),
        ]
    }

    /// Checks the server's answer to CONNECT, its array's elements in order.
    ///
    /// `expected` is the node that should be at this address, if the caller knows.
    pub fn connected(self, fields: &[&[u8]], expected: Option<&str>) -> Result<Connected, HandshakeError> {
        let &[version, cluster, node, server_nonce, proof] = fields else {
            return Err(HandshakeError::Malformed("the answer to CONNECT has five fields"));
        };
        check_version(version)?;
        check_cluster(&self.identity.cluster, &name(cluster)?)?;
        let server_node = name(node)?;
        let transcript = Transcript {
            cluster: self.identity.cluster,
            client_node: self.identity.node,
            server_node,
            client_nonce: self.nonce,
            server_nonce: nonce(server_nonce)?,
        };
        transcript.verify(&self.secret, Role::Server, proof)?;
        if let Some(expected) = expected.filter(|expected| *expected != transcript.server_node) {
            return Err(HandshakeError::Node {
                expected: expected.to_owned(),
                theirs: transcript.server_node,
            });
        }
        Ok(Connected {
            proof: transcript.proof(&self.secret, Role::Client),
            server_node: transcript.server_node,
        })
    }
}

impl Connected {
    /// The words of the second command: `SLOTWAY PROVE ...`, which the server answers with `+OK`.
    pub fn prove(&self, mode: Mode) -> Vec<String> {
        vec![
            "SLOTWAY".to_owned(),
            "PROVE".to_owned(),
            self.proof.clone(),
            mode.resp.to_string(),
            mode.database.to_string(),
        ]
    }
}

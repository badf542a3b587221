//! The side that was connected to.

use super::{
    HandshakeError, Identity, Mode, Nonce, PROTOCOL_VERSION, Role, Transcript, check_cluster, check_version,
    name, nonce,
};
use crate::secret::Secret;

/// A connection whose client has sent CONNECT and has yet to prove itself.
#[derive(Debug)]
pub struct Server {
    secret: Secret,
    transcript: Transcript,
}

/// A client that knows the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The id of the node that connected.
    pub client_node: String,
    pub mode: Mode,
}

impl Server {
    /// Takes the arguments after `SLOTWAY CONNECT` and gives the five fields to answer as an array of bulk strings.
    ///
    /// An error is to be answered as an error reply; the connection goes on as a client's.
    pub fn connect(
        identity: &Identity,
        secret: &Secret,
        arguments: &[&[u8]],
    ) -> Result<(Server, [String; 5]), HandshakeError> {
        Server::connect_with_nonce(identity, secret, arguments, Nonce::random())
    }

    /// For tests and simulations that must repeat.
    pub fn connect_with_nonce(
        identity: &Identity,
        secret: &Secret,
        arguments: &[&[u8]],
        server_nonce: Nonce,
    ) -> Result<(Server, [String; 5]), HandshakeError> {
        let &[version, cluster, node, client_nonce] = arguments else {
            return Err(HandshakeError::Malformed("CONNECT takes version, cluster, node and nonce"));
        };
        check_version(version)?;
        check_cluster(&identity.cluster, &name(cluster)?)?;
        let transcript = Transcript {
            cluster: identity.cluster.clone(),
            client_node: name(node)?,
            server_node: identity.node.clone(),
            client_nonce: nonce(client_nonce)?,
            server_nonce,
        };
        let answer = [
            PROTOCOL_VERSION.to_string(),
            identity.cluster.clone(),
            identity.node.clone(),
            server_nonce.hex(),
            transcript.proof(secret, Role::Server),
        ];
        Ok((Server { secret: secret.clone(), transcript }, answer))
    }

    /// Takes the arguments after `SLOTWAY PROVE`. `databases` is how many there are.
    ///
    /// One attempt: after an error the client starts over with CONNECT, and a new nonce.
    pub fn prove(self, arguments: &[&[u8]], databases: u32) -> Result<Proven, HandshakeError> {
        let &[proof, resp, database] = arguments else {
            return Err(HandshakeError::Malformed("PROVE takes proof, RESP version and database"));
        };
        self.transcript.verify(&self.secret, Role::Client, proof)?;
        let resp = match resp {
            b"2" => 2,
            b"3" => 3,
            _ => return Err(HandshakeError::Malformed("the RESP version is 2 or 3")),
        };
        let database = std::str::from_utf8(database)
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|database| *database < databases)
            .ok_or(HandshakeError::Malformed("there is no such database"))?;
        Ok(Proven { client_node: self.transcript.client_node, mode: Mode { resp, database } })
    }
}

//! Tells other processes of the cluster, such as the operator's command, who has this port.
//!
//! Nothing else is served over such a connection: it stays a client's.

use slotway_common::command;
use slotway_common::error::Error;
use slotway_common::handshake::{HandshakeError, Server};
use slotway_common::internal::REFUSAL;
use slotway_common::resp::{Args, Reply};

use super::{Core, SessionId};

impl Core {
    /// `SLOTWAY CONNECT` and `SLOTWAY PROVE`; anything else is a command that clients may not know.
    #[cold]
    pub(crate) fn identify(&mut self, id: SessionId, args: &Args<'_>) {
        let fields: Vec<&[u8]> = args.rest(2).iter().collect();
        let result = if args.is(1, "CONNECT") {
            self.answer_connect(id, &fields)
        } else if args.is(1, "PROVE") {
            self.answer_prove(id, &fields)
        } else {
            None
        };
        match result {
            Some(Ok(reply)) => self.reply(id, &reply),
            Some(Err(error)) => {
                self.refuse_unknown(id, &Error::Line(format!("{REFUSAL}{error}").into()));
            }
            None => self.refuse_unknown(id, &command::unknown_command(args)),
        }
    }

    fn answer_connect(&mut self, id: SessionId, fields: &[&[u8]]) -> Option<Result<Vec<u8>, HandshakeError>> {
        let membership = self.membership.as_ref()?;
        let session = self.sessions.get_mut(id)?;
        let (server, answer) = match Server::connect(&membership.identity, &membership.secret, fields) {
            Ok(both) => both,
            Err(error) => return Some(Err(error)),
        };
        session.details.handshake = Some(Box::new(server));
        let mut bytes = Vec::new();
        let mut reply = Reply::new(&mut bytes, session.protocol);
        reply.array(answer.len());
        answer.iter().for_each(|field| reply.bulk(field.as_bytes()));
        Some(Ok(bytes))
    }

    fn answer_prove(&mut self, id: SessionId, fields: &[&[u8]]) -> Option<Result<Vec<u8>, HandshakeError>> {
        let databases = self.policy.databases;
        let session = self.sessions.get_mut(id)?;
        let server = session.details.handshake.take()?;
        Some(server.prove(fields, databases).map(|_| b"+OK\r\n".to_vec()))
    }
}

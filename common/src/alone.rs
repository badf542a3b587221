//! What a server answers that has no replicas and no modules, as redis-server alone does: ROLE, WAIT, REPLICAOF and their
//! like.

use crate::command::Command;
use crate::error::Error;
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::timeout;

/// ROLE: a primary without replicas.
pub fn role(reply: &mut Reply<'_>) {
    reply.array(3);
    reply.bulk(b"master");
    reply.int(0);
    reply.array(0);
}

/// MODULE LIST: none.
pub fn modules(reply: &mut Reply<'_>) {
    reply.array(0);
}

/// REPLICAOF and SLAVEOF: nobody can be followed.
///
/// # Errors
/// Redis's texts, and that the server does not become a replica of another one.
pub fn follow(command: &Command, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
    if args.is(1, "NO") && args.is(2, "ONE") {
        reply.ok();
        return Ok(());
    }
    match parse_i64(args.at(2)) {
        Some(0..=65535) => {
            let name = command.name.to_ascii_uppercase();
            Err(Error::err(format!(
                "{name} to another server is not supported by Slotway: there is no replication"
            )))
        }
        _ => Err(Error::err("Invalid master port")),
    }
}

/// A call of WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// It waits for replicas, of which none will come.
    pub waits: bool,
    /// For so many milliseconds; 0: for ever.
    pub milliseconds: u64,
}

impl Wait {
    /// Reads the arguments.
    ///
    /// # Errors
    /// Redis's texts, in its order.
    pub fn parse(args: &Args<'_>) -> Result<Self, Error> {
        let replicas = parse_i64(args.at(1)).ok_or(Error::NotInteger)?;
        Ok(Self { waits: replicas > 0, milliseconds: timeout::from_milliseconds(args.at(2))? })
    }
}

/// To whoever takes Slotway for one server it is no cluster.
#[must_use]
pub fn no_cluster() -> Error {
    Error::err("This instance has cluster support disabled")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command;
    use crate::resp::Protocol;

    fn answered(line: &str) -> String {
        let mut spans = Vec::new();
        let mut at = 0;
        for word in line.split(' ') {
            spans.push((at as u32, word.len() as u32));
            at += word.len() + 1;
        }
        let args = Args::new(line.as_bytes(), &spans);
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, Protocol::Resp2);
        let command = command::find(&args).unwrap();
        if let Err(error) = follow(command, &args, &mut reply) {
            reply.error(&error);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_server_without_replicas_stays_what_it_is() {
        assert_eq!(answered("replicaof no ONE"), "+OK\r\n");
        assert_eq!(answered("slaveof no x"), "-ERR Invalid master port\r\n");
        assert!(answered("replicaof a 1").starts_with("-ERR REPLICAOF to another server is not supported"));
    }
}

//! CLIENT LIST, KILL, PAUSE and UNPAUSE over all workers.

use std::rc::Rc;

use slotway_common::command::bad_subcommand_call;
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::resp::Reply;

use crate::client_line::describe;
use crate::core::{Job, Pause};
use crate::session::Session;
use crate::worker::Worker;

/// A class of clients.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Normal,
    /// With subscriptions.
    Subscriber,
    /// A proxy has none of these.
    Replication,
}

impl Class {
    fn has(self, session: &Session) -> bool {
        self == if session.subscriptions.is_some() { Self::Subscriber } else { Self::Normal }
    }
}

/// A class as CLIENT LIST and KILL take it.
fn class(name: &[u8]) -> Result<Class, Error> {
    match name.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(Class::Normal),
        b"pubsub" => Ok(Class::Subscriber),
        b"slave" | b"replica" | b"master" => Ok(Class::Replication),
        _ => {
            let mut text = b"Unknown client type '".to_vec();
            text.extend_from_slice(name);
            text.push(b'\'');
            Err(Error::Bytes(text))
        }
    }
}

pub(super) async fn list(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    let mut ids: Option<Vec<u64>> = None;
    let mut of_class = None;
    if args.len() == 4 && args.is(2, "TYPE") {
        of_class = Some(class(args.at(3))?);
    } else if args.len() > 3 && args.is(2, "ID") {
        let mut wanted = Vec::new();
        for id in args.rest(3).iter() {
            let id = parse_i64(id).ok_or(Error::err("Invalid client ID"))?;
            wanted.extend(u64::try_from(id));
        }
        ids = Some(wanted);
    } else if args.len() != 2 {
        return Err(Error::Syntax);
    }
    let asking = worker.core.borrow().sessions.get(job.session).map(|session| session.client);
    let asks = args.iter().map(<[u8]>::len).sum();
    let all = worker.context.fleet.each(move |worker| {
        let core = worker.core.borrow();
        let now = worker.now();
        core.sessions
            .iter()
            .filter(|(_, session)| of_class.is_none_or(|class| class.has(session)))
            .map(|(_, session)| {
                let asks = if Some(session.client) == asking { asks } else { 0 };
                (session.client, describe(session, now, asks))
            })
            .collect::<Vec<_>>()
    });
    let mut lines = all.await.concat();
    lines.sort_by_key(|(client, _)| *client);
    let mut text = Vec::new();
    match ids {
        // In the order in which they were asked for, as often as they were.
        Some(ids) => {
            for id in ids {
                let found = lines.iter().find(|(client, _)| *client == id);
                found.iter().for_each(|(_, line)| text.extend_from_slice(line));
            }
        }
        None => lines.iter().for_each(|(_, line)| text.extend_from_slice(line)),
    }
    reply.verbatim("txt", &text);
    Ok(())
}

/// Which connections CLIENT KILL means.
#[derive(Clone, Default)]
struct Filter {
    id: Option<u64>,
    address: Option<Vec<u8>>,
    local_address: Option<Vec<u8>>,
    class: Option<Class>,
    user: Option<Vec<u8>>,
    /// The client that must not be hit.
    spared: Option<u64>,
}

impl Filter {
    fn matches(&self, session: &Session) -> bool {
        let is = |address: &std::net::SocketAddr, text: &[u8]| address.to_string().as_bytes() == text;
        self.class.is_none_or(|class| class.has(session))
            && self.user.as_ref().is_none_or(|user| session.login.user().name() == user.as_slice())
            && self.id.is_none_or(|id| id == session.client)
            && self.address.as_ref().is_none_or(|address| is(&session.peer, address))
            && self.local_address.as_ref().is_none_or(|address| is(&session.local, address))
            && self.spared != Some(session.client)
    }
}

pub(super) async fn kill(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    let me = worker.core.borrow().sessions.get(job.session).map(|session| session.client);
    let mut filter = Filter::default();
    let old_form = args.len() == 3;
    if old_form {
        filter.address = args.get(2).map(<[u8]>::to_vec);
    } else {
        filter.spared = me;
        let mut index = 2;
        while index < args.len() {
            let Some(value) = args.get(index + 1) else { return Err(Error::Syntax) };
            match args.at(index).to_ascii_lowercase().as_slice() {
                b"id" => {
                    let wrong = Error::err("client-id should be greater than 0");
                    let id = parse_i64(value).filter(|id| *id > 0).ok_or(wrong)?;
                    filter.id = u64::try_from(id).ok();
                }
                b"type" => filter.class = Some(class(value)?),
                b"addr" => filter.address = Some(value.to_vec()),
                b"laddr" => filter.local_address = Some(value.to_vec()),
                b"user" if worker.core.borrow().users.get(value).is_some() => {
                    filter.user = Some(value.to_vec());
                }
                b"user" => {
                    let mut text = b"No such user '".to_vec();
                    text.extend_from_slice(value);
                    text.push(b'\'');
                    return Err(Error::Bytes(text));
                }
                b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.spared = me,
                b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.spared = None,
                _ => return Err(Error::Syntax),
            }
            index += 2;
        }
    }
    let killed = worker.context.fleet.each(move |worker| {
        let core = worker.core.borrow();
        let hit: Vec<_> = core.sessions.iter().filter(|(_, session)| filter.matches(session)).collect();
        let hit: Vec<_> = hit.into_iter().map(|(id, session)| (id, session.client)).collect();
        drop(core);
        worker.with(|core| {
            for (id, client) in &hit {
                if Some(*client) == me {
                    // After the reply to this command.
                    core.end_after_this(*id);
                } else {
                    core.close_now(*id);
                }
            }
        });
        hit.len()
    });
    let killed: usize = killed.await.iter().sum();
    match (old_form, killed) {
        (true, 0) => return Err(Error::err("No such client")),
        (true, _) => reply.ok(),
        (false, count) => reply.len(count),
    }
    Ok(())
}

pub(super) async fn pause(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    let writes_only = match args.len() {
        3 => false,
        4 if args.is(3, "WRITE") => true,
        4 if args.is(3, "ALL") => false,
        4 => return Err(Error::err("CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(bad_subcommand_call(&args)),
    };
    let wrong = Error::err("timeout is not an integer or out of range");
    let milliseconds = parse_i64(args.at(2)).ok_or(wrong.clone())?;
    if milliseconds < 0 {
        return Err(Error::err("timeout is negative"));
    }
    let micros = u64::try_from(milliseconds).ok().and_then(|milliseconds| milliseconds.checked_mul(1000));
    let until = micros.and_then(|micros| worker.now().checked_add(micros)).ok_or(wrong)?;
    worker
        .context
        .fleet
        .each(move |worker| worker.with(|core| core.pause(Pause { until, writes_only })))
        .await;
    reply.ok();
    Ok(())
}

pub(super) async fn unpause(worker: &Rc<Worker>, reply: &mut Reply<'_>) -> Result<(), Error> {
    worker.context.fleet.each(|worker| worker.with(|core| core.unpause())).await;
    reply.ok();
    Ok(())
}

pub(super) async fn unblock(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    let how: &[u8] = match args.len() {
        3 => b"TIMEOUT",
        4 if args.is(3, "TIMEOUT") => b"TIMEOUT",
        4 if args.is(3, "ERROR") => b"ERROR",
        4 => return Err(Error::err("CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(bad_subcommand_call(&args)),
    };
    let id = parse_i64(args.at(2)).ok_or(Error::NotInteger)?;
    let Ok(client) = u64::try_from(id) else {
        reply.int(0);
        return Ok(());
    };
    let unblocked =
        worker.context.fleet.each(move |worker| worker.with(|core| core.unblock(client, how))).await;
    reply.int(i64::from(unblocked.contains(&true)));
    Ok(())
}

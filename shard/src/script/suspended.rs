//! A script that runs for longer than it should: it goes on in slices, and others are answered BUSY.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use slotway_common::error::Error;
use slotway_common::resp::{Args, Protocol, Reply};
use tokio::sync::Notify;

use super::run::{Run, Step};
use crate::engine::Engine;
use crate::node::Node;
use crate::session::Session;

const CALL_SCRIPT_KILL: &str =
    "Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const CALL_FUNCTION_KILL: &str =
    "Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";

/// The run that is suspended, if there is one, and the replies of those that have ended.
#[derive(Default)]
pub struct Suspended {
    slow: Option<Slow>,
    /// Whether the run is one of a function; kept beside it while it runs its slice.
    is_function: bool,
    /// By the client's number, until its connection takes them.
    replies: BTreeMap<u64, Vec<u8>>,
    /// There is something to go on with.
    pub news: Rc<Notify>,
}

struct Slow {
    run: Run,
    /// The call.
    words: Vec<Vec<u8>>,
    /// The state of the caller, which its commands run with.
    session: Session,
    /// The caller's protocol.
    protocol: Protocol,
    killed: bool,
}

/// What SCRIPT KILL or FUNCTION KILL is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    Script,
    Function,
}

impl Suspended {
    /// True while a script is slow.
    #[must_use]
    #[inline]
    pub fn is_any(&self) -> bool {
        self.slow.is_some()
    }

    /// What everybody else is answered.
    #[must_use]
    pub fn error(&self) -> Error {
        Error::Busy(if self.is_function { CALL_FUNCTION_KILL } else { CALL_SCRIPT_KILL }.into())
    }

    /// Takes over a run that is slow; its caller waits.
    pub fn take_over(&mut self, run: Run, args: &Args<'_>, session: &mut Session) {
        let name = &run.name;
        tracing::warn!("{name} runs for {:.1?} already: others are answered BUSY", run.started.elapsed());
        let mut own = Session::new(session.client.clone(), session.authenticated);
        (own.db, own.internal) = (session.db, session.internal.clone());
        self.is_function = run.is_function;
        let words = args.iter().map(<[u8]>::to_vec).collect();
        self.slow = Some(Slow { run, words, session: own, protocol: session.protocol, killed: false });
        session.wait_for_script();
        self.news.notify_one();
    }

    /// The reply of a client's script, once it has ended.
    pub fn take_reply(&mut self, client: u64) -> Option<Vec<u8>> {
        self.replies.remove(&client)
    }

    /// Has the slow script end.
    ///
    /// # Errors
    /// There is none, it has written, or it is of the other kind.
    pub fn kill(&mut self, kill: Kill) -> Result<(), Error> {
        let error = self.error();
        let Some(slow) = &mut self.slow else {
            return Err(Error::Line("NOTBUSY No scripts in execution right now.".into()));
        };
        if slow.run.wrote {
            return Err(Error::Line(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait \
                 the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
                    .into(),
            ));
        }
        if (kill == Kill::Function) != slow.run.is_function {
            return Err(error);
        }
        slow.killed = true;
        Ok(())
    }

    /// The name of the slow function or script, its call, for how long it has been running, and whether it is a function.
    #[must_use]
    pub fn describe(&self) -> Option<(&str, &[Vec<u8>], Duration, bool)> {
        let Slow { run, words, .. } = self.slow.as_ref()?;
        Some((&run.name, words, run.started.elapsed(), run.is_function))
    }
}

/// Goes on with the slow script for a slice; true when there is still one.
pub fn go_on(engine: &mut Engine, node: &mut Node) -> bool {
    let Some(mut slow) = node.scripts.suspended.slow.take() else { return false };
    match slow.run.resume(slow.killed, engine, node, &mut slow.session) {
        Step::Slow => {
            node.scripts.suspended.slow = Some(slow);
            true
        }
        Step::Ended(outcome) => {
            let Slow { run, session, protocol, .. } = slow;
            let is_function = run.is_function;
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, protocol).with_budget(node.hot.reply_budget());
            let (result, machine) = run.finish(outcome, node, &mut reply);
            let exceeded = reply.is_exceeded();
            node.scripts.give_back(machine, is_function);
            if node.blocked.has_ready() {
                crate::blocked::serve_ready(engine, node);
            }
            if let Err(error) = result {
                out.clear();
                crate::dispatch::write_error(node, &error, &mut Reply::new(&mut out, protocol));
            }
            if exceeded {
                session.client.kill();
            } else if node.clients.get(session.client.id).is_some() {
                node.scripts.suspended.replies.insert(session.client.id, out);
                session.client.wake();
            }
            false
        }
    }
}

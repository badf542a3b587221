//! A script that runs for longer than it should: it goes on in slices, and others are answered BUSY.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use slotway_common::error::Error;
use slotway_common::resp::{Args, Reply};
use tokio::sync::Notify;

use super::run::Run;
use crate::session::Session;
use crate::transaction::Rest;

const CALL_SCRIPT_KILL: &str =
    "Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const CALL_FUNCTION_KILL: &str =
    "Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";

/// The run that is suspended, if there is one, and the replies of those that have ended.
#[derive(Default)]
pub struct Suspended {
    pub slow: Option<Slow>,
    /// Whether the run is one of a function; kept beside it while it runs its slice.
    is_function: bool,
    /// By the client's number, until its connection takes them.
    pub replies: BTreeMap<u64, Ended>,
    /// There is something to go on with.
    pub news: Rc<Notify>,
    /// The number of the last script of a proxy's client.
    last_number: u64,
}

/// A run that is slow.
pub struct Slow {
    pub run: Run,
    /// The call.
    pub words: Vec<Vec<u8>>,
    /// The caller's connection, as soon as it has lent it: what runs for it meanwhile uses and changes it.
    pub session: Option<Session>,
    /// The caller's database, which the script may leave.
    pub database: usize,
    /// The transaction that the call is part of.
    pub rest: Option<Rest>,
    /// What it has to tell its caller, if that is tracked, behind the reply.
    pub own: Vec<u8>,
    /// The number of the push that brings the reply, where the connection goes on meanwhile.
    pub number: Option<u64>,
    pub killed: bool,
}

/// What a connection gets when its script has ended.
pub struct Ended {
    pub reply: Vec<u8>,
    pub session: Session,
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

    /// Takes over a run that is slow; its caller waits. `database` is the one that the script was called in.
    pub fn take_over(&mut self, run: Run, args: &Args<'_>, database: usize, session: &mut Session) {
        let name = &run.name;
        tracing::warn!("{name} runs for {:.1?} already: others are answered BUSY", run.started.elapsed());
        self.is_function = run.is_function;
        let words = args.iter().map(<[u8]>::to_vec).collect();
        self.slow = Some(Slow {
            run,
            words,
            session: None,
            database,
            rest: None,
            own: Vec::new(),
            number: None,
            killed: false,
        });
        session.scripting = true;
    }

    /// What is to run when the script has ended that was just taken over.
    pub fn add_rest(&mut self, rest: Rest) {
        if let Some(slow) = &mut self.slow {
            slow.rest = Some(rest);
        }
    }

    /// What the caller is to be told behind the reply.
    pub fn keep_own(&mut self, own: Vec<u8>) {
        if let Some(slow) = &mut self.slow {
            slow.own.extend_from_slice(&own);
        }
    }

    /// Lends the caller's state to its script until that has ended. The connection of a proxy goes on with others' requests:
    /// its script gets what concerns the one request, and the reply comes as a push with the number that is appended to `out`.
    pub fn lend(&mut self, session: &mut Session, out: &mut Vec<u8>) {
        let Some(slow) = self.slow.as_mut().filter(|slow| slow.session.is_none()) else { return };
        if session.internal.is_some() {
            self.last_number += 1;
            let before = slow.rest.as_ref().and_then(|rest| rest.after).unwrap_or(slow.database);
            let apart = session.set_apart(before, self.last_number);
            (slow.number, slow.session) = (Some(self.last_number), Some(apart));
            Reply::new(out, session.protocol).error(&Error::Later(self.last_number));
            self.news.notify_one();
            return;
        }
        slow.session = Some(session.lend());
        self.news.notify_one();
    }

    /// Ends the script that is slow, whatever it has done; false when there is none.
    pub fn give_up(&mut self) -> bool {
        self.slow.take().is_some()
    }

    /// The number of the next reply that comes later.
    pub fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// As [`Suspended::lend`], of a request whose reply has its number already; it is told `own` behind that.
    pub fn lend_apart(&mut self, mut session: Box<Session>, number: u64, own: Vec<u8>) {
        session.scripting = true;
        if let Some(slow) = self.slow.as_mut().filter(|slow| slow.session.is_none()) {
            slow.own.extend_from_slice(&own);
            (slow.number, slow.session) = (Some(number), Some(*session));
            self.news.notify_one();
        }
    }

    /// The reply of a client's script, and what was lent to it, once it has ended.
    pub fn take_ended(&mut self, client: u64) -> Option<Ended> {
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

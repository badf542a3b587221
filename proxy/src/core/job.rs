//! Commands that take more than one step begin when their client waits for nothing else.

use std::rc::Rc;

use slotway_common::command::{Command, Flags};

use super::{Action, Core, Flow, Job, Request, SessionId, Work};
use crate::owned::OwnedArgs;
use crate::session::Stall;

impl Core {
    /// Has a job do something with a command as soon as its client waits for nothing else.
    pub(crate) fn begin_job(
        &mut self,
        id: SessionId,
        command: &'static Command,
        request: &Request<'_>,
        work: Work,
    ) -> Flow {
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Next };
        if !session.places.is_empty() {
            return Flow::Wait(Stall::Replies);
        }
        self.start_job(id, command, OwnedArgs::new(&request.args), work);
        Flow::Next
    }

    /// Begins a job for a client that waits for nothing else.
    pub(super) fn start_job(
        &mut self,
        id: SessionId,
        command: &'static Command,
        args: OwnedArgs,
        work: Work,
    ) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        // What EXEC runs may change CLIENT REPLY: it ends the command itself.
        let muted = !matches!(work, Work::Exec(..)) && session.mute_next();
        let seq = session.places.open(muted);
        session.busy = true;
        session.in_flight_route = session.route;
        // What it may tell of comes behind its reply; who waits for data is told at once.
        if session.marks && !command.flags.contains(Flags::BLOCKING) {
            session.places.begin(seq);
        }
        let job = Job {
            session: id,
            seq,
            command,
            args,
            protocol: session.protocol,
            database: session.database,
            mark: self.mark,
            accounted: Rc::default(),
            work,
        };
        self.counters.requests.at(command.group as usize).inc();
        self.act(Action::Run(job));
    }
}

//! From a client's bytes to requests, and from a request to who answers it.

use slotway_common::command::{self, Command, Effects, Flags, Group, Handling, Route, TABLE};
use slotway_common::cross_protocol;
use slotway_common::error::Error;
use slotway_common::pubsub;
use slotway_common::resp::request::{Limits, Parsed};
use slotway_common::resp::{Args, Parser};

use super::{Action, Core, Flow, Request, SessionId, Work};
use crate::counters::Source;
use crate::session::{Closing, Partial, Session, Stall};
use crate::transaction::reads_by_pattern;

/// Input kept for a client that cannot go on: beyond this its socket is not read, in bytes.
const MAX_WAITING_INPUT: usize = 64 * 1024;

impl Core {
    /// Takes bytes that a client sent.
    pub fn received(&mut self, id: SessionId, bytes: &[u8]) {
        self.counters.client_input_bytes.add(bytes.len() as u64);
        self.transfers[0] += 1;
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.last_active = self.now;
        if session.closing != Closing::No {
            return;
        }
        if let Some(partial) = &mut session.partial {
            let needed = partial.parser.needed();
            if needed > partial.input.capacity() {
                // A large argument arrives in many pieces: make room once, as far as it is really coming.
                let ahead = needed.min(partial.input.len() * 2 + bytes.len());
                partial.input.reserve(ahead.saturating_sub(partial.input.len()));
            }
            partial.input.extend_from_slice(bytes);
            if session.stall == Stall::None {
                self.resume(id);
            } else {
                self.account(id);
            }
            return;
        }
        let mut parser = std::mem::take(&mut self.parser);
        let (used, stall) = self.run(id, bytes, &mut parser);
        if used < bytes.len()
            && let Some(session) = self.sessions.get_mut(id)
            && session.closing == Closing::No
        {
            let input = bytes.get(used..).unwrap_or_default().to_vec();
            // What waits as a whole is framed again when it goes on; what is incomplete is not.
            let mut own = Parser::new();
            if stall == Stall::None {
                std::mem::swap(&mut own, &mut parser);
            }
            session.partial = Some(Box::new(Partial { input, parser: own }));
            session.stall = stall;
        } else if used < bytes.len() {
            // The client is being closed within a request: where that stood is nothing to the next client.
            parser = Parser::new();
        }
        if parser.is_inline() {
            parser = Parser::new();
        }
        self.parser = parser;
        self.account(id);
    }

    /// Whether a client's socket is to be read. If not, [`Action::Read`] tells when it is.
    pub fn wants_input(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        let wants = session.stall == Stall::None || session.input_bytes() < MAX_WAITING_INPUT;
        session.unread = !wants;
        wants
    }

    /// Goes on with the input that waits.
    pub(super) fn resume(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Some(mut partial) = session.partial.take() else {
            session.stall = Stall::None;
            self.read_again(id);
            return;
        };
        session.stall = Stall::None;
        let (used, stall) = self.run(id, &partial.input, &mut partial.parser);
        if let Some(session) = self.sessions.get_mut(id)
            && session.closing == Closing::No
            && used < partial.input.len()
        {
            if stall != Stall::None {
                partial.parser = Parser::new();
            }
            if used > 0 {
                partial.input.drain(..used);
                if partial.input.capacity() > 2 * MAX_WAITING_INPUT && partial.input.len() < MAX_WAITING_INPUT
                {
                    partial.input.shrink_to_fit();
                }
            }
            session.partial = Some(partial);
            session.stall = stall;
        }
        self.read_again(id);
        self.account(id);
    }

    fn read_again(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id)
            && session.unread
            && (session.stall == Stall::None || session.input_bytes() < MAX_WAITING_INPUT)
        {
            session.unread = false;
            self.actions.push(Action::Read(id));
        }
    }

    /// Frames and dispatches requests from `bytes` until one is incomplete or has to wait. Returns the bytes used up,
    /// and what the next request waits for.
    fn run(&mut self, id: SessionId, bytes: &[u8], parser: &mut Parser) -> (usize, Stall) {
        let mut at = 0;
        while at < bytes.len() {
            let Some(session) = self.sessions.get_mut(id) else { break };
            if session.closing != Closing::No {
                break;
            }
            if session.busy {
                return (at, Stall::Busy);
            }
            if session.places.len() >= self.budgets.places {
                return (at, Stall::Places);
            }
            if session.output_bytes() > self.budgets.client_pause {
                return (at, Stall::Output);
            }
            let authenticated = session.login.is_free() || !session.login.is_required(&self.users);
            let limits = Limits { max_bulk: self.policy.max_bulk, authenticated };
            let rest = bytes.get(at..).unwrap_or_default();
            match parser.parse(rest, &limits) {
                Ok(Parsed::Frame(length)) => {
                    let args = parser.args(rest);
                    if !args.is_empty() {
                        let frame = if parser.is_inline() { None } else { rest.get(..length) };
                        let request = Request { args, spans: parser.spans(), frame };
                        if let Flow::Wait(stall) = self.dispatch(id, &request) {
                            return (at, stall);
                        }
                    }
                    at += length;
                }
                Ok(Parsed::Incomplete) => {
                    let most = self.budgets.client.min(self.policy.max_request);
                    if parser.needed().max(rest.len()) > most {
                        self.counters.budget_hits.at(0).inc();
                        self.refuse(
                            id,
                            &Error::err("request is larger than the proxy's memory budget for a client"),
                        );
                        self.close_after_replies(id);
                    }
                    break;
                }
                Err(error) => {
                    self.counters.protocol_errors.inc();
                    self.counters.error(Source::Client);
                    self.reply(id, &error.reply());
                    self.close_after_replies(id);
                    break;
                }
            }
        }
        (at, Stall::None)
    }

    /// Finds out who answers a request and sends it there.
    fn dispatch(&mut self, id: SessionId, request: &Request<'_>) -> Flow {
        let command = match command::resolve(&request.args, false) {
            Ok(command) => command,
            Err(_) if request.args.is(0, "slotway") => {
                self.identify(id, &request.args);
                return Flow::Next;
            }
            Err(_) if cross_protocol::is_http(&request.args) => {
                if let Some(session) = self.sessions.get(id) {
                    cross_protocol::warn(session.peer);
                }
                self.counters.protocol_errors.inc();
                self.close_now(id);
                return Flow::Next;
            }
            Err(error) => {
                if request.args.is(0, "exec") {
                    self.end_transaction(id);
                } else {
                    self.abort_transaction(id);
                }
                // Of a command that there is, the number of arguments is wrong.
                if let Some(row) = command::find(&request.args).filter(|row| row.route != Route::Internal) {
                    self.run.rejected(row);
                }
                self.refuse_unknown(id, &error);
                return Flow::Next;
            }
        };
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Next };
        session.last_command = command.id;
        if (self.attention || !session.login.is_free())
            && let Some(flow) = self.inspect(id, command, request)
        {
            if flow == Flow::Next {
                self.abort_transaction(id);
            }
            return flow;
        }
        if self.attention && self.monitored {
            return self.dispatch_shown(id, command, request);
        }
        self.dispatch_allowed(id, command, request)
    }

    /// Dispatches a request that its client may make now.
    #[inline]
    pub(super) fn dispatch_allowed(
        &mut self,
        id: SessionId,
        command: &'static Command,
        request: &Request<'_>,
    ) -> Flow {
        let Some(session) = self.sessions.get(id) else { return Flow::Next };
        if session.only_listens()
            && let Err(error) = pubsub::check_allowed(command)
        {
            self.abort_transaction(id);
            self.refuse_denied(id, command, &error);
            return Flow::Next;
        }
        if session.transaction.is_some() {
            if self.may_be_full() && !command.ends_transaction() {
                return self.begin_job(id, command, request, Work::Queue);
            }
            if command.is_queued() {
                return self.queue(id, command, request);
            }
        }
        if session.marks {
            return self.dispatch_tracked(id, command, request);
        }
        self.dispatch_to(id, command, request)
    }

    /// Sends a request to whoever answers it.
    #[inline]
    pub(super) fn dispatch_to(
        &mut self,
        id: SessionId,
        command: &'static Command,
        request: &Request<'_>,
    ) -> Flow {
        match command.route {
            Route::Slot if command.runs_script() && self.is_restricted(id) => {
                self.forward_script(id, command, request)
            }
            // Before anything that comes behind it.
            Route::Slot
                if command.group == Group::Generic
                    && self.view.shards.len() > 1
                    && reads_by_pattern(command, &request.args) =>
            {
                self.begin_job(id, command, request, Work::Borrow)
            }
            Route::Slot => self.forward(id, command, request),
            Route::Split => self.split(id, command, request),
            Route::Proxy | Route::Job | Route::FanOut => (self.begin)(self, id, command, request),
            Route::Unsupported => {
                self.refuse(id, &command::unsupported(command));
                Flow::Next
            }
            Route::Internal => {
                self.refuse_unknown(id, &command::unknown_command(&request.args));
                Flow::Next
            }
        }
    }

    /// Whether the user of a client may not do all, or it has to log in.
    #[inline]
    fn is_restricted(&self, id: SessionId) -> bool {
        self.sessions.get(id).is_some_and(|session| !session.login.is_free())
    }

    /// What most requests need not be asked: whether their user may, CLIENT PAUSE, MONITOR. `None` lets the request go on.
    #[cold]
    fn inspect(&mut self, id: SessionId, command: &'static Command, request: &Request<'_>) -> Option<Flow> {
        if !self.serving && !command.handling.contains(Handling::WITHOUT_SHARDS) {
            self.counters.error(Source::Internal);
            self.abort_transaction(id);
            let error =
                Error::ClusterDown("no shard has told this proxy the topology and the settings yet".into());
            self.refuse(id, &error);
            return Some(Flow::Next);
        }
        if self.is_restricted(id)
            && let Err(error) = self.check_user(id, command, &request.args)
        {
            self.refuse_denied(id, command, &error);
            return Some(Flow::Next);
        }
        let session = self.sessions.get(id)?;
        if let Some(pause) = self.paused()
            && !will_be_refused(session, command)
            && (!pause.writes_only || writes(session, command, &request.args))
        {
            return Some(Flow::Wait(Stall::Pause));
        }
        None
    }

    /// Answers a request with an error that it is itself the reason of.
    pub(crate) fn refuse(&mut self, id: SessionId, error: &Error) {
        self.counters.error(Source::Client);
        self.reply_error(id, error);
    }

    /// Answers a request that no command stands for with an error.
    #[cold]
    pub(crate) fn refuse_unknown(&mut self, id: SessionId, error: &Error) {
        self.counters.error(Source::Client);
        self.reply_error_line(id, error);
    }

    /// Answers a request that did not run with an error, whoever is the reason.
    #[cold]
    pub(crate) fn reply_error(&mut self, id: SessionId, error: &Error) {
        if let Some(row) =
            self.sessions.get(id).and_then(|session| TABLE.get(usize::from(session.last_command)))
        {
            self.run.rejected(row);
        }
        self.reply_error_line(id, error);
    }

    fn reply_error_line(&mut self, id: SessionId, error: &Error) {
        self.refused += 1;
        self.run.error(error);
        let Some(session) = self.sessions.get_mut(id) else { return };
        let mut line = Vec::new();
        slotway_common::resp::Reply::new(&mut line, session.protocol).error(error);
        session.reply(&line);
        self.touch_session(id);
    }

    /// Answers a request with a complete reply.
    pub(crate) fn reply(&mut self, id: SessionId, reply: &[u8]) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.reply(reply);
            self.touch_session(id);
        }
    }
}

/// Whether a call may change data, or tell others of something. What only a shard knows of scripts (by their digests) and functions
/// is not asked for: they may.
fn writes(session: &Session, command: &Command, args: &Args<'_>) -> bool {
    match &session.transaction {
        Some(transaction) if command.name == "exec" => transaction.effects.writes,
        _ => Effects::of_call(command, args, |_| None).writes,
    }
}

/// Whether a command is going to be refused: a pause comes after all other checks, as in Redis.
fn will_be_refused(session: &Session, command: &Command) -> bool {
    matches!(command.route, Route::Unsupported | Route::Internal)
        || session.transaction.is_some() && command.flags.contains(Flags::NO_MULTI)
        || session.only_listens() && pubsub::check_allowed(command).is_err()
}

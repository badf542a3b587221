//! What a client's command counts for: statistics, latencies, the slow log and MONITOR.
//!
//! What a client sent counts once, under the name that it sent. A command that a shard runs is counted and timed there; what is
//! answered here, or takes several shards, is counted here, and its parts are sent so that they count for nothing. A shard
//! tells of what was slow before it replies, so that finding the client costs nothing where nothing is slow.

use std::time::Duration;

use slotway_common::acl::is_secret;
use slotway_common::command::{self, Command, Flags, Group, Route, TABLE};
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::platform::clock;
use slotway_common::resp::frame::{Elements, string};
use slotway_common::resp::request::Parsed;
use slotway_common::resp::{Args, Limits, Parser, Value};
use slotway_common::slow_log::shown_args;
use tokio::sync::oneshot;

use super::errors::error_line;
use super::ticket::Ticket;
use super::{Action, Core, Flow, Request, SessionId, UpstreamId};
use crate::kept::Kept;
use crate::monitor_line;
use crate::owned::OwnedArgs;
use crate::session::Stall;
use crate::tracking::unmarked;
use crate::upstream::{Entry, Owner, Purpose, State};

/// The client of a command that a script calls, in the slow log.
const NOBODY: &str = "?:0";

impl Core {
    /// A command that no shard has counted has run, with this reply.
    pub(crate) fn ran(
        &mut self,
        id: SessionId,
        command: &'static Command,
        args: &Args<'_>,
        took: Duration,
        reply: &[u8],
    ) {
        self.run.ran(command, took);
        self.latency.observe(command, took);
        if let Some(line) = error_of(reply) {
            self.run.failed(command);
            self.run.replied_error(line);
        }
        let is_slow = self.policy.slow_from.is_some_and(|threshold| took >= threshold);
        if is_slow && !command.flags.contains(Flags::SKIP_SLOWLOG) {
            let shown = shown_args(args, |index| is_secret(command, args, index));
            self.note_slow(id, clock::now_us(), took, shown);
        }
    }

    /// Answers a command that has run with an error.
    pub(crate) fn fail(&mut self, id: SessionId, command: &'static Command, args: &Args<'_>, error: &Error) {
        let line = error_line(error);
        self.ran(id, command, args, Duration::ZERO, &line);
        self.counters.error(crate::counters::Source::Client);
        self.reply(id, &line);
    }

    /// A request has ended with an error that was made here after it was sent.
    #[cold]
    pub(super) fn count_lost(&mut self, entry: &Entry, line: &[u8]) {
        if matches!(entry.owner, Owner::Client { .. } | Owner::Part { part: 0, .. })
            && let Some(line) = error_of(line)
        {
            if let Some(row) =
                TABLE.get(usize::from(entry.command)).filter(|row| row.route != Route::Internal)
            {
                self.run.failed(row);
            }
            self.run.replied_error(line);
        }
    }

    /// A client is told that its script is known nowhere, which no shard could know.
    #[cold]
    pub(super) fn count_unknown_script(&mut self, entry: &Entry, frame: &[u8], reply: &[u8]) {
        let (Owner::Client { session, .. } | Owner::Part { session, .. }) = entry.owner else { return };
        let mut parser = Parser::new();
        let limits = Limits { max_bulk: usize::MAX, authenticated: true };
        let Ok(Parsed::Frame(_)) = parser.parse(frame, &limits) else { return };
        let (args, _) = unmarked(parser.args(frame));
        if args.is(0, "slotway-as") {
            return self.count_unknown_script(entry, args.at(4), reply);
        }
        if let Some(row) = command::find(&args).filter(|row| row.route != Route::Internal) {
            self.ran(session, row, &args, Duration::ZERO, reply);
        }
    }

    fn note_slow(&mut self, id: SessionId, at_us: i64, took: Duration, args: Vec<Vec<u8>>) {
        let Some(session) = self.sessions.get(id) else { return };
        let address = session.peer.to_string();
        self.slow_log.lock().add(at_us, took, args, &address, &session.details.name);
    }

    /// A shard tells of a slow command.
    #[cold]
    pub(super) fn told_slow(&mut self, upstream: UpstreamId, push: &[u8]) {
        let Ok(Some((push, _))) = Value::parse(push) else { return };
        let items = push.as_array().unwrap_or_default();
        let [_, whose, at, took, by, args] = items else { return };
        let Some(id) = self.whose(upstream, whose.as_bytes().unwrap_or_default()) else { return };
        let (Some(at), Some(took)) = (at.as_int(), took.as_int().and_then(|took| u64::try_from(took).ok()))
        else {
            return;
        };
        let took = Duration::from_micros(took);
        let words = args.as_array().unwrap_or_default().iter().filter_map(Value::as_bytes);
        let words: Vec<Vec<u8>> = words.map(<[u8]>::to_vec).collect();
        if by.as_bytes() == Some(b"lua") {
            self.slow_log.lock().add(at, took, words, NOBODY, b"");
            return;
        }
        match self.whole_of_part(upstream) {
            None => self.note_slow(id, at, took, words),
            Some(None) => {}
            // A part of a request is one slow command, whichever part it is.
            Some(Some(request)) => self.note_slow(id, at, took, request.into_shown()),
        }
    }

    /// If the oldest request of an upstream is a part of one: the whole, unless that was noted as slow before.
    fn whole_of_part(&mut self, upstream: UpstreamId) -> Option<Option<Kept>> {
        match self.upstreams.get(upstream)?.front()?.owner {
            Owner::Part { session, seq, .. } => {
                let gather = self.sessions.get_mut(session)?.places.gather(seq);
                Some(gather.and_then(|gather| gather.request.take()))
            }
            _ => None,
        }
    }

    /// The client that a shard tells something about: that of the oldest request, or of a script or wait with a number.
    fn whose(&self, upstream: UpstreamId, told: &[u8]) -> Option<SessionId> {
        let numbered = |prefix: &[u8]| {
            told.strip_prefix(prefix).and_then(parse_i64).and_then(|number| u64::try_from(number).ok())
        };
        if let Some(number) = numbered(b"wait ") {
            return self.client_of_wait(number);
        }
        let owner = match numbered(b"script ") {
            Some(number) => self.later_owner(upstream, number)?,
            None => self.upstreams.get(upstream)?.front()?.owner,
        };
        match owner {
            Owner::Client { session, .. } | Owner::Part { session, .. } => Some(session),
            Owner::Ticket(ticket) => self.client_of(ticket),
        }
    }

    /// A shard shows what a script or a transaction runs.
    #[cold]
    pub(super) fn told_monitor(&mut self, upstream: UpstreamId, push: &[u8]) {
        let Some(elements) = Elements::open(push) else { return };
        let parts: Vec<&[u8]> = elements.map(|element| string(element).unwrap_or_default()).collect();
        let [_, whose, by, before, after] = parts[..] else { return };
        let Some(id) = self.whose(upstream, whose) else { return };
        let Some(session) = self.sessions.get(id) else { return };
        let address = session.peer.to_string();
        let address = if by == b"lua" { by } else { address.as_bytes() };
        self.actions.push(Action::Monitor([before, address, after].concat()));
    }

    /// All of a client's transaction has been shown: its EXEC follows.
    #[cold]
    pub(super) fn told_monitored(&mut self, upstream: UpstreamId, push: &[u8]) {
        let whose = Elements::open(push).and_then(|mut elements| elements.nth(1)).and_then(string);
        if let Some(id) = self.whose(upstream, whose.unwrap_or_default()) {
            self.show_exec(id);
        }
    }

    /// Shows the EXEC of a client whose transaction has been shown.
    pub(crate) fn show_exec(&mut self, id: SessionId) {
        let args = self.sessions.get_mut(id).and_then(|session| session.details.exec.take());
        if let (Some(args), Some(row)) = (args, command::find_by_full_name(b"exec")) {
            self.show_own(id, row, &args.args());
        }
    }

    /// The EXEC that is being dispatched is shown behind what it runs.
    pub(super) fn show_exec_later(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.details.shows_later = session.details.exec.is_some();
        }
    }

    /// Dispatches a request while somebody watches, and shows it unless it was refused before it ran.
    #[cold]
    pub(super) fn dispatch_shown(
        &mut self,
        id: SessionId,
        command: &'static Command,
        request: &Request<'_>,
    ) -> Flow {
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Next };
        if session.details.shows_later {
            // What that runs is shown when its reply comes.
            if !session.places.is_empty() {
                return Flow::Wait(Stall::Replies);
            }
            session.details.shows_later = false;
        }
        let is_queued = session.transaction.is_some() && command.is_queued();
        let hides = !shows(command) || is_queued;
        if command.name == "exec" {
            session.details.exec = Some(OwnedArgs::new(&request.args));
        }
        let refused = self.refused;
        let flow = self.dispatch_allowed(id, command, request);
        let is_refused = self.refused != refused;
        let Some(session) = self.sessions.get_mut(id) else { return flow };
        if flow != Flow::Next || is_refused {
            session.details.exec = None;
            return flow;
        }
        if command.name == "exec" {
            if !session.details.shows_later {
                self.show_exec(id);
            }
        } else if !hides {
            session.details.shows_later = command.group == Group::Scripting && command.route == Route::Slot;
            let line = monitor_line::line(session, command, &request.args);
            self.actions.push(Action::Monitor(line));
        }
        flow
    }

    /// Shows a command of a transaction that is answered here.
    pub(crate) fn show_own(&mut self, id: SessionId, command: &'static Command, args: &Args<'_>) {
        if self.monitored
            && shows(command)
            && let Some(session) = self.sessions.get(id)
        {
            let line = monitor_line::line(session, command, args);
            self.actions.push(Action::Monitor(line));
        }
    }

    /// Has all shards tell, or not tell any more, what scripts and transactions run.
    pub(super) fn tell_whether_monitored(&mut self) {
        for link in self.upstreams.ids() {
            if self.is_for_requests(link) {
                let (sender, _) = oneshot::channel();
                self.push_ticket(link, Ticket::Ask(sender), show(self.monitored));
            }
        }
    }

    /// Has a shard tell it over a connection which has just been opened, of what has been waiting for that too.
    pub(super) fn tell_that_monitored(&mut self, link: UpstreamId) {
        if self.is_for_requests(link) {
            let (sender, _) = oneshot::channel();
            self.push_first_ticket(link, Ticket::Ask(sender), show(true));
        }
    }

    fn is_for_requests(&self, link: UpstreamId) -> bool {
        let upstream = self.upstreams.get(link);
        upstream.is_some_and(|it| it.state == State::Ready && it.purpose == Purpose::Requests)
    }

    /// Sets what is counted back to zero (CONFIG RESETSTAT).
    pub(crate) fn reset_statistics(&mut self) {
        self.run = slotway_common::statistics::Statistics::default();
        self.latency.forget_histograms();
        self.transfers = [0; 2];
    }
}

/// The request that has a shard tell what scripts and transactions run, or not.
const fn show(shows: bool) -> &'static [u8] {
    match shows {
        true => b"*3\r\n$7\r\nSLOTWAY\r\n$4\r\nSHOW\r\n$1\r\n1\r\n",
        false => b"*3\r\n$7\r\nSLOTWAY\r\n$4\r\nSHOW\r\n$1\r\n0\r\n",
    }
}

/// Whether MONITOR shows a command. Scripts are shown before what they call.
fn shows(command: &Command) -> bool {
    !command.flags.contains(Flags::ADMIN)
        && (!command.flags.contains(Flags::SKIP_MONITOR) || command.group == Group::Scripting)
}

/// The line of a reply that is an error, without what frames it.
fn error_of(reply: &[u8]) -> Option<&[u8]> {
    let line = reply.strip_prefix(b"-")?;
    Some(line.strip_suffix(b"\r\n").unwrap_or(line))
}

//! Scripts, and SORT, that use keys of other shards than those that they name.
//!
//! A shard finds that out before anything is written, and answers `ELSEWHERE`: nothing was done. Then it is run as a
//! transaction of its own, in which it borrows what it needs. The next time it is not tried otherwise.

use std::rc::Rc;

use slotway_common::command::{self, Command, Need, Route};
use slotway_common::resp::request::{Limits, Parsed};
use slotway_common::resp::{Args, Parser};

use super::{Action, Core, Job, UpstreamId, Work};
use crate::owned::OwnedArgs;
use crate::tracking::unmarked;
use crate::transaction::{Batch, script_name};
use crate::upstream::{Entry, Owner};

/// So many scripts are remembered.
const MOST: usize = 10_000;

impl Core {
    /// Whether a request calls a script that is known to use keys of other shards.
    #[cold]
    pub(super) fn borrows(&self, command: &Command, args: &Args<'_>) -> bool {
        command.runs_script() && self.borrowers.contains(&script_name(args))
    }

    /// Whether a batch is to borrow keys: it uses some that it does not name, and they may be on another shard.
    pub(super) fn must_borrow(&self, batch: &Batch) -> bool {
        self.view.shards.len() > 1 && batch.uses_more(|script| self.borrowers.contains(&script))
    }

    /// What a batch that is only a call of a script is going to need beside what it names, as its calls before have.
    pub(crate) fn foresee(&mut self, batch: &Batch) -> Vec<Need> {
        let mut needs = Vec::new();
        if let Some(script) = batch.single_script() {
            batch.each(|_, args| needs = self.foresight.of_call(script, args));
        }
        needs
    }

    /// A batch has needed this beside what it names and what was foreseen.
    pub(crate) fn learn_needs(&mut self, batch: &Batch, needs: &[Need]) {
        if let Some(script) = batch.single_script() {
            batch.each(|_, args| self.foresight.learn(script, args, needs));
        }
    }

    /// Runs the oldest request of an upstream, a client's, where it can borrow what it needs. False for one that cannot.
    #[cold]
    pub(super) fn borrow_for(&mut self, id: UpstreamId) -> bool {
        let Some(upstream) = self.upstreams.get_mut(id) else { return false };
        let Some(Entry { owner: Owner::Client { session, seq }, .. }) = upstream.front().copied() else {
            return false;
        };
        let frame = upstream.front_frame().to_vec();
        let (protocol, database) = (upstream.protocol, upstream.database);
        let mut mark = None;
        let Some((command, args)) = call_of(&frame, &mut mark) else { return false };
        upstream.take();
        if self.borrowers.len() >= MOST {
            self.borrowers.clear();
        }
        if command.runs_script() {
            self.borrowers.insert(script_name(&args.args()));
        }
        if let Some(session) = self.sessions.get_mut(session) {
            session.busy = true;
        }
        let accounted = Rc::default();
        let job =
            Job { session, seq, command, args, protocol, database, mark, accounted, work: Work::Borrow };
        self.act(Action::Run(job));
        true
    }
}

/// The client's call that a request of a proxy is.
fn call_of(frame: &[u8], mark: &mut Option<crate::tracking::Mark>) -> Option<(&'static Command, OwnedArgs)> {
    let mut parser = Parser::new();
    let limits = Limits { max_bulk: usize::MAX, authenticated: true };
    let Ok(Parsed::Frame(_)) = parser.parse(frame, &limits) else { return None };
    let (args, found) = unmarked(parser.args(frame));
    *mark = found.or(*mark);
    if args.is(0, "slotway-as") {
        return call_of(args.at(4), mark);
    }
    let command = command::resolve(&args, false).ok().filter(|command| command.route == Route::Slot)?;
    Some((command, OwnedArgs::new(&args)))
}

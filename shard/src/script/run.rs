//! One run of a script or function: what it may do, the commands that it calls, and its end.

use std::rc::Rc;
use std::time::{Duration, Instant};

use slotway_common::alone::no_cluster;
use slotway_common::command::{self, Flags, Group};
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::resp::{Args, Protocol, Reply};
use slotway_common::script::ScriptFlags;
use slotway_common::slot::slot_of;

use super::convert::{script_error, write_result};
use super::lua::{Failure, Progress, Reference, Verdict};
use super::sandbox::Sandbox;
use crate::commands::Call;
use crate::dispatch;
use crate::engine::Engine;
use crate::node::Node;
use crate::session::Session;

/// Bytes that scripts may make Lua hold, garbage included.
pub(super) const MEMORY: usize = 512 * 1024 * 1024;

const NOT_HERE: &str = "Script attempted to access a non local key in a cluster node";

const KILLED: &str = "ERR Script killed by user with SCRIPT KILL...";

/// A script or function in progress. It has the machine as long as it runs.
pub struct Run {
    sandbox: Box<Sandbox>,
    pub is_function: bool,
    /// The digest of the script, or the function's name.
    pub name: Rc<str>,
    /// It may not write.
    read_only: bool,
    /// It may use more memory than there should be.
    allow_oom: bool,
    /// It has called a command that writes.
    pub wrote: bool,
    pub started: Instant,
    /// The time that all its commands see.
    now: i64,
    /// It began the group that its changes are part of.
    group: bool,
}

/// What a script is called with.
#[derive(Clone, Copy)]
pub struct Arguments<'a> {
    pub keys: Args<'a>,
    pub others: Args<'a>,
}

/// What a script may do.
#[derive(Clone, Copy, Debug)]
pub struct Rights {
    /// What it says of itself; `None`: nothing, so that it may do all.
    pub flags: Option<ScriptFlags>,
    /// It was called by a command that promises not to write.
    pub read_only: bool,
}

/// How far a run came.
pub enum Step {
    /// To its end, well or not: see [`Run::finish`].
    Ended(Result<(), Failure>),
    /// It has run for longer than it should.
    Slow,
}

impl Rights {
    /// Refuses a script that has a first line and may need memory, while there is too little: before anything else is
    /// looked at, as any command that may need memory. What runs inside EXEC comes after that question.
    ///
    /// # Errors
    /// `OOM`
    pub fn refuse_over_limit(self, call: &mut Call<'_>) -> Result<(), Error> {
        if call.session.nested || !self.may_need_memory() {
            return Ok(());
        }
        dispatch::make_room(call.engine, call.node, true)
    }

    /// Refuses a script that could do what it may not.
    ///
    /// # Errors
    /// The error reply.
    pub fn check(self, call: &mut Call<'_>) -> Result<(), Error> {
        let Some(flags) = self.flags else { return Ok(()) };
        let writes = !flags.contains(ScriptFlags::NO_WRITES);
        if writes && let Some(reason) = call.node.log.failure() {
            return Err(Error::Line(
                format!("MISCONF nothing is written any more, because the log cannot be: {reason}").into(),
            ));
        }
        if writes && self.read_only {
            return Err(Error::err("Can not execute a script with write flag using *_ro command."));
        }
        if self.may_need_memory() && dispatch::make_room(call.engine, call.node, true).is_err() {
            return Err(Error::Line(
                "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"
                    .into(),
            ));
        }
        Ok(())
    }

    /// Scripts without a first line are asked command by command.
    fn may_need_memory(self) -> bool {
        self.flags.is_some_and(|flags| {
            !flags.contains(ScriptFlags::NO_WRITES) && !flags.contains(ScriptFlags::ALLOW_OOM)
        })
    }

    fn may_not_write(self) -> bool {
        self.read_only || self.flags.is_some_and(|flags| flags.contains(ScriptFlags::NO_WRITES))
    }
}

impl Run {
    /// Gets a script ready on its machine.
    pub fn new(
        mut sandbox: Box<Sandbox>,
        function: Reference,
        name: Rc<str>,
        is_function: bool,
        rights: Rights,
        arguments: Arguments<'_>,
        now: i64,
    ) -> Self {
        let (globals, handler) = (sandbox.globals(), sandbox.error_handler);
        if let Some(mut frame) = sandbox.interpreter.frame() {
            frame.truncate(0);
            frame.push_kept(handler);
            frame.push_kept(function);
            for (name, args) in [(&b"KEYS"[..], arguments.keys), (b"ARGV", arguments.others)] {
                frame.push_table(args.len(), 0);
                for (number, arg) in (1..).zip(args.iter()) {
                    frame.push_bytes(arg);
                    frame.set_element(-2, number);
                }
                if !is_function {
                    Sandbox::set_global(&mut frame, globals, name);
                }
            }
        }
        Self {
            sandbox,
            is_function,
            name,
            read_only: rights.may_not_write(),
            allow_oom: rights.flags.is_some_and(|flags| flags.contains(ScriptFlags::ALLOW_OOM)),
            wrote: false,
            started: clock::monotonic(),
            now,
            group: false,
        }
    }

    /// Begins the run; `threshold` is the time after which it is slow.
    pub fn start(
        &mut self,
        engine: &mut Engine,
        node: &mut Node,
        session: &mut Session,
        threshold: Option<Duration>,
    ) -> Step {
        if engine.has_notes() {
            // What was evicted, and what the command said of itself: nothing that the script calls is to be taken for it.
            node.note_changes(engine, None);
        }
        self.group = node.changes.begin_group();
        let context = self.sandbox.interpreter.context();
        context.protocol.set(Protocol::Resp2);
        context.killed_by.set(KILLED);
        *context.user.borrow_mut() = (!session.is_free()).then(|| session.user());
        context.slow_at.set(threshold.and_then(|threshold| self.started.checked_add(threshold)));
        let arguments = if self.is_function { 2 } else { 0 };
        let begun = self.sandbox.interpreter.start(arguments, MEMORY);
        self.follow(begun.unwrap_or(Progress::Ended(Err(Failure::Raised))), engine, node, session)
    }

    /// Goes on with a slow run, or ends it.
    pub fn resume(
        &mut self,
        kill: bool,
        engine: &mut Engine,
        node: &mut Node,
        session: &mut Session,
    ) -> Step {
        engine.set_now(self.now);
        let verdict = if kill { Verdict::Kill } else { Verdict::GoOn };
        let progress = self.sandbox.interpreter.resume(verdict);
        self.follow(progress, engine, node, session)
    }

    fn follow(
        &mut self,
        mut progress: Progress,
        engine: &mut Engine,
        node: &mut Node,
        session: &mut Session,
    ) -> Step {
        loop {
            match progress {
                Progress::Call => {
                    self.call(engine, node, session);
                    progress = self.sandbox.interpreter.resume(Verdict::GoOn);
                }
                Progress::Slow => return Step::Slow,
                Progress::Ended(outcome) => return Step::Ended(outcome),
            }
        }
    }

    /// Runs the command that the script has called.
    fn call(&mut self, engine: &mut Engine, node: &mut Node, session: &mut Session) {
        let context = self.sandbox.interpreter.context();
        let protocol = context.protocol.get();
        let mut exchange = std::mem::take(&mut *context.exchange.borrow_mut());
        let args = Args::new(&exchange.args, &exchange.spans);
        let before = std::mem::replace(&mut session.protocol, protocol);
        let in_script = std::mem::replace(&mut session.in_script, true);
        match self.check(engine, node, session, &args) {
            Ok(command) => {
                dispatch::nested_command(engine, node, session, command, args, &mut exchange.reply);
            }
            Err(error) => dispatch::refuse_in_script(node, session, &args, &error, &mut exchange.reply),
        }
        session.in_script = in_script;
        session.protocol = before;
        *self.sandbox.interpreter.context().exchange.borrow_mut() = exchange;
    }

    /// The checks that come before a command of a script, beside those of every command.
    fn check(
        &mut self,
        engine: &mut Engine,
        node: &mut Node,
        session: &Session,
        args: &Args<'_>,
    ) -> Result<&'static command::Command, Error> {
        let command = command::find(args).filter(|command| command.route != command::Route::Internal);
        let command = command.ok_or(Error::err("Unknown Redis command called from script"))?;
        if !command.takes(args.len()) {
            return Err(Error::err("Wrong number of args calling Redis command from script"));
        }
        if command.flags.contains(Flags::NOSCRIPT) {
            return Err(Error::err("This Redis command is not allowed from script"));
        }
        if command.group == Group::Cluster && session.internal.is_some() {
            return Err(no_cluster());
        }
        dispatch::check_script(node, session, command, args)?;
        // The last three do not change data but are passed on to replicas.
        if self.read_only
            && (command.is_write() || matches!(command.name, "pfcount" | "publish" | "spublish"))
        {
            return Err(Error::err("Write commands are not allowed from read-only scripts."));
        }
        if engine.memory.limit > 0 && !self.allow_oom && !self.wrote && command.flags.contains(Flags::DENYOOM)
        {
            dispatch::make_room(engine, node, true)?;
            if engine.has_notes() {
                node.note_changes(engine, None);
            }
        }
        if let Ok(keys) = command::keys(command, args) {
            for position in keys.positions() {
                if !node.serves(slot_of(args.at(position))) {
                    return Err(Error::err(NOT_HERE));
                }
            }
        }
        let is_publish = matches!(command.name, "publish" | "spublish");
        if is_publish && !node.serves(slot_of(args.at(1))) {
            return Err(Error::err(NOT_HERE));
        }
        self.wrote |= command.is_write();
        Ok(command)
    }

    /// Ends the run: writes its reply, and gives the machine back.
    ///
    /// # Errors
    /// The error that the script has raised or returned.
    pub fn finish(
        mut self,
        outcome: Result<(), Failure>,
        node: &mut Node,
        reply: &mut Reply<'_>,
    ) -> (Result<(), Error>, Box<Sandbox>) {
        if self.group {
            node.changes.end_group();
        }
        let protocol = self.sandbox.interpreter.context().protocol.get();
        let result = match self.sandbox.interpreter.frame() {
            Some(mut frame) => {
                let result = match outcome {
                    Ok(()) => write_result(&mut frame, protocol, reply),
                    Err(_) => Err(script_error(&mut frame, self.name.as_bytes())),
                };
                frame.truncate(0);
                result
            }
            None => Err(Error::err("the script has not ended")),
        };
        let out_of_memory = outcome == Err(Failure::Memory);
        self.sandbox.interpreter.machine().tidy(out_of_memory);
        (result, self.sandbox)
    }
}

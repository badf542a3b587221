//! One run of a script or function: what it may do, the commands that it calls, and its end.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slotway_common::acl::User;
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::resp::{Args, Protocol, Reply};
use slotway_common::script::ScriptFlags;

use super::context::Exchange;
use super::convert::{script_error, write_result};
use super::lua::{Failure, Progress, Reference, Verdict};
use super::sandbox::Sandbox;

/// Bytes that scripts may make Lua hold, garbage included.
pub(super) const MEMORY: usize = 512 * 1024 * 1024;

const KILLED: &str = "ERR Script killed by user with SCRIPT KILL...";

/// A script or function in progress. It has the machine as long as it runs.
pub struct Run {
    sandbox: Box<Sandbox>,
    pub is_function: bool,
    /// The digest of the script, or the function's name.
    pub name: Rc<str>,
    /// It may not write.
    pub read_only: bool,
    /// It may use more memory than there should be.
    pub allow_oom: bool,
    /// It has called a command that writes.
    pub wrote: bool,
    pub started: Instant,
    /// The time that all its commands see.
    pub now: i64,
    /// It began the group that its changes are part of.
    pub group: bool,
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

impl Rights {
    /// Scripts without a first line are asked command by command.
    #[must_use]
    pub fn may_need_memory(self) -> bool {
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

    /// Begins the run; `threshold` is the time after which it is slow, `user` the one whose rights its commands have if that
    /// is not one who may do all. With `group` it has begun the group that its changes are part of.
    pub fn begin(&mut self, threshold: Option<Duration>, user: Option<Arc<User>>, group: bool) -> Progress {
        self.group = group;
        let context = self.sandbox.interpreter.context();
        context.protocol.set(Protocol::Resp2);
        context.killed_by.set(KILLED);
        *context.user.borrow_mut() = user;
        context.slow_at.set(threshold.and_then(|threshold| self.started.checked_add(threshold)));
        let arguments = if self.is_function { 2 } else { 0 };
        let begun = self.sandbox.interpreter.start(arguments, MEMORY);
        begun.unwrap_or(Progress::Ended(Err(Failure::Raised)))
    }

    /// Goes on with a run that was suspended, or ends it.
    pub fn resume(&mut self, verdict: Verdict) -> Progress {
        self.sandbox.interpreter.resume(verdict)
    }

    /// What the script has called, and the protocol that it wants the reply in.
    pub fn take_exchange(&mut self) -> (Exchange, Protocol) {
        let context = self.sandbox.interpreter.context();
        (std::mem::take(&mut *context.exchange.borrow_mut()), context.protocol.get())
    }

    /// Gives the script the reply.
    pub fn put_exchange(&mut self, exchange: Exchange) {
        *self.sandbox.interpreter.context().exchange.borrow_mut() = exchange;
    }

    /// Ends the run: writes its reply, and gives the machine back.
    ///
    /// # Errors
    /// The error that the script has raised or returned.
    pub fn finish(
        mut self,
        outcome: Result<(), Failure>,
        reply: &mut Reply<'_>,
    ) -> (Result<(), Error>, Box<Sandbox>) {
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

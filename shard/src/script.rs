//! Scripts and functions: Lua, closed in, on a stack of its own.
//!
//! `lua.rs` makes Lua's C interface safe, `sandbox.rs` says what scripts can reach, `library/` has what they get beside Lua's own,
//! `convert.rs` turns replies into values and back, `run.rs` is one run of a script. A script that calls a command suspends its stack;
//! the command runs on the data thread's, as any other ([`crate::eval`]). One that runs for too long is suspended as well, from Lua's
//! hook, and goes on in slices between which others are answered (`server/scripts.rs`).

mod cache;
mod context;
mod convert;
mod draft;
mod functions;
mod libraries;
mod library;
mod lua;
mod redis_api;
mod run;
mod sandbox;
mod suspended;

use std::rc::Rc;
use std::time::Duration;

use slotway_common::error::Error;
pub use slotway_common::script::ScriptFlags;
use slotway_common::script::of_script;

use cache::Cache;
pub use cache::Script;
pub use libraries::{Change as FunctionChange, Libraries, Policy, Registered};
pub use lua::{Failure, Progress, Verdict};
pub use redis_api::digest;
pub use run::{Arguments, Rights, Run};
pub use suspended::{Ended, Kill, Slow, Suspended};

use sandbox::Sandbox;

/// Where a script says that it is.
const SCRIPT_NAME: &std::ffi::CStr = c"@user_script";

/// What the first line of a script says; `None` without one, and where something is wrong with it.
#[must_use]
pub fn flags_of(text: &[u8]) -> Option<ScriptFlags> {
    of_script(text).ok().and_then(|head| head.flags)
}

/// All that a shard knows of scripts.
#[derive(Default)]
pub struct Scripts {
    /// The machine of scripts, made for the first; none while it is running.
    machine: Option<Box<Sandbox>>,
    cache: Cache,
    pub libraries: Libraries,
    /// The run that others are answered BUSY for.
    pub suspended: Suspended,
    /// After so long a script is slow; `None`: never.
    pub threshold: Option<Duration>,
}

impl Scripts {
    fn machine(&mut self) -> Result<&mut Sandbox, Error> {
        if self.machine.is_none() {
            let made = Sandbox::new(true);
            let made = made.map_err(|error| Error::err(format!("no stack for scripts: {error}")))?;
            self.machine = Some(Box::new(made));
        }
        self.machine.as_deref_mut().ok_or(Error::err("a script is running"))
    }

    /// The script of this text, compiled if it is new. With `stays` only SCRIPT FLUSH forgets it.
    ///
    /// # Errors
    /// What is wrong with its first line, or what the compiler says.
    pub fn of_text(&mut self, text: &[u8], stays: bool) -> Result<Rc<Script>, Error> {
        if let Some(script) = self.cache.by_text(text) {
            let script = script.clone();
            if stays {
                self.cache.keep(&script.digest);
            }
            return Ok(script);
        }
        let head = of_script(text)?;
        let machine = self.machine()?;
        let Some(mut frame) = machine.interpreter.frame() else {
            return Err(Error::err("a script is running"));
        };
        frame.truncate(0);
        if !frame.compile(head.body, SCRIPT_NAME) {
            let reason = frame.bytes(-1).unwrap_or_default();
            let error = Error::Bytes([b"Error compiling script (new function): ", reason].concat());
            frame.truncate(0);
            return Err(error);
        }
        let function = frame.keep();
        let digest = digest(text).into();
        let script = Rc::new(Script { digest, text: text.into(), function, flags: head.flags });
        let gone = self.cache.add(script.clone(), stays);
        if let Some(mut frame) = self.machine.as_deref_mut().and_then(|machine| machine.interpreter.frame()) {
            gone.iter().for_each(|script| frame.forget(script.function));
        }
        Ok(script)
    }

    /// The script of this digest, in whichever case.
    #[must_use]
    pub fn of_digest(&self, digest: &[u8]) -> Option<&Rc<Script>> {
        self.cache.by_digest(&digest.to_ascii_lowercase())
    }

    /// Forgets all scripts.
    pub fn flush(&mut self) {
        self.cache = Cache::default();
        self.machine = None;
    }

    /// Gets a script ready to run.
    ///
    /// # Errors
    /// Another one is running.
    pub fn begin(
        &mut self,
        script: &Script,
        rights: Rights,
        arguments: Arguments<'_>,
        now: i64,
    ) -> Result<Run, Error> {
        let machine = self.machine.take().ok_or(Error::err("a script is running"))?;
        Ok(Run::new(machine, script.function, script.digest.clone(), false, rights, arguments, now))
    }

    /// Gets a function ready to run.
    ///
    /// # Errors
    /// Another one is running.
    pub fn begin_function(
        &mut self,
        called: &Registered,
        rights: Rights,
        arguments: Arguments<'_>,
        now: i64,
    ) -> Result<Run, Error> {
        let machine = self.libraries.machine.take().ok_or(Error::err("a function is running"))?;
        let Registered { name, function } = called;
        Ok(Run::new(machine, function.callback, name.clone(), true, rights, arguments, now))
    }

    /// Takes the machine of a run back that has ended.
    pub fn give_back(&mut self, machine: Box<Sandbox>, is_function: bool) {
        if is_function {
            self.libraries.machine = Some(machine);
        } else {
            self.machine = Some(machine);
        }
    }

    /// How many scripts are known, and bytes of their texts.
    #[must_use]
    pub fn cached(&self) -> (usize, usize) {
        (self.cache.len(), self.cache.bytes())
    }

    /// How many scripts are known, and bytes of their texts and of Lua.
    #[must_use]
    pub fn usage(&mut self) -> (usize, usize, usize) {
        let lua = self.machine.as_deref_mut().map_or(0, |machine| machine.interpreter.machine().used());
        (self.cache.len(), self.cache.bytes(), lua)
    }
}

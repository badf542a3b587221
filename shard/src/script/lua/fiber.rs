//! A stack of its own for a script, so that it can be suspended in the middle of a call.
//!
//! # Why this is sound
//! 1. A [`Handle`] has the pointer to the coroutine's side of the switch only while the coroutine is running: it is
//!    set when the coroutine begins, and `inside` says whether it runs now. Fibers are not resumed from within others, so whoever
//!    calls [`Handle::suspend`] then is on that coroutine's stack.
//! 2. Lua's `setjmp` and `longjmp` stay on one stack: a script is called by `lua_pcall` on the fiber's, and what the owner does
//!    on its own stack raises nothing.
//! 3. A coroutine that is suspended in the middle of a script is never unwound (C code stands in between): it is forgotten,
//!    with its stack. That happens only when the process ends.

use std::cell::Cell;
use std::io;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::rc::Rc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};

use super::frame::{Frame, Kind};
use super::handle::{Event, Handle, Inside, Verdict};
use super::machine::{Failure, Machine};
use crate::script::context::Context;

/// Bytes of stack for a script: Lua itself nests at most 200 calls of C functions, some of which have buffers of 8 KiB,
/// and matching takes some 200 bytes for each byte of a pattern. Only what is touched takes memory.
const STACK: usize = 16 * 1024 * 1024;

/// A machine and the stack that its scripts run on.
pub struct Interpreter {
    coroutine: ManuallyDrop<Coroutine<Verdict, Event, ()>>,
    job: Rc<Job>,
    handle: Handle,
    machine: Machine,
}

/// What the fiber is to call, and what that came to.
#[derive(Default)]
struct Job {
    arguments: Cell<usize>,
    memory: Cell<usize>,
    outcome: Cell<Option<Result<(), Failure>>>,
}

/// How far a script is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// As [`Event::Call`].
    Call,
    /// As [`Event::Slow`].
    Slow,
    /// It has ended: its result or error is at the top of the machine's stack.
    Ended(Result<(), Failure>),
}

impl Interpreter {
    /// A machine that has nothing but Lua's libraries.
    ///
    /// # Errors
    /// There is no memory for its stack.
    pub fn new(context: Context) -> io::Result<Self> {
        let handle = context.handle.clone();
        let machine = Machine::new(context);
        let stack = DefaultStack::new(STACK)?;
        let job = Rc::new(Job::default());
        let (starter, own_job, own_handle) = (machine.starter(), job.clone(), handle.clone());
        let coroutine = Coroutine::with_stack(stack, move |yielder: &Inside, mut verdict| {
            own_handle.0.yielder.set(Some(NonNull::from(yielder)));
            while verdict != Verdict::Quit {
                // SAFETY: the machine outlives the coroutine, and `start` has seen to its stack.
                let outcome = unsafe { starter.call(own_job.arguments.get(), own_job.memory.get()) };
                own_job.outcome.set(Some(outcome));
                verdict = yielder.suspend(Event::Ended);
            }
        });
        Ok(Self { coroutine: ManuallyDrop::new(coroutine), job, handle, machine })
    }

    #[must_use]
    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    #[must_use]
    pub fn context(&self) -> &Context {
        self.machine.context()
    }

    /// The machine's stack; `None` while a script is running.
    pub fn frame(&mut self) -> Option<Frame<'_>> {
        self.machine.frame()
    }

    /// Calls the function below so many arguments at the top of the stack, below which is the one that makes a value
    /// of an error. The script may allocate so many bytes. `None`: that is not what is on the stack.
    pub fn start(&mut self, arguments: usize, memory: usize) -> Option<Progress> {
        let frame = self.machine.frame()?;
        let function = -1 - i32::try_from(arguments).ok()?;
        if frame.kind(function) != Kind::Function || frame.kind(function - 1) != Kind::Function {
            return None;
        }
        self.job.arguments.set(arguments);
        self.job.memory.set(memory);
        Some(self.switch(Verdict::GoOn))
    }

    /// Goes on with a script that has called a command or is slow.
    pub fn resume(&mut self, verdict: Verdict) -> Progress {
        if !self.machine.is_running() || verdict == Verdict::Quit {
            return Progress::Ended(Err(Failure::Raised));
        }
        self.switch(verdict)
    }

    fn switch(&mut self, verdict: Verdict) -> Progress {
        self.handle.0.inside.set(true);
        let result = self.coroutine.resume(verdict);
        self.handle.0.inside.set(false);
        match result {
            CoroutineResult::Yield(Event::Call) => Progress::Call,
            CoroutineResult::Yield(Event::Slow) => Progress::Slow,
            CoroutineResult::Yield(Event::Ended) | CoroutineResult::Return(()) => {
                Progress::Ended(self.job.outcome.take().unwrap_or(Err(Failure::Raised)))
            }
        }
    }
}

impl Drop for Interpreter {
    fn drop(&mut self) {
        if self.machine.is_running() {
            return;
        }
        if self.coroutine.started() {
            let _ = self.coroutine.resume(Verdict::Quit);
        }
        // SAFETY: it has ended or was never begun, and is not used again.
        unsafe { ManuallyDrop::drop(&mut self.coroutine) };
    }
}

//! A Lua machine, and calls of its functions.

use std::alloc::{Layout, handle_alloc_error};
use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::ptr::NonNull;

use mlua_sys::lua51 as ffi;

use super::frame::Frame;
use super::plain;
use super::shared::{Memory, Shared, allocate};
use crate::script::context::Context;

/// Instructions between two calls of the hook.
const HOOK_EVERY: c_int = 100_000;

/// A Lua machine: one global state and its main thread.
pub struct Machine {
    state: NonNull<ffi::lua_State>,
    /// Owned; the state has a pointer to it. Freed after the state is closed.
    shared: NonNull<Shared>,
}

/// How a script ended that did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// By an error; its value is at the top of the stack.
    Raised,
    /// For want of memory; the text is at the top of the stack.
    Memory,
}

impl Machine {
    /// A machine with Lua's libraries that a sandbox may have: base, `table`, `string`, `math` and `coroutine`.
    #[must_use]
    pub fn new(context: Context) -> Self {
        let shared = Box::new(Shared {
            memory: Memory::default(),
            context,
            running: Cell::new(false),
            collector_set: Cell::new(false),
        });
        let shared = NonNull::from(Box::leak(shared));
        // SAFETY: the allocator gets the pointer that it expects; it stays valid until the state is closed.
        let state = unsafe { ffi::lua_newstate(allocate, shared.as_ptr().cast()) };
        // Without a limit the allocator gives memory or ends the process.
        let Some(state) = NonNull::new(state) else { handle_alloc_error(Layout::new::<Shared>()) };
        let raw = state.as_ptr();
        // SAFETY: a new state, with room for what is pushed; opening a library raises only for want of memory, and there is
        // no limit on it now.
        unsafe {
            ffi::lua_gc(raw, ffi::LUA_GCSTOP, 0);
            let libraries: [(ffi::lua_CFunction, &CStr); 4] = [
                (ffi::luaopen_base, c""),
                (ffi::luaopen_table, c"table"),
                (ffi::luaopen_string, c"string"),
                (ffi::luaopen_math, c"math"),
            ];
            for (open, name) in libraries {
                ffi::lua_pushcclosure(raw, open, 0);
                ffi::lua_pushlstring_(raw, name.as_ptr(), name.to_bytes().len());
                ffi::lua_call(raw, 1, 0);
            }
            ffi::lua_sethook(raw, Some(plain::hook), ffi::LUA_MASKCOUNT, HOOK_EVERY);
            ffi::lua_gc(raw, ffi::LUA_GCRESTART, 0);
        }
        Self { state, shared }
    }

    fn shared(&self) -> &Shared {
        // SAFETY: owned by this machine, and only ever lent shared.
        unsafe { self.shared.as_ref() }
    }

    #[must_use]
    pub fn context(&self) -> &Context {
        &self.shared().context
    }

    /// Bytes that the machine holds.
    #[must_use]
    pub fn used(&self) -> usize {
        self.shared().memory.used.get()
    }

    /// The main thread's stack, empty or as the last call left it. `None` while a script is running.
    pub fn frame(&mut self) -> Option<Frame<'_>> {
        if self.shared().running.get() {
            return None;
        }
        // SAFETY: nothing runs on the machine, and it is borrowed mutably.
        Some(unsafe { Frame::new(self.state.as_ptr(), false) })
    }

    /// Ends what was started by [`Starter::call`] on whatever stack: see there.
    pub fn starter(&self) -> Starter {
        Starter { state: self.state, shared: self.shared }
    }

    /// True while a script is running, perhaps suspended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.shared().running.get()
    }

    /// Undoes what a script may have done to the machine itself.
    pub fn tidy(&mut self, collect: bool) {
        if self.is_running() {
            return;
        }
        let raw = self.state.as_ptr();
        // SAFETY: nothing runs on the machine. The collector runs no code of scripts, since there are no finalizers.
        unsafe {
            if plain::is_kill_hook(raw) {
                ffi::lua_sethook(raw, Some(plain::hook), ffi::LUA_MASKCOUNT, HOOK_EVERY);
            }
            if self.shared().collector_set.replace(false) {
                ffi::lua_gc(raw, ffi::LUA_GCSETPAUSE, 200);
                ffi::lua_gc(raw, ffi::LUA_GCSETSTEPMUL, 200);
                ffi::lua_gc(raw, ffi::LUA_GCRESTART, 0);
            }
            if collect {
                ffi::lua_gc(raw, ffi::LUA_GCCOLLECT, 0);
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.is_running() {
            // A suspended script has frames on its stack that point into the state; both are given up.
            return;
        }
        // SAFETY: nothing runs on the machine, and nobody has it any more: a starter does nothing without a machine's
        // call, which its owner makes (`fiber.rs` drops the coroutine first).
        unsafe {
            ffi::lua_close(self.state.as_ptr());
            drop(Box::from_raw(self.shared.as_ptr()));
        }
    }
}

/// Calls functions of a machine from another stack than its owner's.
#[derive(Clone, Copy)]
pub struct Starter {
    state: NonNull<ffi::lua_State>,
    shared: NonNull<Shared>,
}

impl Starter {
    /// Calls the function below `arguments` values at the top of the main stack, with the function below that as the one
    /// that makes a value of an error. Leaves one result, or what was raised, in the place of the called function and its arguments.
    ///
    /// # Errors
    /// What was raised, and whether it was for want of memory.
    ///
    /// # Safety
    /// The machine lives, nothing runs on it, and its stack has these values at its top.
    pub unsafe fn call(self, arguments: usize, memory: usize) -> Result<(), Failure> {
        let raw = self.state.as_ptr();
        // SAFETY: the machine lives, as the caller promises.
        let shared = unsafe { self.shared.as_ref() };
        shared.running.set(true);
        shared.memory.limit.set(memory);
        let arguments = c_int::try_from(arguments).unwrap_or(0);
        // SAFETY: the stack is as the caller promises. All errors end in this call.
        let status = unsafe {
            let handler = ffi::lua_gettop(raw) - arguments - 1;
            ffi::lua_pcall(raw, arguments, 1, handler)
        };
        shared.memory.limit.set(0);
        shared.running.set(false);
        match status {
            0 => Ok(()),
            ffi::LUA_ERRMEM => Err(Failure::Memory),
            _ => Err(Failure::Raised),
        }
    }
}

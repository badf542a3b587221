//! Lua 5.1 by its C interface, made safe.
//!
//! Everything of scripts that is not here is safe code: it writes functions for Lua as `fn(&mut Frame) -> Outcome` and calls
//! Lua's functions over [`Machine`]. A wrapper of a higher level (mlua) was not used since what it puts around every value
//! and call costs more than a small script does, and since errors that it raises are not the plain values that scripts
//! of Redis see.
//!
//! # Why this is sound
//! 1. **Lua's errors are `longjmp`s**, which must not skip a Rust frame that has something to drop. Inside a [`Native`]
//!    nothing raises one: only functions of the C interface are called that never do (`lua_raw…`, `lua_to…`, `lua_push…`
//!    within the room that `lua_checkstack` gave; `lua_rawset` never with a nil or NaN key), but for want of memory, and the
//!    limit on memory is lifted meanwhile: then only an allocator that is out of memory fails, and that ends the process
//!    ([`allocate`]). Collecting garbage runs no code: there are no finalizers, since no userdata has a metatable. What a
//!    native wants to raise it returns ([`Raise`]), and it is raised by [`trampoline`] when nothing is left to drop.
//!    The functions in `lua/plain.rs` call what may raise, and hold nothing to drop.
//! 2. **Indices**: all that take one look first whether there is such a value, and what kind it has. No pseudo-index is let
//!    through.
//! 3. **Bytes of a string** are lent for as long as the frame is borrowed; what could remove the value from the stack takes
//!    the frame mutably. A string on the stack is not collected, and strings do not move.
//! 4. **A [`Frame`] lives no longer than the call that made it**: natives get it by reference, and it cannot be made elsewhere.
//! 5. **The machine is run by one stack at a time**: a script that is suspended in the hook or in a native (`stack.rs`) is in
//!    the middle of a call. Whoever owns the [`Machine`] must not use it then; [`Machine::frame`] refuses to.

#![allow(unsafe_code)]

mod fiber;
mod frame;
mod plain;

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use mlua_sys::lua51 as ffi;

pub use fiber::{Event, Handle, Interpreter, Progress, Verdict};
pub use frame::{Frame, Kind};
pub use plain::{Guard, Plain};

use super::context::Context;

/// A function for Lua: takes its arguments from the stack, leaves its results at the top and tells how many.
pub type Native = fn(&mut Frame<'_>) -> Outcome;

/// How many results a native has left, or what it raises.
pub type Outcome = Result<usize, Raise>;

/// An error that a native raises.
#[derive(Debug)]
pub enum Raise {
    /// A text, behind the place in the script that called.
    Located(Vec<u8>),
    /// The value at the top of the stack.
    Top,
    /// An argument, counted from one, is not as it has to be.
    Argument(usize, Vec<u8>),
}

impl Raise {
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::Located(text.into())
    }
}

/// Instructions between two calls of the hook.
const HOOK_EVERY: c_int = 100_000;

/// What the machine's functions share.
struct Shared {
    memory: Memory,
    context: Context,
    /// A script is running, perhaps suspended.
    running: Cell<bool>,
    /// A script has set how garbage is collected.
    collector_set: Cell<bool>,
}

/// What Lua has allocated, and may.
#[derive(Default)]
struct Memory {
    used: Cell<usize>,
    /// Bytes; 0: no limit.
    limit: Cell<usize>,
}

/// A Lua machine: one global state and its main thread.
pub struct Machine {
    state: NonNull<ffi::lua_State>,
    /// Owned; the state has a pointer to it. Freed after the state is closed.
    shared: NonNull<Shared>,
}

/// A value that Lua keeps for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference(c_int);

impl Reference {
    /// Of nothing: it is pushed as nil.
    pub const NONE: Self = Self(ffi::LUA_REFNIL);
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
        // call, which its owner makes (`stack.rs` drops the coroutine first).
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

/// Lua's memory: an allocator that keeps to the limit. Without one it gives what is asked for or ends the process.
unsafe extern "C" fn allocate(shared: *mut c_void, old: *mut c_void, from: usize, to: usize) -> *mut c_void {
    /// As `malloc` aligns.
    const ALIGN: usize = 16;
    // SAFETY: this is the pointer that `Machine::new` gave.
    let memory = unsafe { &(*shared.cast::<Shared>()).memory };
    let from = if old.is_null() { 0 } else { from };
    if to == 0 {
        if !old.is_null() {
            memory.used.set(memory.used.get() - from);
            // SAFETY: Lua tells the size that the block was allocated with.
            unsafe { dealloc(old.cast(), Layout::from_size_align_unchecked(from, ALIGN)) };
        }
        return ptr::null_mut();
    }
    let used = memory.used.get() - from + to;
    let limit = memory.limit.get();
    if limit != 0 && used > limit && to > from {
        return ptr::null_mut();
    }
    let Ok(layout) = Layout::from_size_align(to, ALIGN) else {
        if limit != 0 {
            return ptr::null_mut();
        }
        handle_alloc_error(Layout::new::<Shared>());
    };
    let new = if old.is_null() {
        // SAFETY: the size is not zero.
        unsafe { alloc(layout) }
    } else {
        // SAFETY: as for `dealloc`; the size is not zero and was checked.
        unsafe { realloc(old.cast(), Layout::from_size_align_unchecked(from, ALIGN), to) }
    };
    if new.is_null() {
        if limit != 0 {
            return ptr::null_mut();
        }
        handle_alloc_error(layout);
    }
    memory.used.set(used);
    new.cast()
}

/// What all functions of a state share.
///
/// # Safety
/// The state is one of a [`Machine`] that lives for `'a`.
unsafe fn shared<'a>(state: *mut ffi::lua_State) -> &'a Shared {
    let mut data: *mut c_void = ptr::null_mut();
    // SAFETY: the allocator's data is the pointer that `Machine::new` gave.
    unsafe {
        ffi::lua_getallocf(state, &raw mut data);
        &*data.cast::<Shared>()
    }
}

/// What is left to do when a native has ended. Nothing of it has to be dropped.
#[derive(Clone, Copy)]
enum Ended {
    Returned(c_int),
    Located,
    Top,
    Argument(c_int),
}

/// The C function of every native; its first upvalue is the native.
unsafe extern "C-unwind" fn trampoline(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: a state of a living machine calls.
    match unsafe { run_native(state) } {
        Ended::Returned(results) => results,
        // SAFETY: an error's text or value is at the top of the stack, and nothing is left to drop in this frame.
        Ended::Located => unsafe {
            ffi::luaL_where(state, 1);
            ffi::lua_insert(state, -2);
            ffi::lua_concat(state, 2);
            ffi::lua_error(state)
        },
        // SAFETY: as above.
        Ended::Top => unsafe { ffi::lua_error(state) },
        // SAFETY: as above.
        Ended::Argument(number) => unsafe {
            let text = ffi::lua_tolstring(state, -1, ptr::null_mut());
            ffi::luaL_argerror(state, number, text)
        },
    }
}

unsafe fn run_native(state: *mut ffi::lua_State) -> Ended {
    // SAFETY: a state of a living machine calls; the upvalue is the function that `Frame::push_native` put there.
    let (shared, native, mut frame) = unsafe {
        let pointer = ffi::lua_touserdata(state, ffi::lua_upvalueindex(1));
        (shared(state), std::mem::transmute::<*mut c_void, Native>(pointer), Frame::new(state, true))
    };
    let limit = shared.memory.limit.replace(0);
    let ended = match catch_unwind(AssertUnwindSafe(|| native(&mut frame))) {
        Ok(Ok(results)) => Ended::Returned(c_int::try_from(results.min(frame.top())).unwrap_or(0)),
        Ok(Err(Raise::Top)) if frame.top() > 0 => Ended::Top,
        Ok(Err(Raise::Top)) => frame.end_with(b"no error", Ended::Located),
        Ok(Err(Raise::Located(text))) => frame.end_with(&text, Ended::Located),
        Ok(Err(Raise::Argument(number, text))) => {
            frame.end_with(&text, Ended::Argument(c_int::try_from(number).unwrap_or(1)))
        }
        Err(_) => frame.end_with(b"internal error", Ended::Located),
    };
    shared.memory.limit.set(limit);
    ended
}

impl Frame<'_> {
    fn end_with(&mut self, text: &[u8], ended: Ended) -> Ended {
        self.truncate(0);
        self.push_bytes(text);
        ended
    }

    /// What the machine's functions share.
    pub fn context(&self) -> &Context {
        // SAFETY: a frame lives no longer than its machine.
        unsafe { &shared(self.raw()).context }
    }

    /// A function of Lua that calls `native`.
    pub fn push_native(&mut self, native: Native) {
        self.room(1);
        // SAFETY: there is room for the upvalue, which the closure replaces. A function pointer fits into a pointer.
        unsafe {
            ffi::lua_pushlightuserdata(self.raw(), native as *mut c_void);
            ffi::lua_pushcclosure(self.raw(), trampoline, 1);
        }
    }

    /// A function of Lua that calls `native`, of the value at the top, which goes: the native has it as its own.
    pub fn push_native_with(&mut self, native: Native) {
        if self.top() == 0 {
            return;
        }
        self.room(1);
        // SAFETY: two upvalues are at the top, which the closure replaces.
        unsafe {
            ffi::lua_pushlightuserdata(self.raw(), native as *mut c_void);
            ffi::lua_insert(self.raw(), -2);
            ffi::lua_pushcclosure(self.raw(), trampoline, 2);
        }
    }

    /// In a native: pushes the value that its function was made with; nil without one.
    pub fn push_own(&mut self) {
        self.room(1);
        // SAFETY: there is room. A native's function is running, whose upvalues can be asked for; one that it does not have reads
        // as none.
        unsafe {
            if !self.is_native() || ffi::lua_type(self.raw(), ffi::lua_upvalueindex(2)) == ffi::LUA_TNONE {
                ffi::lua_pushnil(self.raw());
            } else {
                ffi::lua_pushvalue(self.raw(), ffi::lua_upvalueindex(2));
            }
        }
    }

    /// Keeps the value at the top, which goes from the stack.
    pub fn keep(&mut self) -> Reference {
        if self.top() == 0 {
            return Reference(ffi::LUA_REFNIL);
        }
        // SAFETY: there is a value, which goes into the registry, a table.
        Reference(unsafe { ffi::luaL_ref(self.raw(), ffi::LUA_REGISTRYINDEX) })
    }

    /// Pushes a value that was kept.
    pub fn push_kept(&mut self, reference: Reference) {
        self.room(1);
        // SAFETY: there is room, and the registry is a table.
        unsafe { ffi::lua_rawgeti_(self.raw(), ffi::LUA_REGISTRYINDEX, reference.0) };
    }

    /// Lets go of a value that was kept.
    pub fn forget(&mut self, reference: Reference) {
        // SAFETY: the registry is a table.
        unsafe { ffi::luaL_unref(self.raw(), ffi::LUA_REGISTRYINDEX, reference.0) };
    }

    /// Pushes the table of globals.
    pub fn push_globals(&mut self) {
        self.room(1);
        // SAFETY: there is room; this pseudo-index is valid.
        unsafe { ffi::lua_pushvalue(self.raw(), ffi::LUA_GLOBALSINDEX) };
    }

    /// Takes the table at the top as that of globals, for all functions that are made from now on.
    pub fn set_globals(&mut self) {
        if self.kind(-1) == Kind::Table {
            // SAFETY: a table is at the top.
            unsafe { ffi::lua_replace(self.raw(), ffi::LUA_GLOBALSINDEX) };
        }
    }

    /// Compiles a text and pushes the function, or an error's text: then it gives false. What begins as compiled code does is
    /// compiled as text all the same.
    pub fn compile(&mut self, text: &[u8], name: &CStr) -> bool {
        self.room(1);
        let mut spaced = Vec::new();
        let text = plain::as_text(text, &mut spaced);
        // SAFETY: there is room; loading raises nothing itself, and the text lives meanwhile.
        let status = unsafe {
            ffi::luaL_loadbuffer(self.raw(), text.as_ptr().cast::<c_char>(), text.len(), name.as_ptr())
        };
        status == 0
    }
}

//! Functions for Lua that are written in safe code.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use mlua_sys::lua51 as ffi;

use super::frame::Frame;
use super::raise::{Outcome, Raise};
use super::shared::shared;
use crate::script::context::Context;

/// A function for Lua: takes its arguments from the stack, leaves its results at the top and tells how many.
pub type Native = fn(&mut Frame<'_>) -> Outcome;

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
}

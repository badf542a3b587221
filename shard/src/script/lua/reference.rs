//! Values that Lua keeps for this process.

use std::ffi::c_int;

use mlua_sys::lua51 as ffi;

use super::frame::Frame;

/// A value that Lua keeps for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference(c_int);

impl Reference {
    /// Of nothing: it is pushed as nil.
    pub const NONE: Self = Self(ffi::LUA_REFNIL);
}

impl Frame<'_> {
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
}

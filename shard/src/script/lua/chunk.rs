//! Texts that become functions, and the globals that these see.

use std::ffi::{CStr, c_char};

use mlua_sys::lua51 as ffi;

use super::frame::{Frame, Kind};

impl Frame<'_> {
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
        let text = as_text(text, &mut spaced);
        // SAFETY: there is room; loading raises nothing itself, and the text lives meanwhile.
        let status = unsafe {
            ffi::luaL_loadbuffer(self.raw(), text.as_ptr().cast::<c_char>(), text.len(), name.as_ptr())
        };
        status == 0
    }
}

/// The text, with a space in front where Lua would take it for compiled code.
fn as_text<'a>(text: &'a [u8], spaced: &'a mut Vec<u8>) -> &'a [u8] {
    if text.first() != Some(&ffi::LUA_SIGNATURE[0]) {
        return text;
    }
    spaced.push(b' ');
    spaced.extend_from_slice(text);
    spaced
}

//! Functions written for Lua's C interface: those that call back into Lua, or stand in front of one of Lua's own.
//!
//! They may be left by an error at any call, so they hold nothing that has to be dropped.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use mlua_sys::lua51 as ffi;

use super::frame::{Frame, Kind};
use super::shared::shared;

/// Longest pattern of `string.find` and its like: matching takes stack for each part of it.
const LONGEST_PATTERN: usize = 32 * 1024;

/// Addresses that are keys of the registry.
static PROXIES: u8 = 1;
static SHOWN: u8 = 2;

/// A function of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// As Redis has it: what a caught error table says is given as text.
    Pcall,
    Unpack,
    /// The `__newindex` of tables that cannot be changed.
    ReadOnly,
    /// The `__index` of the globals: there is no such one.
    NoGlobal,
}

/// One of Lua's functions that gets something in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// As [`Guard::LoadString`], of a function that gives the text in pieces.
    Load,
    /// Texts that are compiled code are no texts.
    LoadString,
    /// Notes that the collector was set.
    Collect,
    /// The second argument is a pattern.
    Pattern,
    /// Sees what a read-only table stands for.
    Reader,
    /// Refuses read-only tables.
    Writer,
    SetMetatable,
    GetMetatable,
}

impl Plain {
    fn function(self) -> ffi::lua_CFunction {
        match self {
            Self::Pcall => pcall,
            Self::Unpack => unpack,
            Self::ReadOnly => read_only,
            Self::NoGlobal => no_global,
        }
    }
}

impl Frame<'_> {
    /// A function that is written for Lua's C interface.
    pub fn push_plain(&mut self, plain: Plain) {
        self.room(1);
        // SAFETY: there is room.
        unsafe { ffi::lua_pushcclosure(self.raw(), plain.function(), 0) };
    }

    /// Puts a guard in front of the function at the top.
    pub fn guard(&mut self, guard: Guard) {
        let function: ffi::lua_CFunction = match guard {
            Guard::Load => load,
            Guard::LoadString => load_string,
            Guard::Collect => collect,
            Guard::Pattern => pattern,
            Guard::Reader => reader,
            Guard::Writer => writer,
            Guard::SetMetatable => set_metatable,
            Guard::GetMetatable => get_metatable,
        };
        // SAFETY: a function is at the top, of which the closure makes an upvalue.
        if self.kind(-1) == Kind::Function {
            unsafe { ffi::lua_pushcclosure(self.raw(), function, 1) };
        }
    }

    /// Pushes a function that is `pairs`, of the function `next` below the top and the guarded one at the top, which go.
    pub fn make_pairs(&mut self) {
        if self.kind(-1) == Kind::Function && self.kind(-2) == Kind::Function {
            // SAFETY: two upvalues are at the top.
            unsafe { ffi::lua_pushcclosure(self.raw(), pairs, 2) };
        }
    }

    /// Takes note that the table at the top stands for the one below it, and is shown with the metatable (or nil) below that.
    /// All but the table at the top go.
    pub fn note_proxy(&mut self) {
        if self.top() < 3 {
            return;
        }
        self.room(6);
        let state = self.raw();
        // SAFETY: three values are at the top, and there is room; the registry's tables are made when they are missing.
        unsafe {
            registered(state, &PROXIES);
            ffi::lua_pushvalue(state, -2);
            ffi::lua_pushvalue(state, -4);
            ffi::lua_rawset(state, -3);
            ffi::lua_settop(state, -2);
            registered(state, &SHOWN);
            ffi::lua_pushvalue(state, -2);
            ffi::lua_pushvalue(state, -5);
            ffi::lua_rawset(state, -3);
            ffi::lua_settop(state, -2);
            ffi::lua_replace(state, -3);
            ffi::lua_settop(state, -2);
        }
    }

    /// Has strings be shown with the metatable at the top, which goes.
    pub fn show_for_strings(&mut self) {
        if self.top() == 0 {
            return;
        }
        self.room(4);
        let state = self.raw();
        // SAFETY: a value is at the top, and there is room.
        unsafe {
            registered(state, &SHOWN);
            ffi::lua_pushlstring_(state, c"string".as_ptr(), 6);
            ffi::lua_pushvalue(state, -3);
            ffi::lua_rawset(state, -3);
            ffi::lua_settop(state, -3);
        }
    }

    /// Puts what a read-only table stands for into its place.
    pub fn see_through(&mut self, index: i32) {
        let index = self.absolute(index);
        if index == 0 {
            return;
        }
        self.room(4);
        // SAFETY: the index is valid, and there is room.
        unsafe {
            if push_real(self.raw(), index) {
                ffi::lua_replace(self.raw(), index);
            }
        }
    }
}

/// Pushes a table of the registry.
unsafe fn registered(state: *mut ffi::lua_State, key: &'static u8) {
    let key = ptr::from_ref(key).cast_mut().cast::<c_void>();
    // SAFETY: the caller has room for three values.
    unsafe {
        ffi::lua_pushlightuserdata(state, key);
        ffi::lua_rawget_(state, ffi::LUA_REGISTRYINDEX);
        if ffi::lua_type(state, -1) == ffi::LUA_TNIL {
            ffi::lua_settop(state, -2);
            ffi::lua_createtable(state, 0, 0);
            ffi::lua_pushlightuserdata(state, key);
            ffi::lua_pushvalue(state, -2);
            ffi::lua_rawset(state, ffi::LUA_REGISTRYINDEX);
        }
    }
}

/// Pushes what a read-only table stands for; nothing for other values.
unsafe fn push_real(state: *mut ffi::lua_State, index: c_int) -> bool {
    // SAFETY: the caller has room for four values; the index counts from the bottom.
    unsafe {
        if ffi::lua_type(state, index) != ffi::LUA_TTABLE || ffi::lua_getmetatable(state, index) == 0 {
            return false;
        }
        ffi::lua_settop(state, -2);
        registered(state, &PROXIES);
        ffi::lua_pushvalue(state, index);
        ffi::lua_rawget_(state, -2);
        if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
            ffi::lua_replace(state, -2);
            return true;
        }
        ffi::lua_settop(state, -3);
        false
    }
}

/// Calls the function that a guard stands in front of.
unsafe fn guarded(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the upvalue of a guard is one of Lua's C functions, none of which has upvalues.
    unsafe {
        match ffi::lua_tocfunction(state, ffi::lua_upvalueindex(1)) {
            Some(function) => function(state),
            None => 0,
        }
    }
}

/// Raises a text as it is.
unsafe fn raise(state: *mut ffi::lua_State, text: &'static [u8]) -> c_int {
    // SAFETY: nothing is held.
    unsafe {
        ffi::lua_pushlstring_(state, text.as_ptr().cast::<c_char>(), text.len());
        ffi::lua_error(state)
    }
}

const READ_ONLY: &[u8] = b"Attempt to modify a readonly table";

unsafe extern "C-unwind" fn read_only(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { ffi::luaL_error(state, c"%s".as_ptr(), READ_ONLY_TEXT.as_ptr()) }
}

const READ_ONLY_TEXT: &std::ffi::CStr = c"Attempt to modify a readonly table";

unsafe extern "C-unwind" fn no_global(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; the name is on the stack while its bytes are used.
    unsafe {
        if ffi::lua_gettop(state) != 2 {
            return ffi::luaL_error(state, c"Wrong number of arguments to luaProtectedTableError".as_ptr());
        }
        if ffi::lua_isstring(state, -1) == 0 {
            return ffi::luaL_error(
                state,
                c"Second argument to luaProtectedTableError must be a string or number".as_ptr(),
            );
        }
        let name = ffi::lua_tolstring(state, -1, ptr::null_mut());
        ffi::luaL_error(state, c"Script attempted to access nonexistent global variable '%s'".as_ptr(), name)
    }
}

unsafe extern "C-unwind" fn pcall(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua, with its arguments on the stack; the call is protected.
    unsafe {
        ffi::luaL_checkany(state, 1);
        let arguments = ffi::lua_gettop(state) - 1;
        ffi::lua_pushboolean(state, 1);
        ffi::lua_insert(state, 1);
        if ffi::lua_pcall(state, arguments, ffi::LUA_MULTRET, 0) != 0 {
            if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
                ffi::lua_pushlstring_(state, c"err".as_ptr(), 3);
                ffi::lua_rawget_(state, -2);
                if ffi::lua_isstring(state, -1) != 0 {
                    ffi::lua_replace(state, -2);
                } else {
                    ffi::lua_settop(state, -2);
                }
            }
            ffi::lua_pushboolean(state, 0);
            ffi::lua_replace(state, 1);
        }
        ffi::lua_gettop(state)
    }
}

/// Compiles the string at the top under the name below it; gives what `load` gives.
unsafe fn compile(state: *mut ffi::lua_State, name: *const c_char) -> c_int {
    // SAFETY: the string stays on the stack while it is compiled.
    unsafe {
        let mut length = 0;
        let mut text = ffi::lua_tolstring(state, -1, &raw mut length);
        if length > 0 && *text == ffi::LUA_SIGNATURE[0] as c_char {
            // A space in front makes it a text, at the same places.
            ffi::lua_pushlstring_(state, c" ".as_ptr(), 1);
            ffi::lua_insert(state, -2);
            ffi::lua_concat(state, 2);
            text = ffi::lua_tolstring(state, -1, &raw mut length);
        }
        if ffi::luaL_loadbuffer(state, text, length, name) == 0 {
            return 1;
        }
        ffi::lua_pushnil(state);
        ffi::lua_insert(state, -2);
        2
    }
}

/// `load`: nothing of the first piece is taken for compiled code, and the name is held while pieces are asked for (Lua
/// itself holds it only from the first piece on).
unsafe extern "C-unwind" fn load(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua, with room for at least 20 values.
    unsafe {
        if ffi::lua_type(state, 1) == ffi::LUA_TFUNCTION {
            ffi::lua_settop(state, 2);
            if ffi::lua_type(state, 2) == ffi::LUA_TNIL {
                ffi::lua_pushlstring_(state, c"=(load)".as_ptr(), 7);
                ffi::lua_replace(state, 2);
            } else if ffi::lua_isstring(state, 2) != 0 {
                // The text of C, up to the first null byte: the very string that Lua makes of it.
                ffi::lua_pushstring_(state, ffi::lua_tolstring(state, 2, ptr::null_mut()));
                ffi::lua_replace(state, 2);
            }
            ffi::lua_pushvalue(state, 1);
            ffi::lua_pushboolean(state, 0);
            ffi::lua_pushcclosure(state, next_piece, 2);
            ffi::lua_replace(state, 1);
        }
        guarded(state)
    }
}

/// Gives the next piece of a reader, its first upvalue; the second one tells that there was one before.
unsafe extern "C-unwind" fn next_piece(state: *mut ffi::lua_State) -> c_int {
    let (reader, begun) = (ffi::lua_upvalueindex(1), ffi::lua_upvalueindex(2));
    // SAFETY: called by Lua, with room for at least 20 values; `load` gave two upvalues.
    unsafe {
        ffi::lua_settop(state, 0);
        ffi::lua_pushvalue(state, reader);
        ffi::lua_call(state, 0, 1);
        if ffi::lua_toboolean(state, begun) == 0 && ffi::lua_type(state, 1) == ffi::LUA_TSTRING {
            ffi::lua_pushboolean(state, 1);
            ffi::lua_replace(state, begun);
            let text = ffi::lua_tolstring(state, 1, ptr::null_mut());
            if *text == ffi::LUA_SIGNATURE[0] as c_char {
                ffi::lua_pushlstring_(state, c" ".as_ptr(), 1);
                ffi::lua_insert(state, 1);
                ffi::lua_concat(state, 2);
            }
        }
        1
    }
}

unsafe extern "C-unwind" fn load_string(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; both strings stay on the stack.
    unsafe {
        let text = ffi::luaL_checklstring(state, 1, ptr::null_mut());
        let name = ffi::luaL_optlstring(state, 2, text, ptr::null_mut());
        ffi::lua_pushvalue(state, 1);
        compile(state, name)
    }
}

unsafe extern "C-unwind" fn unpack(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; there is room for what is pushed.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        let first = ffi::luaL_optinteger(state, 2, 1) as c_int;
        let last = if ffi::lua_type(state, 3) <= ffi::LUA_TNIL {
            c_int::try_from(ffi::lua_objlen(state, 1)).unwrap_or(c_int::MAX)
        } else {
            ffi::luaL_checkinteger(state, 3) as c_int
        };
        if first > last {
            return 0;
        }
        match c_int::try_from(i64::from(last) - i64::from(first) + 1) {
            Ok(count) if count < c_int::MAX && ffi::lua_checkstack(state, count) != 0 => {
                for number in first..last {
                    ffi::lua_rawgeti_(state, 1, number);
                }
                ffi::lua_rawgeti_(state, 1, last);
                count
            }
            _ => ffi::luaL_error(state, c"too many results to unpack".as_ptr()),
        }
    }
}

unsafe extern "C-unwind" fn pairs(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua; `make_pairs` gave two upvalues.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        let mut next = ffi::lua_upvalueindex(1);
        if push_real(state, 1) {
            ffi::lua_settop(state, -2);
            next = ffi::lua_upvalueindex(2);
        }
        ffi::lua_pushvalue(state, next);
        ffi::lua_pushvalue(state, 1);
        ffi::lua_pushnil(state);
        3
    }
}

unsafe extern "C-unwind" fn reader(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua, with room for at least 20 values.
    unsafe {
        if push_real(state, 1) {
            ffi::lua_replace(state, 1);
        }
        guarded(state)
    }
}

unsafe extern "C-unwind" fn writer(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua, with room for at least 20 values.
    unsafe { if push_real(state, 1) { raise(state, READ_ONLY) } else { guarded(state) } }
}

unsafe extern "C-unwind" fn set_metatable(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua, with room for at least 20 values.
    unsafe {
        let kind = ffi::lua_type(state, 2);
        if (kind == ffi::LUA_TNIL || kind == ffi::LUA_TTABLE) && push_real(state, 1) {
            return raise(state, READ_ONLY);
        }
        guarded(state)
    }
}

unsafe extern "C-unwind" fn get_metatable(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua, with room for at least 20 values.
    unsafe {
        let is_string = ffi::lua_type(state, 1) == ffi::LUA_TSTRING;
        if !is_string && !push_real(state, 1) {
            return guarded(state);
        }
        registered(state, &SHOWN);
        if is_string {
            ffi::lua_pushlstring_(state, c"string".as_ptr(), 6);
        } else {
            ffi::lua_pushvalue(state, 1);
        }
        ffi::lua_rawget_(state, -2);
        1
    }
}

unsafe extern "C-unwind" fn pattern(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        if ffi::lua_type(state, 2) == ffi::LUA_TSTRING && ffi::lua_objlen(state, 2) > LONGEST_PATTERN {
            return ffi::luaL_error(state, c"pattern too complex".as_ptr());
        }
        guarded(state)
    }
}

unsafe extern "C-unwind" fn collect(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        shared(state).collector_set.set(true);
        guarded(state)
    }
}

/// Called by Lua every so many instructions.
pub(super) unsafe extern "C-unwind" fn hook(state: *mut ffi::lua_State, _: *mut ffi::lua_Debug) {
    // SAFETY: called by Lua; what is asked of the context is over when an error is raised.
    unsafe {
        if !shared(state).context.is_over() {
            return;
        }
        // From here on at every line, so that the script cannot catch the error and go on.
        ffi::lua_sethook(state, Some(hook), ffi::LUA_MASKLINE, 0);
        let text = shared(state).context.killed_by.get();
        ffi::lua_createtable(state, 0, 3);
        ffi::lua_pushlstring_(state, c"err".as_ptr(), 3);
        ffi::lua_pushlstring_(state, text.as_ptr().cast::<c_char>(), text.len());
        ffi::lua_rawset(state, -3);
        ffi::lua_error(state);
    }
}

/// True once a script was told to end.
pub(super) unsafe fn is_kill_hook(state: *mut ffi::lua_State) -> bool {
    // SAFETY: reads the state.
    unsafe { ffi::lua_gethookmask(state) != ffi::LUA_MASKCOUNT }
}

//! The stack of one call, as natives and the owner of a machine see it.

use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;
use std::ptr;

use mlua_sys::lua51 as ffi;

use super::raise::Raise;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such value.
    None,
    Nil,
    Boolean,
    LightUserdata,
    Number,
    String,
    Table,
    Function,
    Userdata,
    Thread,
}

impl Kind {
    /// As error texts name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "no value",
            Self::Nil => "nil",
            Self::Boolean => "boolean",
            Self::LightUserdata | Self::Userdata => "userdata",
            Self::Number => "number",
            Self::String => "string",
            Self::Table => "table",
            Self::Function => "function",
            Self::Thread => "thread",
        }
    }
}

/// The stack of one call. Values are counted from 1 at its bottom, or from -1 at its top.
pub struct Frame<'a> {
    state: *mut ffi::lua_State,
    /// Values that can be pushed before the stack has to grow.
    free: u32,
    /// A native's function is running, which may have a value of its own.
    is_native: bool,
    life: PhantomData<&'a mut ffi::lua_State>,
}

impl Frame<'_> {
    /// # Safety
    /// The state is in a call of its own, and nobody else uses it for the lifetime.
    pub(super) unsafe fn new(state: *mut ffi::lua_State, is_native: bool) -> Self {
        Self { state, free: 0, is_native, life: PhantomData }
    }

    pub(super) fn is_native(&self) -> bool {
        self.is_native
    }

    pub(super) fn raw(&self) -> *mut ffi::lua_State {
        self.state
    }

    /// The number of values.
    #[must_use]
    pub fn top(&self) -> usize {
        // SAFETY: reads the state.
        usize::try_from(unsafe { ffi::lua_gettop(self.state) }).unwrap_or(0)
    }

    /// True when `values` more can be pushed; Lua's stacks end at 8,000.
    pub fn has_room(&mut self, values: u32) -> bool {
        // SAFETY: takes any number.
        unsafe { ffi::lua_checkstack(self.state, c_int::try_from(values).unwrap_or(c_int::MAX)) != 0 }
    }

    /// Makes room for values that are pushed next.
    ///
    /// # Panics
    /// When the stack cannot grow: who pushes many values must ask [`Frame::has_room`].
    #[inline]
    pub(super) fn room(&mut self, values: u32) {
        const STEP: u32 = 16;
        if self.free < values {
            // At the end of the stack there may be room for what is asked for, and not for more.
            let more = if self.has_room(values + STEP) { STEP } else { 0 };
            assert!(more > 0 || self.has_room(values), "the stack of a script is full");
            self.free = values + more;
        }
        self.free -= values;
    }

    /// An index that is valid, counted from the bottom.
    #[inline]
    fn index(&self, index: i32) -> Option<c_int> {
        // SAFETY: reads the state.
        let top = unsafe { ffi::lua_gettop(self.state) };
        let absolute = if index < 0 { top + 1 + index } else { index };
        (index > -10_000 && (1..=top).contains(&absolute)).then_some(absolute)
    }

    /// An index counted from the top, as one counted from the bottom.
    #[must_use]
    pub fn absolute(&self, index: i32) -> i32 {
        self.index(index).unwrap_or(0)
    }

    #[must_use]
    #[inline]
    pub fn kind(&self, index: i32) -> Kind {
        let Some(index) = self.index(index) else { return Kind::None };
        // SAFETY: the index is valid.
        match unsafe { ffi::lua_type(self.state, index) } {
            ffi::LUA_TBOOLEAN => Kind::Boolean,
            ffi::LUA_TLIGHTUSERDATA => Kind::LightUserdata,
            ffi::LUA_TNUMBER => Kind::Number,
            ffi::LUA_TSTRING => Kind::String,
            ffi::LUA_TTABLE => Kind::Table,
            ffi::LUA_TFUNCTION => Kind::Function,
            ffi::LUA_TUSERDATA => Kind::Userdata,
            ffi::LUA_TTHREAD => Kind::Thread,
            _ => Kind::Nil,
        }
    }

    /// A number, also one that is written in a string.
    #[must_use]
    #[inline]
    pub fn number(&self, index: i32) -> Option<f64> {
        let index = self.index(index)?;
        // SAFETY: the index is valid.
        unsafe { (ffi::lua_isnumber(self.state, index) != 0).then(|| ffi::lua_tonumber(self.state, index)) }
    }

    /// False for nil, false and what is not there.
    #[must_use]
    pub fn truth(&self, index: i32) -> bool {
        // SAFETY: the index is valid.
        self.index(index).is_some_and(|index| unsafe { ffi::lua_toboolean(self.state, index) != 0 })
    }

    /// The bytes of a string; a number is made the string of it first.
    #[must_use]
    #[inline]
    pub fn bytes(&self, index: i32) -> Option<&[u8]> {
        let index = self.index(index)?;
        let mut length = 0;
        // SAFETY: the index is valid. The bytes live as long as the value is on the stack, which changes only through a
        // mutable borrow; a number's slot becomes the string, which nobody has borrowed before.
        unsafe {
            let bytes = ffi::lua_tolstring(self.state, index, &raw mut length);
            (!bytes.is_null()).then(|| std::slice::from_raw_parts(bytes.cast::<u8>(), length))
        }
    }

    /// The bytes of a string that is one, without changing a number.
    #[must_use]
    pub fn string(&self, index: i32) -> Option<&[u8]> {
        if self.kind(index) == Kind::String { self.bytes(index) } else { None }
    }

    /// The number of elements of a table, as `#` gives it; 0 for anything else.
    #[must_use]
    pub fn length(&self, index: i32) -> usize {
        match (self.kind(index), self.index(index)) {
            // SAFETY: a table.
            (Kind::Table, Some(index)) => unsafe { ffi::lua_objlen(self.state, index) },
            _ => 0,
        }
    }

    /// The address of a value that has one, to tell it from others.
    #[must_use]
    pub fn address(&self, index: i32) -> usize {
        // SAFETY: the index is valid; the pointer is not followed.
        self.index(index).map_or(0, |index| unsafe { ffi::lua_topointer(self.state, index) as usize })
    }

    #[inline]
    pub fn push_nil(&mut self) {
        self.room(1);
        // SAFETY: there is room.
        unsafe { ffi::lua_pushnil(self.state) };
    }

    #[inline]
    pub fn push_boolean(&mut self, value: bool) {
        self.room(1);
        // SAFETY: there is room.
        unsafe { ffi::lua_pushboolean(self.state, c_int::from(value)) };
    }

    #[inline]
    pub fn push_number(&mut self, value: f64) {
        self.room(1);
        // SAFETY: there is room.
        unsafe { ffi::lua_pushnumber(self.state, value) };
    }

    #[inline]
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.room(1);
        // SAFETY: there is room; Lua copies the bytes.
        unsafe { ffi::lua_pushlstring_(self.state, bytes.as_ptr().cast::<c_char>(), bytes.len()) };
    }

    /// A userdata that is null.
    pub fn push_null(&mut self) {
        self.room(1);
        // SAFETY: there is room.
        unsafe { ffi::lua_pushlightuserdata(self.state, ptr::null_mut()) };
    }

    /// True for what [`Frame::push_null`] pushes.
    #[must_use]
    pub fn is_null(&self, index: i32) -> bool {
        self.kind(index) == Kind::LightUserdata && self.address(index) == 0
    }

    /// Pushes a value again; nil if there is none.
    pub fn push_copy(&mut self, index: i32) {
        let found = self.index(index);
        self.room(1);
        match found {
            // SAFETY: the index is valid, and there is room.
            Some(index) => unsafe { ffi::lua_pushvalue(self.state, index) },
            // SAFETY: there is room.
            None => unsafe { ffi::lua_pushnil(self.state) },
        }
    }

    /// An empty table with room for so many elements and fields.
    #[inline]
    pub fn push_table(&mut self, elements: usize, fields: usize) {
        /// What comes from outside must not make Lua allocate what it then does not fill.
        const MOST: usize = 1 << 16;
        self.room(1);
        let (elements, fields) = (elements.min(MOST) as c_int, fields.min(MOST) as c_int);
        // SAFETY: there is room.
        unsafe { ffi::lua_createtable(self.state, elements, fields) };
    }

    pub fn pop(&mut self, values: usize) {
        let top = self.top();
        self.truncate(top.saturating_sub(values));
    }

    /// Removes all but the lowest values.
    pub fn truncate(&mut self, top: usize) {
        if top < self.top() {
            // SAFETY: not more than there are.
            unsafe { ffi::lua_settop(self.state, c_int::try_from(top).unwrap_or(0)) };
        }
    }

    /// Fills the stack up to so many values with nil.
    pub fn fill(&mut self, top: usize) {
        while self.top() < top {
            self.push_nil();
        }
    }

    /// Puts the value at the top in the place of another, which goes.
    pub fn replace(&mut self, index: i32) {
        if let Some(index) = self.index(index) {
            // SAFETY: the index is valid, so there is a value at the top.
            unsafe { ffi::lua_replace(self.state, index) };
        }
    }

    /// Moves the value at the top below that at `index`.
    pub fn insert(&mut self, index: i32) {
        if let Some(index) = self.index(index) {
            // SAFETY: the index is valid.
            unsafe { ffi::lua_insert(self.state, index) };
        }
    }

    pub fn remove(&mut self, index: i32) {
        if let Some(index) = self.index(index) {
            // SAFETY: the index is valid.
            unsafe { ffi::lua_remove(self.state, index) };
        }
    }

    fn table(&self, index: i32) -> Option<c_int> {
        if self.kind(index) == Kind::Table { self.index(index) } else { None }
    }

    /// Replaces the key at the top by its value in a table; nil if that is none.
    pub fn get(&mut self, table: i32) {
        match self.table(table) {
            // SAFETY: a table, and a key at the top.
            Some(table) => unsafe { ffi::lua_rawget_(self.state, table) },
            None => {
                self.pop(1);
                self.push_nil();
            }
        }
    }

    /// Pushes a field of a table; nil if that is none.
    #[inline]
    pub fn push_field(&mut self, table: i32, name: &[u8]) -> Kind {
        let table = self.absolute(table);
        self.push_bytes(name);
        self.get(table);
        self.kind(-1)
    }

    /// Pushes an element of a table; nil if that is none.
    #[inline]
    pub fn push_element(&mut self, table: i32, number: i32) -> Kind {
        let found = self.table(table);
        self.room(1);
        match found {
            // SAFETY: a table, and there is room.
            Some(table) => unsafe { ffi::lua_rawgeti_(self.state, table, number) },
            // SAFETY: there is room.
            None => unsafe { ffi::lua_pushnil(self.state) },
        }
        self.kind(-1)
    }

    /// Sets the key below the top to the value at the top; both go. A key that no table can have is left out.
    pub fn set(&mut self, table: i32) {
        let is_key = match self.kind(-2) {
            Kind::None | Kind::Nil => false,
            Kind::Number => self.number(-2).is_some_and(|number| !number.is_nan()),
            _ => true,
        };
        match self.table(table) {
            // SAFETY: a table, and a key that it can have.
            Some(table) if is_key => unsafe { ffi::lua_rawset(self.state, table) },
            _ => self.pop(2),
        }
    }

    /// Sets a field of a table to the value at the top, which goes.
    pub fn set_field(&mut self, table: i32, name: &[u8]) {
        let table = self.absolute(table);
        self.push_bytes(name);
        self.insert(-2);
        self.set(table);
    }

    /// Sets an element of a table to the value at the top, which goes.
    #[inline]
    pub fn set_element(&mut self, table: i32, number: i32) {
        match self.table(table) {
            // SAFETY: a table, and so there is a value at the top, perhaps itself.
            Some(table) => unsafe { ffi::lua_rawseti_(self.state, table, number) },
            None => self.pop(1),
        }
    }

    /// Gives a table the metatable at the top, which goes.
    pub fn set_metatable(&mut self, table: i32) {
        match (self.table(table), self.kind(-1)) {
            // SAFETY: two tables. The metatables made here have no finalizer.
            (Some(table), Kind::Table) => drop(unsafe { ffi::lua_setmetatable(self.state, table) }),
            _ => self.pop(1),
        }
    }

    /// Pushes the metatable of a value if it has one.
    pub fn push_metatable(&mut self, index: i32) -> bool {
        let Some(index) = self.index(index) else { return false };
        self.room(1);
        // SAFETY: the index is valid, and there is room.
        unsafe { ffi::lua_getmetatable(self.state, index) != 0 }
    }

    /// Calls `each` for every entry of a table, with the key below the value at the top. It has to leave the key and what
    /// lies below alone, and may leave anything above; keys may be set to nil but not added.
    ///
    /// # Errors
    /// The first of `each`, which leaves the stack as it is then.
    pub fn traverse<E>(
        &mut self,
        table: i32,
        mut each: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(table) = self.table(table) else { return Ok(()) };
        self.push_nil();
        let key = self.top();
        loop {
            self.room(1);
            // SAFETY: a table; the key is nil or one that it had a moment ago, and there is room for the value.
            if unsafe { ffi::lua_next(self.state, table) } == 0 {
                return Ok(());
            }
            each(self)?;
            self.truncate(key);
        }
    }

    /// Name, source and line of a running function: 0 is the native that is asking. `None`: there are not so many.
    #[must_use]
    pub fn caller(&self, level: i32) -> Option<Caller> {
        // SAFETY: plain data that Lua fills in.
        let mut debug: ffi::lua_Debug = unsafe { std::mem::zeroed() };
        // SAFETY: the strings that it tells of live as long as the function runs, and are copied at once.
        unsafe {
            if ffi::lua_getstack(self.state, level, &raw mut debug) == 0 {
                return None;
            }
            ffi::lua_getinfo(self.state, c"Sl".as_ptr(), &raw mut debug);
            let text = |pointer: *const c_char| {
                if pointer.is_null() { Vec::new() } else { CStr::from_ptr(pointer).to_bytes().to_vec() }
            };
            Some(Caller {
                is_native: text(debug.what) == b"C",
                source: text(debug.source),
                line: debug.currentline,
            })
        }
    }

    /// An argument of a native as a string or number.
    ///
    /// # Errors
    /// It is neither.
    pub fn check_bytes(&self, argument: usize) -> Result<&[u8], Raise> {
        self.bytes(at(argument)).ok_or_else(|| self.expected(argument, "string"))
    }

    /// An argument of a native as a number.
    ///
    /// # Errors
    /// It is none.
    pub fn check_number(&self, argument: usize) -> Result<f64, Raise> {
        self.number(at(argument)).ok_or_else(|| self.expected(argument, "number"))
    }

    /// An argument of a native as C makes an integer of it.
    ///
    /// # Errors
    /// It is no number.
    pub fn check_integer(&self, argument: usize) -> Result<i64, Raise> {
        self.check_number(argument).map(whole)
    }

    /// An argument of a native has another kind than it must have.
    #[must_use]
    pub fn expected(&self, argument: usize, wanted: &str) -> Raise {
        let found = self.kind(at(argument)).name();
        Raise::Argument(argument, format!("{wanted} expected, got {found}").into_bytes())
    }
}

/// As C makes a `long long` of a double on x86-64: cut off; what does not fit is the lowest.
pub fn whole(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

fn at(argument: usize) -> i32 {
    i32::try_from(argument).unwrap_or(0)
}

/// A function that is running.
#[derive(Debug)]
pub struct Caller {
    /// It is no function of a script.
    pub is_native: bool,
    /// The name that the script was compiled with.
    pub source: Vec<u8>,
    pub line: i32,
}

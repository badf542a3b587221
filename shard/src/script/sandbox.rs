//! What scripts may use: Lua's libraries without what reaches out of them, the libraries of Redis, and nothing that a script
//! could leave behind for the next one.
//!
//! Lua 5.1 has no tables that cannot be changed. In the place of each shared one scripts have an empty table whose metatable
//! reads from the true one and refuses to write. The functions that would tell the difference (`next`, `pairs`, `rawget`,
//! `rawset`, `getmetatable`, `setmetatable`, `table.insert`, `table.foreach`) have guards in front of them (`lua/plain.rs`).

use std::io;

use super::context::Context;
use super::library;
use super::lua::{Frame, Guard, Interpreter, Kind, Plain, Reference};
use super::redis_api;

/// Functions of Lua that scripts do not have: they read files, write to the terminal, change what a function sees as
/// its globals, or make values that run code when they are collected.
const REMOVED: &[&str] = &["dofile", "loadfile", "print", "getfenv", "setfenv", "newproxy"];

/// Functions with a guard, by the table that they are in; no name for the globals.
const GUARDED: &[(&str, &str, Guard)] = &[
    ("", "load", Guard::Load),
    ("", "loadstring", Guard::LoadString),
    ("", "collectgarbage", Guard::Collect),
    ("", "rawget", Guard::Reader),
    ("", "rawset", Guard::Writer),
    ("", "setmetatable", Guard::SetMetatable),
    ("", "getmetatable", Guard::GetMetatable),
    ("table", "insert", Guard::Writer),
    ("table", "foreach", Guard::Reader),
    ("string", "find", Guard::Pattern),
    ("string", "match", Guard::Pattern),
    ("string", "gmatch", Guard::Pattern),
    ("string", "gfind", Guard::Pattern),
    ("string", "gsub", Guard::Pattern),
];

/// A machine whose scripts are closed in.
pub struct Sandbox {
    pub interpreter: Interpreter,
    /// The table that globals are read from.
    globals: Reference,
    /// The same while a library is loaded.
    loading: Option<Reference>,
    /// The metatable of the globals, which names one of the two.
    switch: Reference,
    pub error_handler: Reference,
}

impl Sandbox {
    /// One for scripts, or for functions.
    ///
    /// # Errors
    /// There is no memory for its stack.
    pub fn new(of_scripts: bool) -> io::Result<Self> {
        let mut interpreter = Interpreter::new(Context::default())?;
        let Some(mut frame) = interpreter.frame() else { return Err(io::ErrorKind::ResourceBusy.into()) };
        let frame = &mut frame;
        frame.push_globals();
        let globals = frame.absolute(-1);
        remove(frame, globals);
        guard(frame, globals);
        library::push_all(frame, globals);
        redis_api::push(frame, of_scripts);
        frame.set_field(globals, b"redis");
        frame.push_native(redis_api::error_handler);
        frame.push_copy(-1);
        let error_handler = frame.keep();
        if of_scripts {
            frame.set_field(globals, b"__redis__err__handler");
        } else {
            frame.pop(1);
        }
        close_tables(frame, globals);
        show_strings(frame, globals);
        let switch = close_globals(frame, globals);
        let loading = (!of_scripts).then(|| loading_globals(frame));
        frame.push_copy(globals);
        let kept = frame.keep();
        frame.truncate(0);
        Ok(Self { interpreter, globals: kept, loading, switch, error_handler })
    }

    /// Sets a global that scripts read.
    pub fn set_global(frame: &mut Frame<'_>, globals: Reference, name: &[u8]) {
        frame.push_kept(globals);
        frame.insert(-2);
        frame.set_field(-2, name);
        frame.pop(1);
    }

    #[must_use]
    pub fn globals(&self) -> Reference {
        self.globals
    }

    /// Shows the few globals that a library has while it is loaded, or all again.
    pub fn show_loading(&mut self, loading: bool) {
        let (all, few, switch) = (self.globals, self.loading, self.switch);
        let Some(mut frame) = self.interpreter.frame() else { return };
        let top = frame.top();
        frame.push_kept(switch);
        frame.push_kept(if loading { few.unwrap_or(all) } else { all });
        frame.set_field(-2, b"__index");
        frame.truncate(top);
    }
}

fn remove(frame: &mut Frame<'_>, globals: i32) {
    for name in REMOVED {
        frame.push_nil();
        frame.set_field(globals, name.as_bytes());
    }
}

fn guard(frame: &mut Frame<'_>, globals: i32) {
    for &(table, name, guard) in GUARDED {
        if table.is_empty() {
            frame.push_copy(globals);
        } else {
            frame.push_field(globals, table.as_bytes());
        }
        frame.push_field(-1, name.as_bytes());
        frame.guard(guard);
        frame.set_field(-2, name.as_bytes());
        frame.pop(1);
    }
    for (name, plain) in [("pcall", Plain::Pcall), ("unpack", Plain::Unpack)] {
        frame.push_plain(plain);
        frame.set_field(globals, name.as_bytes());
    }
    // `next` for read-only tables, and `pairs`, which gives Lua's own to all others.
    frame.push_field(globals, b"next");
    frame.push_copy(-1);
    frame.guard(Guard::Reader);
    frame.push_copy(-1);
    frame.set_field(globals, b"next");
    frame.make_pairs();
    frame.set_field(globals, b"pairs");
}

/// What `getmetatable("")` shows: a table that cannot be changed.
fn show_strings(frame: &mut Frame<'_>, globals: i32) {
    frame.push_nil();
    frame.push_table(0, 1);
    frame.push_field(globals, b"string");
    frame.set_field(-2, b"__index");
    close(frame);
    frame.show_for_strings();
}

/// Puts read-only tables into the places of all libraries.
fn close_tables(frame: &mut Frame<'_>, globals: i32) {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let _ = frame.traverse::<()>(globals, |frame| {
        if frame.kind(-1) == Kind::Table
            && frame.kind(-2) == Kind::String
            && frame.address(-1) != frame.address(globals)
        {
            names.extend(frame.bytes(-2).map(<[u8]>::to_vec));
        }
        Ok(())
    });
    for name in names {
        frame.push_nil();
        frame.push_field(globals, &name);
        close(frame);
        frame.set_field(globals, &name);
    }
}

/// Puts a read-only table in the place of the one at the top and of the value below, the metatable that it is shown with.
fn close(frame: &mut Frame<'_>) {
    frame.push_table(0, 0);
    frame.push_table(0, 2);
    frame.push_copy(-3);
    frame.set_field(-2, b"__index");
    frame.push_plain(Plain::ReadOnly);
    frame.set_field(-2, b"__newindex");
    frame.set_metatable(-2);
    frame.note_proxy();
}

/// Closes the table of globals, and keeps the metatable that names what is read.
fn close_globals(frame: &mut Frame<'_>, globals: i32) -> Reference {
    // What is not there raises an error.
    frame.push_table(0, 1);
    frame.push_plain(Plain::NoGlobal);
    frame.set_field(-2, b"__index");
    frame.set_metatable(globals);
    // What `getmetatable(_G)` shows.
    frame.push_nil();
    frame.push_table(0, 1);
    frame.push_plain(Plain::NoGlobal);
    frame.set_field(-2, b"__index");
    close(frame);
    frame.push_copy(globals);
    close(frame);
    frame.push_copy(-1);
    frame.set_field(globals, b"_G");
    frame.push_metatable(-1);
    let switch = frame.keep();
    frame.set_globals();
    switch
}

/// The globals of a library that is being loaded.
fn loading_globals(frame: &mut Frame<'_>) -> Reference {
    frame.push_table(0, 1);
    let few = frame.absolute(-1);
    frame.push_nil();
    redis_api::push_loading(frame);
    no_global_in(frame);
    close(frame);
    frame.set_field(few, b"redis");
    no_global_in(frame);
    frame.keep()
}

/// Has the table at the top raise an error for what is not in it.
fn no_global_in(frame: &mut Frame<'_>) {
    frame.push_table(0, 1);
    frame.push_plain(Plain::NoGlobal);
    frame.set_field(-2, b"__index");
    frame.set_metatable(-2);
}

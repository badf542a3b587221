//! The libraries that scripts have beside Lua's: as the versions that redis-server 7.0 comes with, result for result.

mod bits;
mod cjson;
mod cmsgpack;
pub mod drand48;
mod json_number;
mod limit;
mod random;
mod structs;

use super::lua::{Frame, Native};

/// Sets the libraries in the table of globals.
pub fn push_all(frame: &mut Frame<'_>, globals: i32) {
    cjson::push(frame);
    frame.set_field(globals, b"cjson");
    push(frame, cmsgpack::FUNCTIONS);
    cmsgpack::describe(frame);
    frame.set_field(globals, b"cmsgpack");
    push(frame, bits::FUNCTIONS);
    frame.set_field(globals, b"bit");
    push(frame, structs::FUNCTIONS);
    frame.set_field(globals, b"struct");
    frame.push_field(globals, b"math");
    for &(name, native) in random::FUNCTIONS {
        frame.push_native(native);
        frame.set_field(-2, name.as_bytes());
    }
    frame.pop(1);
}

/// Pushes a table of functions.
fn push(frame: &mut Frame<'_>, functions: &[(&str, Native)]) {
    frame.push_table(0, functions.len());
    for &(name, native) in functions {
        frame.push_native(native);
        frame.set_field(-2, name.as_bytes());
    }
}

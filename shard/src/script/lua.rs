//! Lua 5.1 by its C interface, made safe.
//!
//! Everything of scripts that is not here is safe code: it writes functions for Lua as `fn(&mut Frame) -> Outcome` and calls
//! Lua's functions over [`Machine`](machine::Machine). A wrapper of a higher level (mlua) was not used since what it puts
//! around every value and call costs more than a small script does, and since errors that it raises are not the plain
//! values that scripts of Redis see.
//!
//! # Why this is sound
//! 1. **Lua's errors are `longjmp`s**, which must not skip a Rust frame that has something to drop. Inside a [`Native`]
//!    nothing raises one: only functions of the C interface are called that never do (`lua_raw…`, `lua_to…`, `lua_push…`
//!    within the room that `lua_checkstack` gave; `lua_rawset` never with a nil or NaN key), but for want of memory, and the
//!    limit on memory is lifted meanwhile: then only an allocator that is out of memory fails, and that ends the process
//!    (`lua/shared.rs`). Collecting garbage runs no code: there are no finalizers, since no userdata has a metatable. What a
//!    native wants to raise it returns ([`Raise`]), and it is raised by `lua/native.rs` when nothing is left to drop.
//!    The functions in `lua/plain.rs` call what may raise, and hold nothing to drop.
//! 2. **Indices**: all that take one look first whether there is such a value, and what kind it has. No pseudo-index is let
//!    through.
//! 3. **Bytes of a string** are lent for as long as the frame is borrowed; what could remove the value from the stack takes
//!    the frame mutably. A string on the stack is not collected, and strings do not move.
//! 4. **A [`Frame`] lives no longer than the call that made it**: natives get it by reference, and it cannot be made elsewhere.
//! 5. **The machine is run by one stack at a time**: a script that is suspended in the hook or in a native (`lua/fiber.rs`) is in
//!    the middle of a call. Whoever owns the [`Machine`](machine::Machine) must not use it then; its `frame` refuses to.

#![allow(unsafe_code)]

mod chunk;
mod fiber;
mod frame;
pub(super) mod handle;
mod machine;
mod native;
mod plain;
mod raise;
pub(super) mod reference;
mod shared;

pub use fiber::{Interpreter, Progress};
pub use frame::{Frame, Kind, whole};
pub use handle::Verdict;
pub use machine::Failure;
pub use native::Native;
pub use plain::{Guard, Plain};
pub use raise::{Outcome, Raise};
pub use reference::Reference;

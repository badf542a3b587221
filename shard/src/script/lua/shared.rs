//! What all functions of a machine share, and its memory.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

use mlua_sys::lua51 as ffi;

use crate::script::context::Context;

/// What the machine's functions share.
pub(super) struct Shared {
    pub(super) memory: Memory,
    pub(super) context: Context,
    /// A script is running, perhaps suspended.
    pub(super) running: Cell<bool>,
    /// A script has set how garbage is collected.
    pub(super) collector_set: Cell<bool>,
}

/// What Lua has allocated, and may.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) used: Cell<usize>,
    /// Bytes; 0: no limit.
    pub(super) limit: Cell<usize>,
}

/// Lua's memory: an allocator that keeps to the limit. Without one it gives what is asked for or ends the process.
pub(super) unsafe extern "C" fn allocate(
    shared: *mut c_void,
    old: *mut c_void,
    from: usize,
    to: usize,
) -> *mut c_void {
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
pub(super) unsafe fn shared<'a>(state: *mut ffi::lua_State) -> &'a Shared {
    let mut data: *mut c_void = ptr::null_mut();
    // SAFETY: the allocator's data is the pointer that `Machine::new` gave.
    unsafe {
        ffi::lua_getallocf(state, &raw mut data);
        &*data.cast::<Shared>()
    }
}

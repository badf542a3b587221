//! What randomness the standard library and tokio take for themselves: hash tables' keys, and where `select!` begins.
//!
//! They ask the C library's `getrandom`, and there is no other way to give them a seed. So this program, and it alone,
//! has a `getrandom` of its own, which the linker prefers. Until a simulation [begins](seed) it has the system's bytes.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

/// The next number's state; 0: not seeded.
static STATE: AtomicU64 = AtomicU64::new(0);

/// From now on all bytes come from this seed. What has asked before keeps what it got, so a process is to run one
/// simulation, and this is to be the first that it does.
pub fn seed(seed: u64) {
    STATE.store(seed | 1 << 63, Ordering::Relaxed);
}

/// SplitMix64.
fn next() -> u64 {
    let state = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// As the C library's.
///
/// # Safety
/// `buffer` must have room for `length` bytes.
// SAFETY: it has the signature and the meaning of the function whose name it takes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: the caller's promise. The bytes are written before they are read.
    unsafe { buffer.write_bytes(0, length) };
    // SAFETY: the same, and they are initialized now.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    if STATE.load(Ordering::Relaxed) == 0 {
        let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(bytes));
        return if read.is_ok() { length as isize } else { -1 };
    }
    for chunk in bytes.chunks_mut(8) {
        let number = next().to_le_bytes();
        chunk.copy_from_slice(&number[..chunk.len()]);
    }
    length as isize
}

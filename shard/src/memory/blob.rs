//! A thin, reference-counted byte string: the unit that collection elements are stored in.
//!
//! A [`Blob`] is one pointer (8 bytes) to one allocation
//!
//! ```text
//! offset 0   u16  references (atomic)
//!        2   u16  a short number for the owner's use, beside the header
//!        4   u32  length of the bytes
//!        8   H    fixed header (nothing, a field length, a score)
//!   8+|H|    the bytes
//! ```
//!
//! so a hash entry (field and value), a set member or a sorted-set member (score and member) costs one allocation
//! and one pointer, where `Vec<u8>` would cost 24 bytes beside its allocation. The allocation always has exactly the
//! allocator's size class of what it holds ([`size_class`]), so the capacity needs no field, growing inside the class
//! never calls the allocator, and [`Blob::heap_bytes`] is exact.
//!
//! The count is atomic, so that snapshots can be encoded and freed on another thread. A writer that finds a blob
//! shared copies it first, and so does whoever clones one that has no count left.
//!
//! # Why `unsafe`
//! Safe Rust has no thin pointer to a dynamically sized allocation. What every function here relies on:
//! 1. `start` points to a live allocation of `capacity(len)` bytes, aligned to 8, made by [`allocate`] or
//!    `realloc` with that layout; `len` in it is the length that the layout was computed from.
//! 2. The first `8 + size_of::<H>() + len` bytes are initialised.
//! 3. The count equals the number of `Blob`s that point there; bytes, length, header and short number are written only
//!    when it is 1, through `&mut`, or before the first `Blob` exists.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering, fence};

use super::size::size_class;

/// Bytes of the reference count and the length, before the fixed header.
const PREFIX: usize = 8;
const ALIGN: usize = 8;
/// Beyond this many references a clone is a copy. So many below the largest count that all threads together could not
/// reach it before the first of them has taken its excess back.
const MOST_REFERENCES: u16 = 1 << 15;

/// What can stand between the length and the bytes: plain data, valid for every bit pattern that was written as `Self`.
pub trait Header: Copy + Send + Sync + 'static {}
impl Header for () {}
impl Header for u32 {}
impl Header for f64 {}

/// A reference-counted byte string with a fixed header `H`; see the module's documentation.
pub struct Blob<H: Header = ()> {
    start: NonNull<u8>,
    header: PhantomData<H>,
}

// SAFETY: the count is atomic, and what it guards is written only by a sole owner (invariant 3).
unsafe impl<H: Header> Send for Blob<H> {}
// SAFETY: as above; `&Blob` only reads.
unsafe impl<H: Header> Sync for Blob<H> {}

impl<H: Header> Blob<H> {
    /// Bytes before the content.
    const OFFSET: usize = PREFIX + size_of::<H>();

    /// A blob of the concatenation of `parts`.
    ///
    /// # Panics
    /// If the parts together reach 4 GiB; the server's limit on the size of an argument keeps far below.
    #[inline]
    pub fn new(header: H, parts: &[&[u8]]) -> Self {
        let len = parts.iter().map(|part| part.len()).sum();
        let start = allocate::<H>(len);
        // SAFETY: the allocation holds OFFSET + len bytes, nobody else knows it, and the parts add up to `len`.
        unsafe {
            start.cast::<AtomicU16>().write(AtomicU16::new(1));
            start.cast::<u16>().add(1).write(0);
            start.cast::<u32>().add(1).write(len as u32);
            start.add(PREFIX).cast::<H>().write_unaligned(header);
            copy_parts(start.add(Self::OFFSET), parts);
        }
        Blob { start, header: PhantomData }
    }

    #[inline]
    fn references(&self) -> &AtomicU16 {
        // SAFETY: invariant 1; the first four bytes are the count for as long as the blob lives.
        unsafe { self.start.cast::<AtomicU16>().as_ref() }
    }

    /// Length of the bytes, without the header.
    #[inline]
    pub fn len(&self) -> usize {
        // SAFETY: invariants 1 and 2.
        unsafe { self.start.cast::<u32>().add(1).read() as usize }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The fixed header.
    #[inline]
    pub fn header(&self) -> H {
        // SAFETY: invariant 2; an H was written there.
        unsafe { self.start.add(PREFIX).cast::<H>().read_unaligned() }
    }

    /// The short number; 0 at first.
    #[inline]
    pub fn short(&self) -> u16 {
        // SAFETY: invariants 1 and 2.
        unsafe { self.start.cast::<u16>().add(1).read() }
    }

    /// The content.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: invariants 1 and 2; not written while `&self` lives (invariant 3).
        unsafe { std::slice::from_raw_parts(self.start.add(Self::OFFSET).as_ptr(), self.len()) }
    }

    /// Bytes that the allocation takes in the allocator, shared or not.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        capacity::<H>(self.len())
    }

    /// Whether this is the only reference, so that a change would not copy.
    #[inline]
    pub fn is_unique(&self) -> bool {
        // Acquire: what former owners did before they let go happens before what we do next.
        self.references().load(Ordering::Acquire) == 1
    }

    /// Whether `other` is the same allocation.
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        self.start == other.start
    }

    /// The content for writing; a shared blob is copied first.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.own();
        // SAFETY: sole owner now, borrowed mutably; invariants 1 and 2.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(Self::OFFSET).as_ptr(), self.len()) }
    }

    /// Replaces the header; a shared blob is copied first.
    #[inline]
    pub fn set_header(&mut self, header: H) {
        self.own();
        // SAFETY: sole owner; the header's place is inside the allocation.
        unsafe { self.start.add(PREFIX).cast::<H>().write_unaligned(header) }
    }

    /// Replaces the short number; a shared blob is copied first.
    #[inline]
    pub fn set_short(&mut self, short: u16) {
        self.own();
        // SAFETY: sole owner; the number's place is inside the allocation.
        unsafe { self.start.cast::<u16>().add(1).write(short) }
    }

    #[inline]
    fn own(&mut self) {
        if !self.is_unique() {
            *self = self.copy();
        }
    }

    fn copy(&self) -> Self {
        Self::with_short(self.short(), self.header(), &[self.bytes()])
    }

    fn with_short(short: u16, header: H, parts: &[&[u8]]) -> Self {
        let mut blob = Self::new(header, parts);
        blob.set_short(short);
        blob
    }

    /// Replaces header and content by `header` and the concatenation of `parts`, in place when the blob is not shared and the
    /// size class stays.
    #[inline]
    pub fn assign(&mut self, header: H, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if !self.is_unique() || capacity::<H>(len) != self.heap_bytes() {
            *self = Self::with_short(self.short(), header, parts);
            return;
        }
        // SAFETY: sole owner, and OFFSET + len fits the same capacity. The parts cannot lie in this blob, which is
        // borrowed mutably.
        unsafe {
            self.start.cast::<u32>().add(1).write(len as u32);
            self.start.add(PREFIX).cast::<H>().write_unaligned(header);
            copy_parts(self.start.add(Self::OFFSET), parts);
        }
    }

    /// Replaces the `removed` bytes from `at` on by the concatenation of `parts`. The rest of the content moves; a
    /// shared blob is copied.
    ///
    /// # Panics
    /// If `at + removed` is beyond the content, or the result reaches 4 GiB.
    pub fn splice(&mut self, at: usize, removed: usize, parts: &[&[u8]]) {
        let old_len = self.len();
        assert!(at <= old_len && removed <= old_len - at, "splice beyond the end of a blob");
        let added: usize = parts.iter().map(|part| part.len()).sum();
        if !self.is_unique() {
            let (before, after) = (&self.bytes()[..at], &self.bytes()[at + removed..]);
            // A shared blob is rebuilt; the middle is short in practice, so joining it first costs little.
            *self = Self::with_short(self.short(), self.header(), &[before, &parts.concat(), after]);
            return;
        }
        let new_len = old_len - removed + added;
        if new_len > old_len {
            self.resize_allocation(old_len, new_len);
        }
        // SAFETY: sole owner; the allocation now holds the longer of both lengths. The tail moves inside it, then the
        // parts, which cannot lie in this blob, fill exactly the gap of `added` bytes; so the first `new_len` bytes
        // are initialised again.
        unsafe {
            let content = self.start.add(Self::OFFSET).as_ptr();
            ptr::copy(content.add(at + removed), content.add(at + added), old_len - at - removed);
            copy_parts(NonNull::new_unchecked(content.add(at)), parts);
        }
        if new_len < old_len {
            self.resize_allocation(old_len, new_len);
        }
        // SAFETY: sole owner; the length's place is inside the allocation.
        unsafe { self.start.cast::<u32>().add(1).write(new_len as u32) }
    }

    /// Makes the allocation that of `new_len`; the caller writes the length.
    fn resize_allocation(&mut self, old_len: usize, new_len: usize) {
        check_len(new_len);
        let (old, new) = (capacity::<H>(old_len), capacity::<H>(new_len));
        if old == new {
            return;
        }
        // SAFETY: allocated with `layout(old)` (invariant 1); `new` is not zero and checked against overflow.
        let moved = unsafe { realloc(self.start.as_ptr(), layout(old), new) };
        self.start = NonNull::new(moved).unwrap_or_else(|| handle_alloc_error(layout(new)));
    }
}

/// Copies the parts one after the other to `to`.
///
/// # Safety
/// `to` must be valid for writing as many bytes as the parts have together, none of them inside a part.
#[inline]
unsafe fn copy_parts(to: NonNull<u8>, parts: &[&[u8]]) {
    let mut to = to.as_ptr();
    for part in parts {
        // SAFETY: the caller's promise.
        unsafe {
            ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
            to = to.add(part.len());
        }
    }
}

#[inline]
fn capacity<H: Header>(len: usize) -> usize {
    size_class(Blob::<H>::OFFSET + len)
}

#[inline]
fn layout(capacity: usize) -> Layout {
    // SAFETY: the alignment is a power of two; a capacity is below 2^32 + 2^30 (check_len), far from isize::MAX.
    unsafe { Layout::from_size_align_unchecked(capacity, ALIGN) }
}

#[inline]
fn check_len(len: usize) {
    assert!(len < u32::MAX as usize, "a stored byte string must be shorter than 4 GiB");
}

#[inline]
fn allocate<H: Header>(len: usize) -> NonNull<u8> {
    check_len(len);
    let layout = layout(capacity::<H>(len));
    // SAFETY: the size is at least 16 (the prefix makes it more than 8), never zero.
    let start = unsafe { alloc(layout) };
    NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout))
}

impl<H: Header> Clone for Blob<H> {
    /// Another reference to the same bytes, or a copy if there are too many.
    #[inline]
    fn clone(&self) -> Self {
        // Relaxed: whoever holds a reference may make another; nothing is published by it.
        if self.references().fetch_add(1, Ordering::Relaxed) >= MOST_REFERENCES {
            self.references().fetch_sub(1, Ordering::Relaxed);
            return self.copy();
        }
        Blob { start: self.start, header: PhantomData }
    }
}

impl<H: Header> Drop for Blob<H> {
    #[inline]
    fn drop(&mut self) {
        // A sole owner needs no read-modify-write: nobody is left who could make a second reference.
        if !self.is_unique() {
            if self.references().fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            fence(Ordering::Acquire);
        }
        // SAFETY: this was the last reference; allocated with this layout (invariant 1).
        unsafe { dealloc(self.start.as_ptr(), layout(self.heap_bytes())) }
    }
}

impl<H: Header + std::fmt::Debug> std::fmt::Debug for Blob<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({:?}, {})", self.header(), self.bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn size_class_is_what_the_allocator_uses() {
        use std::alloc::GlobalAlloc;
        let jemalloc = tikv_jemallocator::Jemalloc;
        for size in (1..3000).chain((3000..300_000).step_by(517)).chain([1 << 20, (1 << 20) + 1, 5 << 20]) {
            // SAFETY: a non-zero layout; freed with the same layout below.
            let used = unsafe {
                let layout = Layout::from_size_align(size, ALIGN.min(size.next_power_of_two())).unwrap();
                let start = jemalloc.alloc(layout);
                let used = tikv_jemallocator::usable_size(start);
                jemalloc.dealloc(start, layout);
                used
            };
            assert_eq!(size_class(size), used, "size {size}");
        }
    }

    #[test]
    fn content_and_header_survive_and_are_one_allocation() {
        let blob = Blob::new(2.5f64, &[b"mem", b"", b"ber"]);
        assert_eq!((blob.header(), blob.bytes(), blob.heap_bytes()), (2.5, &b"member"[..], 32));
        assert_eq!(size_of::<Option<Blob<f64>>>(), 8);
        assert_eq!(Blob::new((), &[]).bytes(), b"");
    }

    #[test]
    fn a_writer_of_a_shared_blob_gets_its_own_copy() {
        let mut first = Blob::new(7u32, &[b"abc"]);
        let second = first.clone();
        assert!(first.same(&second) && !first.is_unique());
        first.bytes_mut()[0] = b'x';
        first.set_header(8);
        assert_eq!((first.header(), first.bytes()), (8, &b"xbc"[..]));
        assert_eq!((second.header(), second.bytes()), (7, &b"abc"[..]));
        let mut third = second.clone();
        third.splice(1, 1, &[b"-", b"-"]);
        drop(first);
        assert_eq!((third.bytes(), second.bytes()), (&b"a--c"[..], &b"abc"[..]));
    }

    #[test]
    fn the_short_number_stays_with_the_content() {
        let mut blob = Blob::new(1.5f64, &[b"abc"]);
        assert_eq!(blob.short(), 0);
        blob.set_short(7);
        let kept = blob.clone();
        blob.splice(0, 1, &[b"xyz"]);
        blob.assign(2.5, &[&[b'x'; 100]]);
        assert_eq!((blob.short(), blob.header(), kept.short(), kept.bytes()), (7, 2.5, 7, &b"abc"[..]));
        blob.set_short(8);
        blob.splice(10, 80, &[]);
        assert_eq!((blob.short(), kept.short()), (8, 7));
    }

    #[test]
    fn more_references_than_can_be_counted_are_copies() {
        let first = Blob::new(3u32, &[b"many"]);
        let all: Vec<_> = (0..70_000).map(|_| first.clone()).collect();
        assert!(all[0].same(&first) && !all[69_999].same(&first));
        assert!(all.iter().all(|blob| blob.bytes() == b"many" && blob.header() == 3));
        drop(all);
        assert!(first.is_unique());
    }

    #[test]
    fn the_last_reference_may_go_on_another_thread() {
        let blob = Blob::new((), &[b"shared"]);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let mine = blob.clone();
                std::thread::spawn(move || {
                    for _ in 0..1000 {
                        assert_eq!(mine.clone().bytes(), b"shared");
                    }
                })
            })
            .collect();
        drop(blob);
        for thread in threads {
            thread.join().unwrap();
        }
    }

    proptest! {
        #[test]
        fn splicing_and_assigning_equal_those_of_a_vector(
            start in prop::collection::vec(any::<u8>(), 0..300),
            edits in prop::collection::vec(
                (any::<bool>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(),
                 prop::collection::vec(any::<u8>(), 0..200), any::<bool>()), 0..40),
        ) {
            let mut model = start.clone();
            let mut blob = Blob::new(1u32, &[&start]);
            let mut kept = Vec::new();
            for (assign, from, to, with, share) in edits {
                if share {
                    kept.push((blob.clone(), model.clone()));
                }
                if assign {
                    blob.assign(9, &[&with, b"!"]);
                    model = [&with[..], b"!"].concat();
                } else {
                    let (a, b) = (from.index(model.len() + 1), to.index(model.len() + 1));
                    let (a, b) = (a.min(b), a.max(b));
                    blob.splice(a, b - a, &[&with]);
                    model.splice(a..b, with.iter().copied());
                }
                prop_assert_eq!(blob.bytes(), &model[..]);
                prop_assert_eq!(blob.heap_bytes(), size_class(12 + model.len()));
            }
            for (blob, model) in kept {
                prop_assert_eq!(blob.bytes(), &model[..]);
            }
        }
    }
}

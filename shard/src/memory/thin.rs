//! One word that is either a small value in one blob or a large value in a box.
//!
//! A collection is one or the other. As an enum it would take two words, the second for one bit; a key's record holds
//! its value in place, so that word is paid for every key.
//!
//! # Why `unsafe`
//! The bit is kept in the pointer. What every function here relies on:
//! 1. With bit 0 clear, the word is a value of type `S`: a pointer to a blob, or null for none ([`Word`]).
//! 2. With bit 0 set, the rest of the word is a pointer from `Box::<L>::into_raw`, owned by this value alone. Blobs and
//!    `L` are aligned to at least 2, so no pointer has that bit by itself.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr;

use super::blob::Blob;

/// A type that is nothing but an optional blob without a header.
///
/// # Safety
/// It must be `repr(transparent)` over `Option<Blob>`, with no more to uphold than the blob has.
pub unsafe trait Word: Clone {}

/// The same word seen as another of these types.
#[inline]
pub fn view<A: Word, B: Word>(word: &A) -> &B {
    // SAFETY: both are transparent over the same type.
    unsafe { &*ptr::from_ref(word).cast::<B>() }
}

/// The same word seen as another of these types, for writing.
#[inline]
pub fn view_mut<A: Word, B: Word>(word: &mut A) -> &mut B {
    // SAFETY: both are transparent over the same type.
    unsafe { &mut *ptr::from_mut(word).cast::<B>() }
}

/// Either form of a value.
pub enum Form<S, L> {
    Small(S),
    Large(L),
}

/// A small value `S` or a boxed large one `L`, in one word.
pub struct Thin<S: Word, L> {
    word: *mut u8,
    owns: PhantomData<(S, Box<L>)>,
}

const LARGE: usize = 1;

// SAFETY: it owns an S or an L and shares neither except as they do themselves.
unsafe impl<S: Word + Send, L: Send> Send for Thin<S, L> {}
// SAFETY: as above.
unsafe impl<S: Word + Sync, L: Sync> Sync for Thin<S, L> {}

impl<S: Word, L> Thin<S, L> {
    /// The small value that is no blob.
    pub const fn new() -> Self {
        const { assert!(size_of::<S>() == size_of::<*mut u8>() && size_of::<Option<Blob>>() == size_of::<S>()) };
        const { assert!(align_of::<L>() >= 2) };
        Thin { word: ptr::null_mut(), owns: PhantomData }
    }

    /// A small value.
    pub fn small(value: S) -> Self {
        let mut thin = Self::new();
        // SAFETY: `new` checked that S has the size of the word; a null word owns nothing that would leak.
        unsafe { (&raw mut thin.word).cast::<S>().write(value) };
        thin
    }

    /// A large value.
    pub fn large(value: Box<L>) -> Self {
        Thin {
            word: Box::into_raw(value).cast::<u8>().map_addr(|address| address | LARGE),
            owns: PhantomData,
        }
    }

    #[inline]
    fn is_large(&self) -> bool {
        self.word.addr() & LARGE != 0
    }

    #[inline]
    fn pointer(&self) -> *mut L {
        self.word.map_addr(|address| address & !LARGE).cast()
    }

    /// The value for reading.
    #[inline]
    pub fn get(&self) -> Form<&S, &L> {
        if self.is_large() {
            // SAFETY: invariant 2; nobody writes to it while `&self` lives.
            Form::Large(unsafe { &*self.pointer() })
        } else {
            // SAFETY: invariant 1; the word is an S in place.
            Form::Small(unsafe { &*(&raw const self.word).cast::<S>() })
        }
    }

    /// The value for writing.
    #[inline]
    pub fn get_mut(&mut self) -> Form<&mut S, &mut L> {
        if self.is_large() {
            // SAFETY: invariant 2; `&mut self` is the only way to it.
            Form::Large(unsafe { &mut *self.pointer() })
        } else {
            // SAFETY: invariant 1; whatever is written there is an S again.
            Form::Small(unsafe { &mut *(&raw mut self.word).cast::<S>() })
        }
    }
}

impl<S: Word, L> Default for Thin<S, L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Word, L: Clone> Clone for Thin<S, L> {
    fn clone(&self) -> Self {
        match self.get() {
            Form::Small(value) => Self::small(value.clone()),
            Form::Large(value) => Self::large(Box::new(value.clone())),
        }
    }
}

impl<S: Word, L> Drop for Thin<S, L> {
    fn drop(&mut self) {
        if self.is_large() {
            // SAFETY: invariant 2; it is not used again.
            drop(unsafe { Box::from_raw(self.pointer()) });
        } else {
            // SAFETY: invariant 1; the word is read as the S that it is, and not used again.
            drop(ManuallyDrop::into_inner(unsafe {
                (&raw const self.word).cast::<ManuallyDrop<S>>().read()
            }));
        }
    }
}

//! The small forms of collections that are one word: an optional blob, and nothing else.
#![allow(unsafe_code)]

use super::intset::IntSet;
use super::packed::Packed;
use super::set::Small;
use crate::memory::Word;

// SAFETY: all three are `repr(transparent)` over `Option<Blob>`; what the bytes mean is safe code's business.
unsafe impl<const TAILS: bool> Word for Packed<TAILS> {}
// SAFETY: as above.
unsafe impl Word for IntSet {}
// SAFETY: as above.
unsafe impl Word for Small {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::packed::entry::Encoded;
    use super::*;
    use crate::memory::{Form, Thin};

    type Value = Thin<Packed, Arc<str>>;

    #[test]
    fn either_form_is_one_word_and_gives_back_what_was_put_in() {
        assert_eq!(size_of::<Value>(), 8);
        let mut value = Value::new();
        assert!(matches!(value.get(), Form::Small(packed) if packed.is_empty()));
        if let Form::Small(packed) = value.get_mut() {
            packed.push([Encoded::element(b"one")]);
        }
        let copy = value.clone();
        if let Form::Small(packed) = value.get_mut() {
            packed.push([Encoded::element(b"two")]);
        }
        assert!(matches!(copy.get(), Form::Small(packed) if packed.len() == 1));
        assert!(matches!(value.get(), Form::Small(packed) if packed.len() == 2));
        assert!(matches!(Value::small(Packed::new()).get(), Form::Small(packed) if packed.is_empty()));
    }

    #[test]
    fn what_it_owns_is_dropped_once() {
        let text: Arc<str> = "large".into();
        let mut value = Value::large(Box::new(Arc::clone(&text)));
        assert!(matches!(value.get(), Form::Large(held) if **held == *text));
        let copy = value.clone();
        assert_eq!(Arc::strong_count(&text), 3);
        drop(copy);
        let thread = std::thread::spawn(move || {
            if let Form::Large(held) = value.get_mut() {
                *held = "other".into();
            }
            value
        });
        let value = thread.join().unwrap();
        assert_eq!(Arc::strong_count(&text), 1);
        drop(value);
    }
}

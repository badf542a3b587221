//! One element of a collection as it is stored: bytes, or an integer whose text is the element.

use slotway_common::number::parse_i64;

/// An element, borrowed from its collection. Two items with the same text are the same element; which of the two
/// forms it has depends only on how the collection stores it.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    Bytes(&'a [u8]),
    /// The element whose bytes are the shortest decimal text of this integer.
    Int(i64),
}

/// Room for the text of an integer, see [`Item::text`].
pub type IntText = itoa::Buffer;

impl<'a> Item<'a> {
    /// The form that stores `bytes` in the least space: an integer if its text is exactly these bytes.
    #[inline]
    pub fn compact(bytes: &'a [u8]) -> Self {
        // 20 characters: the longest text of an i64.
        if bytes.len() <= 20
            && let Some(number) = parse_i64(bytes)
        {
            return Item::Int(number);
        }
        Item::Bytes(bytes)
    }

    /// The element's bytes, written to `room` if they are not there already.
    #[inline]
    pub fn text<'b>(self, room: &'b mut IntText) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Item::Bytes(bytes) => bytes,
            Item::Int(number) => room.format(number).as_bytes(),
        }
    }

    /// The element's bytes in a vector of their own.
    pub fn to_vec(self) -> Vec<u8> {
        self.text(&mut IntText::new()).to_vec()
    }

    /// Length of the element's bytes.
    pub fn text_len(self) -> usize {
        match self {
            Item::Bytes(bytes) => bytes.len(),
            Item::Int(number) => {
                let digits = number.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
                digits + usize::from(number < 0)
            }
        }
    }

    /// Whether the element's bytes are `bytes`.
    #[inline]
    pub fn is(self, bytes: &[u8]) -> bool {
        match self {
            Item::Bytes(own) => own == bytes,
            Item::Int(own) => bytes.len() <= 20 && parse_i64(bytes) == Some(own),
        }
    }

    /// The element as an integer, if its text is one.
    pub fn integer(self) -> Option<i64> {
        match self {
            Item::Bytes(bytes) => parse_i64(bytes),
            Item::Int(number) => Some(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_an_element_have_the_same_text() {
        for number in [0, 7, -1, 10, -10, 99, 100, i64::MAX, i64::MIN, i64::MIN + 1] {
            let text = number.to_string();
            let item = Item::compact(text.as_bytes());
            assert!(matches!(item, Item::Int(n) if n == number));
            assert_eq!(item.text(&mut IntText::new()), text.as_bytes());
            assert_eq!(item.text_len(), text.len());
            assert!(item.is(text.as_bytes()) && Item::Bytes(text.as_bytes()).is(text.as_bytes()));
        }
        for text in ["", "-", "-0", "01", "+1", " 1", "1 ", "9223372036854775808", "1.0"] {
            assert!(matches!(Item::compact(text.as_bytes()), Item::Bytes(_)), "{text}");
            assert!(!Item::Int(1).is(text.as_bytes()));
        }
    }
}

//! Values of settings in JSON.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The text of a value: a JSON string, or `{"hex": "…"}` for bytes that are not UTF-8 (a password may be any bytes).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StoredText {
    Text(String),
    Hex { hex: String },
}

impl StoredText {
    /// Of any bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Hex { hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect() },
        }
    }

    /// The bytes. What is no hexadecimal number is left out.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text.as_bytes()),
            Self::Hex { hex } => {
                let digits: Vec<u8> =
                    hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
                Cow::Owned(digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect())
            }
        }
    }
}

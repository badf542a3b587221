//! Arguments that outlive the read buffer.

use slotway_common::resp::Args;
use slotway_common::resp::request::Span;

/// A copy of a request's arguments.
#[derive(Clone, Debug, Default)]
pub struct OwnedArgs {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedArgs {
    /// Copies `args`.
    pub fn new(args: &Args<'_>) -> Self {
        Self::from_words(args.iter())
    }

    /// Copies single words.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut owned = Self::default();
        for word in words {
            owned.spans.push((owned.bytes.len() as u32, word.len() as u32));
            owned.bytes.extend_from_slice(word);
        }
        owned
    }

    /// The arguments, the command's name included.
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }
}

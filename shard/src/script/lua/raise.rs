//! What natives raise.

/// How many results a native has left, or what it raises.
pub type Outcome = Result<usize, Raise>;

/// An error that a native raises.
#[derive(Debug)]
pub enum Raise {
    /// A text, behind the place in the script that called.
    Located(Vec<u8>),
    /// The value at the top of the stack.
    Top,
    /// An argument, counted from one, is not as it has to be.
    Argument(usize, Vec<u8>),
}

impl Raise {
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::Located(text.into())
    }
}

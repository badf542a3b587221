//! RESP2 and RESP3 (the Redis serialization protocol): requests, replies, and frame boundaries.

pub mod frame;
pub mod reply;
pub mod request;
pub mod value;

pub use reply::Reply;
pub use request::{Args, Limits, Parser, ProtocolError};
pub use value::Value;

/// The protocol version that a connection has agreed on with HELLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

impl Protocol {
    /// The number that HELLO uses: 2 or 3.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

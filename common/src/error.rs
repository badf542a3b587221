//! Errors that a client sees, named after their wire prefixes.

use std::borrow::Cow;

use crate::slot::Slot;

/// An error reply. [`Error::wire`] gives its line without the leading `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// `ERR` and a text.
    Generic(Cow<'static, str>),
    /// `ERR` and a text that quotes bytes of the client.
    Bytes(Vec<u8>),
    WrongType,
    /// `ERR syntax error`
    Syntax,
    /// `ERR value is not an integer or out of range`
    NotInteger,
    /// `ERR value is not a valid float`
    NotFloat,
    /// `ERR no such key`
    NoSuchKey,
    /// `ERR index out of range`
    IndexOutOfRange,
    /// `ERR value is out of range, must be positive`
    NotPositive,
    /// `ERR increment or decrement would overflow`
    Overflow,
    NoAuth,
    WrongPass,
    NoPerm(Cow<'static, str>),
    NoProto,
    Oom,
    Loading,
    ReadOnly,
    Busy(Cow<'static, str>),
    CrossSlot(Cow<'static, str>),
    Moved {
        slot: Slot,
        address: String,
    },
    /// The slot's gate is closed; nothing ran.
    Parked {
        slot: Slot,
    },
    /// The reply of a slow script comes later, to its proxy, with this number.
    Later(u64),
    TryAgain(Cow<'static, str>),
    ClusterDown(Cow<'static, str>),
    NoReplicas(Cow<'static, str>),
    ExecAbort(Cow<'static, str>),
    /// A whole line with a prefix of its own.
    Line(Cow<'static, str>),
    /// As [`Error::Line`], with bytes of the client.
    Whole(Vec<u8>),
    /// As [`Error::Whole`]: the error of a command that a script has called, which was counted when that failed.
    Counted(Vec<u8>),
}

impl Error {
    /// `ERR {text}` with a text made at run time or fixed.
    #[must_use]
    pub fn err(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Generic(text.into())
    }

    /// The error's line, without the leading `-` and the line end.
    #[must_use]
    pub fn wire(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Bytes(text) => {
                let mut line = b"ERR ".to_vec();
                line.extend_from_slice(text);
                Cow::Owned(line)
            }
            Self::Whole(line) | Self::Counted(line) => Cow::Borrowed(line),
            other => match other.text() {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            },
        }
    }

    /// The error of an EXEC that is refused for this reason.
    #[must_use]
    pub fn of_exec(&self) -> Self {
        let reason = self.text();
        let reason = reason.strip_prefix("ERR ").unwrap_or(&reason);
        Self::ExecAbort(format!("Transaction discarded because of: {reason}").into())
    }

    fn text(&self) -> Cow<'_, str> {
        let with = |prefix: &str, text: &str| Cow::Owned(format!("{prefix} {text}"));
        match self {
            Self::Generic(text) => with("ERR", text),
            Self::Bytes(text) => with("ERR", &text.escape_ascii().to_string()),
            Self::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value".into(),
            Self::Syntax => "ERR syntax error".into(),
            Self::NotInteger => "ERR value is not an integer or out of range".into(),
            Self::NotFloat => "ERR value is not a valid float".into(),
            Self::NoSuchKey => "ERR no such key".into(),
            Self::IndexOutOfRange => "ERR index out of range".into(),
            Self::NotPositive => "ERR value is out of range, must be positive".into(),
            Self::Overflow => "ERR increment or decrement would overflow".into(),
            Self::NoAuth => "NOAUTH Authentication required.".into(),
            Self::WrongPass => "WRONGPASS invalid username-password pair or user is disabled.".into(),
            Self::NoPerm(text) => with("NOPERM", text),
            Self::NoProto => "NOPROTO unsupported protocol version".into(),
            Self::Oom => "OOM command not allowed when used memory > 'maxmemory'.".into(),
            Self::Loading => "LOADING Redis is loading the dataset in memory".into(),
            Self::ReadOnly => "READONLY You can't write against a read only replica.".into(),
            Self::Busy(text) => with("BUSY", text),
            Self::CrossSlot(text) => with("CROSSSLOT", text),
            Self::Moved { slot, address } => format!("MOVED {slot} {address}").into(),
            Self::Parked { slot } => format!("PARKED {slot}").into(),
            Self::Later(number) => format!("LATER {number}").into(),
            Self::TryAgain(text) => with("TRYAGAIN", text),
            Self::ClusterDown(text) => with("CLUSTERDOWN", text),
            Self::NoReplicas(text) => with("NOREPLICAS", text),
            Self::ExecAbort(text) => with("EXECABORT", text),
            Self::Line(text) => Cow::Borrowed(text),
            Self::Whole(line) | Self::Counted(line) => line.escape_ascii().to_string().into(),
        }
    }
}

/// Stands in front of an error that a script has made up and that reads like a refusal of its shard, so that a proxy passes it
/// on, and does not send the script again.
pub const QUOTED: &[u8] = b"QUOTED ";

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl std::error::Error for Error {}

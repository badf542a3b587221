//! Why a move ended early.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of reason it is: what comes next depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbortKind {
    /// An operator has asked for it.
    Asked,
    /// The target has no room.
    Full,
    /// A node has restarted.
    Restarted,
    /// The other end does not answer, or not any more.
    Unreachable,
    /// What arrived is not what was sent.
    Damaged,
    /// The target does not want to speak with the source: another cluster, version or secret.
    Refused,
    /// Anything else, which would go wrong again.
    Failed,
}

impl AbortKind {
    pub const ALL: [Self; 7] = [
        Self::Asked,
        Self::Full,
        Self::Restarted,
        Self::Unreachable,
        Self::Damaged,
        Self::Refused,
        Self::Failed,
    ];

    /// One word, for labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Full => "full",
            Self::Restarted => "restarted",
            Self::Unreachable => "unreachable",
            Self::Damaged => "damaged",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// Its place in [`AbortKind::ALL`], which is also its number in the slot stream.
    #[must_use]
    pub fn position(self) -> usize {
        self as usize
    }

    /// Whether the same move may well succeed a moment later: a process was away, or a connection.
    #[must_use]
    pub fn is_passing(self) -> bool {
        matches!(self, Self::Restarted | Self::Unreachable)
    }
}

/// Why a move ended early: what kind of reason, and one line for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct AbortReason {
    pub kind: AbortKind,
    pub text: String,
}

impl AbortReason {
    #[must_use]
    pub fn new(kind: AbortKind, text: impl fmt::Display) -> Self {
        Self { kind, text: text.to_string() }
    }

    /// An operator's wish.
    #[must_use]
    pub fn asked(text: impl fmt::Display) -> Self {
        Self::new(AbortKind::Asked, text)
    }

    /// The other end does not answer, or not any more.
    #[must_use]
    pub fn unreachable(text: impl fmt::Display) -> Self {
        Self::new(AbortKind::Unreachable, text)
    }

    /// What would go wrong again.
    #[must_use]
    pub fn failed(text: impl fmt::Display) -> Self {
        Self::new(AbortKind::Failed, text)
    }
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// As it stands in logs and snapshots; the first versions wrote the text alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Text(String),
    Typed { kind: AbortKind, text: String },
}

impl From<Stored> for AbortReason {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Text(text) => Self::failed(text),
            Stored::Typed { kind, text } => Self { kind, text },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_numbers_of_their_places() {
        for (position, kind) in AbortKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.position(), position);
        }
    }

    #[test]
    fn reasons_of_the_first_versions_are_read() {
        let read = |json: &str| serde_json::from_str::<AbortReason>(json).unwrap();
        assert_eq!(read("\"too hot\""), AbortReason::failed("too hot"));
        let full = AbortReason::new(AbortKind::Full, "no room");
        assert_eq!(read(&serde_json::to_string(&full).unwrap()), full);
    }
}

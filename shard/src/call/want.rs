//! What a command says that it waits for.

use crate::engine::Record;
use crate::types::{Kind, List, Object, Stream, ZSet};

/// What a command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    List,
    SortedSet,
    Stream,
    /// New entries for this group.
    Group,
    /// Replicas, which never come: no key, only time.
    Replicas,
}

impl Awaited {
    /// What is waited for at a key.
    pub const ALL: [Self; 4] = [Self::List, Self::SortedSet, Self::Stream, Self::Group];

    /// Whether a value is of the type that is waited for.
    #[must_use]
    pub fn fits(self, record: &Record) -> bool {
        let is = |wanted: fn(&Object) -> bool| record.value().is_some_and(wanted);
        match self {
            Self::List => is(|value| List::of(value).is_some()),
            Self::SortedSet => is(|value| ZSet::of(value).is_some()),
            Self::Stream | Self::Group => is(|value| Stream::of(value).is_some()),
            Self::Replicas => false,
        }
    }
}

/// What a command says when it has found nothing and may wait.
#[derive(Clone, Debug)]
pub struct Want {
    pub awaited: Awaited,
    /// Positions of the keys among the arguments.
    pub keys: Vec<usize>,
    /// Milliseconds since 1970; forever if there is none.
    pub deadline: Option<i64>,
    /// The arguments, if they are to be others than the command's own.
    pub args: Option<Vec<Vec<u8>>>,
}

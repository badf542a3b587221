//! What a script says of itself in its first line, and a function when it is registered.

/// Flags of a script or function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFlags(u8);

const NAMES: [&str; 5] = ["no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"];

impl ScriptFlags {
    pub const NO_WRITES: Self = Self(1);
    pub const ALLOW_OOM: Self = Self(2);

    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Adds the flag of that name; false if there is none.
    pub fn add(&mut self, name: &[u8]) -> bool {
        let found = NAMES.iter().position(|known| known.as_bytes() == name);
        self.0 |= found.map_or(0, |position| 1 << position);
        found.is_some()
    }

    /// The names of those that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES
            .into_iter()
            .enumerate()
            .filter(move |(position, _)| self.0 >> position & 1 == 1)
            .map(|(_, name)| name)
    }
}

//! Keyspace events: what happens to keys, for clients that listen to it (`notify-keyspace-events`).

use super::key::DbIndex;

/// What an event is about: the letters of `notify-keyspace-events`, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventClass(pub(super) u16);

impl EventClass {
    pub const GENERIC: Self = Self(1);
    pub const STRING: Self = Self(1 << 1);
    pub const LIST: Self = Self(1 << 2);
    pub const SET: Self = Self(1 << 3);
    pub const HASH: Self = Self(1 << 4);
    pub const SORTED_SET: Self = Self(1 << 5);
    pub const STREAM: Self = Self(1 << 6);
    pub const EXPIRED: Self = Self(1 << 7);
    pub const EVICTED: Self = Self(1 << 8);
    /// A key that was read is not there.
    pub const MISS: Self = Self(1 << 9);
    pub const NEW: Self = Self(1 << 10);

    const LETTERS: [(u8, Self); 11] = [
        (b'g', Self::GENERIC),
        (b'$', Self::STRING),
        (b'l', Self::LIST),
        (b's', Self::SET),
        (b'h', Self::HASH),
        (b'z', Self::SORTED_SET),
        (b't', Self::STREAM),
        (b'x', Self::EXPIRED),
        (b'e', Self::EVICTED),
        (b'm', Self::MISS),
        (b'n', Self::NEW),
    ];
}

/// Which events are sent, and where to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Bits of [`EventClass`]; none when they would be sent nowhere.
    pub(super) classes: u16,
    /// To `__keyspace@<db>__:<key>`, with the event as message.
    pub by_key: bool,
    /// To `__keyevent@<db>__:<event>`, with the key as message.
    pub by_event: bool,
}

impl Wanted {
    /// Reads the value of `notify-keyspace-events`.
    #[must_use]
    pub fn of_letters(letters: &[u8]) -> Self {
        let (by_key, by_event) = (letters.contains(&b'K'), letters.contains(&b'E'));
        let mut classes = 0;
        for (letter, EventClass(bit)) in EventClass::LETTERS {
            // `A` stands for all but misses and new keys.
            let by_all = letters.contains(&b'A') && !matches!(letter, b'm' | b'n');
            if by_all || letters.contains(&letter) {
                classes |= bit;
            }
        }
        Self { classes: if by_key || by_event { classes } else { 0 }, by_key, by_event }
    }
}

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub name: &'static str,
    pub db: DbIndex,
    pub key: Box<[u8]>,
}

/// What has happened since the events were last taken.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) wanted: Wanted,
    pub(super) pending: Vec<Event>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wanted_unless_it_is_sent_somewhere() {
        assert_eq!(Wanted::of_letters(b"A").classes, 0);
        let all = Wanted::of_letters(b"AK");
        assert_eq!((all.classes, all.by_key, all.by_event), ((1 << 9) - 1, true, false));
        assert_eq!(Wanted::of_letters(b"$Em").classes, EventClass::STRING.0 | EventClass::MISS.0);
        assert_eq!(Wanted::of_letters(b""), Wanted::default());
    }
}

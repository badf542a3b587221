//! What INFO's sections are made of, and their lines.

use crate::engine::Engine;
use crate::node::Node;

/// What the sections are made of.
pub(super) struct Facts<'a> {
    pub(super) engine: &'a Engine,
    pub(super) node: &'a Node,
    /// Milliseconds since 1970.
    pub(super) now: i64,
}

/// The lines of a section.
#[derive(Default)]
pub(super) struct Section {
    pub(super) text: String,
}

impl Section {
    pub(super) fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.text.push_str(&format!("{name}:{value}\r\n"));
    }

    pub(super) fn add_all(&mut self, pairs: &[(&str, &str)]) {
        for (name, value) in pairs {
            self.add(name, value);
        }
    }

    /// A number of bytes, and once more for people.
    pub(super) fn add_bytes(&mut self, name: &str, bytes: u64) {
        self.add(name, bytes);
        self.add(&format!("{name}_human"), human(bytes));
    }
}

/// Bytes with a unit, powers of 1024, as Redis writes them.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "K", "M", "G", "T", "P", "E"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let unit = ((63 - bytes.leading_zeros()) / 10) as usize;
    let value = bytes as f64 / (1_u64 << (10 * unit)) as f64;
    format!("{value:.2}{}", UNITS.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people_are_written_as_redis_writes_them() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_014_976, "991.19K"),
            (6_967_296, "6.64M"),
            (25_276_502_016, "23.54G"),
            (u64::MAX, "16.00E"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}

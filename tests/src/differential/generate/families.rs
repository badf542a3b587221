//! What the grammar does not say of single families: bits, places, streams, SORT.

use rand::Rng;
use rand::seq::IndexedRandom;
use slotway_common::command::{Argument, Group};

use super::{CallInProgress, Generator};

impl Generator {
    /// What the arguments of the smaller families are, which are none of the usual ones.
    pub(super) fn of_family(
        &mut self,
        argument: &Argument,
        call: &CallInProgress,
        wrong: bool,
    ) -> Option<Vec<u8>> {
        let name = argument.name.as_str();
        match call.row.group {
            Group::Bitmap => self.of_bitmaps(name, call, wrong),
            Group::Geo => self.of_places(name, wrong),
            Group::HyperLogLog => self.of_hyperloglogs(name),
            Group::Stream => self.of_streams(name, call, wrong),
            Group::Generic if call.row.name.starts_with("sort") && name == "pattern" => {
                Some(self.of_sort(call))
            }
            _ => None,
        }
    }

    pub(super) fn of_bitmaps(&mut self, name: &str, call: &CallInProgress, wrong: bool) -> Option<Vec<u8>> {
        // A string grows to the bit that is named: not to half a gigabyte.
        let odd: &[&str] = &["", "abc", "1.5", "-1", "01", "4294967296", "9223372036854775807", "#1", "#-1"];
        Some(match name {
            "operation" if wrong => self.text(),
            "operation" => self.one_of(&["AND", "or", "XOR", "NOT"]),
            "bit" | "value" if call.row.name != "bitfield" && !wrong => self.one_of(&["0", "1"]),
            "offset" if wrong => self.one_of(odd),
            "offset" if call.row.name.starts_with("bitfield") && self.random.random_ratio(1, 3) => {
                format!("#{}", self.random.random_range(0..20)).into_bytes()
            }
            "offset" if self.random.random_ratio(1, 50) => {
                self.random.random_range(0..60_000).to_string().into_bytes()
            }
            "offset" => self.random.random_range(0..300).to_string().into_bytes(),
            "start" | "end" if !wrong => self.random.random_range(-80i64..120).to_string().into_bytes(),
            "encoding" if wrong => {
                self.one_of(&["", "u64", "i65", "u0", "i0", "x8", "i", "u-1", "u 1", "i08"])
            }
            "encoding" => {
                let signed = self.random.random_bool(0.5);
                let bits = match self.random.random_range(0..4) {
                    0 => self.random.random_range(1..64),
                    1 if signed => 64,
                    1 => 63,
                    _ => self.random.random_range(1..17),
                };
                format!("{}{bits}", if signed { 'i' } else { 'u' }).into_bytes()
            }
            "increment" | "value" if self.random.random_ratio(1, 8) => {
                let end = if self.random.random_bool(0.5) { i64::MIN } else { i64::MAX };
                let distance = self.random.random::<u64>() >> self.random.random_range(1..64);
                (end ^ distance.cast_signed()).to_string().into_bytes()
            }
            "increment" | "value" if self.random.random_ratio(1, 4) => {
                (self.random.random::<i64>() >> self.random.random_range(0..60)).to_string().into_bytes()
            }
            _ => return None,
        })
    }

    pub(super) fn of_places(&mut self, name: &str, wrong: bool) -> Option<Vec<u8>> {
        if wrong && matches!(name, "longitude" | "latitude" | "radius" | "width" | "height") {
            return Some(self.double());
        }
        let near = self.random.random_ratio(1, 2);
        Some(match name {
            // Most places are close enough to each other to be found.
            "longitude" if near => format!("{:.4}", 13.0 + self.random.random_range(0.0..3.0)).into_bytes(),
            "latitude" if near => format!("{:.4}", 37.0 + self.random.random_range(0.0..2.0)).into_bytes(),
            "longitude" if self.random.random_ratio(1, 10) => {
                self.one_of(&["180", "-180", "179.99999", "-179.99999", "0", "180.0001"])
            }
            "latitude" if self.random.random_ratio(1, 10) => {
                self.one_of(&["85.05112878", "-85.05112878", "85.06", "84.9999", "0", "66.00001", "-80.1"])
            }
            "longitude" => format!("{:.6}", self.random.random_range(-180.0..180.0)).into_bytes(),
            "latitude" => format!("{:.6}", self.random.random_range(-85.0..85.0)).into_bytes(),
            "radius" | "width" | "height" => match self.random.random_range(0..8) {
                0 => self.one_of(&["0", "0.5", "25000", "6371", "1e-3", "50000000"]),
                1 => self.random.random_range(0..20_000).to_string().into_bytes(),
                2 => self.random.random_range(0..5_000_000).to_string().into_bytes(),
                _ => format!("{:.1}", self.random.random_range(0.0..400.0)).into_bytes(),
            },
            "count" if !wrong => self.random.random_range(1..8).to_string().into_bytes(),
            "member" | "member1" | "member2" => format!("p{}", self.random.random_range(0..40)).into_bytes(),
            _ => return None,
        })
    }

    pub(super) fn of_hyperloglogs(&mut self, name: &str) -> Option<Vec<u8>> {
        Some(match name {
            "subcommand" => self.one_of(&["GETREG", "decode", "ENCODING", "encoding", "TODENSE", "nosuch"]),
            "element" => self.random.random_range(0..100_000).to_string().into_bytes(),
            _ => return None,
        })
    }

    /// Arguments of streams that depend on each other or must not be; false for all others.
    pub(super) fn of_stream_blocks(
        &mut self,
        argument: &Argument,
        call: &mut CallInProgress,
        out: &mut Vec<Vec<u8>>,
    ) -> bool {
        match (argument.name.as_str(), &argument.kind) {
            // Nothing waits here.
            ("milliseconds", _) => {}
            ("streams", _) => {
                let number = self.random.random_range(1..4);
                out.push(self.letters("streams"));
                for _ in 0..number {
                    let key = self.key(call);
                    out.push(key);
                }
                for _ in 0..number {
                    let special = if call.row.name == "xread" { "$" } else { ">" };
                    let often = if call.row.name == "xread" { 8 } else { 2 };
                    let id =
                        if self.random.random_ratio(1, often) { special.into() } else { self.known_id() };
                    out.push(id);
                }
            }
            // By the clock only where the entry does not stay.
            ("id_or_auto", _) if !self.random.random_ratio(1, 40) => {
                let id = self.new_id();
                out.push(id);
            }
            _ => return false,
        }
        true
    }

    /// The id of a new entry, above all before it most of the time.
    pub(super) fn new_id(&mut self) -> Vec<u8> {
        if self.random.random_ratio(1, 25) {
            return self.known_id();
        }
        self.last_ms += self.random.random_range(0..3);
        let ms = self.last_ms;
        match self.random.random_range(0..4) {
            0 => format!("{ms}-*"),
            1 => ms.to_string(),
            _ => format!("{ms}-{}", self.random.random_range(0..4)),
        }
        .into_bytes()
    }

    /// An id as it may be there, or none.
    pub(super) fn known_id(&mut self) -> Vec<u8> {
        let low = self.last_ms.saturating_sub(if self.random.random_bool(0.7) { 60 } else { 2000 });
        let ms = self.random.random_range(low..=self.last_ms);
        match self.random.random_range(0..30) {
            0 => self.one_of(&[
                "",
                "-",
                "+",
                "abc",
                "0-0",
                "1-",
                "-1",
                "5-a",
                "18446744073709551615-18446744073709551615",
                "18446744073709551616",
                "(5",
                "007",
                "5-*",
                "$",
                ">",
            ]),
            1..4 => b"0".to_vec(),
            4..15 => ms.to_string().into_bytes(),
            _ => format!("{ms}-{}", self.random.random_range(0..3)).into_bytes(),
        }
    }

    pub(super) fn of_streams(&mut self, name: &str, call: &CallInProgress, wrong: bool) -> Option<Vec<u8>> {
        Some(match name {
            "start" | "end" => match self.random.random_range(0..6) {
                0 | 1 if name == "start" => b"-".to_vec(),
                0 | 1 => b"+".to_vec(),
                2 => [b"(", &self.known_id()[..]].concat(),
                _ => self.known_id(),
            },
            "id" | "last-id" | "lastid" | "max_deleted_entry_id" => self.known_id(),
            "threshold" if self.random.random_ratio(1, 4) => self.known_id(),
            "threshold" if wrong => self.odd_number(),
            "threshold" => self.random.random_range(0..400).to_string().into_bytes(),
            // The time that passes between both servers must not matter.
            "min-idle-time" if wrong => self.one_of(&["", "abc", "-1", "1.5"]),
            "min-idle-time" => self.one_of(&["0", "0", "0", "3600000"]),
            "ms" => self.one_of(&["0", "7200000", "-5", "x"]),
            "unix-time-milliseconds" => self.one_of(&["0", "1000", "-1", "99999999999999", "x"]),
            "group" | "groupname" => format!("g{}", self.random.random_range(0..3)).into_bytes(),
            "consumer" | "consumername" => format!("c{}", self.random.random_range(0..4)).into_bytes(),
            "entries_read" | "entries_added" if !wrong => {
                self.random.random_range(-1..300).to_string().into_bytes()
            }
            // Redis may get the memory for a huge number of ids or not.
            "count" if call.row.name == "xautoclaim" => {
                self.random.random_range(-1..8).to_string().into_bytes()
            }
            "field" => self.one_of(&["a", "a", "a", "b", "field", "12", ""]),
            "value" if self.random.random_ratio(1, 30) => vec![b'v'; self.random.random_range(0..2000)],
            _ => return None,
        })
    }

    /// A pattern of BY and GET, whose keys have the tag of the call where it must have one.
    pub(super) fn of_sort(&mut self, call: &CallInProgress) -> Vec<u8> {
        let tag = call.tag.unwrap_or_else(|| self.random.random_range(0..4));
        let pattern = *["#", "nosort", "s*", "s*", "h*->a", "h*->1", "*", "h1->a", "s*->", "l*", "x*->*"]
            .choose(&mut self.random)
            .unwrap_or(&"#");
        if pattern == "#" { pattern.into() } else { format!("{{{tag}}}{pattern}").into_bytes() }
    }
}

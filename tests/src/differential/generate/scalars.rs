//! Values of single arguments: names, numbers, ranges, patterns.

use rand::Rng;
use rand::seq::IndexedRandom;
use slotway_common::command::{Argument, ArgumentKind, Command, Group};

use super::{CallInProgress, DATABASES, Generator};

/// Milliseconds since 1970 that no run comes to.
const FAR: i64 = 4_000_000_000_000;

/// A key that SET makes with a time in the past is counted until either server happens to remove it.
fn may_not_be_past(row: &Command) -> bool {
    row.name == "set"
}

/// Whether it is a time that has passed, of a command that may not be given such.
fn is_past(number: &[u8], argument: &str, row: &Command) -> bool {
    let number = std::str::from_utf8(number).ok().and_then(|text| text.parse::<i64>().ok());
    may_not_be_past(row)
        && argument == "unix-time-milliseconds"
        && number.is_some_and(|number| (1..FAR).contains(&number))
}

impl Generator {
    pub(super) fn scalar(&mut self, argument: &Argument, call: &mut CallInProgress) -> Vec<u8> {
        let wrong = self.random.random_ratio(1, 40);
        if let Some(value) = self.of_family(argument, call, wrong) {
            return value;
        }
        match argument.name.as_str() {
            "score" if call.lex => b"0".to_vec(),
            "numkeys" => {
                let number = self.random.random_range(1..4);
                if wrong {
                    return self.odd_number();
                }
                call.numkeys = Some(number);
                number.to_string().into_bytes()
            }
            "destination-db" | "db" | "index1" | "index2" | "index" if call.row.group != Group::List => {
                if wrong {
                    self.odd_number()
                } else {
                    self.random.random_range(0..DATABASES).to_string().into_bytes()
                }
            }
            "serialized-value" => self.dump(call.kind),
            // A key must not expire while the stream runs.
            "ttl" if !wrong => match self.random.random_range(0..3) {
                0 => self.expiry("unix-time-milliseconds", call.row),
                _ => b"0".to_vec(),
            },
            "ttl" => self.odd_number(),
            "seconds" | "milliseconds" | "unix-time-seconds" | "unix-time-milliseconds" => {
                let odd =
                    wrong.then(|| self.odd_number()).filter(|odd| !is_past(odd, &argument.name, call.row));
                odd.unwrap_or_else(|| self.expiry(&argument.name, call.row))
            }
            "min" | "max" | "start" | "stop" | "end"
                if call.lex
                    || call.row.name.contains("lex")
                    || call.row.name.contains("score")
                    || matches!(call.row.name, "zrange" | "zrangestore" | "zcount") =>
            {
                self.range_end(call)
            }
            "offset" | "start" | "stop" | "end" | "index" | "rank" | "len" | "count" | "limit"
            | "num-matches" => {
                // A number of random elements that is large and negative is a reply without end.
                if wrong && !call.row.name.contains("rand") { self.odd_number() } else { self.offset(call) }
            }
            "field" | "member" | "element" | "pivot" => self.word(),
            _ => match argument.kind {
                ArgumentKind::Integer | ArgumentKind::UnixTime => self.integer(),
                ArgumentKind::Double => self.double(),
                ArgumentKind::Pattern => self.pattern(),
                _ => self.text(),
            },
        }
    }

    pub(super) fn one_of(&mut self, texts: &[&str]) -> Vec<u8> {
        texts.choose(&mut self.random).map_or_else(Vec::new, |text| text.as_bytes().to_vec())
    }

    /// Far enough away that no key expires during a run, or in the past.
    pub(super) fn expiry(&mut self, name: &str, row: &Command) -> Vec<u8> {
        let step = self.random.random_range(10_000..60_000);
        let past = !may_not_be_past(row) && self.random.random_ratio(1, 6);
        let soon = if past { -step } else { step };
        let number: i64 = match name {
            "seconds" => soon,
            "milliseconds" => soon * 1000,
            "unix-time-seconds" => 4_000_000_000 * i64::from(soon > 0) + soon.abs(),
            _ => FAR * i64::from(soon > 0) + soon.abs() * 1000,
        };
        number.to_string().into_bytes()
    }

    pub(super) fn offset(&mut self, call: &CallInProgress) -> Vec<u8> {
        let large = self.random.random_ratio(1, 12);
        // A string grows to the offset that SETRANGE names.
        let number: i64 = match (call.row.name, large) {
            ("setrange", _) => self.random.random_range(0..200),
            (_, true) => self.random.random_range(-1000..1000),
            _ => self.random.random_range(-6..7),
        };
        number.to_string().into_bytes()
    }

    pub(super) fn range_end(&mut self, call: &CallInProgress) -> Vec<u8> {
        let by_rank = matches!(call.row.name, "zrange" | "zrangestore") && self.random.random_ratio(1, 2);
        if by_rank {
            return self.random.random_range(-6..7).to_string().into_bytes();
        }
        if call.lex || self.random.random_ratio(1, 10) {
            let word = self.word();
            return match self.random.random_range(0..8) {
                0 => b"-".to_vec(),
                1 => b"+".to_vec(),
                2 => word,
                3..5 => [b"(", &word[..]].concat(),
                _ => [b"[", &word[..]].concat(),
            };
        }
        let score = self.double();
        if self.random.random_ratio(1, 4) { [b"(", &score[..]].concat() } else { score }
    }

    pub(super) fn odd_number(&mut self) -> Vec<u8> {
        let odd: &[&str] = &[
            "",
            "abc",
            "1.5",
            " 1",
            "01",
            "+1",
            "-0",
            "0",
            "-1",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "4294967296",
            "2147483648",
            "-2147483649",
            "1e3",
            "0x10",
        ];
        odd.choose(&mut self.random).map_or_else(Vec::new, |text| text.as_bytes().to_vec())
    }

    pub(super) fn integer(&mut self) -> Vec<u8> {
        match self.random.random_range(0..20) {
            0 => self.odd_number(),
            1..4 => self.random.random_range(-100_000i64..100_000).to_string().into_bytes(),
            _ => self.random.random_range(-10i64..11).to_string().into_bytes(),
        }
    }

    pub(super) fn double(&mut self) -> Vec<u8> {
        let odd: &[&str] = &[
            "inf",
            "-inf",
            "+inf",
            "nan",
            "abc",
            "",
            "1e400",
            "1e-400",
            "-0",
            "0x1p3",
            "1e17",
            "1e16",
            "123456789.125",
            "3.14",
            "0.1",
            "-1e-7",
            "infinity",
            ".5",
            "5.",
            " 1",
            "1 ",
            "1e308",
            "2.2250738585072014e-308",
        ];
        match self.random.random_range(0..10) {
            0 => odd.choose(&mut self.random).map_or_else(Vec::new, |text| text.as_bytes().to_vec()),
            1..3 => format!("{}", self.random.random_range(-50..50) as f64 / 4.0).into_bytes(),
            _ => self.random.random_range(-5..6).to_string().into_bytes(),
        }
    }

    pub(super) fn pattern(&mut self) -> Vec<u8> {
        let patterns: &[&str] = &["*", "{1}*", "*s?", "*[lz]*", "*[^0-2]", "", "\\*", "*{*}h1"];
        patterns.choose(&mut self.random).map_or_else(Vec::new, |text| text.as_bytes().to_vec())
    }

    /// A member, field or element: from a small pool, so that calls meet.
    pub(super) fn word(&mut self) -> Vec<u8> {
        match self.random.random_range(0..40) {
            0 => Vec::new(),
            1 => vec![b'x'; self.random.random_range(60..70)],
            2 => vec![0, 255, b'\r', b'\n', self.random.random_range(0..4)],
            3..6 => self.odd_number(),
            6..17 => self.random.random_range(-20..200).to_string().into_bytes(),
            17 => (self.random.random_range(-3i64..3) * 40_000).to_string().into_bytes(),
            18 => (self.random.random_range(-3i64..3) * 5_000_000_000).to_string().into_bytes(),
            19..23 => format!("member{}", self.random.random_range(0..300)).into_bytes(),
            _ => vec![b'a' + self.random.random_range(0..8)],
        }
    }

    pub(super) fn text(&mut self) -> Vec<u8> {
        match self.random.random_range(0..12) {
            0 => vec![b'y'; self.random.random_range(40..50)],
            1 => vec![b'z'; *[500, 600, 700, 3000].choose(&mut self.random).unwrap_or(&1)],
            2..5 => self.integer(),
            5 => self.double(),
            _ => self.word(),
        }
    }
}

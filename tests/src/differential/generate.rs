//! Random requests, made from the grammar of the command table.

use std::collections::VecDeque;
use std::fmt;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use slotway_common::command::{self, Argument, ArgumentKind, Command, Flags, Group, Route, Support};

/// Databases that the stream uses.
const DATABASES: usize = 3;

/// A request, with what is needed to judge its replies.
#[derive(Clone, Debug)]
pub struct Request {
    pub args: Vec<Vec<u8>>,
    pub command: Option<&'static Command>,
}

impl Request {
    /// True when both name a common key (or name none).
    #[must_use]
    pub fn shares_key(&self, other: &Request) -> bool {
        self.args.iter().skip(1).any(|arg| arg.starts_with(b"{") && other.args.contains(arg))
            || self.args.len() == 1
    }

    /// The command's name in lower case, of a subcommand with its container (`object|encoding`).
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.command.map_or("", |command| command.name)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for arg in &self.args {
            let text = arg.escape_ascii().to_string();
            if text.len() > 120 {
                write!(f, "<{} bytes> ", arg.len())?;
            } else if text.is_empty() || text.contains(' ') {
                write!(f, "\"{text}\" ")?;
            } else {
                write!(f, "{text} ")?;
            }
        }
        Ok(())
    }
}

/// Makes requests without end.
pub struct Generator {
    random: StdRng,
    one_slot_calls: bool,
    /// All keys have this hash tag.
    only_tag: Option<u32>,
    rows: Vec<(&'static Command, Vec<Argument>)>,
    pending: Vec<Request>,
    /// What DUMP gave, with the kind of key that each was the value of.
    dumps: VecDeque<(char, Vec<u8>)>,
    /// The time in the last id made for a new entry of a stream.
    last_ms: u64,
}

/// Dumps that are kept to be restored.
const DUMPS: usize = 200;

/// Commands whose replies or effects cannot be compared in a stream, and why.
const LEFT_OUT: &[&str] = &[
    // Cursors are each server's own; whole scans are compared with the contents.
    "scan",
    "hscan",
    "sscan",
    "zscan",
    // Drawn at random, or by the clock.
    "randomkey",
    "object|freq",
    "object|idletime",
    // Redis shares the objects of small integers between keys and counts them; Slotway shares nothing.
    "object|refcount",
    // A text of our own.
    "object|help",
];

/// Commands of other groups that belong in the stream.
const MORE: &[&str] = &["ping", "echo", "select", "flushdb", "dbsize", "swapdb"];

impl Generator {
    /// With `one_slot_calls` all keys of a call that cannot be split share a hash tag. `only` names the families to
    /// draw from; none: all.
    #[must_use]
    pub fn new(random: StdRng, one_slot_calls: bool, only: &[String]) -> Self {
        let families = [
            Group::Generic,
            Group::String,
            Group::List,
            Group::Set,
            Group::SortedSet,
            Group::Hash,
            Group::Bitmap,
            Group::HyperLogLog,
            Group::Geo,
            Group::Stream,
        ];
        let rows = command::TABLE
            .iter()
            .filter(|row| row.support == Support::Full && !row.is_container() && !row.hidden)
            .filter(|row| !row.flags.contains(Flags::BLOCKING) || row.group == Group::Stream)
            .filter(|row| !LEFT_OUT.contains(&row.name))
            .filter(|row| (families.contains(&row.group) && row.has_keys()) || MORE.contains(&row.name))
            .filter(|row| only.is_empty() || only.iter().any(|family| family == row.group.name()))
            .map(|row| (row, command::arguments(row.arguments)))
            .collect();
        Self {
            random,
            one_slot_calls,
            only_tag: None,
            rows,
            pending: Vec::new(),
            dumps: VecDeque::new(),
            last_ms: 1,
        }
    }

    /// From now on all keys of all calls share a hash tag.
    pub fn share_one_slot(&mut self) {
        self.only_tag = Some(0);
    }

    /// A key of any type.
    pub fn any_key(&mut self) -> Vec<u8> {
        let kind =
            *['s', 'l', 't', 'z', 'h', 'n', 'b', 'p', 'g', 'x'].choose(&mut self.random).unwrap_or(&'s');
        self.key_of(kind, None)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u32) -> bool {
        self.random.random_ratio(1, times)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.random.random_range(0..limit)
    }

    /// Takes note of a value's dump, which will be restored some time.
    pub fn learn(&mut self, dump: &[u8]) {
        let kind = match dump.first() {
            Some(0) => 's',
            Some(1 | 10 | 14 | 18) => 'l',
            Some(2 | 11) => 't',
            Some(3 | 5 | 12 | 17) => 'z',
            Some(4 | 9 | 13 | 16) => 'h',
            Some(15 | 19) => 'x',
            _ => return,
        };
        self.dumps.truncate(DUMPS - 1);
        self.dumps.push_front((kind, dump.to_vec()));
    }

    /// Both servers were emptied and are at database 0.
    pub fn reset(&mut self) {
        self.pending.clear();
    }

    /// The commands that the stream covers.
    pub fn covered(&self) -> impl Iterator<Item = &'static str> {
        self.rows.iter().map(|(row, _)| row.name)
    }

    /// The next requests: `least` of them, and those that must follow so that what both servers hold can be compared.
    pub fn batch(&mut self, least: usize) -> Vec<Request> {
        let mut batch: Vec<Request> = (0..least).map(|_| self.request()).collect();
        batch.extend(std::iter::from_fn(|| self.pending.pop()));
        batch
    }

    /// The next request.
    pub fn request(&mut self) -> Request {
        if let Some(request) = self.pending.pop() {
            return request;
        }
        if self.random.random_ratio(1, 400) {
            return self.nonsense();
        }
        loop {
            let index = self.random.random_range(0..self.rows.len());
            let row = self.rows[index].0;
            // What empties a database, or swaps it, comes rarely, or there would be nothing to work on.
            let rare = match row.name {
                "flushdb" | "swapdb" => 60,
                "select" => 10,
                "del" | "unlink" | "move" | "expireat" | "pexpireat" => 3,
                _ => 1,
            };
            if rare > 1 && !self.random.random_ratio(1, rare) {
                continue;
            }
            return self.call(index);
        }
    }

    fn nonsense(&mut self) -> Request {
        let args: &[&[u8]] = match self.random.random_range(0..7) {
            0 => &[b"NOSUCHCOMMAND", b"a", b"b c", b"\r\n"],
            1 => &[b"GET"],
            2 => &[b"OBJECT", b"NOSUCH", b"k"],
            3 => &[b"object"],
            4 => &[b"SET", b"{1}s1"],
            5 => &[b""],
            _ => &[b"LRANGE", b"{1}l1", b"0"],
        };
        Request { args: args.iter().map(|arg| arg.to_vec()).collect(), command: None }
    }

    fn call(&mut self, index: usize) -> Request {
        let (row, arguments) = (self.rows[index].0, self.rows[index].1.clone());
        let drawn =
            (self.one_slot_calls && row.route != Route::Split).then(|| self.random.random_range(0..4));
        let tag = self.only_tag.or(drawn);
        let mut args: Vec<Vec<u8>> = row.name.split('|').map(|word| self.letters(word)).collect();
        let lex = row.name.contains("lex")
            || (matches!(row.name, "zrange" | "zrangestore" | "zadd") && self.random.random_ratio(1, 3));
        let mut call = CallInProgress { row, tag, numkeys: None, lex, kind: ' ' };
        for argument in &arguments {
            self.argument(argument, &mut call, &mut args);
        }
        if args.len() > 1 && self.random.random_ratio(1, 60) {
            args.pop();
        } else if self.random.random_ratio(1, 60) {
            // It may be read as a key.
            let extra = tag.map_or_else(|| "extra".to_owned(), |tag| format!("{{{tag}}}extra"));
            args.push(extra.into_bytes());
        }
        let request = Request { args, command: Some(row) };
        for key in incomparable(&request) {
            self.pending.push(Request {
                args: vec![b"DEL".to_vec(), key.to_vec()],
                command: command::lookup(b"del"),
            });
            // One of the two may not have it (Redis refuses a SORT for a stale `errno`): then it has it for this.
            self.pending.push(Request {
                args: vec![b"SET".to_vec(), key.to_vec(), b"gone".to_vec()],
                command: command::lookup(b"set"),
            });
        }
        request
    }

    /// A name as clients write it: mostly in capitals.
    fn letters(&mut self, word: &str) -> Vec<u8> {
        if self.random.random_ratio(1, 4) { word.into() } else { word.to_ascii_uppercase().into_bytes() }
    }

    fn argument(&mut self, argument: &Argument, call: &mut CallInProgress, out: &mut Vec<Vec<u8>>) {
        if argument.optional && !self.random.random_ratio(2, 5) {
            return;
        }
        if call.row.group == Group::Stream && self.of_stream_blocks(argument, call, out) {
            return;
        }
        let times = if let (ArgumentKind::Key, Some(number)) = (&argument.kind, call.numkeys.take()) {
            number
        } else if call.row.name == "pfadd" && argument.multiple && self.random.random_ratio(1, 10) {
            // So many that it becomes dense.
            600
        } else if argument.multiple {
            *[1, 1, 2, 3, 5, 12].choose(&mut self.random).unwrap_or(&1)
        } else {
            1
        };
        for time in 0..times {
            if let Some(token) = &argument.token
                && (time == 0 || argument.multiple_token)
            {
                let token = self.letters(token);
                out.push(token);
            }
            self.value(argument, call, out);
        }
    }

    fn value(&mut self, argument: &Argument, call: &mut CallInProgress, out: &mut Vec<Vec<u8>>) {
        match &argument.kind {
            ArgumentKind::PureToken => {}
            ArgumentKind::OneOf(choices) => {
                let fits = |choice: &&Argument| call.lex || choice.token.as_deref() != Some("BYLEX");
                if let Some(choice) = choices.iter().filter(fits).collect::<Vec<_>>().choose(&mut self.random)
                {
                    let choice = Argument { optional: false, ..(*choice).clone() };
                    self.argument(&choice, call, out);
                }
            }
            ArgumentKind::Block(parts) => {
                for part in parts {
                    self.argument(part, call, out);
                }
            }
            ArgumentKind::Key => {
                let key = self.key(call);
                out.push(key);
            }
            _ => {
                let value = self.scalar(argument, call);
                out.push(value);
            }
        }
    }

    /// A key: of the command's own type most of the time, else of another one.
    fn key(&mut self, call: &mut CallInProgress) -> Vec<u8> {
        let own = match call.row.group {
            Group::String => 's',
            Group::List => 'l',
            Group::Set => 't',
            // What ranges by name give is only defined where all scores are equal, as under these keys.
            Group::SortedSet if call.lex => return self.key_of('y', call.tag),
            Group::SortedSet => 'z',
            Group::Hash => 'h',
            Group::Bitmap => *['b', 'b', 's'].choose(&mut self.random).unwrap_or(&'b'),
            Group::HyperLogLog => 'p',
            Group::Geo => 'g',
            Group::Stream => 'x',
            _ if call.row.name.starts_with("sort") => {
                *['l', 'l', 't', 'z'].choose(&mut self.random).unwrap_or(&'l')
            }
            _ => *['s', 'l', 't', 'z', 'h', 'b', 'p', 'g', 'x'].choose(&mut self.random).unwrap_or(&'s'),
        };
        let kind = if self.random.random_ratio(1, 25) {
            *['s', 'l', 't', 'z', 'h', 'n', 'b', 'p', 'g', 'x'].choose(&mut self.random).unwrap_or(&'s')
        } else {
            own
        };
        call.kind = kind;
        self.key_of(kind, call.tag)
    }

    /// What RESTORE takes: mostly a value of the kind that the key's name says.
    fn dump(&mut self, kind: char) -> Vec<u8> {
        let own: Vec<_> = self.dumps.iter().filter(|(other, _)| *other == kind).collect();
        let dump = match own.choose(&mut self.random) {
            Some((_, dump)) if !self.random.random_ratio(1, 20) => Some(dump.clone()),
            _ => None,
        };
        dump.unwrap_or_else(|| self.text())
    }

    fn key_of(&mut self, kind: char, tag: Option<u32>) -> Vec<u8> {
        let tag = self.only_tag.or(tag).unwrap_or_else(|| self.random.random_range(0..4));
        format!("{{{tag}}}{kind}{}", self.random.random_range(0..4)).into_bytes()
    }

    fn scalar(&mut self, argument: &Argument, call: &mut CallInProgress) -> Vec<u8> {
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
                if wrong {
                    self.odd_number()
                } else {
                    self.expiry(&argument.name, call.row)
                }
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

    /// What the arguments of the smaller families are, which are none of the usual ones.
    fn of_family(&mut self, argument: &Argument, call: &CallInProgress, wrong: bool) -> Option<Vec<u8>> {
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

    fn of_bitmaps(&mut self, name: &str, call: &CallInProgress, wrong: bool) -> Option<Vec<u8>> {
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
            "increment" | "value" if self.random.random_ratio(1, 4) => {
                (self.random.random::<i64>() >> self.random.random_range(0..60)).to_string().into_bytes()
            }
            _ => return None,
        })
    }

    fn of_places(&mut self, name: &str, wrong: bool) -> Option<Vec<u8>> {
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

    fn of_hyperloglogs(&mut self, name: &str) -> Option<Vec<u8>> {
        Some(match name {
            "subcommand" => self.one_of(&["GETREG", "decode", "ENCODING", "encoding", "TODENSE", "nosuch"]),
            "element" => self.random.random_range(0..100_000).to_string().into_bytes(),
            _ => return None,
        })
    }

    /// Arguments of streams that depend on each other or must not be; false for all others.
    fn of_stream_blocks(
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
    fn new_id(&mut self) -> Vec<u8> {
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
    fn known_id(&mut self) -> Vec<u8> {
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

    fn of_streams(&mut self, name: &str, call: &CallInProgress, wrong: bool) -> Option<Vec<u8>> {
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
    fn of_sort(&mut self, call: &CallInProgress) -> Vec<u8> {
        let tag = call.tag.unwrap_or_else(|| self.random.random_range(0..4));
        let pattern = *["#", "nosort", "s*", "s*", "h*->a", "h*->1", "*", "h1->a", "s*->", "l*", "x*->*"]
            .choose(&mut self.random)
            .unwrap_or(&"#");
        if pattern == "#" { pattern.into() } else { format!("{{{tag}}}{pattern}").into_bytes() }
    }

    fn one_of(&mut self, texts: &[&str]) -> Vec<u8> {
        texts.choose(&mut self.random).map_or_else(Vec::new, |text| text.as_bytes().to_vec())
    }

    /// Far enough away that no key expires during a run, or in the past.
    fn expiry(&mut self, name: &str, row: &Command) -> Vec<u8> {
        let step = self.random.random_range(10_000..60_000);
        // A key that SET makes with a time in the past is counted until either server happens to remove it.
        let past = row.name != "set" && self.random.random_ratio(1, 6);
        let soon = if past { -step } else { step };
        let number: i64 = match name {
            "seconds" => soon,
            "milliseconds" => soon * 1000,
            "unix-time-seconds" => 4_000_000_000 * i64::from(soon > 0) + soon.abs(),
            _ => 4_000_000_000_000 * i64::from(soon > 0) + soon.abs() * 1000,
        };
        number.to_string().into_bytes()
    }

    fn offset(&mut self, call: &CallInProgress) -> Vec<u8> {
        let large = self.random.random_ratio(1, 12);
        // A string grows to the offset that SETRANGE names.
        let number: i64 = match (call.row.name, large) {
            ("setrange", _) => self.random.random_range(0..200),
            (_, true) => self.random.random_range(-1000..1000),
            _ => self.random.random_range(-6..7),
        };
        number.to_string().into_bytes()
    }

    fn range_end(&mut self, call: &CallInProgress) -> Vec<u8> {
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

    fn odd_number(&mut self) -> Vec<u8> {
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

    fn integer(&mut self) -> Vec<u8> {
        match self.random.random_range(0..20) {
            0 => self.odd_number(),
            1..4 => self.random.random_range(-100_000i64..100_000).to_string().into_bytes(),
            _ => self.random.random_range(-10i64..11).to_string().into_bytes(),
        }
    }

    fn double(&mut self) -> Vec<u8> {
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

    fn pattern(&mut self) -> Vec<u8> {
        let patterns: &[&str] = &["*", "{1}*", "*s?", "*[lz]*", "*[^0-2]", "", "\\*", "*{*}h1"];
        patterns.choose(&mut self.random).map_or_else(Vec::new, |text| text.as_bytes().to_vec())
    }

    /// A member, field or element: from a small pool, so that calls meet.
    fn word(&mut self) -> Vec<u8> {
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

    fn text(&mut self) -> Vec<u8> {
        match self.random.random_range(0..12) {
            0 => vec![b'y'; self.random.random_range(40..50)],
            1 => vec![b'z'; *[500, 600, 700, 3000].choose(&mut self.random).unwrap_or(&1)],
            2..5 => self.integer(),
            5 => self.double(),
            _ => self.word(),
        }
    }
}

/// The keys that cannot be compared after a request, and therefore have to go.
fn incomparable(request: &Request) -> Vec<&[u8]> {
    let position = |word: &str| request.args.iter().position(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    let argument = |index: usize| request.args.get(index).map(Vec::as_slice);
    match request.name() {
        // Which members go is each server's choice.
        "spop" => argument(1).into_iter().collect(),
        // Each server has its own clock.
        "xadd" if position("*").is_some() => argument(1).into_iter().collect(),
        // Redis unpacks a sorted set when it is sorted. Elements of equal weight come out in any order.
        "sort" | "sort_ro" => {
            let stored = position("store").and_then(|store| argument(store + 1));
            argument(1).into_iter().chain(stored).collect()
        }
        _ => Vec::new(),
    }
}

/// What the arguments so far say about those to come.
struct CallInProgress {
    row: &'static Command,
    tag: Option<u32>,
    numkeys: Option<usize>,
    /// On the keys whose sorted sets have equal scores.
    lex: bool,
    /// The kind of the last key.
    kind: char,
}

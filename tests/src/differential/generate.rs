//! Random requests, made from the grammar of the command table.

mod families;
mod scalars;

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

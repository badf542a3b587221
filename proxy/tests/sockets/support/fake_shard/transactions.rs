//! Transactions of a proxy, as a shard takes them; nothing is locked, since a test sends nothing in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use slotway_common::resp::request::Parsed;
use slotway_common::resp::{Args, Limits, Parser, Protocol, Reply};
use slotway_common::slot::slot_of;

use super::{Connection, Keys, run};

/// The commands of a transaction that one shard runs.
pub struct Part {
    database: u32,
    frames: Vec<u8>,
    count: usize,
    /// The slots that it holds.
    pub slots: Vec<u16>,
}

/// What `-LATER` says.
const LATER: u64 = 7;

impl Connection {
    pub(super) fn transaction(&mut self, args: &Args<'_>, out: &mut Vec<u8>) {
        let name = String::from_utf8_lossy(args.at(0)).into_owned();
        let first_key = match name.as_str() {
            "SLOTWAY-PREPARE" | "SLOTWAY-DECIDE" => 8,
            "SLOTWAY-EXEC" => 6,
            "SLOTWAY-WATCH" => 3,
            _ => args.len(),
        };
        let shared = Arc::clone(&self.state);
        let keys = &mut *shared.keys.lock().expect("state");
        let slots: Vec<u16> = args.rest(first_key).iter().map(slot_of).collect();
        let shown = if first_key == 8 { format!("{name} {}", text(args.at(2))) } else { name.clone() };
        shared.log.lock().expect("state").push(shown);
        if first_key == 8 {
            let moved = shared.moved.lock().expect("state");
            if let Some((slot, address)) = slots.iter().find_map(|slot| Some((slot, moved.get(slot)?))) {
                out.extend_from_slice(format!("-TXMOVED {slot} {address}\r\n").as_bytes());
                return;
            }
        } else if let Some(refusal) = self.refuse(&slots) {
            out.extend_from_slice(refusal.as_bytes());
            return;
        }
        let begins = args.rest(if first_key == 8 { 3 } else { 1 });
        let id = args.at(1).to_vec();
        match name.as_str() {
            "SLOTWAY-WATCH" => {
                let key = |key: &[u8]| (self.database, key.to_vec());
                let now = args.rest(3).iter().map(|name| (key(name), keys.get(&key(name)).cloned()));
                shared.watches.lock().expect("state").entry(id).or_default().extend(now);
                out.extend_from_slice(b"+OK\r\n");
            }
            "SLOTWAY-UNWATCH" => {
                shared.watches.lock().expect("state").remove(&id);
                out.extend_from_slice(b"+OK\r\n");
            }
            "SLOTWAY-PREPARE" | "SLOTWAY-DECIDE" | "SLOTWAY-EXEC" if !self.is_whole(begins.at(0), keys) => {
                out.extend_from_slice(b"*-1\r\n");
            }
            "SLOTWAY-PREPARE" => {
                shared.prepared.lock().expect("state").insert(id, Part::of(&begins));
                self.answer_or_push(b"+PREPARED\r\n", out);
            }
            "SLOTWAY-DECIDE" => {
                let mut replies = Vec::new();
                Part::of(&begins).run(keys, self.protocol, &mut replies);
                self.answer_or_push(&replies, out);
            }
            "SLOTWAY-EXEC" => Part::of(&begins).run(keys, self.protocol, out),
            "SLOTWAY-COMMIT" => match shared.prepared.lock().expect("state").remove(&id) {
                Some(part) => part.run(keys, self.protocol, out),
                None => out.extend_from_slice(b"-NOTRANSACTION it has ended\r\n"),
            },
            "SLOTWAY-ABORT" => {
                shared.prepared.lock().expect("state").remove(&id);
                out.extend_from_slice(b"+OK\r\n");
            }
            _ => out.extend_from_slice(b"+OK\r\n"),
        }
    }

    fn answer_or_push(&self, reply: &[u8], out: &mut Vec<u8>) {
        if self.state.answers_later.load(Ordering::SeqCst) {
            out.extend_from_slice(format!("-LATER {LATER}\r\n").as_bytes());
            out.extend_from_slice(format!(">3\r\n$5\r\nlater\r\n$1\r\n{LATER}\r\n").as_bytes());
        }
        out.extend_from_slice(reply);
    }

    fn is_whole(&self, token: &[u8], keys: &Keys) -> bool {
        let watched = self.state.watches.lock().expect("state").remove(token);
        token.is_empty()
            || watched.is_some_and(|watched| watched.iter().all(|(key, was)| keys.get(key) == was.as_ref()))
    }
}

impl Part {
    /// From the words that begin with the watch.
    fn of(words: &Args<'_>) -> Self {
        Self {
            database: text(words.at(1)).parse().expect("a database"),
            frames: words.at(2).to_vec(),
            count: text(words.at(3)).parse().expect("a number"),
            slots: words.rest(5).iter().map(slot_of).collect(),
        }
    }

    fn run(self, keys: &mut Keys, protocol: Protocol, out: &mut Vec<u8>) {
        Reply::new(out, protocol).array(self.count);
        let (mut parser, mut at, mut database) = (Parser::new(), 0, self.database);
        while let Parsed::Frame(length) =
            parser.parse(&self.frames[at..], &Limits::default()).expect("a request")
        {
            let args = parser.args(&self.frames[at..]);
            if args.is(0, "SELECT") {
                database = text(args.at(1)).parse().expect("a database");
                Reply::new(out, protocol).ok();
            } else {
                run(&args, database, keys, Reply::new(out, protocol));
            }
            at += length;
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

//! Random commands while slots are copied: the target must end with what the source has.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use slotway_common::cluster_state::{self, ClusterState};
use slotway_common::handshake::Identity;
use slotway_common::resp::request::{self, Limits, Parsed};
use slotway_common::resp::{Args, Parser};
use slotway_common::slot::{Slot, slot_of};
use slotway_common::topology::SlotRanges;

use super::*;
use crate::changes::Finished;
use crate::client::Client;
use crate::commands::HANDLERS;
use crate::dispatch::{self, Prepared};
use crate::engine::{DATABASES, Engine, Key, LazyFree};
use crate::metrics::ShardCells;
use crate::node::{Node, Shard};
use crate::session::Session;
use crate::stream::{Digest, Frames};

const TAGS: [&str; 3] = ["{a}", "{b}", "{c}"];

pub(crate) fn shard() -> Shard {
    let mut state = ClusterState::default();
    state.cluster.push_str("test");
    state.generation = 1;
    state.shards.push(cluster_state::Shard {
        name: "a".to_owned(),
        epoch: 1,
        nodes: vec![cluster_state::Node {
            id: "a-0".to_owned(),
            address: "127.0.0.1:1".to_owned(),
            control: "127.0.0.1:2".to_owned(),
            admin: "127.0.0.1:3".to_owned(),
            incarnation: 1,
        }],
        slots: SlotRanges::all(),
    });
    let identity = Identity { cluster: "test".to_owned(), node: "a-0".to_owned() };
    let mut node = Node::new(identity, None, 1, Arc::new(ShardCells::default()), &HANDLERS);
    // On a machine that is slow a proxy would be told of commands before their replies.
    node.slow_log.threshold = None;
    let mut shard = Shard { engine: Engine::new(LazyFree::default()), node };
    shard.adopt(&Arc::new(state));
    shard.node.changes.begin(&mut shard.engine, 0);
    shard.engine.limits.set_max_intset_entries = 8;
    shard.engine.limits.hash_max_listpack_entries = 8;
    shard.engine.limits.zset_max_listpack_entries = 8;
    shard
}

pub(crate) fn session() -> Session {
    let mut session = Session::new(Rc::new(Client::new(1, String::new(), String::new(), 0)));
    // Commands on several slots at once, as a proxy sends them.
    session.internal = Some(Rc::from("proxy-0"));
    session
}

pub(crate) fn run(shard: &mut Shard, session: &mut Session, words: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    request::encode(words.iter().map(Vec::as_slice), &mut bytes);
    let mut parser = Parser::new();
    let limits = Limits { max_bulk: usize::MAX, authenticated: true };
    assert!(matches!(parser.parse(&bytes, &limits), Ok(Parsed::Frame(_))));
    let args: Args<'_> = parser.args(&bytes);
    let prepared = Prepared::new(&args, true);
    let mut out = Vec::new();
    dispatch::execute(shard, session, &prepared, args, &mut out, Instant::now());
}

fn slots() -> Vec<Slot> {
    let mut slots: Vec<Slot> = TAGS.iter().map(|tag| slot_of(tag.as_bytes())).collect();
    slots.sort_unstable();
    slots
}

/// A key of an engine: its database, name, expiry and encoded value.
pub(crate) type Content = (usize, Vec<u8>, Option<i64>, Vec<u8>);

fn contents(engine: &Engine) -> Vec<Content> {
    contents_of(engine, slots())
}

pub(crate) fn contents_of(engine: &Engine, slots: impl IntoIterator<Item = Slot>) -> Vec<Content> {
    let mut found = Vec::new();
    for slot in slots {
        for db in 0..DATABASES {
            let records = engine.slot(slot).database(db).into_iter().flat_map(|database| database.iter());
            for record in records {
                let mut value = Vec::new();
                crate::rdb::encode(record, crate::rdb::Compression::None, &mut value);
                found.push((db, record.key().to_vec(), record.expire_at(), sorted(record, value)));
            }
        }
    }
    found.sort();
    found
}

/// Sets and hashes in tables have no order that must be kept.
fn sorted(record: &crate::engine::Record, value: Vec<u8>) -> Vec<u8> {
    use crate::types::Object;
    let mut items: Vec<Vec<u8>> = match record.value() {
        Some(Object::Set(set)) => set.iter().map(|item| item.to_vec()).collect(),
        Some(Object::Hash(hash)) => hash
            .iter()
            .map(|(field, value)| [field.to_vec(), b"=".to_vec(), value.to_vec()].concat())
            .collect(),
        Some(Object::ZSet(zset)) => zset
            .iter()
            .map(|(member, score)| [member.to_vec(), score.to_bits().to_be_bytes().to_vec()].concat())
            .collect(),
        _ => return value,
    };
    items.sort();
    items.concat()
}

#[derive(Clone, Debug)]
enum Step {
    Run(Vec<Vec<u8>>),
    Select(usize),
    Copy,
    Send(usize),
    Pass(i64),
    Sweep,
}

fn key() -> impl Strategy<Value = String> {
    (0usize..3, 0u8..6).prop_map(|(tag, number)| format!("{}{number}", TAGS[tag]))
}

fn sized(text: u16) -> String {
    match text % 40 {
        0 => "x".repeat(200_000),
        1 => "y".repeat(3000),
        _ => format!("v{text}"),
    }
}

fn command() -> impl Strategy<Value = Vec<Vec<u8>>> {
    (0usize..36, key(), key(), any::<u16>(), 0u8..20).prop_map(|(kind, first, second, text, small)| {
        let value = sized(text);
        let small = small.to_string();
        // A key of the first one's slot.
        let near = format!("{}{}", &first[..3], &second[3..]);
        let words: Vec<String> = match kind {
            0 => vec!["SET".into(), first, value],
            1 => vec!["SET".into(), first, value, "PX".into(), text.to_string() + "1"],
            2 => vec!["APPEND".into(), first, value],
            3 => vec!["INCR".into(), first],
            4 | 5 => vec!["RPUSH".into(), first, value, "b".into(), "c".into()],
            6 => vec!["LPUSH".into(), first, value],
            7 => vec!["LPOP".into(), first, "2".into()],
            8 => vec!["LMOVE".into(), first, near, "LEFT".into(), "RIGHT".into()],
            9 | 10 => vec!["SADD".into(), first, value, small],
            11 => vec!["SPOP".into(), first, "3".into()],
            12 => vec!["SPOP".into(), first],
            13 => vec!["SMOVE".into(), first, near, small],
            14 => vec!["SUNIONSTORE".into(), first, near, second],
            15 | 16 => vec!["HSET".into(), first, small, value],
            17 => vec!["HDEL".into(), first, small],
            18 => vec!["HINCRBYFLOAT".into(), first, small, "1.1".into()],
            19 | 20 => vec!["ZADD".into(), first, small.clone(), small],
            21 => vec!["ZPOPMIN".into(), first],
            22 => vec!["ZUNIONSTORE".into(), first, "2".into(), near, second],
            23 => vec!["DEL".into(), first, second],
            24 => vec!["MSET".into(), first, value, second, small],
            25 => vec!["RENAME".into(), first, second],
            26 => vec!["RENAME".into(), first, near],
            27 => vec!["COPY".into(), first, near, "DB".into(), "3".into(), "REPLACE".into()],
            28 => vec!["MOVE".into(), first, "3".into()],
            29 => vec!["PEXPIRE".into(), first, text.to_string()],
            30 => vec!["PERSIST".into(), first],
            31 => vec!["GETEX".into(), first, "EX".into(), "1".into()],
            32 => vec!["SETRANGE".into(), first, "100".into(), small],
            33 if text % 8 == 0 => vec!["SWAPDB".into(), "0".into(), "3".into()],
            34 if text % 8 == 0 => vec!["FLUSHDB".into()],
            _ => vec!["INCRBYFLOAT".into(), first, "0.3".into()],
        };
        words.into_iter().map(String::into_bytes).collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => command().prop_map(Step::Run),
        1 => prop_oneof![Just(0usize), Just(3), Just(7)].prop_map(Step::Select),
        3 => Just(Step::Copy),
        2 => (1usize..200_000).prop_map(Step::Send),
        1 => (1i64..400).prop_map(Step::Pass),
        1 => Just(Step::Sweep),
    ]
}

struct Pair {
    source: Shard,
    session: Session,
    target: Target,
    other: Shard,
    frames: Frames,
    now: i64,
}

impl Pair {
    fn new() -> Self {
        let source = shard();
        let target = Target::new(source.engine.limits, &HANDLERS.data, LazyFree::default());
        let mut pair = Self {
            source,
            session: session(),
            target,
            other: shard(),
            frames: Frames::new(),
            now: 1_000_000,
        };
        pair.pass(0);
        pair
    }

    fn pass(&mut self, time: i64) {
        self.now += time;
        self.source.engine.set_now(self.now);
    }

    fn begin(&mut self) {
        let Shard { engine, node } = &mut self.source;
        let copy = node.changes.begin_copy(engine, slots(), Finished::Followed, (0, Digest::default()));
        node.moves.batches.push(Batch::new("1".to_owned(), copy, slots()));
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Run(words) => run(&mut self.source, &mut self.session, words),
            Step::Select(db) => self.session.db = *db,
            Step::Pass(time) => self.pass(*time),
            Step::Sweep => {
                self.source.engine.sweep_expired(std::time::Duration::from_secs(1));
                if self.source.engine.has_notes() {
                    let Shard { engine, node } = &mut self.source;
                    node.note_changes(engine, None);
                }
            }
            Step::Copy => {
                let Shard { engine, node } = &mut self.source;
                if let Some(batch) = node.moves.batch("1") {
                    node.changes.advance(engine, batch.copy);
                }
            }
            Step::Send(budget) => self.send(*budget),
        }
    }

    fn copy(&mut self) -> Option<&mut SlotCopy> {
        let id = self.source.node.moves.batch("1")?.copy;
        self.source.node.changes.copy_mut(id)
    }

    fn is_copied(&mut self) -> bool {
        self.copy().unwrap().is_copied()
    }

    fn send(&mut self, budget: usize) {
        let mut sent = Vec::new();
        if let Some(copy) = self.copy() {
            copy.send(budget, &mut sent);
        }
        self.frames.buffer().extend(sent);
        assert_eq!(self.apply(), None);
    }

    fn apply(&mut self) -> Option<Vec<Slot>> {
        loop {
            let before = self.frames.digest();
            let frame = self.frames.take().unwrap()?;
            match self.target.apply(&frame, before).unwrap() {
                Applied::Going => {}
                Applied::Complete(slots) => return Some(slots),
            }
        }
    }

    /// Copies the rest, hands over, and compares.
    fn finish(mut self) {
        while !self.is_copied() {
            self.step(&Step::Copy);
        }
        self.send(usize::MAX);
        self.source.park("1");
        let Shard { engine, node } = &mut self.source;
        let id = node.moves.batch("1").unwrap().copy;
        node.changes.copy_mut(id).unwrap().put_final(engine, self.frames.buffer());
        let prepared = self.apply().unwrap();
        assert_eq!(prepared, slots());
        for slot in prepared {
            let space = self.target.hand_over(slot);
            self.other.engine.attach(slot, space);
        }
        assert_eq!(contents(&self.source.engine), contents(&self.other.engine));
        for db in 0..DATABASES {
            let (one, two) = (self.source.engine.totals(db), self.other.engine.totals(db));
            assert_eq!((one.keys(), one.expires()), (two.keys(), two.expires()));
        }
        for slot in slots() {
            let left = self.source.engine.detach(slot);
            self.source.engine.free(left);
        }
        assert_eq!(self.source.engine.totals(0).keys(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_copy_under_any_commands_is_exact(
        before in proptest::collection::vec(command(), 0..60),
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut pair = Pair::new();
        for words in &before {
            run(&mut pair.source, &mut pair.session, words);
        }
        pair.begin();
        for step in &steps {
            pair.step(step);
        }
        pair.finish();
    }
}

#[test]
fn a_large_value_goes_in_parts_while_it_is_changed() {
    let mut pair = Pair::new();
    let words = |text: &str| text.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    for number in 0..60_000 {
        run(&mut pair.source, &mut pair.session, &words(&format!("RPUSH {{a}}list element-{number}")));
        run(&mut pair.source, &mut pair.session, &words(&format!("ZADD {{b}}zset {number} member-{number}")));
        run(&mut pair.source, &mut pair.session, &words(&format!("HSET {{c}}hash {number} value-{number}")));
    }
    pair.begin();
    let mut number = 0;
    while !pair.is_copied() {
        pair.step(&Step::Copy);
        for _ in 0..20 {
            number += 1;
            run(&mut pair.source, &mut pair.session, &words(&format!("LPUSH {{a}}list new-{number}")));
            run(&mut pair.source, &mut pair.session, &words(&format!("ZREM {{b}}zset member-{number}")));
            run(&mut pair.source, &mut pair.session, &words(&format!("HSET {{c}}hash {number} changed")));
            pair.send(1000);
        }
    }
    pair.finish();
}

/// The target keeps what has expired until it is told: a command that made its key anew must not go on with what was there.
#[test]
fn a_key_that_has_expired_is_made_anew_at_the_target_too() {
    for line in [
        "APPEND {a}1 x",
        "SETRANGE {a}1 5 x",
        "SETBIT {a}1 90 1",
        "BITFIELD {a}1 SET u8 40 1",
        "INCR {a}1",
        "INCRBYFLOAT {a}1 1",
        "SETNX {a}1 x",
        "SET {a}1 x KEEPTTL",
        "MSETNX {a}1 x {a}2 x",
        "PFADD {a}1 x",
        "LPUSH {a}1 x",
        "SETEX {a}1 100 x",
        "COPY {a}2 {a}1",
        "BITOP NOT {a}1 {a}2",
        "SUNIONSTORE {a}1 {a}3",
    ] {
        let mut pair = Pair::new();
        let words = |text: &str| text.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        for before in ["SET {a}1 1 PX 10", "SET {a}2 2", "SADD {a}3 x"] {
            run(&mut pair.source, &mut pair.session, &words(before));
        }
        pair.begin();
        while !pair.is_copied() {
            pair.step(&Step::Copy);
        }
        pair.send(usize::MAX);
        pair.pass(20);
        run(&mut pair.source, &mut pair.session, &words(line));
        pair.finish();
    }
}

#[test]
fn a_key_with_an_expiry_that_has_passed_arrives_and_goes_when_it_is_served() {
    let mut pair = Pair::new();
    let words = |text: &str| text.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    run(&mut pair.source, &mut pair.session, &words("SET {a}1 x PX 10"));
    pair.begin();
    pair.pass(20);
    let now = pair.now;
    let key = Key::new(b"{a}1");
    while !pair.is_copied() {
        pair.step(&Step::Copy);
    }
    pair.send(usize::MAX);
    let space = pair.target.hand_over(key.slot);
    pair.other.engine.attach(key.slot, space);
    assert_eq!(pair.other.engine.totals(0).keys(), 1);
    pair.other.engine.set_now(now);
    assert!(!pair.other.engine.exists(0, &key));
    assert_eq!(pair.other.engine.totals(0).keys(), 0);
}

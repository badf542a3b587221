//! Random commands: whoever follows their changes, or copies slots meanwhile, must end with what the node has.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use slotway_common::command::{self, TABLE};
use slotway_common::slot::{SLOTS, Slot, slot_of};
use slotway_tests::differential::generate::Generator;

use super::*;
use crate::commands::HANDLERS;
use crate::engine::LazyFree;
use crate::migration::tests::{contents_of, run, session, shard};
use crate::migration::{Applied, Target};
use crate::node::Shard;
use crate::session::Session;
use crate::stream::{Frames, Sink};

/// What follows a node's changes from the start, as a log that is read back does.
struct Follower {
    shard: Shard,
    sink: Sink,
    sequence: u64,
}

impl Follower {
    fn new() -> Self {
        let mut shard = shard();
        shard.engine.keep_expired();
        shard.engine.note_changes(false);
        shard.engine.limits.max_string = usize::MAX;
        Self { shard, sink: Sink::new(&HANDLERS.data), sequence: 0 }
    }

    /// Applies frames whose numbers follow on those before, but for those that `wanted` has already.
    fn apply(&mut self, bytes: &[u8], wanted: impl Fn(Slot, u64) -> bool) {
        let mut rest = bytes;
        while let Ok(found) = frame::parse(rest) {
            assert_eq!(found.sequence, self.sequence + 1);
            self.sequence = found.sequence;
            if wanted(found.slot, found.sequence) {
                let head = (found.kind, found.db, found.slot);
                self.sink.apply(head, found.payload, &mut self.shard.engine).unwrap();
            }
            rest = &rest[found.length()..];
        }
        assert!(rest.is_empty());
    }
}

/// A node that runs random requests.
struct Writer {
    shard: Shard,
    session: Session,
    requests: Generator,
    random: StdRng,
    now: i64,
}

impl Writer {
    fn new(seed: u64) -> Self {
        let mut writer = Self {
            shard: shard(),
            session: session(),
            requests: Generator::new(StdRng::seed_from_u64(seed), false, &[]),
            random: StdRng::seed_from_u64(seed + 1),
            now: clock_now(),
        };
        writer.pass();
        writer
    }

    fn pass(&mut self) {
        self.now += self.random.random_range(0..40);
        self.shard.engine.set_now(self.now);
    }

    fn write(&mut self, requests: usize) {
        for _ in 0..requests {
            self.pass();
            let request = self.requests.request();
            run(&mut self.shard, &mut self.session, &request.args);
            if self.random.random_ratio(1, 50) {
                self.shard.engine.sweep_expired(std::time::Duration::from_millis(1));
                let Shard { engine, node } = &mut self.shard;
                node.note_changes(engine, None);
            }
        }
    }

    fn take(&mut self) -> Vec<u8> {
        self.shard.node.changes.take().map(|(bytes, _)| bytes).unwrap_or_default()
    }
}

fn clock_now() -> i64 {
    slotway_common::platform::clock::now_ms()
}

fn assert_equal(one: &Shard, other: &Shard, slots: impl IntoIterator<Item = Slot> + Clone) {
    let (found, expected) = (contents_of(&one.engine, slots.clone()), contents_of(&other.engine, slots));
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn whoever_follows_random_commands_ends_with_what_they_left() {
    for seed in seeds(6) {
        let mut writer = Writer::new(seed);
        writer.shard.node.changes.follow(true);
        let mut follower = Follower::new();
        for _ in 0..40 {
            writer.write(100);
            follower.apply(&writer.take(), |_, _| true);
        }
        assert_eq!(follower.sequence, writer.shard.node.changes.sequence());
        assert_equal(&follower.shard, &writer.shard, 0..SLOTS);
    }
}

/// What the random requests leave out is not compared by the tests here.
#[test]
fn every_write_is_among_the_random_commands() {
    let mut requests = Generator::new(StdRng::seed_from_u64(1), false, &[]);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..60_000 {
        let request = requests.request();
        let words = crate::dispatch::OwnedWords::new(&request.args);
        seen.extend(command::find(&words.args()).map(|row| row.id));
    }
    let data = TABLE.iter().filter(|row| HANDLERS.data[usize::from(row.id)].is_some());
    let unseen: Vec<&str> =
        data.filter(|row| row.is_write() && !seen.contains(&row.id)).map(|row| row.name).collect();
    // What waits travels as what it does where there is something.
    assert!(unseen.iter().all(|name| name.starts_with('b')), "{unseen:?}");
    assert_eq!(unseen.len(), 8);
}

/// A base of the log in the making: what has been copied, and the number that each slot's end told.
struct Base {
    id: CopyId,
    frames: Frames,
    follower: Follower,
    as_of: Vec<u64>,
}

impl Base {
    fn begin(writer: &mut Writer) -> Self {
        let Shard { engine, node } = &mut writer.shard;
        let slots = (0..SLOTS).filter(|slot| engine.slot(*slot).keys() > 0).collect();
        let id = node.changes.begin_copy(engine, slots, Finished::LeftOut, (0, Digest::default()));
        let mut follower = Follower::new();
        follower.sequence = node.changes.sequence();
        Self { id, frames: Frames::new(), follower, as_of: vec![0; usize::from(SLOTS)] }
    }

    /// Copies a little; false when there is nothing left.
    fn advance(&mut self, writer: &mut Writer) -> bool {
        let Shard { engine, node } = &mut writer.shard;
        node.changes.advance(engine, self.id);
        let copy = node.changes.copy_mut(self.id).unwrap();
        let more = copy.send(usize::MAX, self.frames.buffer()) || !copy.is_copied();
        while let Some(found) = self.frames.take().unwrap() {
            let engine = &mut self.follower.shard.engine;
            match found.kind {
                Kind::Begin => drop(engine.detach(found.slot)),
                Kind::End => {
                    self.as_of[usize::from(found.slot)] =
                        u64::from_le_bytes(found.payload.try_into().unwrap());
                }
                _ => {
                    let head = (found.kind, found.db, found.slot);
                    self.follower.sink.apply(head, found.payload, engine).unwrap();
                }
            }
        }
        more
    }
}

/// A batch of a move.
struct Moving {
    id: CopyId,
    slots: Vec<Slot>,
    frames: Frames,
    target: Target,
    other: Shard,
}

impl Moving {
    fn begin(writer: &mut Writer, slots: Vec<Slot>) -> Self {
        let Shard { engine, node } = &mut writer.shard;
        let start = (0, Digest::default());
        let id = node.changes.begin_copy(engine, slots.clone(), Finished::Followed, start);
        let limits = engine.limits;
        let target = Target::new(limits, &HANDLERS.data, LazyFree::default());
        Self { id, slots, frames: Frames::new(), target, other: shard() }
    }

    fn advance(&mut self, writer: &mut Writer, most: usize) -> bool {
        let Shard { engine, node } = &mut writer.shard;
        node.changes.advance(engine, self.id);
        let copy = node.changes.copy_mut(self.id).unwrap();
        copy.send(most, self.frames.buffer());
        let is_copied = copy.is_copied();
        self.apply();
        !is_copied
    }

    fn apply(&mut self) -> Option<Vec<Slot>> {
        loop {
            let before = self.frames.digest();
            let found = self.frames.take().unwrap()?;
            if let Applied::Complete(slots) = self.target.apply(&found, before).unwrap() {
                return Some(slots);
            }
        }
    }

    fn finish(mut self, writer: &mut Writer) {
        let Shard { engine, node } = &mut writer.shard;
        let copy = node.changes.copy_mut(self.id).unwrap();
        copy.send(usize::MAX, self.frames.buffer());
        copy.put_final(engine, self.frames.buffer());
        assert_eq!(self.apply().as_ref(), Some(&self.slots));
        node.changes.end_copy(engine, self.id);
        for slot in &self.slots {
            let space = self.target.hand_over(*slot);
            self.other.engine.attach(*slot, space);
        }
        assert_equal(&self.other, &writer.shard, self.slots.clone());
    }
}

/// The slots of the generator's keys whose tags are numbers below `tags`.
fn tagged(tags: u32) -> Vec<Slot> {
    let mut slots: Vec<Slot> = (0..tags).map(|tag| slot_of(format!("{{{tag}}}").as_bytes())).collect();
    slots.sort_unstable();
    slots.dedup();
    slots
}

#[test]
fn copies_of_the_same_slots_at_the_same_time_are_all_exact() {
    for seed in seeds(8) {
        let mut writer = Writer::new(seed);
        writer.shard.node.changes.follow(true);
        writer.write(1500);
        writer.take();
        let mut base = Base::begin(&mut writer);
        let mut first = Some(Moving::begin(&mut writer, tagged(3)));
        let mut second = Some(Moving::begin(&mut writer, tagged(2)));
        let mut stream = Vec::new();
        let (mut base_goes_on, mut rounds) = (true, 0);
        while base_goes_on || first.is_some() || second.is_some() || rounds < 60 {
            rounds += 1;
            let requests = writer.random.random_range(0..20);
            writer.write(requests);
            stream.extend(writer.take());
            if base_goes_on && writer.random.random_ratio(1, 2) {
                base_goes_on = base.advance(&mut writer);
            }
            for moving in [&mut first, &mut second] {
                let most = writer.random.random_range(0..4000);
                if writer.random.random_ratio(1, 3)
                    && let Some(copying) = moving
                    && !copying.advance(&mut writer, most)
                    && writer.random.random_ratio(1, 4)
                    && let Some(ended) = moving.take()
                {
                    ended.finish(&mut writer);
                }
            }
        }
        stream.extend(writer.take());
        let Base { mut follower, as_of, id, .. } = base;
        follower.apply(&stream, |slot, sequence| sequence > as_of[usize::from(slot)]);
        assert_equal(&follower.shard, &writer.shard, 0..SLOTS);
        let Shard { engine, node } = &mut writer.shard;
        assert!(node.changes.end_copy(engine, id).is_some());
    }
}

#[test]
fn every_change_has_a_number_whether_anybody_follows_or_not() {
    for followed in [false, true] {
        let mut writer = Writer::new(1);
        writer.shard.node.changes.follow(followed);
        let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let slot = slot_of(b"{a}1");
        let lines = ["SET {a}1 x", "GET {a}1", "MSET {a}1 y {b}1 z", "DEL {a}1", "DEL {a}1", "SPOP {c}1"];
        let mut found = Vec::new();
        for line in lines {
            run(&mut writer.shard, &mut writer.session, &words(line));
            let changes = &writer.shard.node.changes;
            found.push((changes.sequence(), changes.last_of(slot)));
        }
        // Which slot's it was is kept up only for who follows.
        let last = if followed { 2 } else { 3 };
        assert_eq!(found, [(1, 1), (1, 1), (3, last), (4, 4), (4, 4), (4, 4)], "{followed}");
    }
}

fn seeds(count: u64) -> Vec<u64> {
    let first: u64 = match std::env::var("SLOTWAY_SEED") {
        Ok(seed) => return vec![seed.parse().unwrap()],
        Err(_) => rand::rng().random_range(0..1_000_000_000),
    };
    println!("SLOTWAY_SEED={first} and the {} after it", count - 1);
    (first..first + count).collect()
}

#[test]
fn planted_bugs_of_changes_and_copies_are_found() {
    for (planted, found_by) in [
        ("change-without-number", "every_change_has_a_number_whether_anybody_follows_or_not"),
        ("copies-share-a-mark", "copies_of_the_same_slots_at_the_same_time_are_all_exact"),
    ] {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("changes::tests::{found_by}")])
            .env("SLOTWAY_PLANTED", planted)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && text.contains("1 failed"), "{planted}: {text}");
    }
}

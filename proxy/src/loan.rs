//! A batch that has commands with keys on several shards: one shard runs all of it, and borrows the values of the others' keys.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use slotway_common::command::{self, Command, DbKey, Need, Window, put_need};
use slotway_common::number::parse_i64;
use slotway_common::resp::request;
use slotway_common::slot::slot_of;

use crate::transaction::{Batch, How, ShardWatch, Slots, Watch, add_slot};

/// What takes part, in the order in which the shards are to lock; the last one runs it.
#[derive(Debug)]
pub(crate) struct Loan {
    pub(crate) lenders: Vec<Lender>,
    batch: Batch,
}

/// A shard that has some of the keys.
#[derive(Debug)]
pub(crate) struct Lender {
    /// Position of the shard, and its name.
    pub(crate) shard: usize,
    pub(crate) name: Rc<str>,
    /// Its keys, in the order in which they are named.
    keys: Vec<Need>,
    slots: Slots,
    watch: Option<ShardWatch>,
}

/// Why there can be no loan.
#[derive(Debug)]
pub(crate) enum NoLoan {
    /// Nobody owns this slot.
    Unowned(u16),
    /// This command cannot be part of one.
    Command(&'static Command),
}

impl Loan {
    /// Finds the keys of a batch and their shards; `more` are keys that it needs beside those that it names, or of which it needs
    /// more.
    pub(crate) fn of(
        batch: &Batch,
        watch: Option<&Watch>,
        more: &[Need],
        owner: impl Fn(u16) -> Option<(usize, Rc<str>)>,
    ) -> Result<Self, NoLoan> {
        let mut lenders: Vec<Lender> = Vec::new();
        // Where a key stands: its lender, and its place there.
        let mut places: HashMap<DbKey, (usize, usize)> = HashMap::new();
        let lender_of = |slot: u16, lenders: &mut Vec<Lender>| -> Result<usize, NoLoan> {
            let (shard, name) = owner(slot).ok_or(NoLoan::Unowned(slot))?;
            if let Some(known) = lenders.iter().position(|lender| lender.shard == shard) {
                return Ok(known);
            }
            let watch = watch.and_then(|watch| watch.on(shard)).cloned();
            lenders.push(Lender { shard, name, keys: Vec::new(), slots: Vec::new(), watch });
            Ok(lenders.len() - 1)
        };
        let mut add = |database: u32, key: &[u8], window: Window, lenders: &mut Vec<Lender>| {
            let position = lender_of(slot_of(key), lenders)?;
            let Some(lender) = lenders.get_mut(position) else { return Ok(()) };
            match places.entry((database, key.to_vec())) {
                Entry::Occupied(place) => {
                    if let Some((_, needed)) = lender.keys.get_mut(place.get().1) {
                        *needed = std::mem::replace(needed, Window::Whole).join(window);
                    }
                }
                Entry::Vacant(place) => {
                    lender.keys.push((place.key().clone(), window));
                    place.insert((position, lender.keys.len() - 1));
                    add_slot(&mut lender.slots, key);
                }
            }
            Ok(())
        };
        let mut database = batch.database;
        let mut result = Ok(());
        batch.each(|command, args| {
            if command.name == "select" {
                let selected = parse_i64(args.at(1)).and_then(|number| u32::try_from(number).ok());
                // As the command itself: one that there is not leaves things as they are.
                database = selected.filter(|index| *index < command::DATABASES).unwrap_or(database);
            }
            for (position, window) in command::windows(command, args) {
                if result.is_ok() {
                    result = add(database, args.at(position), window, &mut lenders);
                }
            }
            if let Some((position, other)) = command::key_elsewhere(command, args)
                && result.is_ok()
            {
                result = add(other, args.at(position), Window::Replaced, &mut lenders);
            }
            if command.publishes() && result.is_ok() {
                result = Err(NoLoan::Command(command));
            }
        });
        result?;
        for ((database, key), window) in more {
            add(*database, key, window.clone(), &mut lenders)?;
        }
        for (slot, key) in watch.into_iter().flat_map(Watch::keys) {
            let position = lender_of(*slot, &mut lenders)?;
            if let Some(lender) = lenders.get_mut(position) {
                add_slot(&mut lender.slots, key);
            }
        }
        lenders.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(Self { lenders, batch: batch.clone() })
    }

    /// Adds a shard that has none of the keys.
    pub(crate) fn add(&mut self, shard: usize, name: Rc<str>) {
        self.lenders.push(Lender { shard, name, keys: Vec::new(), slots: Vec::new(), watch: None });
    }

    /// The name of the shard that runs it.
    pub(crate) fn runner(&self) -> &str {
        self.lenders.last().map_or("", |lender| &lender.name)
    }

    /// The request that has a shard lend its keys.
    pub(crate) fn prepare(&self, lender: &Lender, id: &str) -> Vec<u8> {
        let (token, database) = (token_of(lender), self.batch.database.to_string());
        let head: [&[u8]; 8] = [
            b"SLOTWAY-PREPARE",
            id.as_bytes(),
            self.runner().as_bytes(),
            token.as_bytes(),
            database.as_bytes(),
            &lender.list(),
            b"0",
            b"part lend",
        ];
        encode(&head, &[], lender)
    }

    /// The request that has the last shard run it; `lent`: what each of the others has lent.
    pub(crate) fn run<'a>(
        &self,
        runner: &Lender,
        id: &str,
        how: How,
        known: bool,
        lent: impl Fn(usize) -> &'a [u8],
    ) -> Vec<u8> {
        let (token, database) = (token_of(runner), self.batch.database.to_string());
        let others = self.lenders.len().saturating_sub(1);
        let (count, lenders) = (self.batch.count.to_string(), others.to_string());
        let head: [&[u8]; 9] = [
            b"SLOTWAY-RUN",
            id.as_bytes(),
            token.as_bytes(),
            database.as_bytes(),
            self.batch.frames(),
            count.as_bytes(),
            how.words(known && self.batch.calls_digests()),
            &runner.list(),
            lenders.as_bytes(),
        ];
        let mut words: Vec<&[u8]> = Vec::new();
        for (position, lender) in self.lenders.iter().take(others).enumerate() {
            words.push(lender.name.as_bytes());
            words.push(lent(position));
        }
        encode(&head, &words, runner)
    }
}

impl Lender {
    /// Its keys, as shards read such a list.
    fn list(&self) -> Vec<u8> {
        let mut list = Vec::new();
        for ((database, key), window) in &self.keys {
            put_need(*database, key, window, &mut list);
        }
        list
    }
}

fn token_of(lender: &Lender) -> String {
    lender.watch.as_ref().map_or_else(String::new, |watch| watch.token.to_string())
}

fn encode(head: &[&[u8]], words: &[&[u8]], lender: &Lender) -> Vec<u8> {
    let mut frame = Vec::new();
    let keys = lender.slots.iter().map(|(_, key)| &**key);
    let words: Vec<&[u8]> = head.iter().chain(words).copied().chain(keys).collect();
    request::encode(words.into_iter(), &mut frame);
    frame
}

/// The request that has a shard take back what its keys have become.
pub(crate) fn commit(id: &str, values: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    request::encode([&b"SLOTWAY-COMMIT"[..], id.as_bytes(), values].into_iter(), &mut frame);
    frame
}

#[cfg(test)]
mod tests {
    use slotway_common::command::{lookup, read_needs};
    use slotway_common::resp::request::Parsed;
    use slotway_common::resp::{Limits, Parser};

    use super::*;
    use crate::owned::OwnedArgs;

    fn batch(commands: &[&[&str]]) -> Batch {
        let mut batch = Batch::empty(0);
        for words in commands {
            let args = OwnedArgs::from_words(words.iter().map(|word| word.as_bytes()));
            batch.push(lookup(words[0].as_bytes()).unwrap(), &args.args());
        }
        batch
    }

    fn words(frame: &[u8]) -> Vec<String> {
        let mut parser = Parser::new();
        let limits = Limits { max_bulk: usize::MAX, authenticated: true };
        assert!(matches!(parser.parse(frame, &limits), Ok(Parsed::Frame(_))));
        parser.args(frame).iter().map(|word| word.escape_ascii().to_string()).collect()
    }

    /// Three shards, by the first letter of the key.
    fn loan(commands: &[&[&str]], more: &[Need]) -> Result<Loan, NoLoan> {
        let shards: Vec<(u16, usize, &str)> =
            vec![(slot_of(b"a"), 0, "west"), (slot_of(b"b"), 1, "east"), (slot_of(b"c"), 2, "north")];
        let owner = move |slot| {
            let found = shards.iter().find(|(own, ..)| *own == slot);
            found.map(|(_, shard, name)| (*shard, Rc::from(*name)))
        };
        Loan::of(&batch(commands), None, more, owner)
    }

    #[test]
    fn keys_are_lent_by_their_shards_and_the_last_by_name_runs_the_commands() {
        let loan = loan(
            &[&["rename", "a", "b"], &["select", "3"], &["get", "a"]],
            &[((0, b"c".to_vec()), Window::Whole)],
        )
        .unwrap();
        let names: Vec<&str> = loan.lenders.iter().map(|lender| &*lender.name).collect();
        assert_eq!(names, ["east", "north", "west"]);
        let lists: Vec<Vec<Need>> =
            loan.lenders.iter().map(|lender| read_needs(&lender.list()).unwrap()).collect();
        let key = |database, key: &[u8], window| ((database, key.to_vec()), window);
        assert_eq!(lists[0], [key(0, b"b", Window::Replaced)]);
        assert_eq!(lists[1], [key(0, b"c", Window::Whole)]);
        assert_eq!(lists[2], [key(0, b"a", Window::Whole), key(3, b"a", Window::Whole)]);
        let prepare = words(&loan.prepare(&loan.lenders[0], "x-1"));
        assert_eq!(
            prepare,
            ["SLOTWAY-PREPARE", "x-1", "west", "", "0", "\\x00\\x01b\\x02", "0", "part lend", "b"]
        );
        let run = loan.run(&loan.lenders[2], "x-1", How::Part, true, |position| [b"L0", b"L1"][position]);
        let run = words(&run);
        assert_eq!(run[..4], ["SLOTWAY-RUN", "x-1", "", "0"]);
        assert_eq!(run[5..7], ["3", "part"]);
        assert_eq!(run[8..], ["2", "east", "L0", "north", "L1", "a"]);
    }

    #[test]
    fn databases_that_there_are_not_are_not_asked_for() {
        let commands: [&[&str]; 3] =
            [&["select", "2147483648"], &["copy", "a", "b", "DB", "16"], &["move", "b", "16"]];
        let loan = loan(&commands, &[]).unwrap();
        let databases = loan.lenders.iter().flat_map(|lender| read_needs(&lender.list()).unwrap());
        assert!(databases.map(|((database, _), _)| database).all(|database| database == 0));
    }

    #[test]
    fn messages_and_slots_of_nobody_are_no_part_of_a_loan() {
        assert!(matches!(loan(&[&["rename", "a", "z"]], &[]), Err(NoLoan::Unowned(_))));
        let published = loan(&[&["rename", "a", "b"], &["publish", "a", "x"]], &[]);
        assert!(matches!(published, Err(NoLoan::Command(_))));
    }
}

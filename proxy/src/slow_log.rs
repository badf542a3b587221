//! SLOWLOG of the endpoint: one log, as of the one Redis that clients see.
//!
//! This process keeps what its own clients ran. What clients that speak to shards directly ran is in the shards' logs; it is
//! fetched when somebody asks, and put between the own entries by its time. Only then entries get their numbers, so these grow
//! with time and none is given twice, wherever an entry comes from.

use std::collections::HashMap;
use std::time::Duration;

use slotway_common::resp::{Reply, Value};
use slotway_common::slow_log::{Entry, SlowLog};

/// The slow log of this process's clients and of the shards.
#[derive(Debug, Default)]
pub struct MergedSlowLog {
    /// Entries with numbers that clients have been told, or could have been.
    numbered: SlowLog,
    /// What this process's clients ran since.
    fresh: SlowLog,
    /// Entries of `fresh` that have been numbered, those that were dropped included.
    taken: u64,
    next_id: u64,
    /// By shard, its process and the number of the entry up to which its log is here.
    known: HashMap<usize, (Vec<u8>, u64)>,
}

impl MergedSlowLog {
    /// Follows `slowlog-max-len`.
    pub fn set_max_len(&mut self, max_len: usize) {
        self.numbered.set_max_len(max_len);
        self.fresh.set_max_len(max_len);
    }

    /// Adds what a client of this process ran.
    pub fn add(&mut self, at_us: i64, took: Duration, args: Vec<Vec<u8>>, address: &str, name: &[u8]) {
        self.fresh.add(at_us, took, args, address, name);
    }

    /// What a shard is to be asked for: the process that was asked last, and the first number that is not here.
    #[must_use]
    pub fn known(&self, shard: usize) -> (Vec<u8>, u64) {
        self.known.get(&shard).cloned().unwrap_or_default()
    }

    /// Takes what shards have answered to `SLOTWAY SLOWLOG`, and gives every new entry its number.
    pub fn merge(&mut self, answers: &[(usize, Value)]) {
        let dropped = self.fresh.next_id() - self.taken - self.fresh.len() as u64;
        self.taken = self.fresh.next_id();
        let mut new = self.fresh.take();
        for (shard, answer) in answers {
            self.take_from(*shard, answer, &mut new);
        }
        new.sort_by_key(|entry| entry.at_us);
        self.next_id += dropped;
        for entry in new {
            self.numbered.push(Entry { id: self.next_id, ..entry });
            self.next_id += 1;
        }
    }

    fn take_from(&mut self, shard: usize, answer: &Value, new: &mut Vec<Entry>) {
        let Some([process, next, entries @ ..]) = answer.as_array() else { return };
        let (Some(process), Some(next)) = (process.as_bytes(), next.as_int()) else { return };
        let next = u64::try_from(next).unwrap_or(0);
        let (known_process, from) = self.known(shard);
        // Another client may have asked at the same time.
        let from = if known_process == process { from } else { 0 };
        let first = next.saturating_sub(entries.len() as u64);
        let entries = entries.iter().zip(first..).filter(|(_, id)| *id >= from);
        new.extend(entries.filter_map(|(entry, id)| read(entry, id)));
        self.known.insert(shard, (process.to_vec(), next.max(from)));
    }

    /// Answers SLOWLOG GET.
    pub fn write(&self, count: usize, reply: &mut Reply<'_>) {
        self.numbered.write(count, reply);
    }

    /// Entries that SLOWLOG GET can show.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbered.len()
    }

    /// Forgets all entries; their numbers are not given again.
    pub fn reset(&mut self) {
        self.numbered.reset();
    }
}

fn read(entry: &Value, id: u64) -> Option<Entry> {
    let [at, took, args, address, name] = entry.as_array()? else { return None };
    Some(Entry {
        id,
        at_us: at.as_int()?,
        duration: Duration::from_micros(u64::try_from(took.as_int()?).ok()?),
        args: args.as_array()?.iter().filter_map(|arg| arg.as_bytes().map(<[u8]>::to_vec)).collect(),
        address: String::from_utf8_lossy(address.as_bytes()?).into_owned(),
        name: name.as_bytes()?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_shard(process: &str, next: i64, times: &[i64]) -> Value {
        let bulk = |text: &str| Value::Bulk(text.as_bytes().to_vec());
        let entry = |at: &i64| {
            let args = Value::Array(vec![bulk("get")]);
            Value::Array(vec![Value::Int(*at), Value::Int(5), args, bulk("address"), bulk("")])
        };
        let head = [bulk(process), Value::Int(next)];
        Value::Array(head.into_iter().chain(times.iter().map(entry)).collect())
    }

    fn shown(log: &MergedSlowLog) -> Vec<(u64, i64)> {
        log.numbered.iter().map(|entry| (entry.id, entry.at_us)).collect()
    }

    #[test]
    fn entries_of_all_are_numbered_by_their_times_and_none_twice() {
        let mut log = MergedSlowLog::default();
        log.set_max_len(4);
        log.add(20, Duration::from_millis(20), Vec::new(), "a", b"");
        log.merge(&[(0, of_shard("p", 2, &[10, 30])), (1, of_shard("q", 1, &[15]))]);
        assert_eq!(shown(&log), [(3, 30), (2, 20), (1, 15), (0, 10)]);
        // What was asked for twice is there once, and a process that has begun anew begins to count anew.
        log.merge(&[(0, of_shard("p", 2, &[10, 30])), (1, of_shard("r", 1, &[40]))]);
        assert_eq!(shown(&log), [(4, 40), (3, 30), (2, 20), (1, 15)]);
        log.reset();
        (0..6).for_each(|at| log.add(50 + at, Duration::ZERO, Vec::new(), "a", b""));
        log.merge(&[]);
        assert_eq!(shown(&log), [(10, 55), (9, 54), (8, 53), (7, 52)]);
    }
}

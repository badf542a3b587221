//! Parts of values: what of a large one is lent to commands that need to see only some of it, and how what they made of that
//! becomes a change of the whole.
//!
//! Beside what a command may take there is one element more, unless that would be all there are: so nothing is emptied by it that
//! would not be emptied as a whole.

use slotway_common::command::Window;
use slotway_common::fault;

use crate::engine::{Limits, Record};
use crate::types::list::{End, List};
use crate::types::stream::Id;
use crate::types::{Hash, Kind, Object, Set, Stream, ZSet};

/// Values that take no more bytes of memory than this are lent as a whole.
const SMALL: usize = if fault::IS_TEST_BUILD { 128 } else { 4096 };

/// What is lent of a value; `None`: all of it.
pub(super) fn cut(record: &Record, window: &Window, limits: &Limits) -> Option<Record> {
    if *window == Window::Whole || record.heap_bytes() <= SMALL {
        return None;
    }
    let none = Vec::new();
    let members = match window {
        Window::Members(members) => members,
        _ => &none,
    };
    let value = match (record.value(), window) {
        (Some(Object::List(list)), Window::Count) => piece(list, 0, false, limits)?,
        (Some(Object::ZSet(zset)), Window::Count) => scores(zset, 0, false, limits)?,
        (Some(Object::List(list)), Window::Head(count)) => piece(list, *count, false, limits)?,
        (Some(Object::List(list)), Window::Tail(count)) => piece(list, *count, true, limits)?,
        (Some(Object::ZSet(zset)), Window::Lowest(count)) => scores(zset, *count, false, limits)?,
        (Some(Object::ZSet(zset)), Window::Highest(count)) => scores(zset, *count, true, limits)?,
        (Some(Object::ZSet(zset)), Window::Members(_)) => {
            let mut shown = ZSet::new();
            for member in members {
                if let Some(score) = zset.score(member) {
                    shown.set(member, score, limits);
                }
            }
            let other = zset.iter().find(|(member, _)| !members.iter().any(|named| member.is(named)));
            let (member, score) = other?;
            shown.set(&member.to_vec(), score, limits);
            shown.into_object()
        }
        (Some(Object::Set(set)), Window::Members(_) | Window::Count) => {
            let mut shown = Set::new();
            for member in members.iter().filter(|member| set.contains(member)) {
                shown.insert(member, limits);
            }
            let other = set.iter().find(|member| !members.iter().any(|named| member.is(named)));
            shown.insert_item(other?, limits);
            shown.into_object()
        }
        (Some(Object::Hash(hash)), Window::Members(_) | Window::Count) => {
            let mut shown = Hash::new();
            for field in members {
                if let Some(value) = hash.get(field) {
                    shown.set(field, &value.to_vec(), limits);
                }
            }
            let other = hash.iter().find(|(field, _)| !members.iter().any(|named| field.is(named)));
            let (field, value) = other?;
            shown.set(&field.to_vec(), &value.to_vec(), limits);
            shown.into_object()
        }
        // Its last id is all that a new entry depends on.
        (Some(Object::Stream(stream)), Window::Appended(_)) => {
            let mut shown = Stream::new();
            shown.set_facts(stream.facts());
            shown.into_object()
        }
        // A stand-in. It is a string, of which none of the commands can do anything that asked for elements; and one that no
        // command sets, so that it is seen to have been replaced.
        _ => return Some(Record::string(record.key(), &rand::random::<[u8; 16]>(), record.expire_at())),
    };
    Some(Record::object(record.key(), value, record.expire_at()))
}

/// How many elements a value has that are not shown.
pub(super) fn hidden(record: &Record, shown: &Record) -> u64 {
    let count = |record: &Record| match record.value() {
        Some(Object::List(list)) => list.len(),
        Some(Object::Set(set)) => set.len(),
        Some(Object::Hash(hash)) => hash.len(),
        Some(Object::ZSet(zset)) => zset.len(),
        _ => 0,
    };
    if shown.value().is_some() { (count(record) - count(shown)) as u64 } else { 0 }
}

/// So many elements from one end of a list, and one more.
fn piece(list: &List, count: u64, from_tail: bool, limits: &Limits) -> Option<Object> {
    let most = usize::try_from(count).ok()?.checked_add(1).filter(|most| *most < list.len())?;
    let rank = if from_tail { list.len() - most } else { 0 };
    let mut shown = List::empty();
    for element in list.iter_from(rank, false).take(most) {
        shown.push(End::Tail, &element.to_vec(), limits);
    }
    Some(shown.into_object())
}

/// So many members from one end of a sorted set, and one more.
fn scores(zset: &ZSet, count: u64, from_end: bool, limits: &Limits) -> Option<Object> {
    let most = usize::try_from(count).ok()?.checked_add(1).filter(|most| *most < zset.len())?;
    let rank = if from_end { zset.len() - 1 } else { 0 };
    let mut shown = ZSet::new();
    for (member, score) in zset.iter_from(rank, from_end).take(most) {
        shown.set(&member.to_vec(), score, limits);
    }
    Some(shown.into_object())
}

/// A command, word by word.
pub(super) type Words = Vec<Vec<u8>>;

/// The commands that make of the whole what was made of a part of it; `None` where the part was replaced by another value, or by
/// nothing.
pub(super) fn edits(key: &[u8], window: &Window, before: &Record, after: &Record) -> Option<Vec<Words>> {
    match (before.value()?, after.value()?) {
        (Object::List(before), Object::List(after)) => match window {
            Window::Head(_) => Some(list_edits(key, before, after, End::Head)),
            Window::Tail(_) => Some(list_edits(key, before, after, End::Tail)),
            _ => None,
        },
        (Object::Set(before), Object::Set(after)) => {
            let gone = before.iter().filter(|member| !after.contains_item(*member)).map(|item| item.to_vec());
            let added =
                after.iter().filter(|member| !before.contains_item(*member)).map(|item| item.to_vec());
            Some(commands(key, [("SADD", added.collect()), ("SREM", gone.collect())]))
        }
        (Object::Hash(before), Object::Hash(after)) => {
            let text = |hash: &Hash, field: &[u8]| hash.get(field).map(|value| value.to_vec());
            let names = before.iter().map(|(field, _)| field.to_vec());
            let gone = names.filter(|field| after.get(field).is_none()).collect();
            let mut set = Vec::new();
            for (field, value) in after.iter().map(|(field, value)| (field.to_vec(), value.to_vec())) {
                if text(before, &field).as_ref() != Some(&value) {
                    set.extend([field, value]);
                }
            }
            Some(commands(key, [("HSET", set), ("HDEL", gone)]))
        }
        (Object::ZSet(before), Object::ZSet(after)) => {
            let names = before.iter().map(|(member, _)| member.to_vec());
            let gone = names.filter(|member| after.score(member).is_none()).collect();
            let mut set = Vec::new();
            for (member, score) in after.iter().map(|(member, score)| (member.to_vec(), score)) {
                if before.score(&member) != Some(score) {
                    set.extend([score.to_string().into_bytes(), member]);
                }
            }
            Some(commands(key, [("ZADD", set), ("ZREM", gone)]))
        }
        (Object::Stream(before), Object::Stream(after)) => match window {
            Window::Appended(trimming) => Some(stream_edits(key, trimming, before, after)),
            _ => None,
        },
        _ => None,
    }
}

/// The entries that a stream gets, and how it is trimmed.
fn stream_edits(key: &[u8], trimming: &[Vec<u8>], before: &Stream, after: &Stream) -> Vec<Words> {
    let mut edits: Vec<Words> = Vec::new();
    for entry in after.range(Id::MIN, Id::MAX) {
        let mut words: Words = [&b"XADD"[..], key].map(<[u8]>::to_vec).into();
        words.extend_from_slice(trimming);
        words.push(entry.id.to_string().into_bytes());
        words.extend(entry.fields().flat_map(|(field, value)| [field.to_vec(), value.to_vec()]));
        edits.push(words);
    }
    let facts = after.facts();
    // More were added than are left.
    if facts.added - before.facts().added != edits.len() as u64 {
        edits.push([&[b"XTRIM".to_vec(), key.to_vec()], trimming].concat());
        let text = |text: String| text.into_bytes();
        let (id, deleted) = (text(facts.last.to_string()), text(facts.max_deleted.to_string()));
        let words: [&[u8]; 7] =
            [b"XSETID", key, &id, b"ENTRIESADDED", &text(facts.added.to_string()), b"MAXDELETEDID", &deleted];
        edits.push(words.map(<[u8]>::to_vec).into());
    }
    edits
}

/// The commands of these names that have any arguments. What adds comes first, so that nothing is emptied between them.
fn commands(key: &[u8], commands: [(&str, Words); 2]) -> Vec<Words> {
    let any = commands.into_iter().filter(|(_, words)| !words.is_empty());
    any.map(|(name, words)| [vec![name.as_bytes().to_vec(), key.to_vec()], words].concat()).collect()
}

/// What is to be taken from that end of a list, and put there.
fn list_edits(key: &[u8], before: &List, after: &List, end: End) -> Vec<Words> {
    // Both from the other end on, of which a part has stayed.
    let from_stays = |list: &List| {
        let reverse = end == End::Head;
        let rank = if reverse { list.len().saturating_sub(1) } else { 0 };
        list.iter_from(rank, reverse).map(|item| item.to_vec()).collect::<Words>()
    };
    let (before, mut after) = (from_stays(before), from_stays(after));
    let stays = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
    let added = after.split_off(stays);
    let (push, pop) = if end == End::Head { ("LPUSH", "LPOP") } else { ("RPUSH", "RPOP") };
    let taken = before.len() - stays;
    let taken = if taken > 0 { vec![taken.to_string().into_bytes()] } else { Vec::new() };
    commands(key, [(pop, taken), (push, added)])
}

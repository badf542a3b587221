//! SORT: the elements of a list, set or sorted set in order, perhaps with what other keys hold about them.

use std::cmp::Ordering;

use slotway_common::command::Window;
use slotway_common::error::Error;
use slotway_common::number::parse_f64;

use crate::engine::{EventClass, Key, Record};
use crate::node::{NodeCall, NodeHandler};
use crate::rdb;
use crate::types::list::End;
use crate::types::{Hash, Kind, List, Object};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[("sort", sort), ("sort_ro", sort_ro)];

#[derive(Default)]
struct Options<'a> {
    descending: bool,
    by_text: bool,
    offset: i64,
    count: Option<i64>,
    by: Option<&'a [u8]>,
    get: Vec<&'a [u8]>,
    /// The argument that names the key to store at.
    store: Option<usize>,
}

impl<'a> Options<'a> {
    fn parse(call: &NodeCall<'a>, can_store: bool) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut index = 2;
        while index < call.args.len() {
            let follow = call.args.len() - index - 1;
            if call.args.is(index, "ASC") {
                options.descending = false;
            } else if call.args.is(index, "DESC") {
                options.descending = true;
            } else if call.args.is(index, "ALPHA") {
                options.by_text = true;
            } else if call.args.is(index, "LIMIT") && follow >= 2 {
                options.offset = call.integer(index + 1)?;
                options.count = Some(call.integer(index + 2)?);
                index += 2;
            } else if can_store && call.args.is(index, "STORE") && follow >= 1 {
                options.store = Some(index + 1);
                index += 1;
            } else if call.args.is(index, "BY") && follow >= 1 {
                options.by = Some(call.args.at(index + 1));
                index += 1;
            } else if call.args.is(index, "GET") && follow >= 1 {
                options.get.push(call.args.at(index + 1));
                index += 1;
            } else {
                return Err(Error::Syntax);
            }
            index += 1;
        }
        Ok(options)
    }

    /// Where the wanted elements begin and how many there are, of `length`.
    fn range(&self, length: usize) -> (usize, usize) {
        let offset = usize::try_from(self.offset).unwrap_or(0);
        let left = length.saturating_sub(offset);
        let count = self.count.and_then(|count| usize::try_from(count).ok()).unwrap_or(left);
        (offset.min(length), count.min(left))
    }
}

fn sort(call: &mut NodeCall<'_>) -> Result<(), Error> {
    run(call, true)
}

fn sort_ro(call: &mut NodeCall<'_>) -> Result<(), Error> {
    run(call, false)
}

/// An element with what it is sorted by.
struct Weighed {
    element: Vec<u8>,
    weight: Weight,
}

enum Weight {
    Number(f64),
    /// The element itself.
    Element,
    /// What BY found, if it found anything.
    Text(Option<Vec<u8>>),
}

fn run(call: &mut NodeCall<'_>, can_store: bool) -> Result<(), Error> {
    if !call.session.is_free() {
        call.session.user().check_sort(call.command, &call.args)?;
    }
    let mut options = Options::parse(call, can_store)?;
    let (key, db) = (call.key(1), call.session.db);
    let value = call.engine.record(db, &key).map(|record| record.value());
    let mut elements: Vec<Vec<u8>> = match value {
        None => Vec::new(),
        Some(Some(Object::List(list))) => list.iter().map(|item| item.to_vec()).collect(),
        Some(Some(Object::Set(set))) => set.iter().map(|item| item.to_vec()).collect(),
        Some(Some(Object::ZSet(zset))) => zset.iter().map(|(item, _)| item.to_vec()).collect(),
        Some(_) => return Err(Error::WrongType),
    };
    let is_set = matches!(value, Some(Some(Object::Set(_))));
    // A pattern without a place for the element asks for the order that the elements have.
    let mut unsorted = options.by.is_some_and(|pattern| !c_string(pattern).contains(&b'*'));
    if unsorted && is_set && (options.store.is_some() || call.session.in_script) {
        // A set has none that would be the same everywhere, and scripts and lists are to come to the same everywhere.
        (unsorted, options.by, options.by_text) = (false, None, true);
    }
    if unsorted {
        if options.descending && !is_set {
            elements.reverse();
        }
    } else {
        elements = sorted(call, &key, elements, &options)?;
    }
    let (first, count) = options.range(elements.len());
    let chosen = elements.into_iter().skip(first).take(count);
    let mut results: Vec<Option<Vec<u8>>> = Vec::new();
    for element in chosen {
        for pattern in &options.get {
            results.push(lookup(call, &key, pattern, &element)?);
        }
        if options.get.is_empty() {
            results.push(Some(element));
        }
    }
    match options.store {
        Some(index) => store(call, index, results),
        None => {
            call.reply.array(results.len());
            results.iter().for_each(|result| call.reply.optional(result.as_deref()));
        }
    }
    Ok(())
}

fn sorted(
    call: &mut NodeCall<'_>,
    key: &Key<'_>,
    elements: Vec<Vec<u8>>,
    options: &Options<'_>,
) -> Result<Vec<Vec<u8>>, Error> {
    let mut weighed = Vec::with_capacity(elements.len());
    let mut unreadable = false;
    for element in elements {
        let weight = match options.by {
            None if options.by_text => Weight::Element,
            None => Weight::Number(number(&element).unwrap_or_else(|| {
                unreadable = true;
                0.0
            })),
            Some(pattern) => match (lookup(call, key, pattern, &element)?, options.by_text) {
                (found, true) => Weight::Text(found),
                (None, false) => Weight::Number(0.0),
                (Some(text), false) => Weight::Number(number(&text).unwrap_or_else(|| {
                    unreadable = true;
                    0.0
                })),
            },
        };
        weighed.push(Weighed { element, weight });
    }
    if unreadable {
        return Err(Error::err("One or more scores can't be converted into double"));
    }
    // Redis compares texts as C strings, in the order of the C locale, unless they are to be stored.
    let text = |bytes: &[u8], other: &[u8]| match options.store {
        Some(_) => bytes.cmp(other),
        None => c_string(bytes).cmp(c_string(other)),
    };
    weighed.sort_by(|a, b| {
        let order = match (&a.weight, &b.weight) {
            (Weight::Number(x), Weight::Number(y)) => {
                x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| a.element.cmp(&b.element))
            }
            (Weight::Text(Some(x)), Weight::Text(Some(y))) => text(x, y),
            (Weight::Text(x), Weight::Text(y)) => x.is_some().cmp(&y.is_some()),
            _ => text(&a.element, &b.element),
        };
        if options.descending { order.reverse() } else { order }
    });
    Ok(weighed.into_iter().map(|weighed| weighed.element).collect())
}

/// The part before the first NUL, which is where C sees the end.
fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Reads a weight as C's `strtod` does: blanks may stand before it, and nothing is 0.
fn number(text: &[u8]) -> Option<f64> {
    let text = c_string(text);
    if text.is_empty() {
        return Some(0.0);
    }
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let start = text.iter().position(|byte| !is_blank(byte))?;
    parse_f64(text.get(start..)?)
}

/// What the key that `pattern` names for an element holds: a string, or after `->` a field of a hash. `#` is the element.
///
/// # Errors
/// When the key lies in a slot that the command may not read.
fn lookup(
    call: &mut NodeCall<'_>,
    sorted: &Key<'_>,
    pattern: &[u8],
    element: &[u8],
) -> Result<Option<Vec<u8>>, Error> {
    if pattern == b"#" {
        return Ok(Some(element.to_vec()));
    }
    let Some(star) = c_string(pattern).iter().position(|byte| *byte == b'*') else { return Ok(None) };
    let (prefix, rest) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = rest.windows(2).position(|two| two == b"->").filter(|at| at + 2 < rest.len());
    let (suffix, field) = match arrow {
        Some(at) => (&rest[..at], Some(&rest[at + 2..])),
        None => (rest, None),
    };
    let name = [prefix, element, suffix].concat();
    let key = Key::new(&name);
    let db = call.session.db;
    let readable = key.slot == sorted.slot || call.session.internal.is_none() && call.node.serves(key.slot);
    if let Some(borrowed) = &mut call.session.borrowed {
        borrowed.need(db, &name, Window::Whole);
    } else if !readable && call.session.internal.is_some() && !call.session.nested {
        return Err(Error::Line("ELSEWHERE BY or GET name keys of other slots; nothing was done".into()));
    } else if !readable {
        let mut text = b"BY and GET can only name keys in the slot of the key that is sorted, not '".to_vec();
        text.extend_from_slice(&name);
        text.push(b'\'');
        return Err(Error::Bytes(text));
    }
    let Some(record) = call.engine.record(db, &key) else { return Ok(None) };
    Ok(match field {
        None => record.bytes().map(<[u8]>::to_vec),
        Some(field) => {
            let hash = record.value().and_then(Hash::of);
            hash.and_then(|hash| hash.get(field)).map(|value| value.to_vec())
        }
    })
}

/// Stores the results as a list, or removes the key if there is none, and replies their number.
fn store(call: &mut NodeCall<'_>, index: usize, results: Vec<Option<Vec<u8>>>) {
    let (key, db, limits) = (call.key(index), call.session.db, call.engine.limits);
    let count = results.len();
    let mut list = List::new();
    for result in results {
        list.push(End::Tail, &result.unwrap_or_default(), &limits);
    }
    let repeated = |object: Option<&Object>| match object {
        Some(object) => {
            let mut payload = Vec::new();
            rdb::encode(
                &Record::object(key.bytes, object.clone(), None),
                rdb::Compression::None,
                &mut payload,
            );
            rdb::seal(&mut payload);
            let words: [&[u8]; 5] = [b"RESTORE", key.bytes, b"0", &payload, b"REPLACE"];
            words.map(<[u8]>::to_vec).to_vec()
        }
        None => vec![b"DEL".to_vec(), key.bytes.to_vec()],
    };
    if count > 0 {
        let object = list.into_object();
        // What BY and GET read is not told in the command's keys, so who repeats it may not have it.
        call.engine.repeat_as(key.slot, || repeated(Some(&object)));
        call.engine.set(db, &key, object);
        call.engine.notify(EventClass::LIST, "sortstore", db, key.bytes);
        call.engine.dirty(count as u64);
    } else {
        call.engine.repeat_as(key.slot, || repeated(None));
        let removed = call.engine.remove(db, &key);
        if removed {
            call.engine.notify(EventClass::GENERIC, "del", db, key.bytes);
        }
        call.engine.dirty(u64::from(removed));
    }
    call.reply.len(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_as_strtod_does() {
        assert_eq!(number(b""), Some(0.0));
        assert_eq!(number(b"\0abc"), Some(0.0));
        assert_eq!(number(b" \t12.5"), Some(12.5));
        assert_eq!(number(b"3\0x"), Some(3.0));
        for text in [&b"a"[..], b" ", b"1 ", b"nan", b"1e400"] {
            assert_eq!(number(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn limits_are_cut_to_the_elements_there_are() {
        let range = |offset, count, length| Options { offset, count, ..Options::default() }.range(length);
        assert_eq!(range(0, None, 5), (0, 5));
        assert_eq!(range(-3, Some(-1), 5), (0, 5));
        assert_eq!(range(2, Some(2), 5), (2, 2));
        assert_eq!(range(2, Some(0), 5), (2, 0));
        assert_eq!(range(9, Some(2), 5), (5, 0));
        assert_eq!(range(i64::MAX, Some(i64::MAX), 0), (0, 0));
    }
}

//! When two replies count as the same.

use slotway_common::resp::Value;

use super::generate::Request;

/// Whether a reply is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Same,
    Different,
}

/// Replies whose elements stand in the order of a hash table, which is each server's own.
const UNORDERED: &[&str] = &["keys", "smembers", "sinter", "sunion", "sdiff", "hkeys", "hvals"];
/// The same, in pairs.
const UNORDERED_PAIRS: &[&str] = &["hgetall"];
/// Replies that are drawn at random: their shape is compared.
const RANDOM: &[&str] = &["srandmember", "hrandfield", "zrandmember", "spop"];
/// The same value has many encodings; what they hold shows when they are restored.
const DUMPS: &[&str] = &["dump"];
/// Times left, which pass while the stream runs: seconds or milliseconds of tolerance.
const TIMES: &[(&str, i64)] = &[("ttl", 2), ("expiretime", 2), ("pttl", 3000), ("pexpiretime", 3000)];

/// Compares the replies to one request.
#[must_use]
pub fn verdict(request: &Request, expected: &Value, given: &Value) -> Verdict {
    let name = request.name();
    let same = if expected == given {
        true
    } else if let (Value::Double(a), Value::Double(b)) = (expected, given) {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    } else if UNORDERED.contains(&name) {
        sorted(expected) == sorted(given)
    } else if UNORDERED_PAIRS.contains(&name) {
        pairs(expected) == pairs(given)
    } else if name == "xadd" && has(request, "*") {
        shape(expected) == shape(given)
    } else if matches!(name, "xpending" | "xinfo|stream" | "xinfo|consumers") {
        is_near(expected, given)
    } else if matches!(name, "sort" | "sort_ro") && is_stale(expected) && !given.is_error() {
        true
    } else if matches!(name, "sort" | "sort_ro") && has(request, "by") {
        // Elements of equal weight come out in any order, and so do those of a set that is not sorted.
        sorted(expected).1.len() == sorted(given).1.len()
    } else if matches!(name, "sort" | "sort_ro") && has(request, "alpha") {
        // What is equal up to its first NUL comes out in any order.
        c_strings(expected) == c_strings(given)
    } else if RANDOM.contains(&name) || DUMPS.contains(&name) {
        shape(expected) == shape(given)
    } else if let Some((_, tolerance)) = TIMES.iter().find(|(time, _)| *time == name) {
        matches!((expected, given), (Value::Int(a), Value::Int(b)) if a.signum() == b.signum() && (a - b).abs() <= *tolerance)
    } else {
        false
    };
    if same { Verdict::Same } else { Verdict::Different }
}

fn has(request: &Request, word: &str) -> bool {
    request.args.iter().any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether replies about streams are the same but for times, which pass while the stream runs, and for what is the
/// inside of each server.
fn is_near(expected: &Value, given: &Value) -> bool {
    match (expected, given) {
        (Value::Array(a), Value::Array(b)) => {
            let passes = |index: usize| {
                let of = |items: &[Value]| match items {
                    // A pending entry: its id, the consumer, how long it has been idle, and how often it was delivered.
                    [Value::Bulk(_), Value::Bulk(_), Value::Int(idle), Value::Int(_)] if index == 2 => {
                        Some(*idle)
                    }
                    _ => is_own(index.checked_sub(1).and_then(|before| items.get(before)))
                        .then(|| items.get(index).and_then(Value::as_int))
                        .flatten(),
                };
                of(a).zip(of(b)).is_some_and(|(a, b)| (a - b).abs() <= TOLERANCE)
            };
            a.len() == b.len()
                && a.iter().zip(b).enumerate().all(|(index, (a, b))| passes(index) || is_near(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && (is_own(Some(&a.0)) || is_near(&a.1, &b.1)))
        }
        // Times of delivery.
        (Value::Int(a), Value::Int(b)) if *a > 1_000_000_000_000 => (a - b).abs() <= TOLERANCE,
        _ => expected == given,
    }
}

/// Milliseconds between two servers.
const TOLERANCE: i64 = 10_000;

/// Whether what stands behind this name is each server's own: a time, or how many nodes its tree has.
fn is_own(name: Option<&Value>) -> bool {
    let name = name.and_then(Value::as_bytes);
    matches!(name, Some(b"idle" | b"radix-tree-nodes" | b"seen-time"))
}

/// Redis's SORT takes an earlier command's number out of range (`errno`) for its own.
fn is_stale(reply: &Value) -> bool {
    reply.to_string().contains("One or more scores can")
}

fn c_strings(value: &Value) -> Option<Vec<&[u8]>> {
    let texts = value.as_array()?.iter().map(|item| item.as_bytes().unwrap_or_default());
    Some(texts.map(|text| text.split(|byte| *byte == 0).next().unwrap_or_default()).collect())
}

/// The kind of a set's reply, and its elements in an order of their own.
fn sorted(value: &Value) -> (std::mem::Discriminant<Value>, Vec<String>) {
    let mut texts: Vec<String> = match value.as_array() {
        Some(items) => items.iter().map(ToString::to_string).collect(),
        None => vec![value.to_string()],
    };
    texts.sort_unstable();
    (std::mem::discriminant(value), texts)
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = match value {
        Value::Map(pairs) => pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        Value::Array(items) => items
            .chunks(2)
            .map(|pair| {
                let text = |index: usize| pair.get(index).map(ToString::to_string).unwrap_or_default();
                (text(0), text(1))
            })
            .collect(),
        other => vec![(other.to_string(), String::new())],
    };
    pairs.sort_unstable();
    pairs
}

/// What is left of a reply when its texts are taken away.
fn shape(value: &Value) -> String {
    match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            format!(
                "{:?}[{}]",
                std::mem::discriminant(value),
                items.iter().map(shape).collect::<Vec<_>>().join(",")
            )
        }
        Value::Bulk(_) => "bulk".to_owned(),
        Value::Double(_) => "double".to_owned(),
        other => other.to_string(),
    }
}

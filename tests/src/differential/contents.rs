//! Compares all that two servers hold.

use std::collections::BTreeSet;

use anyhow::Result;
use slotway_common::resp::Value;

use crate::client::Client;

/// Databases that are compared.
const DATABASES: usize = 3;

/// The first difference between the contents, if there is one. Leaves both connections at database 0.
///
/// # Errors
/// When a connection breaks.
pub fn difference(oracle: &mut Client, subject: &mut Client) -> Result<Option<String>> {
    compare(oracle, subject, true)
}

/// As [`difference`], but for how values are stored: one that was read back is stored as a new one would be.
///
/// # Errors
/// When a connection breaks.
pub fn difference_of_values(oracle: &mut Client, subject: &mut Client) -> Result<Option<String>> {
    compare(oracle, subject, false)
}

fn compare(oracle: &mut Client, subject: &mut Client, encodings: bool) -> Result<Option<String>> {
    for db in 0..DATABASES {
        for client in [&mut *oracle, &mut *subject] {
            client.call(&["SELECT", &db.to_string()])?;
        }
        let (expected, given) = (keys(oracle)?, keys(subject)?);
        if let Some(key) = expected.symmetric_difference(&given).next() {
            let holder = if expected.contains(key) { "redis" } else { "slotway" };
            return Ok(Some(format!("db {db}: only {holder} has {}", key.escape_ascii())));
        }
        for key in &expected {
            let (expected, given) = (value(oracle, key, encodings)?, value(subject, key, encodings)?);
            let ((expires, expected), (expires_here, given)) = (expected, given);
            let is_same_time =
                expires.signum() == expires_here.signum() && expires.abs_diff(expires_here) <= TOLERANCE;
            if expected != given || !is_same_time {
                return Ok(Some(format!(
                    "db {db}, key {}:\n  redis:   expires {expires} {expected}\n  slotway: expires {expires_here} {given}",
                    key.escape_ascii()
                )));
            }
        }
        let (expected, given) = (oracle.run("DBSIZE")?, subject.run("DBSIZE")?);
        if expected != given {
            return Ok(Some(format!("db {db}: DBSIZE {expected} and {given}")));
        }
    }
    for client in [oracle, subject] {
        client.run("SELECT 0")?;
    }
    Ok(None)
}

/// All keys, by a whole SCAN, which must agree with KEYS.
fn keys(client: &mut Client) -> Result<BTreeSet<Vec<u8>>> {
    let mut found = BTreeSet::new();
    let mut cursor = b"0".to_vec();
    loop {
        let reply = client.call(&[&b"SCAN"[..], &cursor])?;
        let Some([next, page]) = reply.as_array() else { anyhow::bail!("SCAN: {reply}") };
        found.extend(
            page.as_array().unwrap_or_default().iter().filter_map(Value::as_bytes).map(<[u8]>::to_vec),
        );
        cursor = next.as_bytes().unwrap_or_default().to_vec();
        if cursor == b"0" {
            break;
        }
    }
    let reply = client.run("KEYS *")?;
    let listed: BTreeSet<Vec<u8>> =
        reply.as_array().unwrap_or_default().iter().filter_map(Value::as_bytes).map(<[u8]>::to_vec).collect();
    anyhow::ensure!(listed == found, "SCAN finds {} keys, KEYS {}", found.len(), listed.len());
    Ok(found)
}

/// Relative times were taken at slightly different moments: milliseconds by which they may differ.
const TOLERANCE: u64 = 5000;

/// Everything that can be asked about a key: when it expires, and the rest as a text.
fn value(client: &mut Client, key: &[u8], encodings: bool) -> Result<(i64, String)> {
    let encoding = client.call(&[&b"OBJECT"[..], b"ENCODING", key])?.to_string();
    let encoding = if encodings { encoding } else { String::new() };
    let expires = client.call(&[&b"PEXPIRETIME"[..], key])?.as_int().unwrap_or(0);
    Ok((expires, format!("{encoding} {}", held(client, key)?)))
}

/// The type and all elements of a key's value, as a text that is the same for equal values.
///
/// # Errors
/// When the connection breaks.
pub fn held(client: &mut Client, key: &[u8]) -> Result<String> {
    let kind = client.call(&[&b"TYPE"[..], key])?.to_string();
    let value = match kind.as_str() {
        "+string" => client.call(&[&b"GET"[..], key])?.to_string(),
        "+list" => client.call(&[&b"LRANGE"[..], key, b"0", b"-1"])?.to_string(),
        "+set" => sorted(&client.call(&[&b"SMEMBERS"[..], key])?, 1),
        "+hash" => sorted(&flat(&client.call(&[&b"HGETALL"[..], key])?), 2),
        "+zset" => client.call(&[&b"ZRANGE"[..], key, b"0", b"-1", b"WITHSCORES"])?.to_string(),
        "+stream" => stream(client, key)?,
        other => other.to_owned(),
    };
    Ok(format!("{kind} {value}"))
}

/// All of a stream but its times.
fn stream(client: &mut Client, key: &[u8]) -> Result<String> {
    let entries = client.call(&[&b"XRANGE"[..], key, b"-", b"+"])?;
    let groups = client.call(&[&b"XINFO"[..], b"GROUPS", key])?;
    // What XINFO says before it comes to the first and the last entry, without the number of nodes.
    let facts = flat(&client.call(&[&b"XINFO"[..], b"STREAM", key])?);
    let facts = facts.as_array().unwrap_or_default().get(6..14).unwrap_or_default();
    let mut told = format!("{entries} {groups} {}", Value::Array(facts.to_vec()));
    for group in groups.as_array().unwrap_or_default() {
        let group = flat(group);
        let name = group.as_array().and_then(|facts| facts.get(1)?.as_bytes()).unwrap_or_default();
        let all = [&b"XPENDING"[..], key, name, b"-", b"+", b"100000"];
        for pending in client.call(&all)?.as_array().unwrap_or_default() {
            if let Some([id, consumer, _, deliveries]) = pending.as_array() {
                told.push_str(&format!(" {id} {consumer} {deliveries}"));
            }
        }
    }
    Ok(told)
}

fn flat(value: &Value) -> Value {
    match value {
        Value::Map(pairs) => {
            Value::Array(pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect())
        }
        other => other.clone(),
    }
}

fn sorted(value: &Value, width: usize) -> String {
    let mut groups: Vec<String> = value
        .as_array()
        .unwrap_or_default()
        .chunks(width)
        .map(|group| group.iter().map(ToString::to_string).collect::<Vec<_>>().join("="))
        .collect();
    groups.sort_unstable();
    groups.join(" ")
}

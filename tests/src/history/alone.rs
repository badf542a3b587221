//! A client that has some databases for itself, so that it knows every reply: flushes, swaps, and what sees all keys.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use slotway_common::resp::Value;

use super::commands::Keys;
use crate::client::Client;

/// Databases that only it uses.
const FILLED: u8 = 5;
const SWAPPED: [u8; 2] = [8, 9];
/// Keys of a round.
const COUNT: usize = 40;

pub(super) struct Alone {
    endpoint: SocketAddr,
    keys: Keys,
}

impl Alone {
    pub(super) fn new(endpoint: SocketAddr, keys: Keys) -> Alone {
        Alone { endpoint, keys }
    }

    /// Works until it is told to stop, or something is wrong.
    pub(super) fn run(&self, stop: &AtomicBool) -> Vec<String> {
        let mut client = match Client::connect(self.endpoint) {
            Ok(client) => client,
            Err(error) => return vec![format!("no connection: {error:#}")],
        };
        let mut round = 0;
        // At least one round, however short the load is.
        loop {
            round += 1;
            let worked = self.fill_and_flush(&mut client, round).and_then(|()| self.swap(&mut client, round));
            if let Err(complaint) = worked {
                return vec![format!("alone in its databases, in round {round}: {complaint}")];
            }
            if stop.load(Ordering::Relaxed) {
                return Vec::new();
            }
        }
    }

    fn keys(&self, kind: &str) -> Vec<String> {
        (0..COUNT).map(|number| self.keys.key(kind, number)).collect()
    }

    fn fill_and_flush(&self, client: &mut Client, round: u32) -> Result<(), String> {
        let keys = self.keys("filled");
        expect(client, &format!("SELECT {FILLED}"), "+OK")?;
        for key in &keys {
            expect(client, &format!("SET {key} {round}"), "+OK")?;
        }
        expect(client, "DBSIZE", &format!(":{COUNT}"))?;
        expect(client, &format!("EXISTS {}", keys.join(" ")), &format!(":{COUNT}"))?;
        let wanted: BTreeSet<String> = keys.iter().cloned().collect();
        let found = run(client, "KEYS *")?;
        let names = texts(&found);
        if names.len() != COUNT || names.iter().cloned().collect::<BTreeSet<_>>() != wanted {
            return Err(format!("KEYS gives {} keys of {COUNT}: {found}", names.len()));
        }
        let scanned = scan(client)?;
        if scanned != wanted {
            let missing: Vec<&String> = wanted.difference(&scanned).collect();
            let strange: Vec<&String> = scanned.difference(&wanted).collect();
            return Err(format!("SCAN misses {missing:?} and gives {strange:?}"));
        }
        let values = run(client, &format!("MGET {}", keys.join(" ")))?;
        if texts(&values).iter().any(|value| *value != round.to_string()) {
            return Err(format!("MGET: {values}"));
        }
        expect(client, "FLUSHDB", "+OK")?;
        expect(client, "DBSIZE", ":0")?;
        for key in keys.iter().take(4) {
            expect(client, &format!("GET {key}"), "null")?;
        }
        Ok(())
    }

    fn swap(&self, client: &mut Client, round: u32) -> Result<(), String> {
        let keys = self.keys("swapped");
        let [one, two] = SWAPPED;
        expect(client, &format!("SELECT {one}"), "+OK")?;
        for key in &keys {
            expect(client, &format!("RPUSH {key} {round}"), ":1")?;
        }
        expect(client, &format!("SWAPDB {one} {two}"), "+OK")?;
        expect(client, "DBSIZE", ":0")?;
        expect(client, &format!("SELECT {two}"), "+OK")?;
        expect(client, "DBSIZE", &format!(":{COUNT}"))?;
        for key in &keys {
            expect(client, &format!("LPOP {key}"), &format!("\"{round}\""))?;
        }
        expect(client, "DBSIZE", ":0")
    }
}

fn run(client: &mut Client, line: &str) -> Result<Value, String> {
    client.run(line).map_err(|error| format!("{line}: {error:#}"))
}

fn expect(client: &mut Client, line: &str, wanted: &str) -> Result<(), String> {
    let reply = run(client, line)?.to_string();
    if reply == wanted { Ok(()) } else { Err(format!("{line}: {reply} and not {wanted}")) }
}

fn scan(client: &mut Client) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let reply = run(client, &format!("SCAN {cursor} COUNT 7"))?;
        let Some([next, keys]) = reply.as_array() else { return Err(format!("SCAN {cursor}: {reply}")) };
        found.extend(texts(keys));
        cursor = String::from_utf8_lossy(next.as_bytes().unwrap_or_default()).into_owned();
        if cursor == "0" {
            return Ok(found);
        }
    }
}

fn texts(reply: &Value) -> Vec<String> {
    let items = reply.as_array().unwrap_or_default().iter();
    items.map(|item| String::from_utf8_lossy(item.as_bytes().unwrap_or_default()).into_owned()).collect()
}

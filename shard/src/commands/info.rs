//! INFO: the state of the shard as text, in Redis's sections and under Redis's names, so that what reads those of a Redis
//! can read these. What Slotway has not got is zero.

mod commands;
mod data;
mod process;

use slotway_common::error::Error;

use crate::engine::Engine;
use crate::node::Node;
use crate::node::{NodeCall, NodeHandler};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[("info", info)];

/// What the sections are made of.
struct Facts<'a> {
    engine: &'a Engine,
    node: &'a Node,
    /// Milliseconds since 1970.
    now: i64,
}

/// The lines of a section.
#[derive(Default)]
struct Section {
    text: String,
}

impl Section {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.text.push_str(&format!("{name}:{value}\r\n"));
    }

    fn add_all(&mut self, pairs: &[(&str, &str)]) {
        for (name, value) in pairs {
            self.add(name, value);
        }
    }

    /// A number of bytes, and once more for people.
    fn add_bytes(&mut self, name: &str, bytes: u64) {
        self.add(name, bytes);
        self.add(&format!("{name}_human"), human(bytes));
    }
}

/// One section.
struct Kind {
    name: &'static str,
    title: &'static str,
    /// Shown by INFO without arguments.
    usual: bool,
    write: fn(&Facts<'_>, &mut Section),
}

/// In the order in which they are shown.
const SECTIONS: [Kind; 14] = [
    Kind { name: "server", title: "Server", usual: true, write: process::server },
    Kind { name: "clients", title: "Clients", usual: true, write: process::clients },
    Kind { name: "memory", title: "Memory", usual: true, write: data::memory },
    Kind { name: "persistence", title: "Persistence", usual: true, write: data::persistence },
    Kind { name: "stats", title: "Stats", usual: true, write: process::stats },
    Kind { name: "replication", title: "Replication", usual: true, write: process::replication },
    Kind { name: "cpu", title: "CPU", usual: true, write: process::cpu },
    Kind { name: "modules", title: "Modules", usual: true, write: |_, _| {} },
    Kind { name: "commandstats", title: "Commandstats", usual: false, write: commands::calls },
    Kind { name: "errorstats", title: "Errorstats", usual: true, write: commands::errors },
    Kind { name: "latencystats", title: "Latencystats", usual: false, write: commands::latencies },
    Kind { name: "cluster", title: "Cluster", usual: true, write: process::cluster },
    Kind { name: "keyspace", title: "Keyspace", usual: true, write: data::keyspace },
    Kind { name: "slotway", title: "Slotway", usual: true, write: process::slotway },
];

fn info(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.engine.memory.refresh();
    let named: Vec<String> =
        call.args.rest(1).iter().map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).collect();
    let has = |name: &str| named.iter().any(|known| known == name);
    let usual = named.is_empty() || has("default");
    let all = has("all") || has("everything");
    let facts = Facts { engine: call.engine, node: call.node, now: call.engine.now() };
    let mut text = String::new();
    for section in &SECTIONS {
        let wanted = all || has(section.name) || (usual && section.usual);
        if wanted {
            let mut lines = Section::default();
            (section.write)(&facts, &mut lines);
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            text.push_str(&format!("# {}\r\n{}", section.title, lines.text));
        }
    }
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Bytes with a unit, powers of 1024, as Redis writes them.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "K", "M", "G", "T", "P", "E"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let unit = ((63 - bytes.leading_zeros()) / 10) as usize;
    let value = bytes as f64 / (1_u64 << (10 * unit)) as f64;
    format!("{value:.2}{}", UNITS.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people_are_written_as_redis_writes_them() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_014_976, "991.19K"),
            (6_967_296, "6.64M"),
            (25_276_502_016, "23.54G"),
            (u64::MAX, "16.00E"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}

//! INFO: the state of the shard as text, in Redis's sections and under Redis's names, so that what reads those of a Redis
//! can read these. What Slotway has not got is zero.

mod commands;
mod data;
mod process;
mod section;

use slotway_common::error::Error;

use crate::node::{NodeCall, NodeHandler};
use section::{Facts, Section};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[("info", info)];

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

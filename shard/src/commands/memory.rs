//! MEMORY.

use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::platform::process;
use slotway_common::resp::Reply;

use crate::client::Client;
use crate::engine::{DATABASES, Engine};
use crate::node::Node;
use crate::node::{NodeCall, NodeHandler};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("memory|usage", usage),
    ("memory|stats", stats),
    ("memory|doctor", doctor),
    ("memory|purge", purge),
    ("memory|malloc-stats", malloc_stats),
];

/// The exact bytes, so that there is nothing to sample.
fn usage(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let mut index = 3;
    while index < call.args.len() {
        if !call.args.is(index, "SAMPLES") || index + 1 == call.args.len() {
            return Err(Error::Syntax);
        }
        if parse_i64(call.args.at(index + 1)).ok_or(Error::NotInteger)? < 0 {
            return Err(Error::Syntax);
        }
        index += 2;
    }
    let key = call.key(2);
    match call.engine.peek_record(call.session.db, &key) {
        Some(record) => call.reply.int((record.heap_bytes() + size_of::<usize>()) as i64),
        None => call.reply.null(),
    }
    Ok(())
}

/// What memory is used for, in bytes: Redis's figures, as far as there is the like.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MemoryFigures {
    pub(super) used: u64,
    pub(super) peak: u64,
    pub(super) startup: u64,
    pub(super) clients: u64,
    pub(super) dataset: u64,
    pub(super) keys: u64,
    /// All but keys and values.
    pub(super) overhead: u64,
    pub(super) allocated: u64,
    pub(super) active: u64,
    pub(super) resident: u64,
    /// What the kernel counts for the process.
    pub(super) physical: u64,
}

impl MemoryFigures {
    pub(super) fn of(engine: &Engine, node: &Node) -> Self {
        let allocator = engine.memory.figures();
        let client_bytes = |client: &Client| {
            (size_of::<Client>() + client.input_bytes.get() + client.output_bytes.get()) as u64
        };
        let used = engine.memory.used();
        let dataset = engine.dataset_bytes().min(used);
        Self {
            used,
            peak: engine.memory.peak(),
            startup: node.startup_bytes.min(used),
            clients: node.clients.iter().map(|client| client_bytes(client)).sum(),
            dataset,
            keys: (0..DATABASES).map(|db| engine.totals(db).keys()).sum(),
            overhead: used - dataset,
            allocated: allocator.allocated,
            active: allocator.active,
            resident: allocator.resident,
            physical: process::resident_bytes(),
        }
    }

    /// Share of the data in what was allocated since the start, in percent.
    pub(super) fn dataset_percentage(&self) -> f64 {
        percentage(self.dataset, self.used.saturating_sub(self.startup)).min(100.0)
    }

    pub(super) fn peak_percentage(&self) -> f64 {
        percentage(self.used, self.peak)
    }
}

fn percentage(part: u64, whole: u64) -> f64 {
    ratio(part, whole) * 100.0
}

/// 0 where there is nothing to divide by.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// How much larger, or with a minus smaller, in bytes.
pub(super) fn excess(larger: u64, smaller: u64) -> i64 {
    larger as i64 - smaller as i64
}

fn stats(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.engine.memory.refresh();
    let figures = MemoryFigures::of(call.engine, call.node);
    let log_buffer = call.node.log.waiting_bytes(&call.node.changes);
    let databases: Vec<usize> = (0..DATABASES).filter(|db| call.engine.totals(*db).keys() > 0).collect();
    let reply = &mut call.reply;
    reply.map(27 + databases.len());
    number(reply, "peak.allocated", figures.peak as i64);
    number(reply, "total.allocated", figures.used as i64);
    number(reply, "startup.allocated", figures.startup as i64);
    number(reply, "replication.backlog", 0);
    number(reply, "clients.slaves", 0);
    number(reply, "clients.normal", figures.clients as i64);
    number(reply, "cluster.links", 0);
    number(reply, "aof.buffer", log_buffer as i64);
    number(reply, "lua.caches", 0);
    number(reply, "functions.caches", 0);
    for db in databases {
        reply.bulk(format!("db.{db}").as_bytes());
        reply.map(3);
        let totals = call.engine.totals(db);
        // A place in a table is a pointer; expiries lie in the records, and slots have tables of their own.
        number(reply, "overhead.hashtable.main", (totals.keys() * size_of::<usize>() as u64) as i64);
        number(reply, "overhead.hashtable.expires", 0);
        number(reply, "overhead.hashtable.slot-to-keys", 0);
    }
    number(reply, "overhead.total", figures.overhead as i64);
    number(reply, "keys.count", figures.keys as i64);
    number(
        reply,
        "keys.bytes-per-key",
        figures.used.saturating_sub(figures.startup).checked_div(figures.keys).unwrap_or(0) as i64,
    );
    number(reply, "dataset.bytes", figures.dataset as i64);
    double(reply, "dataset.percentage", figures.dataset_percentage());
    double(reply, "peak.percentage", figures.peak_percentage());
    number(reply, "allocator.allocated", figures.allocated as i64);
    number(reply, "allocator.active", figures.active as i64);
    number(reply, "allocator.resident", figures.resident as i64);
    double(reply, "allocator-fragmentation.ratio", ratio(figures.active, figures.allocated));
    number(reply, "allocator-fragmentation.bytes", excess(figures.active, figures.allocated));
    double(reply, "allocator-rss.ratio", ratio(figures.resident, figures.active));
    number(reply, "allocator-rss.bytes", excess(figures.resident, figures.active));
    double(reply, "rss-overhead.ratio", ratio(figures.physical, figures.resident));
    number(reply, "rss-overhead.bytes", excess(figures.physical, figures.resident));
    double(reply, "fragmentation", ratio(figures.physical, figures.used));
    number(reply, "fragmentation.bytes", excess(figures.physical, figures.used));
    Ok(())
}

fn number(reply: &mut Reply<'_>, name: &str, value: i64) {
    reply.bulk(name.as_bytes());
    reply.int(value);
}

fn double(reply: &mut Reply<'_>, name: &str, value: f64) {
    reply.bulk(name.as_bytes());
    reply.double(value);
}

fn doctor(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.engine.memory.refresh();
    let text = findings(&MemoryFigures::of(call.engine, call.node), call.engine.memory.limit);
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// What there is to say of the figures, in words.
fn findings(figures: &MemoryFigures, limit: u64) -> String {
    const LITTLE: u64 = 5 * 1024 * 1024;
    const MIB: f64 = 1024.0 * 1024.0;
    if figures.used < LITTLE {
        return "Too little memory is in use to say anything about it.\n".to_owned();
    }
    let mut findings = Vec::new();
    if limit > 0 && figures.used > limit {
        findings.push(
            "Memory in use is over this shard's part of maxmemory. Nothing more can be evicted: raise \
                       maxmemory, add a shard, or choose another maxmemory-policy."
                .to_owned(),
        );
    }
    if figures.peak > figures.used + figures.used / 2 {
        findings.push(format!(
            "At its peak {:.1} MiB were in use, now it is {:.1} MiB. The allocator gives memory back by and by; MEMORY PURGE \
             makes it do so now.",
            figures.peak as f64 / MIB,
            figures.used as f64 / MIB,
        ));
    }
    if ratio(figures.active, figures.allocated) > 1.1 && excess(figures.active, figures.allocated) > 10 << 20
    {
        findings.push(
            "More than a tenth of the allocator's pages is unused space between values. It is used again by values of \
             the same sizes."
                .to_owned(),
        );
    }
    if ratio(figures.physical, figures.resident) > 1.1
        && excess(figures.physical, figures.resident) > 10 << 20
    {
        findings.push("The process has more than a tenth of its memory outside the allocator.".to_owned());
    }
    if figures.clients > figures.used / 4 {
        findings.push(
            "More than a quarter of the memory is buffers of clients. CLIENT LIST shows whose (qbuf, omem); \
             client-output-buffer-limit and client-query-buffer-limit bound them."
                .to_owned(),
        );
    }
    if findings.is_empty() {
        return "Nothing is wrong with memory.\n".to_owned();
    }
    findings.iter().map(|finding| format!("- {finding}\n")).collect()
}

fn purge(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.engine.memory.purge();
    call.reply.ok();
    Ok(())
}

fn malloc_stats(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.engine.memory.refresh();
    let figures = call.engine.memory.figures();
    let text = format!(
        "allocated: {}\nactive: {}\nresident: {}\nretained: {}\n",
        figures.allocated, figures.active, figures.resident, figures.retained
    );
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doctor_says_what_the_figures_show() {
        let healthy = MemoryFigures {
            used: 100 << 20,
            peak: 100 << 20,
            allocated: 100 << 20,
            active: 101 << 20,
            resident: 105 << 20,
            physical: 106 << 20,
            ..MemoryFigures::default()
        };
        assert!(findings(&MemoryFigures::default(), 0).contains("Too little"));
        assert!(findings(&healthy, 0).contains("Nothing is wrong"));
        assert!(findings(&healthy, 1).contains("maxmemory"));
        assert!(findings(&MemoryFigures { peak: 200 << 20, ..healthy }, 0).contains("200.0 MiB"));
        assert!(findings(&MemoryFigures { clients: 50 << 20, ..healthy }, 0).contains("CLIENT LIST"));
    }
}

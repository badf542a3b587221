//! The figures as tables and as JSON, with the targets they are held against.

use std::fmt::Write as _;
use std::process::Command;

use serde::Serialize;

use crate::across::{self, Across};
use crate::idle::Idle;
use crate::load::BASIC;
use crate::memory::Shape;
use crate::messages::Messages;
use crate::queues::Queue;
use crate::sequences::Sequence;
use crate::throughput::{Comparison, DEPTHS, Figures};
use crate::waiting::Waiting;

/// Everything that was measured. Parts that were left out are empty.
#[derive(Serialize)]
pub struct Report {
    machine: Machine,
    pub shard: Vec<Comparison>,
    pub proxy: Vec<Comparison>,
    pub sequences: Vec<Sequence>,
    pub memory: Vec<Shape>,
    pub idle: Option<Idle>,
    pub messages: Option<Messages>,
    pub waiting: Vec<Waiting>,
    pub across: Vec<Across>,
    pub queues: Vec<Queue>,
}

#[derive(Serialize)]
struct Machine {
    cores: usize,
    processor: String,
    kernel: String,
    redis: String,
    twemproxy: String,
    commit: String,
}

/// One line of the summary: a figure and the most that it may be.
struct Target {
    what: String,
    measured: f64,
    at_most: f64,
    unit: &'static str,
}

impl Report {
    pub fn new() -> Report {
        let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let machine = Machine {
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            processor: processor.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned()),
            kernel: first_line("uname", &["-sr"]),
            redis: first_line("redis-server", &["--version"]),
            twemproxy: first_line("nutcracker", &["--version"]),
            commit: first_line("git", &["describe", "--always", "--dirty"]),
        };
        Report {
            machine,
            shard: Vec::new(),
            proxy: Vec::new(),
            sequences: Vec::new(),
            memory: Vec::new(),
            idle: None,
            messages: None,
            waiting: Vec::new(),
            across: Vec::new(),
            queues: Vec::new(),
        }
    }

    pub fn text(&self) -> String {
        let machine = &self.machine;
        let mut text = format!(
            "{} cores of {}, {}; {}; {}; Slotway {}\n",
            machine.cores,
            machine.processor,
            machine.kernel,
            machine.redis,
            machine.twemproxy,
            machine.commit
        );
        comparisons(&mut text, "One shard and redis-server", &self.shard);
        comparisons(&mut text, "Proxy with 3 shards and twemproxy with 3 redis-servers", &self.proxy);
        self.sequences_table(&mut text);
        self.memory_table(&mut text);
        self.idle_table(&mut text);
        self.waiting_table(&mut text);
        self.across_table(&mut text);
        self.queues_table(&mut text);
        self.targets_table(&mut text);
        text
    }

    fn sequences_table(&self, text: &mut String) {
        if self.sequences.is_empty() {
            return;
        }
        text.push_str("\nSequences of requests, 50 connections: CPU µs of all processes, sequences/s\n\n");
        let mut rows = vec![
            ["sequence", "through", "ours", "redis-server", "ratio", "ours/s", "theirs/s", "ratio"]
                .map(str::to_owned),
        ];
        for sequence in &self.sequences {
            rows.push([
                sequence.name.to_owned(),
                sequence.through.to_owned(),
                format!("{:.1}", sequence.ours_cpu),
                format!("{:.1}", sequence.theirs_cpu),
                format!("{:.2}", sequence.ours_cpu / sequence.theirs_cpu),
                format!("{:.0}", sequence.ours_per_second),
                format!("{:.0}", sequence.theirs_per_second),
                format!("{:.2}", sequence.ours_per_second / sequence.theirs_per_second),
            ]);
        }
        table(text, &rows);
    }

    fn memory_table(&self, text: &mut String) {
        if self.memory.is_empty() {
            return;
        }
        text.push_str("\nBytes, by the allocator, averaged over sizes from one to two times\n\n");
        let mut rows = vec![["shape", "per", "Slotway", "redis-server", "ratio"].map(str::to_owned)];
        for shape in &self.memory {
            rows.push([
                shape.shape.to_owned(),
                shape.per.to_owned(),
                format!("{:.1}", shape.ours),
                format!("{:.1}", shape.theirs),
                format!("{:.2}", shape.ratio),
            ]);
        }
        table(text, &rows);
    }

    fn idle_table(&self, text: &mut String) {
        let Some(idle) = &self.idle else { return };
        let _ = writeln!(text, "\nResident bytes per connection, {} idle connections\n", idle.connections);
        let mut rows = vec![["proxy", "connected", "after a SET and a GET"].map(str::to_owned)];
        for cost in [&idle.ours, &idle.theirs] {
            rows.push([cost.name.to_owned(), format!("{:.0}", cost.connected), format!("{:.0}", cost.used)]);
        }
        table(text, &rows);
    }

    fn waiting_table(&self, text: &mut String) {
        let Some(first) = self.waiting.first() else { return };
        let _ = writeln!(text, "\n{} clients that wait in BLPOP\n", first.clients);
        let mut rows = vec![
            [
                "server",
                "bytes a client",
                "in shards behind",
                "CPU ms/s before",
                "while they wait",
                "served in s",
            ]
            .map(str::to_owned),
        ];
        for waiting in &self.waiting {
            rows.push([
                waiting.name.to_owned(),
                format!("{:.0}", waiting.bytes),
                format!("{:.0}", waiting.bytes_behind),
                format!("{:.2}", waiting.idle_cpu),
                format!("{:.2}", waiting.waiting_cpu),
                format!("{:.2}", waiting.served),
            ]);
        }
        table(text, &rows);
    }

    fn across_table(&self, text: &mut String) {
        if self.across.is_empty() {
            return;
        }
        text.push_str("\nKeys on several shards, through the proxy\n\n");
        let head = ["what is sent", "clients", "a second", "p50 µs", "p99.9 µs", "CPU µs"];
        let mut rows = vec![head.map(str::to_owned)];
        for kind in &self.across {
            rows.push([
                kind.name.to_owned(),
                kind.clients.to_string(),
                format!("{:.0}", kind.per_second),
                format!("{:.0}", kind.p50),
                format!("{:.0}", kind.p999),
                format!("{:.0}", kind.cpu),
            ]);
        }
        table(text, &rows);
    }

    fn queues_table(&self, text: &mut String) {
        if self.queues.is_empty() {
            return;
        }
        text.push_str("\nTask queues through the proxy over three shards, jobs a second\n\n");
        let head = ["framework", "as it comes", "with a hash tag", "ratio"];
        let mut rows = vec![head.map(str::to_owned)];
        for queue in &self.queues {
            rows.push([
                queue.name.to_owned(),
                format!("{:.0}", queue.spread),
                format!("{:.0}", queue.tagged),
                format!("{:.2}", queue.spread / queue.tagged),
            ]);
        }
        table(text, &rows);
    }

    /// What was measured of requests of that name, as sent by one client, or by many.
    fn across(&self, name: &str, many: bool) -> Option<&Across> {
        self.across.iter().find(|kind| kind.name == name && (kind.clients > 1) == many)
    }

    /// How two kinds of requests on keys of several shards compare.
    fn across_ratio(
        &self,
        (one, other): (&str, &str),
        many: bool,
        figure: fn(&Across) -> f64,
    ) -> Option<f64> {
        Some(figure(self.across(one, many)?) / figure(self.across(other, many)?))
    }

    fn targets_table(&self, text: &mut String) {
        let targets = self.targets();
        if targets.is_empty() {
            return;
        }
        text.push_str("\nTargets\n\n");
        let mut rows = vec![["figure", "measured", "at most", ""].map(str::to_owned)];
        for Target { what, measured, at_most, unit } in targets {
            let digits = if at_most < 10.0 { 2 } else { 0 };
            rows.push([
                what,
                format!("{measured:.digits$}{unit}"),
                format!("{at_most:.digits$}{unit}"),
                if measured <= at_most { "met" } else { "MISSED" }.to_owned(),
            ]);
        }
        table(text, &rows);
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        let mut ratio = |what: String, measured: Option<f64>, at_most: f64| {
            if let Some(measured) = measured {
                targets.push(Target { what, measured, at_most, unit: "" });
            }
        };
        ratio("shard CPU, depth 1, mean".into(), mean_ratio(&self.shard, 1), 1.0);
        ratio("shard CPU, depth 16, mean".into(), mean_ratio(&self.shard, 16), 0.7);
        for comparison in self.shard.iter().filter(|comparison| comparison.depth == 16) {
            let at_most = if matches!(comparison.command, "GET" | "SET") { 0.6 } else { 1.0 };
            ratio(
                format!("shard CPU, depth 16, {}", comparison.command),
                Some(comparison.cpu_ratio),
                at_most,
            );
        }
        if let Some(messages) = &self.messages {
            let what = format!(
                "proxy and shards, CPU of a message to {} subscribers ({:.2} µs, redis-server {:.2} µs)",
                messages.subscribers, messages.ours, messages.theirs
            );
            ratio(what, Some(messages.ratio), 1.2);
        }
        ratio("proxy CPU, depth 1, mean".into(), mean_ratio(&self.proxy, 1), 0.85);
        ratio("proxy CPU, depth 16, mean".into(), mean_ratio(&self.proxy, 16), 0.4);
        for comparison in self.proxy.iter().filter(|comparison| comparison.command == "MGET_100") {
            ratio(
                format!("proxy CPU, depth {}, MGET_100", comparison.depth),
                Some(comparison.cpu_ratio),
                0.5,
            );
        }
        for sequence in self.sequences.iter().filter(|sequence| sequence.through == "none") {
            let measured = Some(sequence.ours_cpu / sequence.theirs_cpu);
            ratio(format!("shard CPU, {}", sequence.name), measured, 1.0);
        }
        for sequence in &self.sequences {
            if sequence.through == "proxy" && sequence.name.starts_with("MULTI") {
                let measured = Some(sequence.theirs_per_second / sequence.ours_per_second);
                ratio(format!("redis-server's throughput by the proxy's, {}", sequence.name), measured, 1.25);
            }
        }
        let pair = (across::TWO_SHARDS, across::ONE_SLOT);
        let latency = self.across_ratio(pair, false, |kind| kind.p50);
        ratio("latency of a MULTI on two shards by that of one slot's".into(), latency, 4.0);
        let throughput = self.across_ratio((pair.1, pair.0), true, |kind| kind.per_second);
        ratio("throughput of MULTI on one slot by that of two shards'".into(), throughput, 4.0);
        let list = self.across_ratio((across::LONG_LIST, across::SHORT_LIST), false, |kind| kind.p50);
        ratio("LMOVE across shards, list of 1,000,000 by list of 10".into(), list, 1.2);
        let spread = self.across(across::SAME_KEYS, true).map(|kind| kind.p999 / kind.p50);
        ratio("p99.9 by median of MULTIs of 50 clients on the same keys of two shards".into(), spread, 50.0);
        for queue in &self.queues {
            let measured = Some(queue.tagged / queue.spread);
            ratio(format!("{}'s jobs a second with a hash tag by those without", queue.name), measured, 3.3);
        }
        for shape in &self.memory {
            let at_most = match shape.shape {
                name if name.starts_with("strings") => 0.65,
                name if name.contains("10,000") => 0.75,
                _ => 1.0,
            };
            ratio(format!("bytes, {}", shape.shape), Some(shape.ratio), at_most);
        }
        if let Some(idle) = &self.idle {
            targets.push(Target {
                what: "idle connection at the proxy".into(),
                measured: idle.ours.used / 1024.0,
                at_most: 10.0,
                unit: " KiB",
            });
        }
        targets
    }
}

/// Geometric mean of the CPU ratios over the commands that both comparisons have.
fn mean_ratio(comparisons: &[Comparison], depth: u32) -> Option<f64> {
    geometric_mean(
        comparisons
            .iter()
            .filter(|comparison| comparison.depth == depth)
            .filter(|comparison| BASIC.iter().any(|workload| workload.name == comparison.command))
            .map(|comparison| comparison.cpu_ratio),
    )
}

fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let logarithms: Vec<f64> = values.map(f64::ln).collect();
    let count = logarithms.len() as f64;
    (count > 0.0).then(|| (logarithms.iter().sum::<f64>() / count).exp())
}

fn comparisons(text: &mut String, title: &str, comparisons: &[Comparison]) {
    let Some(first) = comparisons.first() else { return };
    let (ours, theirs) = (first.ours.name, first.theirs.name);
    let _ = writeln!(text, "\n{title}: CPU µs per request (and of the stores behind), requests/s, p99 ms\n");
    let mut rows = vec![
        ["command", "depth", ours, theirs, "ratio", "ours/s", "theirs/s", "ours p99", "theirs p99"]
            .map(str::to_owned),
    ];
    for depth in DEPTHS {
        for comparison in comparisons.iter().filter(|comparison| comparison.depth == depth) {
            let Comparison { ours, theirs, .. } = comparison;
            rows.push([
                comparison.command.to_owned(),
                depth.to_string(),
                cpu(ours),
                cpu(theirs),
                format!("{:.2}", comparison.cpu_ratio),
                format!("{:.0}", ours.requests_per_second),
                format!("{:.0}", theirs.requests_per_second),
                format!("{:.2}", ours.p99_milliseconds),
                format!("{:.2}", theirs.p99_milliseconds),
            ]);
        }
        if let Some(mean) = mean_ratio(comparisons, depth) {
            let mut row: [String; 9] = Default::default();
            let [command, at, _, _, ratio, ..] = &mut row;
            *command = "geometric mean".to_owned();
            *at = depth.to_string();
            *ratio = format!("{mean:.2}");
            rows.push(row);
        }
    }
    table(text, &rows);
}

fn cpu(figures: &Figures) -> String {
    match figures.cpu_microseconds.as_slice() {
        [] => String::new(),
        [own] => format!("{own:.2}"),
        [own, stores @ ..] => format!("{own:.2} (+ {:.2})", stores.iter().sum::<f64>()),
    }
}

/// A Markdown table whose columns are aligned.
fn table<const N: usize>(text: &mut String, rows: &[[String; N]]) {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            widths.iter().for_each(|width| {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            });
            text.push_str("|\n");
        }
    }
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let both = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&both).lines().next().unwrap_or("unknown").to_owned()
}

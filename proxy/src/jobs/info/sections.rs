//! The sections of INFO.

use std::collections::BTreeSet;

use slotway_common::resp::Args;

/// One section: its title and its fields in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Section {
    pub title: String,
    pub fields: Vec<(String, String)>,
}

impl Section {
    pub fn get(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
    }

    pub fn set(&mut self, field: &str, value: String) {
        match self.fields.iter_mut().find(|(name, _)| name == field) {
            Some((_, known)) => *known = value,
            None => self.fields.push((field.to_owned(), value)),
        }
    }

    pub fn number(&self, field: &str) -> f64 {
        self.get(field).and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }
}

/// Which sections were asked for.
pub(super) struct Sections {
    wanted: BTreeSet<&'static str>,
    /// `INFO shards`, which no Redis has.
    pub shards: bool,
}

/// Each section's name as an argument, and whether INFO without arguments and `INFO all` show it.
const SECTIONS: [(&str, &str, bool); 13] = [
    ("server", "Server", true),
    ("clients", "Clients", true),
    ("memory", "Memory", true),
    ("persistence", "Persistence", true),
    ("stats", "Stats", true),
    ("replication", "Replication", true),
    ("cpu", "CPU", true),
    ("modules", "Modules", true),
    ("commandstats", "Commandstats", false),
    ("errorstats", "Errorstats", true),
    ("latencystats", "Latencystats", false),
    ("cluster", "Cluster", true),
    ("keyspace", "Keyspace", true),
];

impl Sections {
    /// Titles in Redis's order.
    pub const TITLES: [&'static str; 13] = [
        "Server",
        "Clients",
        "Memory",
        "Persistence",
        "Stats",
        "Replication",
        "CPU",
        "Modules",
        "Commandstats",
        "Errorstats",
        "Latencystats",
        "Cluster",
        "Keyspace",
    ];

    /// Reads the arguments after INFO.
    pub fn wanted(args: &Args<'_>) -> Self {
        let mut sections = Self { wanted: BTreeSet::new(), shards: false };
        let mut add = |only_default: bool| {
            let shown = SECTIONS.iter().filter(|(_, _, default)| *default || !only_default);
            sections.wanted.extend(shown.map(|(_, title, _)| *title));
        };
        if args.is_empty() {
            add(true);
        }
        for arg in args.iter() {
            match arg.to_ascii_lowercase().as_slice() {
                b"all" | b"everything" => add(false),
                b"default" => add(true),
                _ => {}
            }
        }
        for arg in args.iter() {
            let named = |(name, _, _): &&(&str, &str, bool)| arg.eq_ignore_ascii_case(name.as_bytes());
            sections.wanted.extend(SECTIONS.iter().find(named).map(|(_, title, _)| *title));
            sections.shards |= arg.eq_ignore_ascii_case(b"shards");
        }
        sections
    }

    pub fn has(&self, title: &str) -> bool {
        self.wanted.contains(title)
    }

    pub fn any_of_shards(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// The sections that shards are asked for.
    pub fn of_shards(&self) -> Vec<&'static str> {
        SECTIONS.iter().filter(|(_, title, _)| self.has(title)).map(|(name, _, _)| *name).collect()
    }
}

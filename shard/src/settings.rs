//! The settings of this node: where they come from, how they take effect, and how they last.
//!
//! At the start the cluster file's `settings` hold. What is set through a proxy comes as `SLOTWAY SETTINGS PREPARE` and
//! `COMMIT`, has a version that the whole cluster agrees on, and is stored in the node's directory; it then comes before
//! the file. But a value that was changed in the file since it was stored is newer, and comes before what is stored.
//! CONFIG SET sent to the shard itself lasts until the process ends, or CONFIG REWRITE stores it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slotway_common::platform::files;
use slotway_common::settings::{Changes, Name, Settings, StoredText};
use slotway_common::slot::SLOTS;

use crate::engine::{Engine, Limits, Policy};
use crate::node::{HotSettings, Node};

/// Prepared changes that are remembered; a proxy that never commits one has lost its connection.
const MOST_PREPARED: usize = 16;

/// The file in the node's directory.
pub const FILE: &str = "settings.json";

/// What the file holds, and what `SLOTWAY SETTINGS` answers but for `file`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    version: u64,
    values: BTreeMap<String, StoredText>,
    /// What the cluster file said when this was stored.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    file: BTreeMap<String, String>,
}

/// A node's settings.
#[derive(Debug, Default)]
pub struct NodeSettings {
    pub values: Settings,
    /// Grows with every change that the cluster makes.
    version: u64,
    from_file: BTreeMap<String, String>,
    path: Option<PathBuf>,
    prepared: VecDeque<(Vec<u8>, Changes)>,
}

impl NodeSettings {
    /// The settings at the start: those of the cluster file, and those that are stored at `path`.
    ///
    /// # Errors
    /// One line: a stored file that cannot be read, or a value that is none.
    pub fn load(from_file: &BTreeMap<String, String>, path: PathBuf) -> Result<Self, String> {
        let at_path = |reason: String| format!("{}: {reason}", path.display());
        let stored: Stored = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| at_path(error.to_string()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Stored::default(),
            Err(error) => return Err(at_path(error.to_string())),
        };
        let mut values = Settings::new();
        for (name, text) in from_file {
            values.load(name, text.as_bytes())?;
        }
        let changed_in_file =
            |name: &String| from_file.get(name).is_some_and(|text| stored.file.get(name) != Some(text));
        for (name, text) in &stored.values {
            if !changed_in_file(name) {
                values.load(name, &text.bytes()).map_err(at_path)?;
            }
        }
        Ok(Self {
            values,
            version: stored.version,
            from_file: from_file.clone(),
            path: Some(path),
            prepared: VecDeque::new(),
        })
    }

    /// What `SLOTWAY SETTINGS` answers.
    #[must_use]
    pub fn to_json(&self) -> String {
        let stored = Stored { version: self.version, values: self.values.stored(), file: BTreeMap::new() };
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Stores the current values.
    ///
    /// # Errors
    /// Any of the file system; what was stored before still is.
    pub fn store(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let stored =
            Stored { version: self.version, values: self.values.stored(), file: self.from_file.clone() };
        // It may hold the password.
        files::replace_private(path, &serde_json::to_vec_pretty(&stored)?)
    }

    /// Remembers changes that are valid, until they are committed or given up.
    pub fn prepare(&mut self, id: &[u8], changes: Changes) {
        self.abort(id);
        if self.prepared.len() == MOST_PREPARED {
            self.prepared.pop_front();
        }
        self.prepared.push_back((id.to_vec(), changes));
    }

    /// Makes prepared changes; `None` when there are none of that id.
    pub fn commit(&mut self, id: &[u8], version: u64) -> Option<Vec<Name>> {
        let position = self.prepared.iter().position(|(known, _)| known == id)?;
        let (_, changes) = self.prepared.remove(position)?;
        self.version = version;
        Some(self.values.apply(changes))
    }

    /// Gives up prepared changes, if there are any of that id.
    pub fn abort(&mut self, id: &[u8]) {
        self.prepared.retain(|(known, _)| known != id);
    }
}

/// Brings the settings, and the slots that this shard owns, to where they take effect.
pub fn take_effect(engine: &mut Engine, node: &mut Node) {
    let values = &node.settings.values;
    engine.limits = Limits {
        hash_max_listpack_entries: values.size(Name::HashMaxListpackEntries),
        hash_max_listpack_value: values.size(Name::HashMaxListpackValue),
        list_max_listpack_size: values.number(Name::ListMaxListpackSize),
        set_max_intset_entries: values.size(Name::SetMaxIntsetEntries),
        zset_max_listpack_entries: values.size(Name::ZsetMaxListpackEntries),
        zset_max_listpack_value: values.size(Name::ZsetMaxListpackValue),
        max_string: values.size(Name::ProtoMaxBulkLen),
    };
    engine.clock.policy = Policy::named(values.choice(Name::MaxmemoryPolicy)).unwrap_or_default();
    engine.clock.log_factor = values.number(Name::LfuLogFactor) as u32;
    engine.clock.decay_minutes = values.number(Name::LfuDecayTime) as u32;
    let owned = node.slot_map.slots_of(node.shard_index).count() as u64;
    engine.memory.limit = share(values.bytes(Name::Maxmemory), owned);

    let output = values.output_limits().normal;
    node.hot = HotSettings {
        requirepass: values.text(Name::Requirepass).into_owned(),
        maxmemory_samples: values.size(Name::MaxmemorySamples),
        max_clients: values.size(Name::Maxclients),
        timeout: seconds(values.number(Name::Timeout)),
        keepalive: Some(seconds(values.number(Name::TcpKeepalive))).filter(|time| !time.is_zero()),
        output_limit: usize::try_from(output.hard).unwrap_or(usize::MAX),
        soft_output_limit: (output.soft > 0).then(|| {
            (usize::try_from(output.soft).unwrap_or(usize::MAX), Duration::from_secs(output.seconds.into()))
        }),
        query_limit: values.size(Name::ClientQueryBufferLimit),
    };
    node.slow_log.threshold =
        u64::try_from(values.number(Name::SlowlogLogSlowerThan)).ok().map(Duration::from_micros);
    node.slow_log.set_max_len(values.size(Name::SlowlogMaxLen));
    node.latency.threshold = Some(values.number(Name::LatencyMonitorThreshold) as u64)
        .filter(|threshold| *threshold > 0)
        .map(Duration::from_millis);
    node.latency.set_tracking(values.is(Name::LatencyTracking));
}

/// This shard's part of the cluster's `maxmemory`, in proportion to its slots; 0 stays 0, no limit.
fn share(total: u64, owned: u64) -> u64 {
    let share = u128::from(total) * u128::from(owned) / u128::from(SLOTS);
    if total > 0 { u64::try_from(share).unwrap_or(u64::MAX).max(1) } else { 0 }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn prepare(settings: &mut NodeSettings, id: &[u8], name: &str, value: &str) {
        let mut wanted = settings.values.clone();
        wanted.load(name, value.as_bytes()).unwrap();
        let mut request = Vec::new();
        slotway_common::resp::request::encode([name.as_bytes(), value.as_bytes()].into_iter(), &mut request);
        let mut parser = slotway_common::resp::Parser::new();
        parser.parse(&request, &slotway_common::resp::Limits::default()).unwrap();
        let changes = settings.values.config_set(&parser.args(&request)).unwrap();
        settings.prepare(id, changes);
    }

    #[test]
    fn committed_settings_outlive_the_process_and_a_newer_file_comes_before_them() {
        let directory = std::env::temp_dir().join(slotway_common::platform::random::hex_id::<8>());
        let path = directory.join("node").join(FILE);
        let mut settings =
            NodeSettings::load(&file(&[("hz", "20"), ("timeout", "7")]), path.clone()).unwrap();
        prepare(&mut settings, b"1", "timeout", "9");
        prepare(&mut settings, b"2", "maxclients", "77");
        prepare(&mut settings, b"3", "requirepass", "secret");
        settings.abort(b"2");
        assert_eq!(settings.values.number(Name::Timeout), 7);
        assert!(settings.commit(b"2", 5).is_none());
        assert_eq!(settings.commit(b"1", 5), Some(vec![Name::Timeout]));
        assert_eq!(settings.commit(b"3", 6), Some(vec![Name::Requirepass]));
        settings.store().unwrap();

        let again = NodeSettings::load(&file(&[("hz", "20"), ("timeout", "7")]), path.clone()).unwrap();
        assert_eq!(
            (again.values.number(Name::Timeout), again.values.number(Name::Hz), again.version),
            (9, 20, 6)
        );
        assert_eq!(*again.values.text(Name::Requirepass), *b"secret");
        assert_eq!(again.values.number(Name::Maxclients), 10_000);
        let edited = NodeSettings::load(&file(&[("hz", "20"), ("timeout", "8")]), path.clone()).unwrap();
        assert_eq!(edited.values.number(Name::Timeout), 8);

        std::fs::write(&path, "{").unwrap();
        assert!(NodeSettings::load(&BTreeMap::new(), path).is_err_and(|error| error.contains(FILE)));
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn memory_is_shared_out_by_slots() {
        assert_eq!(share(0, 16384), 0);
        assert_eq!(share(1000, 16384), 1000);
        assert_eq!(share(1000, 4096), 250);
        assert_eq!(share(u64::MAX, 8192), u64::MAX / 2);
        // A shard without slots keeps nothing, but has a limit.
        assert_eq!(share(1000, 0), 1);
    }
}

//! The settings of this node: where they come from and how they take effect.
//!
//! The committed state of the cluster has them; CONFIG SET through a proxy changes it. Until a node has applied a state, and
//! for what can be set at the start only, the cluster file's `settings` hold. CONFIG SET sent to the shard itself lasts
//! until the process ends, or the cluster sets the same parameter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use slotway_common::cluster_state::ClusterState;
use slotway_common::settings::{Name, Settings, StoredText};

use crate::client::Client;

/// What `SLOTWAY SETTINGS` answers.
#[derive(Serialize)]
struct Told<'a> {
    version: u64,
    values: &'a BTreeMap<String, StoredText>,
}

/// A node's settings.
#[derive(Debug, Default)]
pub struct NodeSettings {
    pub values: Settings,
    /// The generation at which the cluster's settings were last changed; 0 before a state was applied.
    version: u64,
    /// What the cluster has set, or the file before a state was applied.
    committed: BTreeMap<String, StoredText>,
}

impl NodeSettings {
    /// The settings at the start, of the cluster file.
    ///
    /// # Errors
    /// One line: a value that is none.
    pub fn load(from_file: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut values = Settings::new();
        for (name, text) in from_file {
            values.load(name, text.as_bytes())?;
        }
        let committed = values.stored();
        Ok(Self { values, version: 0, committed })
    }

    /// Sets what the cluster has set otherwise than before.
    pub fn follow(&mut self, state: &ClusterState) {
        if state.settings_version == self.version {
            return;
        }
        self.version = state.settings_version;
        let before = std::mem::replace(&mut self.committed, state.settings.clone());
        let names: BTreeSet<&String> = before.keys().chain(state.settings.keys()).collect();
        for name in names {
            let value = state.settings.get(name);
            if before.get(name) == value {
                continue;
            }
            let text = match (value, Name::find(name.as_bytes())) {
                (Some(value), _) => value.bytes().into_owned(),
                (None, Some(known)) => known.parameter().default.as_bytes().to_vec(),
                (None, None) => continue,
            };
            // It was checked before it was committed; a node of another version may still know it otherwise.
            if let Err(reason) = self.values.load(name, &text) {
                tracing::error!("a setting of the cluster is not in force here: {reason}");
            }
        }
    }

    /// What `SLOTWAY SETTINGS` answers.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&Told { version: self.version, values: &self.committed }).unwrap_or_default()
    }
}

/// Settings that are looked at on every request or connection, in the form in which they are used.
#[derive(Clone, Debug)]
pub struct HotSettings {
    /// What `requirepass` is set to.
    pub requirepass: Vec<u8>,
    /// Entries of ACL LOG.
    pub acl_log: usize,
    pub maxmemory_samples: usize,
    pub max_clients: usize,
    /// Idle clients are closed after this time; zero: never.
    pub timeout: Duration,
    pub keepalive: Option<Duration>,
    /// Most bytes of replies that may wait for a client; 0: no limit.
    pub output_limit: usize,
    /// Bytes of replies above which a client may stay for the second value.
    pub soft_output_limit: Option<(usize, Duration)>,
    /// The same of clients that have subscriptions.
    pub pubsub_output: OutputBounds,
    /// Most bytes of a request in progress.
    pub query_limit: usize,
}

/// How much may wait for a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputBounds {
    /// Most bytes; 0: no limit.
    pub hard: usize,
    /// Bytes above which the client may stay for the second value.
    pub soft: Option<(usize, Duration)>,
}

impl OutputBounds {
    /// Most bytes, which there are in any case.
    #[must_use]
    pub fn budget(&self) -> usize {
        if self.hard == 0 { REPLY_BUDGET } else { self.hard }
    }
}

/// Most bytes of replies for one client where `client-output-buffer-limit` sets no limit.
const REPLY_BUDGET: usize = 1024 * 1024 * 1024;

impl HotSettings {
    /// How much may wait for a client.
    #[must_use]
    pub fn output(&self, client: &Client) -> OutputBounds {
        if client.is_subscriber() {
            return self.pubsub_output;
        }
        OutputBounds { hard: self.output_limit, soft: self.soft_output_limit }
    }

    /// Most bytes of replies that one client may make wait.
    #[must_use]
    #[inline]
    pub fn reply_budget(&self) -> usize {
        if self.output_limit == 0 { REPLY_BUDGET } else { self.output_limit }
    }
}

impl Default for HotSettings {
    fn default() -> Self {
        Self {
            requirepass: Vec::new(),
            acl_log: 128,
            maxmemory_samples: 5,
            max_clients: 10_000,
            timeout: Duration::ZERO,
            keepalive: Some(Duration::from_secs(300)),
            output_limit: 0,
            soft_output_limit: None,
            pubsub_output: OutputBounds::default(),
            query_limit: 1024 * 1024 * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(version: u64, pairs: &[(&str, &str)]) -> ClusterState {
        let mut state = ClusterState::default();
        state.settings_version = version;
        let stored = |(name, text): &(&str, &str)| ((*name).to_owned(), StoredText::new(text.as_bytes()));
        state.settings = pairs.iter().map(stored).collect();
        state
    }

    #[test]
    fn what_the_cluster_has_set_comes_before_the_file_and_what_it_does_not_touch_stays() {
        let file = [("hz", "20"), ("timeout", "7"), ("enable-debug-command", "yes")];
        let file = file.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let mut settings = NodeSettings::load(&file).unwrap();
        assert_eq!(settings.values.number(Name::Timeout), 7);
        settings.values.load("maxmemory-samples", b"9").unwrap();

        settings.follow(&state(3, &[("hz", "20"), ("requirepass", "secret")]));
        let values = &settings.values;
        assert_eq!((values.number(Name::Hz), values.number(Name::Timeout)), (20, 0));
        assert_eq!(*values.text(Name::Requirepass), *b"secret");
        assert_eq!(values.choice(Name::EnableDebugCommand), "yes");
        assert_eq!(values.number(Name::MaxmemorySamples), 9);
        assert_eq!(settings.to_json(), r#"{"version":3,"values":{"hz":"20","requirepass":"secret"}}"#);

        settings.values.load("hz", b"30").unwrap();
        settings.follow(&state(3, &[("hz", "25")]));
        assert_eq!(settings.values.number(Name::Hz), 30);
        settings.follow(&state(4, &[("hz", "20")]));
        assert_eq!(settings.values.number(Name::Hz), 30);
        assert_eq!(*settings.values.text(Name::Requirepass), *b"");
    }
}

//! Settings that the file gives and the cluster has otherwise.

use std::collections::BTreeMap;

use serde::Serialize;
use slotway_common::settings::{Name, Settings, StoredText, Support};

/// Passwords are not shown.
const SECRET: [&str; 3] = ["requirepass", "masterauth", "tls-key-file-pass"];

/// A setting that gets another value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingChange {
    pub name: String,
    /// As texts to be shown; of a password only that it is one.
    pub from: String,
    pub to: String,
    /// `None` for the default.
    #[serde(skip)]
    pub value: Option<StoredText>,
}

/// What changes, and what is set in the cluster but not in the file: that stays, since CONFIG SET may have set it.
///
/// Values are compared, not texts: `4gb` is `4294967296`. What is read at a process's start only is not compared.
pub(super) fn compare(
    file: &BTreeMap<String, String>,
    state: &BTreeMap<String, StoredText>,
) -> (Vec<SettingChange>, Vec<String>) {
    let (mut wanted, mut current, defaults) = (Settings::new(), Settings::new(), Settings::new());
    let mut named = Vec::new();
    for (name, text) in file {
        // Both have been checked before; what is wrong nevertheless is left at its default.
        let _ = wanted.load(name, text.as_bytes());
        named.extend(Name::find(name.as_bytes()));
    }
    for (name, text) in state {
        let _ = current.load(name, &text.bytes());
    }
    let (mut changes, mut notes) = (Vec::new(), Vec::new());
    for name in Name::all() {
        let parameter = name.parameter();
        if !matches!(parameter.support, Support::Live | Support::Ignored) {
            continue;
        }
        let shown = |settings: &Settings| match settings.value(name).text() {
            text if SECRET.contains(&parameter.name) && !text.is_empty() => "(not shown)".to_owned(),
            text if text.is_empty() => "\"\"".to_owned(),
            text => String::from_utf8_lossy(&text).into_owned(),
        };
        let value = wanted.value(name);
        if named.contains(&name) {
            if value != current.value(name) {
                changes.push(SettingChange {
                    name: parameter.name.to_owned(),
                    from: shown(&current),
                    to: shown(&wanted),
                    value: (value != defaults.value(name)).then(|| StoredText::new(&value.text())),
                });
            }
        } else if current.value(name) != defaults.value(name) {
            notes.push(format!(
                "setting {} is {} in the cluster and not in the file: it stays",
                parameter.name,
                shown(&current)
            ));
        }
    }
    (changes, notes)
}

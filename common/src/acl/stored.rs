//! Users as the cluster's state has them: as rules, so that it does not matter how a process numbers its commands.

use serde::{Deserialize, Serialize};

use super::selector::Selector;
use super::user::{User, hash};
use crate::settings::StoredText;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredUser {
    pub name: StoredText,
    /// The generation that made it; 0 in a change.
    #[serde(default)]
    pub created: u64,
    #[serde(default)]
    on: bool,
    #[serde(default)]
    nopass: bool,
    #[serde(default)]
    sanitize: Option<bool>,
    #[serde(default)]
    passwords: Vec<String>,
    /// The rules of each selector, that of the user itself first.
    selectors: Vec<Vec<StoredText>>,
}

/// A user that is made or changed, or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserChange {
    Set(StoredUser),
    Delete(StoredText),
}

impl StoredUser {
    /// What `CONFIG SET requirepass` does to the default user.
    pub fn require(&mut self, password: &[u8]) {
        self.nopass = password.is_empty();
        self.passwords = if password.is_empty() { Vec::new() } else { vec![hash(password)] };
    }

    /// The same as it is kept from a generation on.
    #[must_use]
    pub(crate) fn kept_since(&self, generation: u64) -> Self {
        Self { created: generation, ..self.clone() }
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let rules: usize = self.selectors.iter().flatten().map(|rule| rule.bytes().len() + 32).sum();
        self.name.bytes().len() + 128 + rules + self.passwords.len() * 96 + self.selectors.len() * 128
    }
}

impl From<&User> for StoredUser {
    fn from(user: &User) -> Self {
        let rules = |selector: &Selector| {
            let all = [selector.exact_key_rules(), selector.channel_rules(), selector.command_rules(true)];
            all.iter().flatten().map(|rule| StoredText::new(rule)).collect()
        };
        Self {
            name: StoredText::new(&user.name),
            created: user.created,
            on: user.on,
            nopass: user.nopass,
            sanitize: user.sanitize,
            passwords: user.passwords.clone(),
            selectors: user.all_selectors().map(rules).collect(),
        }
    }
}

impl From<&StoredUser> for User {
    /// What a node of another version knows and this one does not is left out: the user may do less here, never more.
    fn from(stored: &StoredUser) -> Self {
        let selector = |rules: &Vec<StoredText>| {
            let mut selector = Selector::new(false);
            for rule in rules {
                if selector.apply(&rule.bytes()).is_err() {
                    let rule = rule.bytes();
                    if rule.starts_with(b"-") {
                        // It cannot be told what must not be done.
                        tracing::error!(
                            "a user's rule is not known here, so it may run nothing: {}",
                            rule.escape_ascii()
                        );
                        return Selector::new(false);
                    }
                    tracing::error!("a user's rule is not known here: {}", rule.escape_ascii());
                }
            }
            selector
        };
        let mut selectors = stored.selectors.iter().map(selector);
        let mut user = Self {
            created: stored.created,
            on: stored.on,
            nopass: stored.nopass,
            sanitize: stored.sanitize,
            passwords: stored.passwords.clone(),
            root: selectors.next().unwrap_or_default(),
            selectors: selectors.collect(),
            ..Self::new(&stored.name.bytes(), false)
        };
        let unrestricted = user.all_selectors().any(Selector::is_unrestricted);
        user.unrestricted = unrestricted;
        user
    }
}

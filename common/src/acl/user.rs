//! A user: who may log in as it, and what it may do then.

use sha2::{Digest, Sha256};

use super::rules::RuleError;
use super::selector::Selector;
use super::text;
use crate::resp::request::split_line;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub(super) name: Vec<u8>,
    /// The generation of the cluster's state that made it: another user of the same name has another one.
    pub(super) created: u64,
    pub(super) on: bool,
    /// Any password will do.
    pub(super) nopass: bool,
    /// `sanitize-payload` and `skip-sanitize-payload`, which change nothing here; a new user has neither.
    pub(super) sanitize: Option<bool>,
    /// SHA-256 in hexadecimal.
    pub(super) passwords: Vec<String>,
    pub(super) root: Selector,
    pub(super) selectors: Vec<Selector>,
    /// It may do all.
    pub(super) unrestricted: bool,
}

/// How a password is kept.
pub(super) fn hash(password: &[u8]) -> String {
    Sha256::digest(password).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn checked_hash(hash: &[u8]) -> Result<String, RuleError> {
    let fits = hash.len() == 64 && hash.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let hash = std::str::from_utf8(hash).ok().filter(|_| fits).ok_or(RuleError::BadHash)?;
    Ok(hash.to_owned())
}

/// Compares in a time that does not tell how much was right.
fn same(expected: &[u8], given: &[u8]) -> bool {
    let differences =
        expected.iter().zip(given).fold(expected.len() ^ given.len(), |sum, (a, b)| sum | usize::from(a ^ b));
    differences == 0
}

impl User {
    /// One that may not log in and do nothing.
    #[must_use]
    pub fn new(name: &[u8], all_channels: bool) -> Self {
        Self {
            name: name.to_vec(),
            created: 0,
            on: false,
            nopass: false,
            sanitize: None,
            passwords: Vec::new(),
            root: Selector::new(all_channels),
            selectors: Vec::new(),
            unrestricted: false,
        }
    }

    /// The default user as it is made: it may do all.
    #[must_use]
    pub fn first(requirepass: &[u8]) -> Self {
        let mut user =
            Self { on: true, root: Selector::all(), unrestricted: true, ..Self::new(b"default", true) };
        user.require(requirepass);
        user
    }

    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Tells it from another user of the same name.
    #[must_use]
    pub fn created(&self) -> u64 {
        self.created
    }

    /// It may run every command on all keys and channels.
    #[must_use]
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted
    }

    /// Whether who connects is let in as this user without a word.
    #[must_use]
    pub(super) fn is_open(&self) -> bool {
        self.on && self.nopass
    }

    /// What `requirepass` does to the default user.
    pub(super) fn require(&mut self, password: &[u8]) {
        self.nopass = password.is_empty();
        self.passwords = if password.is_empty() { Vec::new() } else { vec![hash(password)] };
    }

    pub(super) fn takes(&self, password: &[u8]) -> bool {
        if !self.on {
            return false;
        }
        if self.nopass {
            return true;
        }
        let given = hash(password);
        self.passwords.iter().fold(false, |found, known| found | same(known.as_bytes(), given.as_bytes()))
    }

    /// Changes it as a rule says. `all_channels` is what new selectors begin with.
    pub(super) fn apply(&mut self, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
        let word = text(rule).to_ascii_lowercase();
        match (word.as_slice(), rule) {
            (_, []) => {}
            (b"on", _) => self.on = true,
            (b"off", _) => self.on = false,
            (b"skip-sanitize-payload", _) => self.sanitize = Some(false),
            (b"sanitize-payload", _) => self.sanitize = Some(true),
            (b"nopass", _) => (self.nopass, self.passwords) = (true, Vec::new()),
            (b"resetpass", _) => (self.nopass, self.passwords) = (false, Vec::new()),
            (_, [b'>', password @ ..]) => self.add_password(hash(password)),
            (_, [b'#', hash @ ..]) => self.add_password(checked_hash(hash)?),
            (_, [b'<', password @ ..]) => self.remove_password(&hash(password))?,
            (_, [b'!', hash @ ..]) => self.remove_password(&checked_hash(hash)?)?,
            (_, [b'(', inside @ .., b')']) => {
                let mut selector = Selector::new(all_channels);
                // Redis takes what has an open quote for nothing.
                for rule in split_line(text(inside)).unwrap_or_default() {
                    selector.apply(&rule)?;
                }
                self.selectors.push(selector);
            }
            (b"clearselectors", _) => self.selectors.clear(),
            (b"reset", _) => {
                *self = Self {
                    created: self.created,
                    sanitize: Some(true),
                    ..Self::new(&std::mem::take(&mut self.name), all_channels)
                };
            }
            _ => self.root.apply(rule)?,
        }
        self.unrestricted =
            self.root.is_unrestricted() || self.selectors.iter().any(Selector::is_unrestricted);
        Ok(())
    }

    fn add_password(&mut self, hash: String) {
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
        self.nopass = false;
    }

    fn remove_password(&mut self, hash: &str) -> Result<(), RuleError> {
        let place = self.passwords.iter().position(|known| known == hash).ok_or(RuleError::NoSuchPassword)?;
        self.passwords.remove(place);
        Ok(())
    }

    /// The root selector and the others.
    pub(super) fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }
}

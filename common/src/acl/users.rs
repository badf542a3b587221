//! All users, and changes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::has_blanks;
use super::rules::merged;
use super::stored::{StoredUser, UserChange};
use super::user::User;
use crate::error::Error;
use crate::resp::Args;
use crate::settings::StoredText;

/// Users that there may be. All of them travel with the cluster's state.
const MOST_USERS: usize = 10_000;
/// Bytes that they may take together.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// All users, as of one version of the cluster's state.
#[derive(Clone, Debug)]
pub struct Users {
    by_name: BTreeMap<Vec<u8>, Arc<User>>,
    default: Arc<User>,
    version: u64,
    /// Bytes that those take that are kept.
    bytes: usize,
}

impl Default for Users {
    /// Only the default user, without a password.
    fn default() -> Self {
        Self::new(&[], 0, b"")
    }
}

impl Users {
    /// Those of the cluster's state. `requirepass` holds for the default user as long as the state has none.
    #[must_use]
    pub fn new(stored: &[StoredUser], version: u64, requirepass: &[u8]) -> Self {
        let mut by_name: BTreeMap<_, _> = stored
            .iter()
            .map(|stored| (stored.name.bytes().into_owned(), Arc::new(User::from(stored))))
            .collect();
        let default =
            by_name.entry(b"default".to_vec()).or_insert_with(|| Arc::new(User::first(requirepass))).clone();
        Self { by_name, default, version, bytes: stored.iter().map(StoredUser::bytes).sum() }
    }

    /// The same with another password of the default user.
    #[must_use]
    pub fn requiring(&self, password: &[u8]) -> Self {
        let mut default = User::clone(&self.default);
        default.require(password);
        let default = Arc::new(default);
        let mut by_name = self.by_name.clone();
        by_name.insert(b"default".to_vec(), default.clone());
        Self { by_name, default, ..*self }
    }

    /// The version of the users in the cluster's state.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// The user that connections begin with.
    #[must_use]
    pub fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    /// Whether who connects need not log in.
    #[must_use]
    pub fn are_open(&self) -> bool {
        self.default.is_open()
    }

    /// Whether the default user takes any password, so that AUTH with a password alone makes no sense.
    #[must_use]
    pub fn have_no_password(&self) -> bool {
        self.default.nopass
    }

    /// By name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.by_name.values()
    }

    /// The user of that name, if the password is its.
    #[must_use]
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<&Arc<User>> {
        self.get(name).filter(|user| user.takes(password))
    }
}

/// What ACL SETUSER comes to, of which `args` are the arguments from the user's name on. `all_channels` is what
/// `acl-pubsub-default` says.
///
/// # Errors
/// The error reply: the name, a rule, or that there would be too much of it all.
pub fn set(users: &Users, args: &Args<'_>, all_channels: bool) -> Result<Vec<UserChange>, Error> {
    let name = args.at(0);
    if has_blanks(name) {
        return Err(Error::err("Usernames can't contain spaces or null characters"));
    }
    let known = users.get(name);
    let mut user = known.map_or_else(|| User::new(name, all_channels), |known| User::clone(known));
    for rule in merged(args.rest(1).iter())? {
        user.apply(&rule, all_channels).map_err(|error| error.of_rule(&rule))?;
    }
    let stored = StoredUser::from(&user);
    let before = known.map_or(0, |known| StoredUser::from(&**known).bytes());
    if users.bytes.saturating_sub(before) + stored.bytes() > MOST_BYTES {
        return Err(Error::err(format!("the rules of all users would be more than {MOST_BYTES} bytes")));
    }
    if known.is_none() && users.by_name.len() >= MOST_USERS {
        return Err(Error::err(format!("there are {MOST_USERS} users already")));
    }
    Ok(vec![UserChange::Set(stored)])
}

/// What ACL DELUSER comes to, of which `args` are the names.
///
/// # Errors
/// The error reply: the default user cannot go.
pub fn delete(users: &Users, args: &Args<'_>) -> Result<Vec<UserChange>, Error> {
    if args.iter().any(|name| super::text(name) == b"default") {
        return Err(Error::err("The 'default' user cannot be removed"));
    }
    let mut names: Vec<&[u8]> = args.iter().filter(|name| users.get(name).is_some()).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names.into_iter().map(|name| UserChange::Delete(StoredText::new(name))).collect())
}

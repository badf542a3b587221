//! Whom a connection acts as.

use std::sync::{Arc, LazyLock};

use super::user::User;
use super::users::Users;

/// The default user as it is where nothing has been set.
static FIRST: LazyLock<Arc<User>> = LazyLock::new(|| Arc::new(User::first(b"")));

/// Whom a connection acts as.
#[derive(Clone, Debug)]
pub struct Login {
    user: Arc<User>,
    /// It has logged in, or needed not to when it connected.
    authenticated: bool,
    /// It may do all: nothing has to be asked.
    free: bool,
}

impl Login {
    /// A connection that has just been opened, or reset.
    #[must_use]
    pub fn new(users: &Users) -> Self {
        Self::of(users.default_user().clone(), users.are_open(), users)
    }

    /// One that may do all, of another process of the cluster or of this one.
    #[must_use]
    pub fn internal() -> Self {
        Self { user: Arc::clone(&FIRST), authenticated: true, free: true }
    }

    fn of(user: Arc<User>, authenticated: bool, users: &Users) -> Self {
        let free = user.is_unrestricted() && (authenticated || users.are_open());
        Self { user, authenticated, free }
    }

    /// AUTH; false if that is not the password.
    pub fn log_in(&mut self, users: &Users, name: &[u8], password: &[u8]) -> bool {
        let user = users.authenticate(name, password);
        if let Some(user) = user {
            *self = Self::of(user.clone(), true, users);
        }
        user.is_some()
    }

    /// Follows a change of the users; false if its own is gone.
    #[must_use]
    pub fn follow(&mut self, users: &Users) -> bool {
        let user = users.get(self.user.name()).filter(|user| user.created() == self.user.created());
        let user = match user {
            // The default user cannot go: it is kept from the time on at which it is changed.
            None if self.user.name() == b"default" => Some(users.default_user()),
            other => other,
        };
        *self = match user {
            Some(user) => Self::of(user.clone(), self.authenticated, users),
            None => Self { free: false, ..Self::of(users.default_user().clone(), false, users) },
        };
        user.is_some()
    }

    /// Nothing has to be asked before a command.
    #[must_use]
    #[inline]
    pub fn is_free(&self) -> bool {
        self.free
    }

    /// Whether it must log in first.
    #[must_use]
    pub fn is_required(&self, users: &Users) -> bool {
        !self.authenticated && !users.are_open()
    }

    #[must_use]
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }
}

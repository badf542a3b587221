//! What a node may do now: decided in one place, from its role and from what becomes of its writes.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use slotway_common::command::{Command, Flags, Route};
use slotway_common::error::Error;

/// How far reading is.
#[derive(Clone, Debug)]
pub struct Loading {
    /// Seconds since 1970.
    pub since: i64,
    pub total_bytes: u64,
    pub loaded_bytes: Arc<AtomicU64>,
}

/// What a node is to its shard.
#[derive(Clone, Debug, Default)]
pub enum Role {
    /// It reads back what it held.
    Loading(Loading),
    #[default]
    Primary,
}

/// What becomes of writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// What the settings promise.
    #[default]
    Kept,
    /// The log has failed. Of a node that tells nobody of anything that is not on disk, reads could tell of that.
    Failed { reason: String, hides_data: bool },
}

/// Role and durability of a node.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    role: Role,
    durability: Durability,
    /// Some commands are refused.
    is_restricted: bool,
}

impl Standing {
    pub fn set_role(&mut self, role: Role) {
        self.role = role;
        self.decide();
    }

    pub fn set_durability(&mut self, durability: Durability) {
        self.durability = durability;
        self.decide();
    }

    fn decide(&mut self) {
        self.is_restricted = !matches!(self.role, Role::Primary) || self.durability != Durability::Kept;
    }

    /// How far reading the log is, while it is being read.
    #[must_use]
    pub fn loading(&self) -> Option<&Loading> {
        match &self.role {
            Role::Loading(loading) => Some(loading),
            Role::Primary => None,
        }
    }

    /// Checks that the node may run a command now.
    ///
    /// # Errors
    /// `LOADING` or `MISCONF`.
    #[inline]
    pub fn admit(&self, command: &Command) -> Result<(), Error> {
        if self.is_restricted { self.check(command) } else { Ok(()) }
    }

    #[cold]
    fn check(&self, command: &Command) -> Result<(), Error> {
        if self.loading().is_some() && needs_data(command) {
            return Err(Error::Loading);
        }
        match &self.durability {
            Durability::Failed { reason, hides_data: true } if command.is_write() || needs_data(command) => {
                Err(Error::Line(
                    format!("MISCONF what is here may not be on disk, because the log has failed: {reason}")
                        .into(),
                ))
            }
            Durability::Failed { reason, .. } if command.is_write() => Err(Error::Line(
                format!("MISCONF nothing is written any more, because the log cannot be: {reason}").into(),
            )),
            _ => Ok(()),
        }
    }
}

/// Whether a command cannot be served before the data has been read.
fn needs_data(command: &Command) -> bool {
    !command.flags.contains(Flags::LOADING)
        && command.route != Route::Internal
        && !command.flags.contains(Flags::NO_AUTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotway_common::command::lookup;

    fn refused(standing: &Standing) -> Vec<(&'static str, String)> {
        let names = ["get", "set", "ping", "info", "auth"];
        let refused = |name: &'static str| {
            let error = standing.admit(lookup(name.as_bytes())?).err()?;
            Some((name, String::from_utf8_lossy(&error.wire()).split(' ').next()?.to_owned()))
        };
        names.into_iter().filter_map(refused).collect()
    }

    #[test]
    fn every_role_and_durability_refuses_what_it_cannot_serve() {
        let loading =
            Role::Loading(Loading { since: 0, total_bytes: 1, loaded_bytes: std::sync::Arc::default() });
        let failed = |hides_data| Durability::Failed { reason: "the disk is full".to_owned(), hides_data };
        let mut standing = Standing::default();
        assert_eq!(refused(&standing), []);
        standing.set_role(loading);
        let loading = |name| (name, "LOADING".to_owned());
        assert_eq!(refused(&standing), [loading("get"), loading("set"), loading("ping")]);
        // The log that cannot be read on does not change what is refused for the other reason.
        standing.set_durability(failed(false));
        assert_eq!(refused(&standing), [loading("get"), loading("set"), loading("ping")]);
        standing.set_role(Role::Primary);
        let failing = |name| (name, "MISCONF".to_owned());
        assert_eq!(refused(&standing), [failing("set")]);
        standing.set_durability(failed(true));
        assert_eq!(refused(&standing), [failing("get"), failing("set"), failing("ping")]);
        standing.set_durability(Durability::Kept);
        assert_eq!(refused(&standing), []);
    }
}

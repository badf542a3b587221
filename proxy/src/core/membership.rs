//! What this process proves to others of the cluster.

use slotway_common::handshake::Identity;
use slotway_common::secret::Secret;

/// What this process is and what it proves that with.
#[derive(Debug)]
pub struct Membership {
    pub(super) identity: Identity,
    pub(super) secret: Secret,
}

impl Membership {
    pub fn new(identity: Identity, secret: Secret) -> Self {
        Self { identity, secret }
    }
}

//! Why commands are not served yet: phrases that stand after a colon in the error and in the README.

pub(super) const MODULES: &str = "there are no modules";
pub(super) const OPERATOR: &str = "slots are moved with the cluster file and the slotway command";
pub(super) const REPLICATION: &str = "there is no replication";

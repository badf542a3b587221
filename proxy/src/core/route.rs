//! The connections that requests of one protocol and one database take.

use slotway_common::resp::Protocol;

use crate::ids::UpstreamId;
use crate::upstream::Purpose;

/// The connections of one protocol and one database, by the shards' positions.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) protocol: Protocol,
    pub(super) database: u32,
    pub(super) purpose: Purpose,
    pub(super) links: Vec<UpstreamId>,
}

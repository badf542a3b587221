//! Why there is no plan.

use slotway_common::topology::SlotRanges;

/// What a file wants and cannot have. One line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the cluster has not been founded yet: start its processes first, with `slotway up`")]
    NotFounded,
    #[error("the file describes cluster `{file}`, the running one is `{running}`")]
    OtherCluster { file: String, running: String },
    #[error(
        "node {node} has the {what} {running} in the cluster and {file} in the file: nodes cannot change their \
         addresses yet"
    )]
    NodeMoved { node: String, what: &'static str, file: String, running: String },
    #[error(
        "node {node} is in the file, but not in the cluster's shard {shard}: a shard cannot get more nodes yet"
    )]
    NodeAdded { shard: String, node: String },
    #[error(
        "node {node} of shard {shard} is in the cluster, but not in the file: a shard cannot lose a node yet"
    )]
    NodeRemoved { shard: String, node: String },
    #[error(
        "new shard {shard} would have {address}, which belongs to node {other} of shard {other_shard}: remove that \
         shard first, or give the new one other ports"
    )]
    AddressTaken { shard: String, address: String, other: String, other_shard: String },
    #[error("nobody owns slots {0} in the cluster's state")]
    Unowned(SlotRanges),
}

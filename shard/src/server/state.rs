//! What the tasks of the data thread work on.

use std::cell::RefCell;

use tokio::sync::Notify;

use super::ahead::Ahead;
use super::background::Background;
use super::pending::Pending;
use crate::control::Control;
use crate::node::Shard;

/// What the connections of one data thread share.
pub(super) struct Server {
    pub(super) shard: RefCell<Shard>,
    /// Read buffer of whichever connection is being polled: an idle connection has none.
    pub(super) scratch: RefCell<Box<[u8]>>,
    /// Requests that were read ahead on the connection being polled.
    pub(super) ahead: RefCell<Ahead>,
    /// The cluster's committed state, if this process follows one.
    pub(super) control: Option<Control>,
    /// Clients whose replies are held until the log has what they tell of.
    pub(super) pending: RefCell<Pending>,
    /// The log has got further, or has failed.
    pub(super) log_news: Notify,
    pub(super) background: Background,
}

//! What Slotway's processes say to each other on a shard's client port.

use super::flags::Flags;
use super::group::Group;
use super::row::Command;
use super::table::rows;

rows! { Internal:
    "slotway", -2, [ADMIN NOSCRIPT LOADING STALE SKIP_MONITOR SKIP_SLOWLOG NO_AUTH NO_MULTI ALLOW_BUSY], "7.0.0", "Depends on the subcommand", "subcommand [argument*]",
        "Holds the commands between the processes of a cluster."; internal();
}

//! Transactions.

use super::flags::Flags;
use super::group::Group;
use super::handling::Handling;
use super::key_spec::keys;
use super::key_spec::uses::RO;
use super::row::Command;
use super::table::rows;

rows! { Transactions:
    "discard", 1, [NOSCRIPT LOADING STALE FAST ALLOW_BUSY], "2.0.0", "O(N), N queued commands", "",
        "Forgets the queued commands."; proxy() handling(Handling::ENDS_TRANSACTION.with(Handling::WITHOUT_SHARDS));
    "exec", 1, [NOSCRIPT LOADING STALE SKIP_SLOWLOG], "1.2.0", "Depends on the queued commands", "",
        "Runs the queued commands as one."; proxy() handling(Handling::ENDS_TRANSACTION.with(Handling::WITHOUT_SHARDS));
    "multi", 1, [NOSCRIPT LOADING STALE FAST ALLOW_BUSY], "1.2.0", "O(1)", "",
        "Queues the commands that follow, up to EXEC."; proxy() handling(Handling::AT_ONCE.with(Handling::WITHOUT_SHARDS));
    "unwatch", 1, [NOSCRIPT LOADING STALE FAST ALLOW_BUSY], "2.2.0", "O(1)", "",
        "Forgets the watched keys."; proxy();
    "watch", -2, [NOSCRIPT LOADING STALE FAST ALLOW_BUSY], "2.2.0", "O(N), N keys", "key#0*",
        "Makes EXEC depend on keys that must not have changed."; keys(&[keys(1, -1, 1, RO)]) proxy() handling(Handling::AT_ONCE);
}

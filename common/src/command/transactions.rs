//! Transactions.

use super::flags::Flags;
use super::group::Group;
use super::key_spec::keys;
use super::key_spec::uses::RO;
use super::later::TRANSACTIONS;
use super::row::Command;
use super::table::rows;

rows! { Transactions:
    "discard", 1, [NOSCRIPT LOADING STALE FAST ALLOW_BUSY], "2.0.0", "O(N), N queued commands", "",
        "Forgets the queued commands."; later(TRANSACTIONS);
    "exec", 1, [NOSCRIPT LOADING STALE SKIP_SLOWLOG], "1.2.0", "Depends on the queued commands", "",
        "Runs the queued commands as one."; later(TRANSACTIONS);
    "multi", 1, [NOSCRIPT LOADING STALE FAST ALLOW_BUSY], "1.2.0", "O(1)", "",
        "Queues the commands that follow, up to EXEC."; later(TRANSACTIONS);
    "unwatch", 1, [NOSCRIPT LOADING STALE FAST ALLOW_BUSY], "2.2.0", "O(1)", "",
        "Forgets the watched keys."; later(TRANSACTIONS);
    "watch", -2, [NOSCRIPT LOADING STALE FAST ALLOW_BUSY], "2.2.0", "O(N), N keys", "key#0*",
        "Makes EXEC depend on keys that must not have changed."; keys(&[keys(1, -1, 1, RO)]) later(TRANSACTIONS);
}

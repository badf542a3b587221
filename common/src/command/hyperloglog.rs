//! HyperLogLogs.

use super::flags::Flags;
use super::group::Group;
use super::key_spec::uses::{RO_ACCESS, RW_ACCESS, RW_ACCESS_INSERT, RW_INSERT};
use super::key_spec::{key, keys};
use super::row::{Command, KeyFinder};
use super::table::rows;

rows! { HyperLogLog:
    "pfadd", -2, [WRITE DENYOOM FAST], "2.8.9", "O(1) to add every element", "key#0 [element*]",
        "Counts elements into a HyperLogLog."; keys(&[key(1, RW_INSERT)]);
    "pfcount", -2, [READONLY], "2.8.9", "O(N), N keys", "key#0*",
        "Estimates the number of different elements of HyperLogLogs."; keys(&[keys(1, -1, 1, RW_ACCESS).note("written too: the cached count changes")]) may_replicate();
    "pfdebug", 3, [WRITE DENYOOM ADMIN], "2.8.9", "Depends on the subcommand", "subcommand key#0",
        "Shows the inside of a HyperLogLog."; keys(&[key(2, RW_ACCESS)]) system();
    "pfmerge", -2, [WRITE DENYOOM], "2.8.9", "O(N), N keys", "destkey#0 sourcekey#1*",
        "Merges HyperLogLogs into one."; keys(&[key(1, RW_ACCESS_INSERT), keys(2, -1, 1, RO_ACCESS)]) finder(KeyFinder::Merge);
    "pfselftest", 1, [ADMIN], "2.8.9", "Long", "",
        "Checks the server's HyperLogLog code."; system() job();
}

//! What Slotway's processes say to each other on a shard's client port.

use super::flags::Flags;
use super::group::Group;
use super::key_spec::keys;
use super::key_spec::uses::RO;
use super::row::Command;
use super::table::rows;

rows! { Internal:
    "slotway", -2, [ADMIN NOSCRIPT LOADING STALE SKIP_MONITOR SKIP_SLOWLOG NO_AUTH NO_MULTI ALLOW_BUSY], "7.0.0", "Depends on the subcommand", "subcommand [argument*]",
        "Holds the commands between the processes of a cluster."; internal();
    "slotway-abort", 2, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI LOADING STALE ALLOW_BUSY], "7.0.0", "O(N), N slots", "transaction",
        "Ends a part of a transaction across shards that is not to be committed."; internal();
    "slotway-alive", 2, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI LOADING STALE ALLOW_BUSY], "7.0.0", "O(1)", "transaction",
        "Tells a part of a transaction across shards that its proxy is still at it."; internal();
    "slotway-as", -5, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI ALLOW_BUSY], "7.0.0", "Depends on the command",
        "user created:int client request [key#0*]",
        "Runs a request in the name of a client of a proxy; there is one key for each of its slots.";
        keys(&[keys(5, -1, 1, RO)]) internal();
    "slotway-block", -5, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI], "7.0.0", "Depends on the command",
        "wait command left:int signal:int [key#0*]",
        "Runs a command that may wait, for a client of a proxy; there is one key for each of its slots.";
        keys(&[keys(5, -1, 1, RO)]) internal();
    "slotway-commit", -2, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI ALLOW_BUSY], "7.0.0", "Depends on the commands", "transaction [values]",
        "Runs a part of a transaction across shards that has been prepared."; internal();
    "slotway-decide", -8, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI], "7.0.0", "Depends on the commands",
        "transaction others watch database:int commands count:int how key*",
        "Commits a transaction across shards and runs its last part; there is one key for each slot of that."; internal();
    "slotway-exec", -6, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI], "7.0.0", "Depends on the commands",
        "watch database:int commands count:int scripts [key#0*]",
        "Runs the commands of a transaction as one; there is one key for each of their slots.";
        keys(&[keys(6, -1, 1, RO)]) internal();
    "slotway-forget", 2, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI LOADING STALE ALLOW_BUSY], "7.0.0", "O(1)", "transaction",
        "Tells who decided a transaction across shards that all its parts have run."; internal();
    "slotway-prepare", -8, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI], "7.0.0", "Depends on the commands",
        "transaction decider watch database:int commands count:int how key*",
        "Takes a part of a transaction across shards; there is one key for each of its slots, which are held from then on."; internal();
    "slotway-quiet", -2, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI LOADING STALE ALLOW_BUSY], "7.0.0", "Depends on the command",
        "command argument*",
        "Runs a command that counts for nothing: a part of one, or what a proxy asks for itself."; internal();
    "slotway-run", -9, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI], "7.0.0", "Depends on the commands",
        "transaction watch database:int commands count:int how own lenders:int item{name lent}* key*",
        "Runs the commands of a transaction on keys of several shards, and commits it."; internal();
    "slotway-subscribe", -4, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI LOADING STALE ALLOW_BUSY], "7.0.0", "O(N), N names",
        "kind item{name clients:int}*",
        "Says how many clients of a proxy listen to channels or patterns."; internal();
    "slotway-track", -4, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI ALLOW_BUSY], "7.0.0", "Depends on the command",
        "mode:int client:int command argument*",
        "Runs a command of a proxy's client that is tracked."; internal();
    "slotway-tracking", -2, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI LOADING STALE ALLOW_BUSY], "7.0.0", "O(N), N prefixes",
        "client:int [loop prefix*]",
        "Says of which prefixes a client of a proxy is to hear."; internal();
    "slotway-unblock", -2, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI LOADING ALLOW_BUSY], "7.0.0", "O(1)", "wait [how]",
        "Ends the wait of a client of a proxy."; internal();
    "slotway-unwatch", 2, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI LOADING ALLOW_BUSY], "7.0.0", "O(N), N watched keys", "watch",
        "Ends the watch of a client of a proxy."; internal();
    "slotway-watch", -4, [NOSCRIPT SKIP_MONITOR SKIP_SLOWLOG NO_MULTI ALLOW_BUSY], "7.0.0", "O(N), N keys", "watch name key#0*",
        "Watches keys for a client of a proxy, whose word for it is the name."; keys(&[keys(3, -1, 1, RO)]) internal();
}

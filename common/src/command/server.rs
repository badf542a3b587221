//! The server itself.

use super::categories::Categories;
use super::flags::Flags;
use super::group::Group;
use super::handling::Handling;
use super::key_spec::key;
use super::key_spec::uses::{OW_UPDATE, RO};
use super::later::{MODULES, OPERATOR, REPLICATION};
use super::route::Merge;
use super::row::Command;
use super::table::rows;

rows! { Server:
    "acl", -2, [], "6.0.0", "Depends on the subcommand", "",
        "Holds the commands about users and their permissions."; proxy();
    "acl|cat", -2, [NOSCRIPT LOADING STALE], "6.0.0", "O(1)", "[categoryname]",
        "Lists the categories, or the commands of one."; proxy();
    "acl|deluser", -3, [ADMIN NOSCRIPT LOADING STALE], "6.0.0", "O(1)", "username*",
        "Deletes users and closes their connections."; job();
    "acl|dryrun", -4, [ADMIN NOSCRIPT LOADING STALE], "7.0.0", "O(1)", "username command [arg*]",
        "Tells whether a user could run a command."; proxy();
    "acl|genpass", -2, [NOSCRIPT LOADING STALE], "6.0.0", "O(1)", "[bits:int]", "Makes up a password."; proxy();
    "acl|getuser", 3, [ADMIN NOSCRIPT LOADING STALE], "6.0.0", "O(N), N rules", "username",
        "Describes a user."; proxy();
    "acl|help", 2, [LOADING STALE], "6.0.0", "O(1)", "", "Lists the subcommands."; proxy();
    "acl|list", 2, [ADMIN NOSCRIPT LOADING STALE], "6.0.0", "O(N), N users", "",
        "Lists the users as the lines of an ACL file."; proxy();
    "acl|load", 2, [ADMIN NOSCRIPT LOADING STALE], "6.0.0", "O(N), N users", "",
        "Reads the ACL file again."; proxy();
    "acl|log", -2, [ADMIN NOSCRIPT LOADING STALE], "6.0.0", "O(N), N entries", "[operation(count:int|RESET)]",
        "Shows, or forgets, what was denied."; job();
    "acl|save", 2, [ADMIN NOSCRIPT LOADING STALE], "6.0.0", "O(N), N users", "", "Writes the ACL file."; proxy();
    "acl|setuser", -3, [ADMIN NOSCRIPT LOADING STALE], "6.0.0", "O(N), N rules", "username [rule*]",
        "Makes or changes a user."; job();
    "acl|users", 2, [ADMIN NOSCRIPT LOADING STALE], "6.0.0", "O(N), N users", "",
        "Lists the names of the users."; proxy();
    "acl|whoami", 2, [NOSCRIPT LOADING STALE], "6.0.0", "O(1)", "",
        "Returns the name of the connection's user."; proxy();
    "bgrewriteaof", 1, [ADMIN NOSCRIPT NO_ASYNC_LOADING], "1.0.0", "O(1)", "",
        "Rewrites the log in the background."; job();
    "bgsave", -1, [ADMIN NOSCRIPT NO_ASYNC_LOADING], "1.0.0", "O(1)", "[SCHEDULE^3.2.2]",
        "Writes a snapshot in the background."; job();
    "command", -1, [LOADING STALE], "2.8.13", "O(N), N commands", "",
        "Describes all commands, and holds the commands about commands."; acl(Categories::CONNECTION) tips(&["nondeterministic_output_order"]) proxy();
    "command|count", 2, [LOADING STALE], "2.8.13", "O(1)", "",
        "Counts the commands."; acl(Categories::CONNECTION) proxy();
    "command|docs", -2, [LOADING STALE], "7.0.0", "O(N), N commands", "[command-name*]",
        "Returns the documentation of commands."; acl(Categories::CONNECTION) tips(&["nondeterministic_output_order"]) proxy();
    "command|getkeys", -4, [LOADING STALE], "2.8.13", "O(N), N arguments", "",
        "Returns the keys of a call."; acl(Categories::CONNECTION) proxy();
    "command|getkeysandflags", -4, [LOADING STALE], "7.0.0", "O(N), N arguments", "",
        "Returns the keys of a call and what it does with each."; acl(Categories::CONNECTION) proxy();
    "command|help", 2, [LOADING STALE], "5.0.0", "O(1)", "",
        "Lists the subcommands."; acl(Categories::CONNECTION) proxy();
    "command|info", -2, [LOADING STALE], "2.8.13", "O(N), N commands", "[command-name*]",
        "Describes some or all commands."; acl(Categories::CONNECTION) tips(&["nondeterministic_output_order"]) proxy();
    "command|list", -2, [LOADING STALE], "7.0.0", "O(N), N commands",
        "[FILTERBY=filterby(MODULE=module-name|ACLCAT=category|PATTERN=pattern:pattern)]",
        "Lists the names of commands."; acl(Categories::CONNECTION) tips(&["nondeterministic_output_order"]) proxy();
    "config", -2, [], "2.0.0", "Depends on the subcommand", "", "Holds the commands about settings."; proxy();
    "config|get", -3, [ADMIN NOSCRIPT LOADING STALE], "2.0.0", "O(N), N parameters", "parameter{parameter}*",
        "Returns the values of settings."; job();
    "config|help", 2, [LOADING STALE], "5.0.0", "O(1)", "", "Lists the subcommands."; proxy();
    "config|resetstat", 2, [ADMIN NOSCRIPT LOADING STALE], "2.0.0", "O(1)", "",
        "Sets the statistics back to zero."; job();
    "config|rewrite", 2, [ADMIN NOSCRIPT LOADING STALE], "2.8.0", "O(1)", "",
        "Makes the current settings lasting."; job();
    "config|set", -4, [ADMIN NOSCRIPT LOADING STALE], "2.0.0", "O(N), N parameters",
        "parameter_value{parameter value}*",
        "Changes settings, all of those given or none."; tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]) job();
    "dbsize", 1, [READONLY FAST], "1.0.0", "O(1)", "",
        "Counts the keys of the database."; acl(Categories::KEYSPACE) tips(&["request_policy:all_shards", "response_policy:agg_sum"]) fan_out(Merge::Sum);
    "debug", -2, [ADMIN NOSCRIPT LOADING STALE], "1.0.0", "Depends on the subcommand", "",
        "Holds commands for developers of the server."; system() job();
    "failover", -1, [ADMIN NOSCRIPT STALE], "6.2.0", "O(1)",
        "[TO=target{host port:int [FORCE]}] [ABORT] [TIMEOUT=milliseconds:int]",
        "Hands the role of primary to a replica."; later(REPLICATION);
    "flushall", -1, [WRITE], "1.0.0", "O(N), N keys", "[async(ASYNC^4.0.0|SYNC^6.2.0)]",
        "Deletes all keys of all databases."; acl(Categories::KEYSPACE.with(Categories::DANGEROUS)) tips(&["request_policy:all_shards", "response_policy:all_succeeded"]) fan_out(Merge::AllOrNothing);
    "flushdb", -1, [WRITE], "1.0.0", "O(N), N keys", "[async(ASYNC^4.0.0|SYNC^6.2.0)]",
        "Deletes all keys of the database."; acl(Categories::KEYSPACE.with(Categories::DANGEROUS)) tips(&["request_policy:all_shards", "response_policy:all_succeeded"]) fan_out(Merge::AllOrNothing);
    "info", -1, [LOADING STALE], "1.0.0", "O(1)", "[section*]",
        "Describes the server and its statistics."; acl(Categories::DANGEROUS) tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]) job();
    "lastsave", 1, [LOADING STALE FAST], "1.0.0", "O(1)", "",
        "Returns the time of the last snapshot."; acl(Categories::ADMIN.with(Categories::DANGEROUS)) tips(&["nondeterministic_output"]) job();
    "latency", -2, [], "2.8.13", "Depends on the subcommand", "", "Holds the commands about slow events."; proxy();
    "latency|doctor", 2, [ADMIN NOSCRIPT LOADING STALE], "2.8.13", "O(1)", "",
        "Explains what was slow, in words."; tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]) job();
    "latency|graph", 3, [ADMIN NOSCRIPT LOADING STALE], "2.8.13", "O(1)", "event",
        "Draws the latencies of an event."; tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]) job();
    "latency|help", 2, [LOADING STALE], "2.8.13", "O(1)", "", "Lists the subcommands."; proxy();
    "latency|histogram", -2, [ADMIN NOSCRIPT LOADING STALE], "7.0.0", "O(N), N commands", "[command*]",
        "Returns the distribution of the latencies of commands."; tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]) job();
    "latency|history", 3, [ADMIN NOSCRIPT LOADING STALE], "2.8.13", "O(1)", "event",
        "Returns the latest latencies of an event."; tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]) job();
    "latency|latest", 2, [ADMIN NOSCRIPT LOADING STALE], "2.8.13", "O(1)", "",
        "Returns the latest and the longest latency of every event."; tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]) job();
    "latency|reset", -2, [ADMIN NOSCRIPT LOADING STALE], "2.8.13", "O(1)", "[event*]",
        "Forgets the latencies of events."; tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]) job();
    "lolwut", -1, [READONLY FAST], "5.0.0", "", "[VERSION=version:int]",
        "Draws something and tells the version."; proxy() handling(Handling::ON_ANY_SHARD);
    "memory", -2, [], "4.0.0", "Depends on the subcommand", "", "Holds the commands about memory."; proxy();
    "memory|doctor", 2, [], "4.0.0", "O(1)", "",
        "Explains how memory is used, in words."; tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]) job();
    "memory|help", 2, [LOADING STALE], "4.0.0", "O(1)", "", "Lists the subcommands."; proxy();
    "memory|malloc-stats", 2, [], "4.0.0", "Depends on the memory in use", "",
        "Returns the allocator's own report."; tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]) job();
    "memory|purge", 2, [], "4.0.0", "Depends on the memory in use", "",
        "Makes the allocator give memory back."; tips(&["request_policy:all_shards", "response_policy:all_succeeded"]) job();
    "memory|stats", 2, [], "4.0.0", "O(1)", "",
        "Tells what memory is used for."; tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]) job();
    "memory|usage", -3, [READONLY], "4.0.0", "O(N), N elements looked at", "key#0 [SAMPLES=count:int]",
        "Estimates the memory of one key."; keys(&[key(2, RO)]);
    "module", -2, [], "4.0.0", "Depends on the subcommand", "", "Holds the commands about modules."; proxy();
    "module|help", 2, [LOADING STALE], "5.0.0", "O(1)", "", "Lists the subcommands."; proxy();
    "module|list", 2, [ADMIN NOSCRIPT], "4.0.0", "O(N), N modules", "",
        "Lists the loaded modules."; tips(&["nondeterministic_output_order"]) proxy();
    "module|load", -3, [ADMIN NOSCRIPT NO_ASYNC_LOADING], "4.0.0", "O(1)", "path [arg*]",
        "Loads a module."; later(MODULES);
    "module|loadex", -3, [ADMIN NOSCRIPT NO_ASYNC_LOADING], "7.0.0", "O(1)",
        "path [CONFIG=configs{name value}**] [ARGS=args{arg}*]",
        "Loads a module with settings."; later(MODULES);
    "module|unload", 3, [ADMIN NOSCRIPT NO_ASYNC_LOADING], "4.0.0", "O(1)", "name",
        "Unloads a module."; later(MODULES);
    "monitor", 1, [ADMIN NOSCRIPT LOADING STALE], "1.0.0", "", "", "Shows every command as it runs."; job();
    "psync", -3, [ADMIN NOSCRIPT NO_ASYNC_LOADING NO_MULTI], "2.8.0", "", "replicationid offset:int",
        "Starts replication, from where it ended if possible."; later(REPLICATION);
    "replconf", -1, [ADMIN NOSCRIPT LOADING STALE ALLOW_BUSY], "3.0.0", "O(1)", "",
        "Tells a primary about its replica."; system() later(REPLICATION);
    "replicaof", 3, [ADMIN NOSCRIPT STALE NO_ASYNC_LOADING], "5.0.0", "O(1)",
        "args(host-port{host port:int}|no-one{NO ONE})",
        "Makes the server a replica of another one, or a primary."; proxy();
    "restore-asking", -4, [WRITE DENYOOM ASKING], "3.0.0", "O(N*M), N pieces of M bytes",
        "key#0 ttl:int serialized-value [REPLACE^3.0.0] [ABSTTL^5.0.0] [IDLETIME=seconds:int^5.0.0] [FREQ=frequency:int^5.0.0]",
        "Makes a key from its dump while its slot is being imported."; keys(&[key(1, OW_UPDATE)]) acl(Categories::KEYSPACE.with(Categories::DANGEROUS)) system() later(OPERATOR);
    "role", 1, [NOSCRIPT LOADING STALE FAST], "2.8.12", "O(1)", "",
        "Tells the server's role in replication."; acl(Categories::ADMIN.with(Categories::DANGEROUS)) proxy();
    "save", 1, [ADMIN NOSCRIPT NO_ASYNC_LOADING NO_MULTI], "1.0.0", "O(N), N keys", "",
        "Writes a snapshot and waits for it."; job();
    "shutdown", -1, [ADMIN NOSCRIPT LOADING STALE NO_MULTI ALLOW_BUSY], "1.0.0", "O(N), N keys to be saved",
        "[nosave_save(NOSAVE|SAVE)] [NOW^7.0.0] [FORCE^7.0.0] [ABORT^7.0.0]",
        "Stops the server."; job();
    "slaveof", 3, [ADMIN NOSCRIPT STALE NO_ASYNC_LOADING], "1.0.0", "O(1)",
        "args(host-port{host port:int}|no-one{NO ONE})",
        "Older name of REPLICAOF."; deprecated("5.0.0", "`REPLICAOF`") proxy();
    "slowlog", -2, [], "2.2.12", "Depends on the subcommand", "",
        "Holds the commands about the log of slow commands."; proxy();
    "slowlog|get", -2, [ADMIN LOADING STALE], "2.2.12", "O(N), N entries returned", "[count:int]",
        "Returns the latest slow commands."; tips(&["request_policy:all_nodes", "nondeterministic_output"]) job();
    "slowlog|help", 2, [LOADING STALE], "6.2.0", "O(1)", "", "Lists the subcommands."; proxy();
    "slowlog|len", 2, [ADMIN LOADING STALE], "2.2.12", "O(1)", "",
        "Counts the entries of the slow log."; tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"]) job();
    "slowlog|reset", 2, [ADMIN LOADING STALE], "2.2.12", "O(N), N entries", "",
        "Empties the slow log."; tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]) job();
    "swapdb", 3, [WRITE FAST], "4.0.0", "O(N), N clients that watch or wait", "index1:int index2:int",
        "Exchanges two databases."; acl(Categories::KEYSPACE.with(Categories::DANGEROUS)) fan_out(Merge::AllOrNothing);
    "sync", 1, [ADMIN NOSCRIPT NO_ASYNC_LOADING NO_MULTI], "1.0.0", "", "", "Starts replication."; later(REPLICATION);
    "time", 1, [LOADING STALE FAST], "2.6.0", "O(1)", "",
        "Returns the server's clock."; tips(&["nondeterministic_output"]) proxy() handling(Handling::ON_ANY_SHARD);
}

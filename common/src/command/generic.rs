//! Keys of any type.

use super::categories::Categories;
use super::flags::Flags;
use super::group::Group;
use super::handling::Blocks;
use super::key_spec::uses::{
    OW_INSERT, OW_UPDATE, RM_DELETE, RO, RO_ACCESS, RW_ACCESS_DELETE, RW_ACCESS_UPDATE, RW_INCOMPLETE,
    RW_UPDATE,
};
use super::key_spec::{all_after, key, keys, unknown};
use super::later::OPERATOR;
use super::route::Merge;
use super::row::{Command, KeyFinder};
use super::table::rows;

rows! { Generic:
    "copy", -3, [WRITE DENYOOM], "6.2.0", "O(N), N elements of a collection",
        "source#0 destination#1 [DB=destination-db:int] [REPLACE]",
        "Copies the value of a key to another key."; keys(&[key(1, RO_ACCESS), key(2, OW_UPDATE)]);
    "del", -2, [WRITE], "1.0.0", "O(N), N keys, and the elements of their collections", "key#0*",
        "Deletes keys."; keys(&[keys(1, -1, 1, RM_DELETE)]) tips(&["request_policy:multi_shard", "response_policy:agg_sum"]) split(Merge::Sum);
    "dump", 2, [READONLY], "2.6.0", "O(N*M), N pieces of M bytes", "key#0",
        "Returns a value in the form that RESTORE takes."; keys(&[key(1, RO_ACCESS)]) tips(&["nondeterministic_output"]);
    "exists", -2, [READONLY FAST], "1.0.0", "O(N), N keys", "key#0*",
        "Counts which of several keys exist."; keys(&[keys(1, -1, 1, RO)]) tips(&["request_policy:multi_shard", "response_policy:agg_sum"]) split(Merge::Sum);
    "expire", -3, [WRITE FAST], "1.0.0", "O(1)", "key#0 seconds:int [condition(NX|XX|GT|LT)^7.0.0]",
        "Sets after how many seconds a key expires."; keys(&[key(1, RW_UPDATE)]);
    "expireat", -3, [WRITE FAST], "1.2.0", "O(1)", "key#0 unix-time-seconds:time [condition(NX|XX|GT|LT)^7.0.0]",
        "Sets at which Unix time in seconds a key expires."; keys(&[key(1, RW_UPDATE)]);
    "expiretime", 2, [READONLY FAST], "7.0.0", "O(1)", "key#0",
        "Returns the Unix time in seconds at which a key expires."; keys(&[key(1, RO_ACCESS)]);
    "keys", 2, [READONLY], "1.0.0", "O(N), N keys of the database", "pattern:pattern",
        "Returns the keys that match a pattern."; acl(Categories::KEYSPACE.with(Categories::DANGEROUS)) tips(&["request_policy:all_shards", "nondeterministic_output_order"]) fan_out(Merge::Concat);
    "migrate", -6, [WRITE MOVABLEKEYS], "2.6.0", "O(N), N keys moved",
        "host port:int key_or_empty_string(key#0|''=empty_string:token) destination-db:int timeout:int [COPY^3.0.0] [REPLACE^3.0.0] [authentication([AUTH=password^4.0.7]|[AUTH2=username_password{username password}^6.0.0])] [KEYS=key#1*^3.0.6]",
        "Moves keys to another server."; keys(&[key(3, RW_ACCESS_DELETE), all_after("KEYS", -2, 0, RW_INCOMPLETE)]) finder(KeyFinder::Migrate) acl(Categories::KEYSPACE.with(Categories::DANGEROUS)) tips(&["nondeterministic_output"]) later(OPERATOR);
    "move", 3, [WRITE FAST], "1.0.0", "O(1)", "key#0 db:int",
        "Moves a key to another database."; keys(&[key(1, RW_ACCESS_UPDATE)]);
    "object", -2, [], "2.2.3", "Depends on the subcommand", "",
        "Holds the commands about how a value is stored."; proxy();
    "object|encoding", 3, [READONLY], "2.2.3", "O(1)", "key#0",
        "Returns how a value is stored."; keys(&[key(2, RO)]) tips(&["nondeterministic_output"]);
    "object|freq", 3, [READONLY], "4.0.0", "O(1)", "key#0",
        "Returns how often a key is used, on a logarithmic scale."; keys(&[key(2, RO)]) tips(&["nondeterministic_output"]);
    "object|help", 2, [LOADING STALE], "6.2.0", "O(1)", "", "Lists the subcommands."; proxy();
    "object|idletime", 3, [READONLY], "2.2.3", "O(1)", "key#0",
        "Returns for how many seconds a key has not been used."; keys(&[key(2, RO)]) tips(&["nondeterministic_output"]);
    "object|refcount", 3, [READONLY], "2.2.3", "O(1)", "key#0",
        "Returns how often a value is referred to."; keys(&[key(2, RO)]) tips(&["nondeterministic_output"]);
    "persist", 2, [WRITE FAST], "2.2.0", "O(1)", "key#0", "Removes the expiry of a key."; keys(&[key(1, RW_UPDATE)]);
    "pexpire", -3, [WRITE FAST], "2.6.0", "O(1)", "key#0 milliseconds:int [condition(NX|XX|GT|LT)^7.0.0]",
        "Sets after how many milliseconds a key expires."; keys(&[key(1, RW_UPDATE)]);
    "pexpireat", -3, [WRITE FAST], "2.6.0", "O(1)",
        "key#0 unix-time-milliseconds:time [condition(NX|XX|GT|LT)^7.0.0]",
        "Sets at which Unix time in milliseconds a key expires."; keys(&[key(1, RW_UPDATE)]);
    "pexpiretime", 2, [READONLY FAST], "7.0.0", "O(1)", "key#0",
        "Returns the Unix time in milliseconds at which a key expires."; keys(&[key(1, RO_ACCESS)]);
    "pttl", 2, [READONLY FAST], "2.6.0", "O(1)", "key#0",
        "Returns in how many milliseconds a key expires."; keys(&[key(1, RO_ACCESS)]) tips(&["nondeterministic_output"]);
    "randomkey", 1, [READONLY], "1.0.0", "O(1)", "",
        "Returns a key drawn at random."; tips(&["request_policy:all_shards", "nondeterministic_output"]) fan_out(Merge::Pick);
    "rename", 3, [WRITE], "1.0.0", "O(1)", "key#0 newkey#1",
        "Gives a key another name, in place of what had that name."; keys(&[key(1, RW_ACCESS_DELETE), key(2, OW_UPDATE)]);
    "renamenx", 3, [WRITE FAST], "1.0.0", "O(1)", "key#0 newkey#1",
        "Gives a key another name if nothing has that name."; keys(&[key(1, RW_ACCESS_DELETE), key(2, OW_INSERT)]);
    "restore", -4, [WRITE DENYOOM], "2.6.0", "O(N*M), N pieces of M bytes",
        "key#0 ttl:int serialized-value [REPLACE^3.0.0] [ABSTTL^5.0.0] [IDLETIME=seconds:int^5.0.0] [FREQ=frequency:int^5.0.0]",
        "Makes a key from its dump."; keys(&[key(1, OW_UPDATE)]) acl(Categories::KEYSPACE.with(Categories::DANGEROUS));
    "scan", -2, [READONLY], "2.8.0", "O(1) a call, O(N) a whole walk",
        "cursor:int [MATCH=pattern:pattern] [COUNT=count:int] [TYPE=type^6.0.0]",
        "Walks over the keys of the database in steps."; tips(&["nondeterministic_output", "request_policy:special"]) fan_out(Merge::Cursor);
    "sort", -2, [WRITE DENYOOM MOVABLEKEYS], "1.0.0", "O(N+M*log(M)), N elements, M returned",
        "key#0 [BY=pattern:pattern#1] [LIMIT=offset_count{offset:int count:int}] [GET=pattern:pattern#1**] [order(ASC|DESC)] [ALPHA=sorting:token] [STORE=destination#2]",
        "Sorts a list, a set or a sorted set, and stores the result if wanted."; keys(&[key(1, RO_ACCESS), unknown(RO_ACCESS).note("what BY and GET read depends on the data"), unknown(OW_UPDATE).note("STORE can stand anywhere")]) finder(KeyFinder::Sort { store: true }) acl(Categories::SET.with(Categories::SORTEDSET).with(Categories::LIST).with(Categories::DANGEROUS));
    "sort_ro", -2, [READONLY MOVABLEKEYS], "7.0.0", "O(N+M*log(M)), N elements, M returned",
        "key#0 [BY=pattern:pattern#1] [LIMIT=offset_count{offset:int count:int}] [GET=pattern:pattern#1**] [order(ASC|DESC)] [ALPHA=sorting:token]",
        "Sorts a list, a set or a sorted set."; keys(&[key(1, RO_ACCESS), unknown(RO_ACCESS).note("what BY and GET read depends on the data")]) finder(KeyFinder::Sort { store: false }) acl(Categories::SET.with(Categories::SORTEDSET).with(Categories::LIST).with(Categories::DANGEROUS));
    "touch", -2, [READONLY FAST], "3.2.1", "O(N), N keys", "key#0*",
        "Counts which of several keys exist and marks them as used."; keys(&[keys(1, -1, 1, RO)]) tips(&["request_policy:multi_shard", "response_policy:agg_sum"]) split(Merge::Sum);
    "ttl", 2, [READONLY FAST], "1.0.0", "O(1)", "key#0",
        "Returns in how many seconds a key expires."; keys(&[key(1, RO_ACCESS)]) tips(&["nondeterministic_output"]);
    "type", 2, [READONLY FAST], "1.0.0", "O(1)", "key#0", "Returns the type of a key."; keys(&[key(1, RO)]);
    "unlink", -2, [WRITE FAST], "4.0.0", "O(N), N keys", "key#0*",
        "Deletes keys, and gives their memory back in the background."; keys(&[keys(1, -1, 1, RM_DELETE)]) tips(&["request_policy:multi_shard", "response_policy:agg_sum"]) split(Merge::Sum);
    "wait", 3, [NOSCRIPT], "3.0.0", "O(1)", "numreplicas:int timeout:int",
        "Waits until replicas have this connection's writes."; acl(Categories::CONNECTION) tips(&["request_policy:all_shards", "response_policy:agg_min"]) blocks(Blocks::Replicas);
}

//! Sets.

use super::flags::Flags;
use super::group::Group;
use super::key_spec::uses::{OW_UPDATE, RO, RO_ACCESS, RW_ACCESS_DELETE, RW_DELETE, RW_INSERT, RW_UPDATE};
use super::key_spec::{counted, key, keys};
use super::row::Command;
use super::table::rows;

rows! { Set:
    "sadd", -3, [WRITE DENYOOM FAST], "1.0.0", "O(N), N members given", "key#0 member*",
        "Adds members to a set and makes it if it is missing."; keys(&[key(1, RW_INSERT)]);
    "scard", 2, [READONLY FAST], "1.0.0", "O(1)", "key#0",
        "Returns the number of members of a set."; keys(&[key(1, RO)]);
    "sdiff", -2, [READONLY], "1.0.0", "O(N), N members in all", "key#0*",
        "Returns what is in the first set and in none of the others."; keys(&[keys(1, -1, 1, RO_ACCESS)]) tips(&["nondeterministic_output_order"]);
    "sdiffstore", -3, [WRITE DENYOOM], "1.0.0", "O(N), N members in all", "destination#0 key#1*",
        "Stores what is in the first set and in none of the others."; keys(&[key(1, OW_UPDATE), keys(2, -1, 1, RO_ACCESS)]);
    "sinter", -2, [READONLY], "1.0.0", "O(N*M), N in the smallest of M sets", "key#0*",
        "Returns what is in all of several sets."; keys(&[keys(1, -1, 1, RO_ACCESS)]) tips(&["nondeterministic_output_order"]);
    "sintercard", -3, [READONLY MOVABLEKEYS], "7.0.0", "O(N*M), N in the smallest of M sets",
        "numkeys:int key#0* [LIMIT=limit:int]",
        "Counts what is in all of several sets."; keys(&[counted(1, RO_ACCESS)]);
    "sinterstore", -3, [WRITE DENYOOM], "1.0.0", "O(N*M), N in the smallest of M sets", "destination#0 key#1*",
        "Stores what is in all of several sets."; keys(&[key(1, RW_UPDATE), keys(2, -1, 1, RO_ACCESS)]);
    "sismember", 3, [READONLY FAST], "1.0.0", "O(1)", "key#0 member",
        "Tells whether a set has a member."; keys(&[key(1, RO)]);
    "smembers", 2, [READONLY], "1.0.0", "O(N), N members", "key#0",
        "Returns all members of a set."; keys(&[key(1, RO_ACCESS)]) tips(&["nondeterministic_output_order"]);
    "smismember", -3, [READONLY FAST], "6.2.0", "O(N), N members given", "key#0 member*",
        "Tells which of several members a set has."; keys(&[key(1, RO_ACCESS)]);
    "smove", 4, [WRITE FAST], "1.0.0", "O(1)", "source#0 destination#1 member",
        "Moves a member from one set to another."; keys(&[key(1, RW_ACCESS_DELETE), key(2, RW_INSERT)]);
    "spop", -2, [WRITE FAST], "1.0.0", "O(N), N members removed", "key#0 [count:int^3.2.0]",
        "Removes members drawn at random and returns them."; keys(&[key(1, RW_ACCESS_DELETE)]) tips(&["nondeterministic_output"]);
    "srandmember", -2, [READONLY], "1.0.0", "O(N), N members returned", "key#0 [count:int^2.6.0]",
        "Returns members drawn at random."; keys(&[key(1, RO_ACCESS)]) tips(&["nondeterministic_output"]);
    "srem", -3, [WRITE FAST], "1.0.0", "O(N), N members given", "key#0 member*",
        "Removes members, and the key with the last one."; keys(&[key(1, RW_DELETE)]);
    "sscan", -3, [READONLY], "2.8.0", "O(1) a call, O(N) a whole walk",
        "key#0 cursor:int [MATCH=pattern:pattern] [COUNT=count:int]",
        "Walks over the members of a set in steps."; keys(&[key(1, RO_ACCESS)]) tips(&["nondeterministic_output"]);
    "sunion", -2, [READONLY], "1.0.0", "O(N), N members in all", "key#0*",
        "Returns what is in any of several sets."; keys(&[keys(1, -1, 1, RO_ACCESS)]) tips(&["nondeterministic_output_order"]);
    "sunionstore", -3, [WRITE DENYOOM], "1.0.0", "O(N), N members in all", "destination#0 key#1*",
        "Stores what is in any of several sets."; keys(&[key(1, OW_UPDATE), keys(2, -1, 1, RO_ACCESS)]);
}

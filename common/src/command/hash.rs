//! Hashes.

use super::flags::Flags;
use super::group::Group;
use super::key_spec::key;
use super::key_spec::uses::{RO, RO_ACCESS, RW_ACCESS_UPDATE, RW_DELETE, RW_INSERT, RW_UPDATE};
use super::row::Command;
use super::table::rows;

rows! { Hash:
    "hdel", -3, [WRITE FAST], "2.0.0", "O(N), N fields given", "key#0 field*",
        "Deletes fields of a hash, and the key with the last one."; keys(&[key(1, RW_DELETE)]);
    "hexists", 3, [READONLY FAST], "2.0.0", "O(1)", "key#0 field",
        "Tells whether a hash has a field."; keys(&[key(1, RO)]);
    "hget", 3, [READONLY FAST], "2.0.0", "O(1)", "key#0 field",
        "Returns the value of a field."; keys(&[key(1, RO_ACCESS)]);
    "hgetall", 2, [READONLY], "2.0.0", "O(N), N fields", "key#0",
        "Returns all fields of a hash with their values."; keys(&[key(1, RO_ACCESS)]) tips(&["nondeterministic_output_order"]);
    "hincrby", 4, [WRITE DENYOOM FAST], "2.0.0", "O(1)", "key#0 field increment:int",
        "Adds a number to the integer in a field."; keys(&[key(1, RW_ACCESS_UPDATE)]);
    "hincrbyfloat", 4, [WRITE DENYOOM FAST], "2.6.0", "O(1)", "key#0 field increment:double",
        "Adds a number to the floating point number in a field."; keys(&[key(1, RW_ACCESS_UPDATE)]);
    "hkeys", 2, [READONLY], "2.0.0", "O(N), N fields", "key#0",
        "Returns the names of all fields."; keys(&[key(1, RO_ACCESS)]) tips(&["nondeterministic_output_order"]);
    "hlen", 2, [READONLY FAST], "2.0.0", "O(1)", "key#0", "Returns the number of fields."; keys(&[key(1, RO)]);
    "hmget", -3, [READONLY FAST], "2.0.0", "O(N), N fields given", "key#0 field*",
        "Returns the values of several fields."; keys(&[key(1, RO_ACCESS)]);
    "hmset", -4, [WRITE DENYOOM FAST], "2.0.0", "O(N), N fields given", "key#0 field_value{field value}*",
        "Sets several fields."; keys(&[key(1, RW_UPDATE)]) deprecated("4.0.0", "`HSET`");
    "hrandfield", -2, [READONLY], "6.2.0", "O(N), N fields returned", "key#0 [options{count:int [WITHVALUES]}]",
        "Returns fields drawn at random."; keys(&[key(1, RO_ACCESS)]) tips(&["nondeterministic_output"]);
    "hscan", -3, [READONLY], "2.8.0", "O(1) a call, O(N) a whole walk",
        "key#0 cursor:int [MATCH=pattern:pattern] [COUNT=count:int]",
        "Walks over the fields of a hash in steps."; keys(&[key(1, RO_ACCESS)]) tips(&["nondeterministic_output"]);
    "hset", -4, [WRITE DENYOOM FAST], "2.0.0", "O(N), N fields given", "key#0 field_value{field value}*",
        "Sets fields of a hash and makes it if it is missing."; keys(&[key(1, RW_UPDATE)]);
    "hsetnx", 4, [WRITE DENYOOM FAST], "2.0.0", "O(1)", "key#0 field value",
        "Sets a field if it does not exist."; keys(&[key(1, RW_INSERT)]);
    "hstrlen", 3, [READONLY FAST], "3.2.0", "O(1)", "key#0 field",
        "Returns the length of a field's value."; keys(&[key(1, RO)]);
    "hvals", 2, [READONLY], "2.0.0", "O(N), N fields", "key#0",
        "Returns the values of all fields."; keys(&[key(1, RO_ACCESS)]) tips(&["nondeterministic_output_order"]);
}

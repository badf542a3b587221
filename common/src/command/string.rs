//! Strings.

use super::flags::Flags;
use super::group::Group;
use super::key_spec::uses::{
    OW_INSERT, OW_UPDATE, RO, RO_ACCESS, RW_ACCESS_DELETE, RW_ACCESS_UPDATE, RW_INSERT, RW_UPDATE,
    RW_VARIABLE,
};
use super::key_spec::{key, keys};
use super::route::Merge;
use super::row::{Command, KeyFinder};
use super::table::rows;

rows! { String:
    "append", 3, [WRITE DENYOOM FAST], "2.0.0", "O(1)", "key#0 value",
        "Appends bytes to a string and makes the key if it is missing."; keys(&[key(1, RW_INSERT)]);
    "decr", 2, [WRITE DENYOOM FAST], "1.0.0", "O(1)", "key#0",
        "Subtracts one from an integer."; keys(&[key(1, RW_ACCESS_UPDATE)]);
    "decrby", 3, [WRITE DENYOOM FAST], "1.0.0", "O(1)", "key#0 decrement:int",
        "Subtracts a number from an integer."; keys(&[key(1, RW_ACCESS_UPDATE)]);
    "get", 2, [READONLY FAST], "1.0.0", "O(1)", "key#0", "Returns a string."; keys(&[key(1, RO_ACCESS)]);
    "getdel", 2, [WRITE FAST], "6.2.0", "O(1)", "key#0",
        "Returns a string and deletes its key."; keys(&[key(1, RW_ACCESS_DELETE)]);
    "getex", -2, [WRITE FAST], "6.2.0", "O(1)",
        "key#0 [expiration(EX=seconds:int|PX=milliseconds:int|EXAT=unix-time-seconds:time|PXAT=unix-time-milliseconds:time|PERSIST)]",
        "Returns a string and changes or removes its expiry."; keys(&[key(1, RW_ACCESS_UPDATE).note("written, as its expiry changes")]);
    "getrange", 4, [READONLY], "2.4.0", "O(N), N bytes returned", "key#0 start:int end:int",
        "Returns the bytes of a string between two offsets."; keys(&[key(1, RO_ACCESS)]);
    "getset", 3, [WRITE DENYOOM FAST], "1.0.0", "O(1)", "key#0 value",
        "Sets a string and returns the one it replaces."; keys(&[key(1, RW_ACCESS_UPDATE)]) deprecated("6.2.0", "`SET` with `GET`");
    "incr", 2, [WRITE DENYOOM FAST], "1.0.0", "O(1)", "key#0",
        "Adds one to an integer."; keys(&[key(1, RW_ACCESS_UPDATE)]);
    "incrby", 3, [WRITE DENYOOM FAST], "1.0.0", "O(1)", "key#0 increment:int",
        "Adds a number to an integer."; keys(&[key(1, RW_ACCESS_UPDATE)]);
    "incrbyfloat", 3, [WRITE DENYOOM FAST], "2.6.0", "O(1)", "key#0 increment:double",
        "Adds a number to a floating point number."; keys(&[key(1, RW_ACCESS_UPDATE)]);
    "lcs", -3, [READONLY], "7.0.0", "O(N*M), N and M the lengths",
        "key1#0 key2#0 [LEN] [IDX] [MINMATCHLEN=len:int] [WITHMATCHLEN]",
        "Finds the longest common subsequence of two strings."; keys(&[keys(1, 1, 1, RO_ACCESS)]);
    "mget", -2, [READONLY FAST], "1.0.0", "O(N), N keys", "key#0*",
        "Returns several strings."; keys(&[keys(1, -1, 1, RO_ACCESS)]) tips(&["request_policy:multi_shard"]) split(Merge::ByItem);
    "mset", -3, [WRITE DENYOOM], "1.0.1", "O(N), N keys", "key_value{key#0 value}*",
        "Sets several strings."; keys(&[keys(1, -1, 2, OW_UPDATE)]) tips(&["request_policy:multi_shard", "response_policy:all_succeeded"]) split(Merge::AllOk);
    "msetnx", -3, [WRITE DENYOOM], "1.0.1", "O(N), N keys", "key_value{key#0 value}*",
        "Sets several strings if none of the keys exists."; keys(&[keys(1, -1, 2, OW_INSERT)]) tips(&["request_policy:multi_shard", "response_policy:agg_min"]);
    "psetex", 4, [WRITE DENYOOM], "2.6.0", "O(1)", "key#0 milliseconds:int value",
        "Sets a string that expires after so many milliseconds."; keys(&[key(1, OW_UPDATE)]);
    "set", -3, [WRITE DENYOOM], "1.0.0", "O(1)",
        "key#0 value [condition(NX|XX)^2.6.12] [GET^6.2.0] [expiration(EX=seconds:int^2.6.12|PX=milliseconds:int^2.6.12|EXAT=unix-time-seconds:time^6.2.0|PXAT=unix-time-milliseconds:time^6.2.0|KEEPTTL^6.0.0)]",
        "Sets a string, with conditions and an expiry if wanted."; keys(&[key(1, RW_VARIABLE).note("read only with GET")]) finder(KeyFinder::Set);
    "setex", 4, [WRITE DENYOOM], "2.0.0", "O(1)", "key#0 seconds:int value",
        "Sets a string that expires after so many seconds."; keys(&[key(1, OW_UPDATE)]);
    "setnx", 3, [WRITE DENYOOM FAST], "1.0.0", "O(1)", "key#0 value",
        "Sets a string if the key does not exist."; keys(&[key(1, OW_INSERT)]);
    "setrange", 4, [WRITE DENYOOM], "2.2.0", "O(M), M bytes written", "key#0 offset:int value",
        "Overwrites part of a string from an offset on."; keys(&[key(1, RW_UPDATE)]);
    "strlen", 2, [READONLY FAST], "2.2.0", "O(1)", "key#0", "Returns the length of a string."; keys(&[key(1, RO)]);
    "substr", 4, [READONLY], "1.0.0", "O(N), N bytes returned", "key#0 start:int end:int",
        "Older name of GETRANGE."; keys(&[key(1, RO_ACCESS)]) deprecated("2.0.0", "`GETRANGE`");
}

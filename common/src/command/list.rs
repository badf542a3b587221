//! Lists.

use super::flags::Flags;
use super::group::Group;
use super::handling::Blocks;
use super::key_spec::uses::{RO, RO_ACCESS, RW_ACCESS_DELETE, RW_DELETE, RW_INSERT, RW_UPDATE};
use super::key_spec::{counted, key, keys};
use super::row::Command;
use super::table::rows;

rows! { List:
    "blmove", 6, [WRITE DENYOOM NOSCRIPT BLOCKING], "6.2.0", "O(1)",
        "source#0 destination#1 wherefrom(LEFT|RIGHT) whereto(LEFT|RIGHT) timeout:double",
        "Moves an element from one end of a list to an end of another, and waits for one."; keys(&[key(1, RW_ACCESS_DELETE), key(2, RW_INSERT)]) blocks(Blocks::Source);
    "blmpop", -5, [WRITE BLOCKING MOVABLEKEYS], "7.0.0", "O(N+M), N keys, M elements popped",
        "timeout:double numkeys:int key#0* where(LEFT|RIGHT) [COUNT=count:int]",
        "Pops elements of the first list that has any, and waits for one."; keys(&[counted(2, RW_ACCESS_DELETE)]) blocks(Blocks::FirstOfCounted);
    "blpop", -3, [WRITE NOSCRIPT BLOCKING], "2.0.0", "O(N), N keys", "key#0* timeout:double",
        "Pops the first element of the first list that has any, and waits for one."; keys(&[keys(1, -2, 1, RW_ACCESS_DELETE)]) blocks(Blocks::FirstOfKeys);
    "brpop", -3, [WRITE NOSCRIPT BLOCKING], "2.0.0", "O(N), N keys", "key#0* timeout:double",
        "Pops the last element of the first list that has any, and waits for one."; keys(&[keys(1, -2, 1, RW_ACCESS_DELETE)]) blocks(Blocks::FirstOfKeys);
    "brpoplpush", 4, [WRITE DENYOOM NOSCRIPT BLOCKING], "2.2.0", "O(1)", "source#0 destination#1 timeout:double",
        "Moves the last element of a list to the front of another, and waits for one."; keys(&[key(1, RW_ACCESS_DELETE), key(2, RW_INSERT)]) deprecated("6.2.0", "`BLMOVE` with `RIGHT` and `LEFT`") blocks(Blocks::Source);
    "lindex", 3, [READONLY], "1.0.0", "O(N), N elements passed", "key#0 index:int",
        "Returns the element at an index."; keys(&[key(1, RO_ACCESS)]);
    "linsert", 5, [WRITE DENYOOM], "2.2.0", "O(N), N elements passed", "key#0 where(BEFORE|AFTER) pivot element",
        "Puts an element before or after another one."; keys(&[key(1, RW_INSERT)]);
    "llen", 2, [READONLY FAST], "1.0.0", "O(1)", "key#0", "Returns the length of a list."; keys(&[key(1, RO)]);
    "lmove", 5, [WRITE DENYOOM], "6.2.0", "O(1)", "source#0 destination#1 wherefrom(LEFT|RIGHT) whereto(LEFT|RIGHT)",
        "Moves an element from one end of a list to an end of another."; keys(&[key(1, RW_ACCESS_DELETE), key(2, RW_INSERT)]);
    "lmpop", -4, [WRITE MOVABLEKEYS], "7.0.0", "O(N+M), N keys, M elements popped",
        "numkeys:int key#0* where(LEFT|RIGHT) [COUNT=count:int]",
        "Pops elements of the first list that has any."; keys(&[counted(1, RW_ACCESS_DELETE)]);
    "lpop", -2, [WRITE FAST], "1.0.0", "O(N), N elements popped", "key#0 [count:int^6.2.0]",
        "Pops elements from the front of a list."; keys(&[key(1, RW_ACCESS_DELETE)]);
    "lpos", -3, [READONLY], "6.0.6", "O(N), N elements passed",
        "key#0 element [RANK=rank:int] [COUNT=num-matches:int] [MAXLEN=len:int]",
        "Returns the indexes at which an element stands."; keys(&[key(1, RO_ACCESS)]);
    "lpush", -3, [WRITE DENYOOM FAST], "1.0.0", "O(N), N elements given", "key#0 element*",
        "Puts elements at the front of a list and makes it if it is missing."; keys(&[key(1, RW_INSERT)]);
    "lpushx", -3, [WRITE DENYOOM FAST], "2.2.0", "O(N), N elements given", "key#0 element*",
        "Puts elements at the front of a list that exists."; keys(&[key(1, RW_INSERT)]);
    "lrange", 4, [READONLY], "1.0.0", "O(S+N), S elements passed, N returned", "key#0 start:int stop:int",
        "Returns the elements between two indexes."; keys(&[key(1, RO_ACCESS)]);
    "lrem", 4, [WRITE], "1.0.0", "O(N+M), N elements, M removed", "key#0 count:int element",
        "Removes elements that are equal to a given one."; keys(&[key(1, RW_DELETE)]);
    "lset", 4, [WRITE DENYOOM], "1.0.0", "O(N), N elements passed", "key#0 index:int element",
        "Replaces the element at an index."; keys(&[key(1, RW_UPDATE)]);
    "ltrim", 4, [WRITE], "1.0.0", "O(N), N elements removed", "key#0 start:int stop:int",
        "Keeps only the elements between two indexes."; keys(&[key(1, RW_DELETE)]);
    "rpop", -2, [WRITE FAST], "1.0.0", "O(N), N elements popped", "key#0 [count:int^6.2.0]",
        "Pops elements from the end of a list."; keys(&[key(1, RW_ACCESS_DELETE)]);
    "rpoplpush", 3, [WRITE DENYOOM], "1.2.0", "O(1)", "source#0 destination#1",
        "Moves the last element of a list to the front of another."; keys(&[key(1, RW_ACCESS_DELETE), key(2, RW_INSERT)]) deprecated("6.2.0", "`LMOVE` with `RIGHT` and `LEFT`");
    "rpush", -3, [WRITE DENYOOM FAST], "1.0.0", "O(N), N elements given", "key#0 element*",
        "Puts elements at the end of a list and makes it if it is missing."; keys(&[key(1, RW_INSERT)]);
    "rpushx", -3, [WRITE DENYOOM FAST], "2.2.0", "O(N), N elements given", "key#0 element*",
        "Puts elements at the end of a list that exists."; keys(&[key(1, RW_INSERT)]);
}

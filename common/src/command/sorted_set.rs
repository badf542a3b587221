//! Sorted sets.

use super::flags::Flags;
use super::group::Group;
use super::handling::Blocks;
use super::key_spec::uses::{
    OW_UPDATE, RO, RO_ACCESS, RW_ACCESS_DELETE, RW_ACCESS_UPDATE, RW_DELETE, RW_UPDATE,
};
use super::key_spec::{counted, key, keys};
use super::row::Command;
use super::table::rows;

rows! { SortedSet:
    "bzmpop", -5, [WRITE BLOCKING MOVABLEKEYS], "7.0.0", "O(K)+O(M*log(N)), K keys, M elements popped",
        "timeout:double numkeys:int key#0* where(MIN|MAX) [COUNT=count:int]",
        "Pops elements of the first sorted set that has any, and waits for one."; keys(&[counted(2, RW_ACCESS_DELETE)]) blocks(Blocks::FirstOfCounted);
    "bzpopmax", -3, [WRITE NOSCRIPT BLOCKING FAST], "5.0.0", "O(log(N))", "key#0* timeout:double",
        "Pops the element with the highest score of one of several sorted sets, and waits for one."; keys(&[keys(1, -2, 1, RW_ACCESS_DELETE)]) blocks(Blocks::FirstOfKeys);
    "bzpopmin", -3, [WRITE NOSCRIPT BLOCKING FAST], "5.0.0", "O(log(N))", "key#0* timeout:double",
        "Pops the element with the lowest score of one of several sorted sets, and waits for one."; keys(&[keys(1, -2, 1, RW_ACCESS_DELETE)]) blocks(Blocks::FirstOfKeys);
    "zadd", -4, [WRITE DENYOOM FAST], "1.2.0", "O(log(N)) an element",
        "key#0 [condition(NX|XX)^3.0.2] [comparison(GT|LT)^6.2.0] [CH=change:token^3.0.2] [INCR=increment:token^3.0.2] score_member{score:double member}*",
        "Adds elements to a sorted set or changes their scores."; keys(&[key(1, RW_UPDATE)]);
    "zcard", 2, [READONLY FAST], "1.2.0", "O(1)", "key#0",
        "Returns the number of elements of a sorted set."; keys(&[key(1, RO)]);
    "zcount", 4, [READONLY FAST], "2.0.0", "O(log(N))", "key#0 min:double max:double",
        "Counts the elements whose score is in a range."; keys(&[key(1, RO_ACCESS)]);
    "zdiff", -3, [READONLY MOVABLEKEYS], "6.2.0", "O(L+(N-K)*log(N)), L elements in all, N in the first, K in the result",
        "numkeys:int key#0* [WITHSCORES]",
        "Returns what is in the first sorted set and in none of the others."; keys(&[counted(1, RO_ACCESS)]);
    "zdiffstore", -4, [WRITE DENYOOM MOVABLEKEYS], "6.2.0", "O(L+(N-K)*log(N)), L elements in all, N in the first, K in the result",
        "destination#0 numkeys:int key#1*",
        "Stores what is in the first sorted set and in none of the others."; keys(&[key(1, OW_UPDATE), counted(2, RO_ACCESS)]);
    "zincrby", 4, [WRITE DENYOOM FAST], "1.2.0", "O(log(N))", "key#0 increment:int member",
        "Adds a number to the score of an element."; keys(&[key(1, RW_ACCESS_UPDATE)]);
    "zinter", -3, [READONLY MOVABLEKEYS], "6.2.0", "O(N*K)+O(M*log(M)), N in the smallest of K sets, M in the result",
        "numkeys:int key#0* [WEIGHTS=weight:int*] [AGGREGATE=aggregate(SUM|MIN|MAX)] [WITHSCORES]",
        "Returns what is in all of several sorted sets."; keys(&[counted(1, RO_ACCESS)]);
    "zintercard", -3, [READONLY MOVABLEKEYS], "7.0.0", "O(N*K), N in the smallest of K sets",
        "numkeys:int key#0* [LIMIT=limit:int]",
        "Counts what is in all of several sorted sets."; keys(&[counted(1, RO_ACCESS)]);
    "zinterstore", -4, [WRITE DENYOOM MOVABLEKEYS], "2.0.0", "O(N*K)+O(M*log(M)), N in the smallest of K sets, M in the result",
        "destination#0 numkeys:int key#1* [WEIGHTS=weight:int*] [AGGREGATE=aggregate(SUM|MIN|MAX)]",
        "Stores what is in all of several sorted sets."; keys(&[key(1, OW_UPDATE), counted(2, RO_ACCESS)]);
    "zlexcount", 4, [READONLY FAST], "2.8.9", "O(log(N))", "key#0 min max",
        "Counts the elements in a range of names, where all scores are equal."; keys(&[key(1, RO_ACCESS)]);
    "zmpop", -4, [WRITE MOVABLEKEYS], "7.0.0", "O(K)+O(M*log(N)), K keys, M elements popped",
        "numkeys:int key#0* where(MIN|MAX) [COUNT=count:int]",
        "Pops elements with the lowest or highest scores of the first sorted set that has any."; keys(&[counted(1, RW_ACCESS_DELETE)]);
    "zmscore", -3, [READONLY FAST], "6.2.0", "O(N), N elements given", "key#0 member*",
        "Returns the scores of several elements."; keys(&[key(1, RO_ACCESS)]);
    "zpopmax", -2, [WRITE FAST], "5.0.0", "O(log(N)*M), M elements popped", "key#0 [count:int]",
        "Pops the elements with the highest scores."; keys(&[key(1, RW_ACCESS_DELETE)]);
    "zpopmin", -2, [WRITE FAST], "5.0.0", "O(log(N)*M), M elements popped", "key#0 [count:int]",
        "Pops the elements with the lowest scores."; keys(&[key(1, RW_ACCESS_DELETE)]);
    "zrandmember", -2, [READONLY], "6.2.0", "O(N), N elements returned", "key#0 [options{count:int [WITHSCORES]}]",
        "Returns elements drawn at random."; keys(&[key(1, RO_ACCESS)]) tips(&["nondeterministic_output"]);
    "zrange", -4, [READONLY], "1.2.0", "O(log(N)+M), M elements returned",
        "key#0 start stop [sortby(BYSCORE|BYLEX)^6.2.0] [REV^6.2.0] [LIMIT=offset_count{offset:int count:int}^6.2.0] [WITHSCORES]",
        "Returns the elements in a range of ranks, scores or names."; keys(&[key(1, RO_ACCESS)]);
    "zrangebylex", -4, [READONLY], "2.8.9", "O(log(N)+M), M elements returned",
        "key#0 min max [LIMIT=offset_count{offset:int count:int}]",
        "Returns the elements in a range of names, where all scores are equal."; keys(&[key(1, RO_ACCESS)]) deprecated("6.2.0", "`ZRANGE` with `BYLEX`");
    "zrangebyscore", -4, [READONLY], "1.0.5", "O(log(N)+M), M elements returned",
        "key#0 min:double max:double [WITHSCORES^2.0.0] [LIMIT=offset_count{offset:int count:int}]",
        "Returns the elements in a range of scores."; keys(&[key(1, RO_ACCESS)]) deprecated("6.2.0", "`ZRANGE` with `BYSCORE`");
    "zrangestore", -5, [WRITE DENYOOM], "6.2.0", "O(log(N)+M), M elements stored",
        "dst#0 src#1 min max [sortby(BYSCORE|BYLEX)] [REV] [LIMIT=offset_count{offset:int count:int}]",
        "Stores a range of a sorted set at another key."; keys(&[key(1, OW_UPDATE), key(2, RO_ACCESS)]);
    "zrank", 3, [READONLY FAST], "2.0.0", "O(log(N))", "key#0 member",
        "Returns the rank of an element, lowest score first."; keys(&[key(1, RO_ACCESS)]);
    "zrem", -3, [WRITE FAST], "1.2.0", "O(M*log(N)), M elements given", "key#0 member*",
        "Removes elements, and the key with the last one."; keys(&[key(1, RW_DELETE)]);
    "zremrangebylex", 4, [WRITE], "2.8.9", "O(log(N)+M), M elements removed", "key#0 min max",
        "Removes the elements in a range of names, where all scores are equal."; keys(&[key(1, RW_DELETE)]);
    "zremrangebyrank", 4, [WRITE], "2.0.0", "O(log(N)+M), M elements removed", "key#0 start:int stop:int",
        "Removes the elements in a range of ranks."; keys(&[key(1, RW_DELETE)]);
    "zremrangebyscore", 4, [WRITE], "1.2.0", "O(log(N)+M), M elements removed", "key#0 min:double max:double",
        "Removes the elements in a range of scores."; keys(&[key(1, RW_DELETE)]);
    "zrevrange", -4, [READONLY], "1.2.0", "O(log(N)+M), M elements returned", "key#0 start:int stop:int [WITHSCORES]",
        "Returns the elements in a range of ranks, highest score first."; keys(&[key(1, RO_ACCESS)]) deprecated("6.2.0", "`ZRANGE` with `REV`");
    "zrevrangebylex", -4, [READONLY], "2.8.9", "O(log(N)+M), M elements returned",
        "key#0 max min [LIMIT=offset_count{offset:int count:int}]",
        "Returns the elements in a range of names, last first, where all scores are equal."; keys(&[key(1, RO_ACCESS)]) deprecated("6.2.0", "`ZRANGE` with `REV` and `BYLEX`");
    "zrevrangebyscore", -4, [READONLY], "2.2.0", "O(log(N)+M), M elements returned",
        "key#0 max:double min:double [WITHSCORES] [LIMIT=offset_count{offset:int count:int}]",
        "Returns the elements in a range of scores, highest first."; keys(&[key(1, RO_ACCESS)]) deprecated("6.2.0", "`ZRANGE` with `REV` and `BYSCORE`");
    "zrevrank", 3, [READONLY FAST], "2.0.0", "O(log(N))", "key#0 member",
        "Returns the rank of an element, highest score first."; keys(&[key(1, RO_ACCESS)]);
    "zscan", -3, [READONLY], "2.8.0", "O(1) a call, O(N) a whole walk",
        "key#0 cursor:int [MATCH=pattern:pattern] [COUNT=count:int]",
        "Walks over the elements of a sorted set in steps."; keys(&[key(1, RO_ACCESS)]) tips(&["nondeterministic_output"]);
    "zscore", 3, [READONLY FAST], "1.2.0", "O(1)", "key#0 member",
        "Returns the score of an element."; keys(&[key(1, RO_ACCESS)]);
    "zunion", -3, [READONLY MOVABLEKEYS], "6.2.0", "O(N)+O(M*log(M)), N elements in all, M in the result",
        "numkeys:int key#0* [WEIGHTS=weight:int*] [AGGREGATE=aggregate(SUM|MIN|MAX)] [WITHSCORES]",
        "Returns what is in any of several sorted sets."; keys(&[counted(1, RO_ACCESS)]);
    "zunionstore", -4, [WRITE DENYOOM MOVABLEKEYS], "2.0.0", "O(N)+O(M*log(M)), N elements in all, M in the result",
        "destination#0 numkeys:int key#1* [WEIGHTS=weight:int*] [AGGREGATE=aggregate(SUM|MIN|MAX)]",
        "Stores what is in any of several sorted sets."; keys(&[key(1, OW_UPDATE), counted(2, RO_ACCESS)]);
}

//! Streams.

use super::flags::Flags;
use super::group::Group;
use super::handling::Blocks;
use super::key_spec::uses::{RO, RO_ACCESS, RW_DELETE, RW_INSERT, RW_UPDATE};
use super::key_spec::{all_after, key};
use super::row::Command;
use super::table::rows;

rows! { Stream:
    "xack", -4, [WRITE FAST], "5.0.0", "O(N), N ids given", "key#0 group id*",
        "Marks messages of a consumer group as done."; keys(&[key(1, RW_UPDATE)]);
    "xadd", -5, [WRITE DENYOOM FAST], "5.0.0", "O(1), and O(N) for N entries trimmed",
        "key#0 [NOMKSTREAM^6.2.0] [trim{strategy(MAXLEN|MINID^6.2.0) [operator('='=equal:token|'~'=approximately:token)] threshold [LIMIT=count:int^6.2.0]}] id_or_auto('*'=auto_id:token|id) field_value{field value}*",
        "Appends an entry to a stream."; keys(&[key(1, RW_UPDATE).note("update, as entries may be trimmed")]) tips(&["nondeterministic_output"]);
    "xautoclaim", -6, [WRITE FAST], "6.2.0", "O(1) if COUNT is small",
        "key#0 group consumer min-idle-time start [COUNT=count:int] [JUSTID]",
        "Hands messages that have waited too long to another consumer."; keys(&[key(1, RW_DELETE)]) tips(&["nondeterministic_output"]);
    "xclaim", -6, [WRITE FAST], "5.0.0", "O(log(N)), N pending messages",
        "key#0 group consumer min-idle-time id* [IDLE=ms:int] [TIME=unix-time-milliseconds:time] [RETRYCOUNT=count:int] [FORCE] [JUSTID] [LASTID=id]",
        "Hands given messages to another consumer."; keys(&[key(1, RW_UPDATE)]) tips(&["nondeterministic_output"]);
    "xdel", -3, [WRITE FAST], "5.0.0", "O(N), N ids given", "key#0 id*",
        "Deletes entries of a stream."; keys(&[key(1, RW_DELETE)]);
    "xgroup", -2, [], "5.0.0", "Depends on the subcommand", "",
        "Holds the commands about consumer groups."; proxy();
    "xgroup|create", -5, [WRITE DENYOOM], "5.0.0", "O(1)",
        "key#0 groupname id(id|'$'=new_id:token) [MKSTREAM] [ENTRIESREAD=entries_read:int]",
        "Makes a consumer group."; keys(&[key(2, RW_INSERT)]);
    "xgroup|createconsumer", 5, [WRITE DENYOOM], "6.2.0", "O(1)", "key#0 groupname consumername",
        "Makes a consumer of a group."; keys(&[key(2, RW_INSERT)]);
    "xgroup|delconsumer", 5, [WRITE], "5.0.0", "O(1)", "key#0 groupname consumername",
        "Deletes a consumer of a group."; keys(&[key(2, RW_DELETE)]);
    "xgroup|destroy", 4, [WRITE], "5.0.0", "O(N), N pending messages", "key#0 groupname",
        "Deletes a consumer group."; keys(&[key(2, RW_DELETE)]);
    "xgroup|help", 2, [LOADING STALE], "5.0.0", "O(1)", "", "Lists the subcommands."; proxy();
    "xgroup|setid", -5, [WRITE], "5.0.0", "O(1)",
        "key#0 groupname id(id|'$'=new_id:token) [ENTRIESREAD=entries_read:int]",
        "Sets the id up to which a group has read."; keys(&[key(2, RW_UPDATE)]);
    "xinfo", -2, [], "5.0.0", "Depends on the subcommand", "",
        "Holds the commands that describe streams."; proxy();
    "xinfo|consumers", 4, [READONLY], "5.0.0", "O(1)", "key#0 groupname",
        "Describes the consumers of a group."; keys(&[key(2, RO_ACCESS)]) tips(&["nondeterministic_output"]);
    "xinfo|groups", 3, [READONLY], "5.0.0", "O(1)", "key#0",
        "Describes the groups of a stream."; keys(&[key(2, RO_ACCESS)]);
    "xinfo|help", 2, [LOADING STALE], "5.0.0", "O(1)", "", "Lists the subcommands."; proxy();
    "xinfo|stream", -3, [READONLY], "5.0.0", "O(1)", "key#0 [FULL=full{[COUNT=count:int]}]",
        "Describes a stream."; keys(&[key(2, RO_ACCESS)]);
    "xlen", 2, [READONLY FAST], "5.0.0", "O(1)", "key#0",
        "Counts the entries of a stream."; keys(&[key(1, RO)]);
    "xpending", -3, [READONLY], "5.0.0", "O(N), N messages returned",
        "key#0 group [filters{[IDLE=min-idle-time:int^6.2.0] start end count:int [consumer]}]",
        "Describes the messages that were read and not marked as done."; keys(&[key(1, RO_ACCESS)]) tips(&["nondeterministic_output"]);
    "xrange", -4, [READONLY], "5.0.0", "O(N), N entries returned", "key#0 start end [COUNT=count:int]",
        "Returns the entries between two ids."; keys(&[key(1, RO_ACCESS)]);
    "xread", -4, [READONLY BLOCKING MOVABLEKEYS], "5.0.0", "O(N), N entries returned",
        "[COUNT=count:int] [BLOCK=milliseconds:int] STREAMS=streams{key#0* id*}",
        "Returns the entries after given ids of several streams, and waits for some if wanted."; keys(&[all_after("STREAMS", 1, 2, RO_ACCESS)]) blocks(Blocks::Streams);
    "xreadgroup", -7, [WRITE BLOCKING MOVABLEKEYS], "5.0.0", "O(N), N entries returned",
        "GROUP=group_consumer{group consumer} [COUNT=count:int] [BLOCK=milliseconds:int] [NOACK] STREAMS=streams{key#0* id*}",
        "Reads several streams as a consumer of a group, and waits for entries if wanted."; keys(&[all_after("STREAMS", 4, 2, RO_ACCESS)]) blocks(Blocks::Streams);
    "xrevrange", -4, [READONLY], "5.0.0", "O(N), N entries returned", "key#0 end start [COUNT=count:int]",
        "Returns the entries between two ids, latest first."; keys(&[key(1, RO_ACCESS)]);
    "xsetid", -3, [WRITE DENYOOM FAST], "5.0.0", "O(1)",
        "key#0 last-id [ENTRIESADDED=entries_added:int^7.0.0] [MAXDELETEDID=max_deleted_entry_id^7.0.0]",
        "Sets the last id of a stream."; keys(&[key(1, RW_UPDATE)]);
    "xtrim", -4, [WRITE], "5.0.0", "O(N), N entries removed",
        "key#0 trim{strategy(MAXLEN|MINID^6.2.0) [operator('='=equal:token|'~'=approximately:token)] threshold [LIMIT=count:int^6.2.0]}",
        "Removes the oldest entries of a stream."; keys(&[key(1, RW_DELETE)]) tips(&["nondeterministic_output"]);
}

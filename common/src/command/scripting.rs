//! Scripts and functions.

use super::flags::Flags;
use super::group::Group;
use super::key_spec::counted;
use super::key_spec::uses::{RO_ACCESS, RW_ACCESS_UPDATE};
use super::row::Command;
use super::table::rows;

rows! { Scripting:
    "eval", -3, [NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS MOVABLEKEYS], "2.6.0", "Depends on the script",
        "script numkeys:int [key#0*] [arg*]",
        "Runs a Lua script."; keys(&[counted(2, RW_ACCESS_UPDATE).note("what the script does with them is not known")]) may_replicate();
    "eval_ro", -3, [READONLY NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS MOVABLEKEYS], "7.0.0", "Depends on the script",
        "script numkeys:int [key#0*] [arg*]",
        "Runs a Lua script that may only read."; keys(&[counted(2, RO_ACCESS).note("what the script does with them is not known")]);
    "evalsha", -3, [NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS MOVABLEKEYS], "2.6.0", "Depends on the script",
        "sha1 numkeys:int [key#0*] [arg*]",
        "Runs a loaded script by its digest."; keys(&[counted(2, RW_ACCESS_UPDATE)]) may_replicate();
    "evalsha_ro", -3, [READONLY NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS MOVABLEKEYS], "7.0.0", "Depends on the script",
        "sha1 numkeys:int [key#0*] [arg*]",
        "Runs a loaded script that may only read by its digest."; keys(&[counted(2, RO_ACCESS)]);
    "fcall", -3, [NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS MOVABLEKEYS], "7.0.0", "Depends on the function",
        "function numkeys:int [key#0*] [arg*]",
        "Calls a function."; keys(&[counted(2, RW_ACCESS_UPDATE).note("what the script does with them is not known")]) may_replicate();
    "fcall_ro", -3, [READONLY NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS MOVABLEKEYS], "7.0.0", "Depends on the function",
        "function numkeys:int [key#0*] [arg*]",
        "Calls a function that may only read."; keys(&[counted(2, RO_ACCESS).note("what the script does with them is not known")]);
    "function", -2, [], "7.0.0", "Depends on the subcommand", "",
        "Holds the commands about functions."; proxy();
    "function|delete", 3, [WRITE NOSCRIPT], "7.0.0", "O(1)", "library-name",
        "Deletes a library with its functions."; tips(&["request_policy:all_shards", "response_policy:all_succeeded"]) job();
    "function|dump", 2, [NOSCRIPT], "7.0.0", "O(N), N functions", "",
        "Returns all libraries in a form that can be restored."; job();
    "function|flush", -2, [WRITE NOSCRIPT], "7.0.0", "O(N), N functions", "[async(ASYNC|SYNC)]",
        "Deletes all libraries."; tips(&["request_policy:all_shards", "response_policy:all_succeeded"]) job();
    "function|help", 2, [LOADING STALE], "7.0.0", "O(1)", "", "Lists the subcommands."; proxy();
    "function|kill", 2, [NOSCRIPT ALLOW_BUSY], "7.0.0", "O(1)", "",
        "Stops the function that is running."; tips(&["request_policy:all_shards", "response_policy:one_succeeded"]) job();
    "function|list", -2, [NOSCRIPT], "7.0.0", "O(N), N functions", "[LIBRARYNAME=library-name-pattern] [WITHCODE]",
        "Describes the libraries."; tips(&["nondeterministic_output_order"]) job();
    "function|load", -3, [WRITE DENYOOM NOSCRIPT], "7.0.0", "O(1)", "[REPLACE] function-code",
        "Makes a library from its source."; tips(&["request_policy:all_shards", "response_policy:all_succeeded"]) job();
    "function|restore", -3, [WRITE DENYOOM NOSCRIPT], "7.0.0", "O(N), N functions",
        "serialized-value [policy(FLUSH|APPEND|REPLACE)]",
        "Restores dumped libraries."; tips(&["request_policy:all_shards", "response_policy:all_succeeded"]) job();
    "function|stats", 2, [NOSCRIPT ALLOW_BUSY], "7.0.0", "O(1)", "",
        "Describes the running function and the engines."; tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]) job();
    "script", -2, [], "2.6.0", "Depends on the subcommand", "", "Holds the commands about scripts."; proxy();
    "script|debug", 3, [NOSCRIPT], "3.2.0", "O(1)", "mode(YES|SYNC|NO)",
        "Chooses how the next scripts are debugged."; job();
    "script|exists", -3, [NOSCRIPT], "2.6.0", "O(N), N digests", "sha1*",
        "Tells which scripts are loaded."; tips(&["request_policy:all_shards", "response_policy:agg_logical_and"]) job();
    "script|flush", -2, [NOSCRIPT], "2.6.0", "O(N), N scripts", "[async(ASYNC|SYNC)^6.2.0]",
        "Forgets all loaded scripts."; tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]) job();
    "script|help", 2, [LOADING STALE], "5.0.0", "O(1)", "", "Lists the subcommands."; proxy();
    "script|kill", 2, [NOSCRIPT ALLOW_BUSY], "2.6.0", "O(1)", "",
        "Stops the script that is running."; tips(&["request_policy:all_shards", "response_policy:one_succeeded"]) job();
    "script|load", 3, [NOSCRIPT STALE], "2.6.0", "O(N), N bytes", "script",
        "Loads a script without running it."; tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]) job();
}

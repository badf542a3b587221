//! The connection, and other connections.

use super::flags::Flags;
use super::group::Group;
use super::handling::Handling;
use super::row::Command;
use super::table::rows;

rows! { Connection:
    "auth", -2, [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY], "1.0.0", "O(N), N passwords of the user",
        "[username^6.0.0] password",
        "Authenticates the connection."; proxy();
    "client", -2, [], "2.4.0", "Depends on the subcommand", "", "Holds the commands about connections."; proxy();
    "client|caching", 3, [NOSCRIPT LOADING STALE], "6.0.0", "O(1)", "mode(YES|NO)",
        "Says whether the keys of the next command are tracked."; proxy();
    "client|getname", 2, [NOSCRIPT LOADING STALE], "2.6.9", "O(1)", "", "Returns the connection's name."; proxy();
    "client|getredir", 2, [NOSCRIPT LOADING STALE], "6.0.0", "O(1)", "",
        "Returns the connection that gets this one's invalidations."; proxy();
    "client|help", 2, [LOADING STALE], "5.0.0", "O(1)", "", "Lists the subcommands."; proxy();
    "client|id", 2, [NOSCRIPT LOADING STALE], "5.0.0", "O(1)", "", "Returns the connection's number."; proxy();
    "client|info", 2, [NOSCRIPT LOADING STALE], "6.2.0", "O(1)", "",
        "Describes this connection."; tips(&["nondeterministic_output"]) proxy();
    "client|kill", -3, [ADMIN NOSCRIPT LOADING STALE], "2.4.0", "O(N), N connections",
        "filter('ip:port'~2.8.12|new-format([ID=client-id:int^2.8.12]|[TYPE=normal_master_slave_pubsub(NORMAL|MASTER^3.2.0|SLAVE|REPLICA^5.0.0|PUBSUB)^2.8.12]|[USER=username]|[ADDR='ip:port']|[LADDR='ip:port'^6.2.0]|[SKIPME='yes/no'])*)",
        "Closes connections."; job();
    "client|list", -2, [ADMIN NOSCRIPT LOADING STALE], "2.4.0", "O(N), N connections",
        "[TYPE=normal_master_replica_pubsub(NORMAL|MASTER|REPLICA|PUBSUB)^5.0.0] [ID=id{client-id:int*}^6.2.0]",
        "Describes all connections, or some."; tips(&["nondeterministic_output"]) job();
    "client|no-evict", 3, [ADMIN NOSCRIPT LOADING STALE], "7.0.0", "O(1)", "enabled(ON|OFF)",
        "Keeps this connection when connections are closed for memory."; proxy();
    "client|pause", -3, [ADMIN NOSCRIPT LOADING STALE], "2.9.50", "O(1)", "timeout:int [mode(WRITE|ALL)^6.2.0]",
        "Holds back commands for a time."; job();
    "client|reply", 3, [NOSCRIPT LOADING STALE], "3.2.0", "O(1)", "on_off_skip(ON|OFF|SKIP)",
        "Switches replies off and on."; proxy();
    "client|setinfo", 4, [NOSCRIPT LOADING STALE], "7.2.0", "", "attr(LIB-NAME=libname|LIB-VER=libver)",
        "Notes the client library's name or version."; hidden() proxy();
    "client|setname", 3, [NOSCRIPT LOADING STALE], "2.6.9", "O(1)", "connection-name",
        "Gives the connection a name."; proxy();
    "client|tracking", -3, [NOSCRIPT LOADING STALE], "6.0.0", "O(N), N prefixes",
        "status(ON|OFF) [REDIRECT=client-id:int] [PREFIX=prefix**] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
        "Switches the invalidation of a client's cache on or off."; job();
    "client|trackinginfo", 2, [NOSCRIPT LOADING STALE], "6.2.0", "O(1)", "",
        "Tells how this connection tracks keys."; proxy();
    "client|unblock", -3, [ADMIN NOSCRIPT LOADING STALE], "5.0.0", "O(log(N)), N connections",
        "client-id:int [timeout_error(TIMEOUT|ERROR)]",
        "Ends the wait of another connection."; job();
    "client|unpause", 2, [ADMIN NOSCRIPT LOADING STALE], "6.2.0", "O(N), N connections held back", "",
        "Lets held back commands run."; job();
    "echo", 2, [LOADING STALE FAST], "1.0.0", "O(1)", "message", "Returns its argument."; proxy() handling(Handling::ON_ANY_SHARD.with(Handling::WITHOUT_SHARDS));
    "hello", -1, [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY], "6.0.0", "O(1)",
        "[arguments{protover:int [AUTH=username_password{username password}] [SETNAME=clientname]}]",
        "Chooses the protocol version, and authenticates and names the connection if wanted."; proxy();
    "ping", -1, [FAST], "1.0.0", "O(1)", "[message]",
        "Answers PONG, or its argument."; tips(&["request_policy:all_shards", "response_policy:all_succeeded"]) proxy() handling(Handling::ON_ANY_SHARD.with(Handling::WITHOUT_SHARDS).with(Handling::WHILE_SUBSCRIBED));
    "quit", -1, [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY], "1.0.0", "O(1)", "",
        "Answers OK and closes the connection."; proxy() handling(Handling::ENDS_TRANSACTION.with(Handling::WITHOUT_SHARDS).with(Handling::WHILE_SUBSCRIBED));
    "reset", 1, [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY], "6.2.0", "O(1)", "",
        "Brings the connection into the state of a new one."; proxy() handling(Handling::ENDS_TRANSACTION.with(Handling::WITHOUT_SHARDS).with(Handling::WHILE_SUBSCRIBED));
    "select", 2, [LOADING STALE FAST], "1.0.0", "O(1)", "index:int", "Chooses the connection's database."; proxy() handling(Handling::ON_ANY_SHARD);
}

//! The cluster, as clients see it that know of hash slots.

use super::categories::Categories;
use super::flags::Flags;
use super::group::Group;
use super::later::OPERATOR;
use super::row::Command;
use super::table::rows;

rows! { Cluster:
    "asking", 1, [FAST], "3.0.0", "O(1)", "",
        "Lets the next command use a slot that is being imported."; acl(Categories::CONNECTION) proxy();
    "cluster", -2, [], "3.0.0", "Depends on the subcommand", "", "Holds the commands about the cluster."; proxy();
    "cluster|addslots", -3, [ADMIN STALE NO_ASYNC_LOADING], "3.0.0", "O(N), N slots", "slot:int*",
        "Gives slots to this node."; shards_later(OPERATOR);
    "cluster|addslotsrange", -4, [ADMIN STALE NO_ASYNC_LOADING], "7.0.0", "O(N), N slots",
        "start-slot_end-slot{start-slot:int end-slot:int}*",
        "Gives ranges of slots to this node."; shards_later(OPERATOR);
    "cluster|bumpepoch", 2, [ADMIN STALE NO_ASYNC_LOADING], "3.0.0", "O(1)", "",
        "Advances the node's epoch."; tips(&["nondeterministic_output"]) shards_later(OPERATOR);
    "cluster|count-failure-reports", 3, [ADMIN STALE], "3.0.0", "O(N), N reports", "node-id",
        "Counts the reports that a node has failed."; tips(&["nondeterministic_output"]) shards_later(OPERATOR);
    "cluster|countkeysinslot", 3, [STALE], "3.0.0", "O(1)", "slot:int", "Counts the keys of a slot."; proxy();
    "cluster|delslots", -3, [ADMIN STALE NO_ASYNC_LOADING], "3.0.0", "O(N), N slots", "slot:int*",
        "Takes slots from this node."; shards_later(OPERATOR);
    "cluster|delslotsrange", -4, [ADMIN STALE NO_ASYNC_LOADING], "7.0.0", "O(N), N slots",
        "start-slot_end-slot{start-slot:int end-slot:int}*",
        "Takes ranges of slots from this node."; shards_later(OPERATOR);
    "cluster|failover", -2, [ADMIN STALE NO_ASYNC_LOADING], "3.0.0", "O(1)", "[options(FORCE|TAKEOVER)]",
        "Makes a replica the primary."; shards_later(OPERATOR);
    "cluster|flushslots", 2, [ADMIN STALE NO_ASYNC_LOADING], "3.0.0", "O(1)", "",
        "Takes all slots from this node."; shards_later(OPERATOR);
    "cluster|forget", 3, [ADMIN STALE NO_ASYNC_LOADING], "3.0.0", "O(1)", "node-id",
        "Removes a node from the cluster."; shards_later(OPERATOR);
    "cluster|getkeysinslot", 4, [STALE], "3.0.0", "O(N), N keys returned", "slot:int count:int",
        "Returns keys of a slot."; tips(&["nondeterministic_output"]) proxy();
    "cluster|help", 2, [LOADING STALE], "5.0.0", "O(1)", "", "Lists the subcommands."; proxy();
    "cluster|info", 2, [STALE], "3.0.0", "O(1)", "",
        "Describes the state of the cluster."; tips(&["nondeterministic_output"]) proxy();
    "cluster|keyslot", 3, [STALE], "3.0.0", "O(N), N bytes", "key", "Returns the slot of a key."; proxy();
    "cluster|links", 2, [STALE], "7.0.0", "O(N), N nodes", "",
        "Describes the connections between nodes."; tips(&["nondeterministic_output"]) proxy();
    "cluster|meet", -4, [ADMIN STALE NO_ASYNC_LOADING], "3.0.0", "O(1)", "ip port:int [cluster_bus_port:int^4.0.0]",
        "Makes two nodes know each other."; shards_later(OPERATOR);
    "cluster|myid", 2, [STALE], "3.0.0", "O(1)", "", "Returns this node's id."; proxy();
    "cluster|nodes", 2, [STALE], "3.0.0", "O(N), N nodes", "",
        "Describes the nodes, in the format of Redis's node file."; tips(&["nondeterministic_output"]) proxy();
    "cluster|replicas", 3, [ADMIN STALE], "5.0.0", "O(N), N replicas", "node-id",
        "Describes the replicas of a primary."; tips(&["nondeterministic_output"]) shards_later(OPERATOR);
    "cluster|replicate", 3, [ADMIN STALE NO_ASYNC_LOADING], "3.0.0", "O(1)", "node-id",
        "Makes this node a replica of another."; shards_later(OPERATOR);
    "cluster|reset", -2, [ADMIN NOSCRIPT STALE], "3.0.0", "O(N), N nodes", "[hard_soft(HARD|SOFT)]",
        "Makes the node forget the cluster."; shards_later(OPERATOR);
    "cluster|saveconfig", 2, [ADMIN STALE NO_ASYNC_LOADING], "3.0.0", "O(1)", "",
        "Writes the node file."; shards_later(OPERATOR);
    "cluster|set-config-epoch", 3, [ADMIN STALE NO_ASYNC_LOADING], "3.0.0", "O(1)", "config-epoch:int",
        "Sets the epoch of a new node."; shards_later(OPERATOR);
    "cluster|setslot", -4, [ADMIN STALE NO_ASYNC_LOADING], "3.0.0", "O(1)",
        "slot:int subcommand(IMPORTING=node-id|MIGRATING=node-id|NODE=node-id|STABLE)",
        "Changes the state of one slot."; shards_later(OPERATOR);
    "cluster|shards", 2, [STALE], "7.0.0", "O(N), N nodes", "",
        "Describes the shards, their slots and nodes."; tips(&["nondeterministic_output"]) proxy();
    "cluster|slaves", 3, [ADMIN STALE], "3.0.0", "O(N), N replicas", "node-id",
        "Older name of CLUSTER REPLICAS."; tips(&["nondeterministic_output"]) deprecated("5.0.0", "`CLUSTER REPLICAS`") shards_later(OPERATOR);
    "cluster|slot-stats", -4, [STALE LOADING], "8.2.0", "O(N log N), N slots of the node",
        "filter{slotsrange=SLOTSRANGE start-slot:int end-slot:int}",
        "Tells what single slots hold and how much they are used."; tips(&["nondeterministic_output"]) hidden() proxy();
    "cluster|slots", 2, [STALE], "3.0.0", "O(N), N nodes", "",
        "Describes which nodes own which slots."; tips(&["nondeterministic_output"]) deprecated("7.0.0", "`CLUSTER SHARDS`") proxy();
    "readonly", 1, [LOADING STALE FAST], "3.0.0", "O(1)", "",
        "Lets the connection read from a replica."; acl(Categories::CONNECTION) proxy();
    "readwrite", 1, [LOADING STALE FAST], "3.0.0", "O(1)", "",
        "Takes back READONLY."; acl(Categories::CONNECTION) proxy();
}

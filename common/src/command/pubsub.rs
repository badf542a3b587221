//! Channels.

use super::categories::Categories;
use super::flags::Flags;
use super::group::Group;
use super::handling::Handling;
use super::key_spec::uses::NOT_KEY;
use super::key_spec::{key, keys};
use super::row::Command;
use super::table::rows;

rows! { Pubsub:
    "psubscribe", -2, [PUBSUB NOSCRIPT LOADING STALE], "2.0.0", "O(N), N patterns of the client",
        "pattern{pattern:pattern}*",
        "Subscribes to the channels that match patterns."; job() handling(Handling::WHILE_SUBSCRIBED);
    "publish", 3, [PUBSUB LOADING STALE FAST], "2.0.0", "O(N+M), N subscribers of the channel, M patterns in all",
        "channel message",
        "Sends a message to a channel."; may_replicate() job() handling(Handling::ON_ANY_SHARD.with(Handling::PUBLISHES));
    "pubsub", -2, [], "2.8.0", "Depends on the subcommand", "", "Holds the commands about channels."; proxy();
    "pubsub|channels", -2, [PUBSUB LOADING STALE], "2.8.0", "O(N), N channels", "[pattern:pattern]",
        "Lists the channels that have subscribers."; job();
    "pubsub|help", 2, [LOADING STALE], "6.2.0", "O(1)", "",
        "Lists the subcommands."; acl(Categories::NONE) proxy();
    "pubsub|numpat", 2, [PUBSUB LOADING STALE], "2.8.0", "O(1)", "",
        "Counts the patterns that have subscribers."; job();
    "pubsub|numsub", -2, [PUBSUB LOADING STALE], "2.8.0", "O(N), N channels given", "[channel*]",
        "Counts the subscribers of channels."; job();
    "pubsub|shardchannels", -2, [PUBSUB LOADING STALE], "7.0.0", "O(N), N channels", "[pattern:pattern]",
        "Lists the shard channels that have subscribers."; job();
    "pubsub|shardnumsub", -2, [PUBSUB LOADING STALE], "7.0.0", "O(N), N channels given", "[shardchannel*]",
        "Counts the subscribers of shard channels."; job();
    "punsubscribe", -1, [PUBSUB NOSCRIPT LOADING STALE], "2.0.0", "O(N+M), N patterns of the client, M in all",
        "[pattern:pattern*]",
        "Ends subscriptions to patterns."; job() handling(Handling::WHILE_SUBSCRIBED);
    "spublish", 3, [PUBSUB LOADING STALE FAST], "7.0.0", "O(N), N subscribers", "shardchannel message",
        "Sends a message to a shard channel."; keys(&[key(1, NOT_KEY)]) may_replicate() job() handling(Handling::ON_ANY_SHARD.with(Handling::PUBLISHES));
    "ssubscribe", -2, [PUBSUB NOSCRIPT LOADING STALE], "7.0.0", "O(N), N channels given", "shardchannel*",
        "Subscribes to shard channels."; keys(&[keys(1, -1, 1, NOT_KEY)]) job() handling(Handling::WHILE_SUBSCRIBED);
    "subscribe", -2, [PUBSUB NOSCRIPT LOADING STALE], "2.0.0", "O(N), N channels given", "channel*",
        "Subscribes to channels."; job() handling(Handling::WHILE_SUBSCRIBED);
    "sunsubscribe", -1, [PUBSUB NOSCRIPT LOADING STALE], "7.0.0", "O(N), N subscribers", "[shardchannel*]",
        "Ends subscriptions to shard channels."; keys(&[keys(1, -1, 1, NOT_KEY)]) job() handling(Handling::WHILE_SUBSCRIBED);
    "unsubscribe", -1, [PUBSUB NOSCRIPT LOADING STALE], "2.0.0", "O(N), N subscribers", "[channel*]",
        "Ends subscriptions to channels."; job() handling(Handling::WHILE_SUBSCRIBED);
}

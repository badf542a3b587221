//! What one worker counts.

use slotway_common::acl::Reason;
use slotway_common::cells;
use slotway_common::command::Group;

fn families() -> impl Iterator<Item = &'static str> {
    Group::ALL.iter().map(|group| group.name())
}

/// Positions of the label `source` of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Source {
    /// The request itself was the reason: unknown command, wrong arity, no authentication.
    Client,
    /// A shard's error reply.
    Upstream,
    /// The proxy could not reach a shard, or something was over its bounds.
    Internal,
}

cells! {
    /// Counters of one worker. Latencies are in nanoseconds inside and in seconds outside.
    pub struct Counters in "proxy" {
        counters requests[family: families()] "Requests by command family.";
        counters errors[source: ["client", "upstream", "internal"]] "Error replies by what caused them: the request itself, a shard, or the proxy.";
        histograms request_duration[family: families()] "Time from reading a request to the end of its reply.";
        histograms upstream_duration[family: families()] "Part of the request duration between writing the request to the shard and the end of its reply.";
        histograms own_duration[family: families()] "Part of the request duration that was spent in the proxy.";
        counter connections_accepted "Client connections accepted.";
        counter connections_closed "Client connections closed.";
        counter client_input_bytes "Bytes read from clients.";
        counter client_output_bytes "Bytes written to clients.";
        counter upstream_input_bytes "Bytes read from shards.";
        counter upstream_output_bytes "Bytes written to shards.";
        counter split_requests "Requests sent in several parts.";
        counters redirects[kind: ["moved", "parked"]] "Requests that a shard refused because their slot had moved or was parked.";
        counter upstream_connects "Connections to shards opened, reconnects included.";
        counter upstream_connect_failures "Attempts to connect to a shard that failed.";
        counter upstream_connections_lost "Connections to shards that broke.";
        counters budget_hits[budget: ["client", "upstream", "worker"]] "Times that a memory budget was used up.";
        counter protocol_errors "Requests that could not be framed.";
        counter authentication_failures "AUTH and HELLO with wrong credentials.";
        counters denied[reason: Reason::ALL.into_iter().map(Reason::name)] "What users were denied, by what it was about.";
        counter messages_delivered "Messages of channels given to clients.";
        counter invalidations "What clients were told to forget.";
        counter subscription_gaps "Channels and patterns that shards were told of again, because a slot moved or a connection broke: messages in between are lost.";
        gauge subscribed_names "Channels and patterns that clients listen to.";
        gauge clients "Open client connections.";
        gauge client_buffer_bytes "Bytes of requests and replies held for clients.";
        gauge upstream_buffer_bytes "Bytes of requests on their way to shards or waiting for a reply.";
        gauge upstream_connections "Open connections to shards.";
        gauge requests_in_flight "Requests without a complete reply.";
        gauge blocked_clients "Clients that wait for data, or for the end of a pause.";
        gauge slots_detained "Slots whose requests wait because a shard refused one.";
    }
}

impl Counters {
    /// Counts an error.
    #[inline]
    pub fn error(&self, source: Source) {
        self.errors.at(source as usize).inc();
    }

    /// Counts a request of a family as answered, with its times in microseconds.
    #[inline]
    pub fn answered(&self, group: Group, total_us: u64, upstream_us: u64) {
        let family = group as usize;
        self.requests.at(family).inc();
        self.request_duration.at(family).observe_nanoseconds(total_us * 1000);
        self.upstream_duration.at(family).observe_nanoseconds(upstream_us * 1000);
        self.own_duration.at(family).observe_nanoseconds(total_us.saturating_sub(upstream_us) * 1000);
    }

    /// Requests of all families.
    pub fn total_requests(&self) -> u64 {
        self.requests.iter().map(|(_, counter)| counter.get()).sum()
    }
}

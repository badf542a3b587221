//! CLUSTER: what clients ask that know of hash slots and speak to shards directly.

mod slot_stats;

use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::slot::{SLOTS, Slot, slot_of};
use slotway_common::topology::{Node as Place, Shard};

use crate::node::Node;
use crate::node::{NodeCall, NodeHandler};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("cluster|keyslot", keyslot),
    ("cluster|slot-stats", slot_stats::slot_stats),
    ("cluster|slots", slots),
    ("cluster|shards", shards),
    ("cluster|nodes", nodes),
    ("cluster|info", info),
    ("cluster|myid", myid),
    ("cluster|links", links),
    ("cluster|countkeysinslot", count_keys_in_slot),
    ("cluster|getkeysinslot", get_keys_in_slot),
];

fn keyslot(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.reply.int(i64::from(slot_of(call.args.at(2))));
    Ok(())
}

/// Host and port of a node's client address. `[::1]:7001` has its host without the brackets.
fn host_and_port(address: &str) -> (&str, i64) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
    (host.trim_start_matches('[').trim_end_matches(']'), port.parse().unwrap_or(0))
}

/// The ranges of every shard with its first node, its primary: others do not serve.
fn slots(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let topology = call.node.topology.clone();
    let at = call.reply.begin();
    let mut count = 0;
    for (shard, primary) in topology.shards.iter().filter_map(|shard| Some((shard, shard.primary()?))) {
        let (host, port) = host_and_port(&primary.address);
        for range in shard.slots.ranges() {
            call.reply.array(3);
            call.reply.int(i64::from(range.start()));
            call.reply.int(i64::from(range.end()));
            call.reply.array(4);
            call.reply.bulk(host.as_bytes());
            call.reply.int(port);
            call.reply.bulk(primary.redis_id(&topology.cluster).as_bytes());
            call.reply.map(0);
            count += 1;
        }
    }
    call.reply.finish_array(at, count);
    Ok(())
}

fn shards(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let topology = call.node.topology.clone();
    let reply = &mut call.reply;
    reply.array(topology.shards.len());
    for shard in &topology.shards {
        reply.map(2);
        reply.bulk(b"slots");
        reply.array(2 * shard.slots.ranges().len());
        for range in shard.slots.ranges() {
            reply.int(i64::from(range.start()));
            reply.int(i64::from(range.end()));
        }
        reply.bulk(b"nodes");
        reply.array(shard.nodes.len());
        for (position, node) in shard.nodes.iter().enumerate() {
            let (host, port) = host_and_port(&node.address);
            reply.map(7);
            reply.bulk(b"id");
            reply.bulk(node.redis_id(&topology.cluster).as_bytes());
            reply.bulk(b"port");
            reply.int(port);
            reply.bulk(b"ip");
            reply.bulk(host.as_bytes());
            reply.bulk(b"endpoint");
            reply.bulk(host.as_bytes());
            reply.bulk(b"role");
            reply.bulk(if position == 0 { b"master" } else { b"replica" });
            reply.bulk(b"replication-offset");
            reply.int(0);
            reply.bulk(b"health");
            reply.bulk(if position == 0 { b"online" } else { b"loading" });
        }
    }
    Ok(())
}

/// One line a node, in the format of Redis's nodes.conf.
fn nodes(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let node = &*call.node;
    let mut text = String::new();
    for shard in &node.topology.shards {
        for (position, place) in shard.nodes.iter().enumerate() {
            text.push_str(&line(node, shard, position, place));
        }
    }
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn line(node: &Node, shard: &Shard, position: usize, place: &Place) -> String {
    let cluster = &node.topology.cluster;
    let (host, port) = host_and_port(&place.address);
    let (_, control) = host_and_port(&place.control);
    let myself = if place.id == node.identity.node { "myself," } else { "" };
    let (role, primary) = match shard.primary() {
        Some(primary) if position > 0 => ("slave", primary.redis_id(cluster)),
        _ => ("master", "-".to_owned()),
    };
    let mut line = format!(
        "{} {host}:{port}@{control} {myself}{role} {primary} 0 0 {} connected",
        place.redis_id(cluster),
        node.topology.version
    );
    if position == 0 {
        for range in shard.slots.ranges() {
            line.push_str(&format!(" {range}"));
        }
    }
    line.push('\n');
    line
}

fn info(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let topology = &call.node.topology;
    let assigned: usize = topology.shards.iter().map(|shard| shard.slots.count()).sum();
    let with_slots = topology.shards.iter().filter(|shard| !shard.slots.is_empty()).count();
    let nodes: usize = topology.shards.iter().map(|shard| shard.nodes.len()).sum();
    let text = format!(
        "cluster_state:{}\r\ncluster_slots_assigned:{assigned}\r\ncluster_slots_ok:{assigned}\r\n\
         cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:{nodes}\r\ncluster_size:{with_slots}\r\n\
         cluster_current_epoch:{version}\r\ncluster_my_epoch:{version}\r\ncluster_stats_messages_sent:0\r\n\
         cluster_stats_messages_received:0\r\ntotal_cluster_links_buffer_limit_exceeded:0\r\n",
        if assigned == usize::from(SLOTS) { "ok" } else { "fail" },
        version = topology.version,
    );
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn myid(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let node = &*call.node;
    let me = node.topology.node(&node.identity.node).map(|(_, place)| place.redis_id(&node.topology.cluster));
    call.reply.bulk(me.unwrap_or_default().as_bytes());
    Ok(())
}

/// Nodes keep no links of Redis's kind among each other.
fn links(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.reply.array(0);
    Ok(())
}

fn slot_argument(text: &[u8], wrong: &'static str) -> Result<Slot, Error> {
    let number = parse_i64(text).ok_or(Error::NotInteger)?;
    Slot::try_from(number).ok().filter(|slot| *slot < SLOTS).ok_or(Error::err(wrong))
}

fn count_keys_in_slot(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let slot = slot_argument(call.args.at(2), "Invalid slot")?;
    let keys = call.engine.slot(slot).database(call.session.db).map_or(0, |database| database.len());
    call.reply.int(keys as i64);
    Ok(())
}

fn get_keys_in_slot(call: &mut NodeCall<'_>) -> Result<(), Error> {
    const WRONG: &str = "Invalid slot or number of keys";
    let (slot, count) = (parse_i64(call.args.at(2)), parse_i64(call.args.at(3)));
    let count = slot.and(count).ok_or(Error::NotInteger)?;
    let slot = slot_argument(call.args.at(2), WRONG)?;
    let count = usize::try_from(count).map_err(|_| Error::err(WRONG))?;
    let database = call.engine.slot(slot).database(call.session.db);
    let at = call.reply.begin();
    let mut found = 0;
    for record in database.into_iter().flat_map(|database| database.iter()).take(count) {
        call.reply.bulk(record.key());
        found += 1;
    }
    call.reply.finish_array(at, found);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_splits_into_host_and_port() {
        assert_eq!(host_and_port("127.0.0.1:7001"), ("127.0.0.1", 7001));
        assert_eq!(host_and_port("[::1]:7001"), ("::1", 7001));
        assert_eq!(host_and_port("shard-a.example:7001"), ("shard-a.example", 7001));
    }
}

//! The status as text in columns.

use slotway_common::slot::SLOTS;

use super::{Answer, InDoubt, Status, Transactions};
use crate::units::{bytes, columns, plural};

pub(super) fn render(status: &Status) -> String {
    let mut text = format!(
        "cluster {}: {} of {SLOTS} slots served by {}\n",
        status.cluster,
        status.slots_served,
        plural(status.shards.len(), "shard node"),
    );
    if let Some(state) = &status.state {
        super::committed::render(state, &mut text);
    }
    text.push('\n');
    let mut rows =
        vec![["SHARD", "NODE", "ADDRESS", "KEYS", "BYTES", "OPS/S", "CLIENTS", "SLOTS"].map(String::from)];
    for shard in &status.shards {
        let own = [shard.shard.clone(), shard.node.clone(), shard.address.clone()];
        let rest = match &shard.answer {
            Answer::Figures { figures, .. } => [
                figures.keys.to_string(),
                bytes(figures.bytes),
                figures.operations_per_second.to_string(),
                figures.clients.to_string(),
                if figures.slots.is_empty() { "none".to_owned() } else { figures.slots.to_string() },
            ],
            Answer::Nothing { error, .. } => {
                let nothing = || "-".to_owned();
                [nothing(), nothing(), nothing(), nothing(), format!("unreachable: {error}")]
            }
        };
        let mut cells = own.into_iter().chain(rest);
        rows.push(std::array::from_fn(|_| cells.next().unwrap_or_default()));
    }
    columns(&rows, &mut text);
    for shard in &status.shards {
        if let Some(busy) = shard.answer.figures().and_then(|node| node.busy.as_ref()) {
            let kind = if busy.is_function { "function" } else { "script" };
            text.push_str(&format!(
                "\n{} is BUSY: {kind} {} has been running for {:.0} s; {} ends it if it has not written anything\n",
                shard.node,
                busy.name,
                busy.seconds,
                busy.ended_by(),
            ));
        }
    }

    let of_shards = status.shards.iter().filter_map(|shard| Some((&shard.node, shard.answer.figures()?)));
    for (node, Transactions { waiting, prepared, slots_locked, in_doubt }) in
        of_shards.map(|(node, figures)| (node, &figures.transactions))
    {
        if waiting + prepared > 0 {
            text.push_str(&format!(
                "\n{node} has parts of transactions over several shards: {prepared} prepared, {waiting} waiting, {slots_locked} slots locked\n"
            ));
        }
        for InDoubt { id, decider, slots, seconds } in in_doubt {
            text.push_str(&format!(
                "  {id} is in doubt for {seconds:.0} s and holds {slots} slots: shard {decider} knows how it has ended\n"
            ));
        }
    }

    if !status.proxies.is_empty() {
        text.push('\n');
        let mut rows = vec![["PROXY", "ADDRESS", "STATE"].map(String::from)];
        for proxy in &status.proxies {
            let state = match &proxy.answer {
                Answer::Figures { figures, .. } => match &figures.reason {
                    None => "ready".to_owned(),
                    Some(reason) => format!("not ready: {reason}"),
                },
                Answer::Nothing { error, .. } => format!("unreachable: {error}"),
            };
            rows.push([proxy.proxy.clone(), proxy.address.clone(), state]);
        }
        columns(&rows, &mut text);
    }
    super::moves::render(&status.moves, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Busy, NodeFigures, ProxyFigures, ProxyStatus, ShardStatus};
    use super::*;

    #[test]
    fn unreachable_processes_are_shown_with_the_reason() {
        let node = |name: &str, answer| ShardStatus {
            shard: name.to_owned(),
            node: format!("{name}-0"),
            address: "127.0.0.1:7001".to_owned(),
            answer,
        };
        let status = Status {
            cluster: "local".to_owned(),
            slots_served: 100,
            shards: vec![
                node(
                    "a",
                    Answer::of(Ok(NodeFigures {
                        slots: "0-99".parse().unwrap(),
                        keys: 12,
                        bytes: 2048,
                        operations_per_second: 3.0,
                        clients: 1,
                        uptime_seconds: 9,
                        busy: Some(Busy { name: "count".to_owned(), seconds: 7.4, is_function: true }),
                        transactions: Transactions {
                            waiting: 1,
                            prepared: 2,
                            slots_locked: 3,
                            in_doubt: vec![InDoubt {
                                id: "7-12".to_owned(),
                                decider: "b".to_owned(),
                                slots: 2,
                                seconds: 8.6,
                            }],
                        },
                    })),
                ),
                node("b", Answer::of(Err("connection refused".to_owned()))),
            ],
            proxies: vec![ProxyStatus {
                proxy: "proxy-0".to_owned(),
                address: "127.0.0.1:6379".to_owned(),
                answer: Answer::of(Ok(ProxyFigures { ready: false, reason: Some("draining".to_owned()) })),
            }],
            moves: super::super::Moves::default(),
            state: None,
        };
        assert_eq!(
            render(&status),
            "cluster local: 100 of 16384 slots served by 2 shard nodes

SHARD  NODE  ADDRESS         KEYS  BYTES    OPS/S  CLIENTS  SLOTS
a      a-0   127.0.0.1:7001  12    2.0 KiB  3      1        0-99
b      b-0   127.0.0.1:7001  -     -        -      -        unreachable: connection refused

a-0 is BUSY: function count has been running for 7 s; FUNCTION KILL ends it if it has not written anything

a-0 has parts of transactions over several shards: 2 prepared, 1 waiting, 3 slots locked
  7-12 is in doubt for 9 s and holds 2 slots: shard b knows how it has ended

PROXY    ADDRESS         STATE
proxy-0  127.0.0.1:6379  not ready: draining
"
        );
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["shards"][0]["slots"], "0-99");
        assert_eq!(json["shards"][0]["reachable"], true);
        assert_eq!(json["shards"][0]["busy"]["name"], "count");
        assert_eq!(json["shards"][1]["reachable"], false);
        assert_eq!(json["shards"][1]["error"], "connection refused");
    }
}

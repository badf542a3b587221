//! The proxy with its sockets, over shards that the tests play.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;
mod transactions;

use std::io::{Read, Write};
use std::net::TcpStream;

use slotway_common::resp::Value;
use slotway_common::slot::slot_of;
use slotway_proxy::core::Budgets;
use support::{Cluster, key, wait_until};

#[test]
fn a_pipeline_over_all_shards_is_answered_in_its_order() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    cluster.shards[0].hold();
    let requests: Vec<String> = (0..3000)
        .flat_map(|n| [format!("SET {} {n}", key(n % 3, n % 7)), format!("GET {}", key(n % 3, n % 7))])
        .collect();
    client.send(&requests);
    cluster.shards[0].release();
    for n in 0..3000 {
        assert_eq!(client.receive_texts(2), ["+OK".to_owned(), format!("\"{n}\"")]);
    }
}

#[test]
fn many_clients_each_get_their_own_replies() {
    let cluster = Cluster::start();
    let address = cluster.address;
    let clients: Vec<_> = (0..20)
        .map(|number| {
            std::thread::spawn(move || {
                let mut client = support::Client::connect(address);
                for round in 0..200 {
                    let key = key(round % 3, number);
                    assert_eq!(client.text(&format!("SET {key} {number}-{round}")), "+OK");
                    assert_eq!(client.text(&format!("GET {key}")), format!("\"{number}-{round}\""));
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("a client"));
}

#[test]
fn many_keys_are_split_and_merged() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let keys: Vec<String> = (0..100).map(|n| key(n % 3, n / 3)).collect();
    let pairs: Vec<String> = keys.iter().enumerate().map(|(n, key)| format!("{key} {n}")).collect();
    assert_eq!(client.text(&format!("MSET {}", pairs.join(" "))), "+OK");
    let Value::Array(values) = client.call(&format!("MGET {} none", keys.join(" "))) else {
        panic!("an array")
    };
    for (n, value) in values[..100].iter().enumerate() {
        assert_eq!(value.as_bytes(), Some(n.to_string().as_bytes()));
    }
    assert_eq!(values[100], Value::NullBulk);
    for shard in &cluster.shards {
        assert_eq!(shard.log().iter().filter(|request| request.starts_with("MGET")).count(), 1);
    }
    assert_eq!(client.text("DBSIZE"), ":100");
    assert_eq!(client.call("KEYS *").as_array().map(<[Value]>::len), Some(100));
    assert_eq!(client.text(&format!("DEL {} none", keys.join(" "))), ":100");
    assert_eq!((client.text("DBSIZE"), client.text("RANDOMKEY")), (":0".to_owned(), "null".to_owned()));
}

#[test]
fn a_killed_shard_fails_at_once_alone_and_heals_by_itself() {
    let mut cluster = Cluster::start();
    let mut client = cluster.client();
    let (dead, alive) = (key(2, 0), key(0, 0));
    assert_eq!(client.text(&format!("SET {dead} 1")), "+OK");
    cluster.shards[2].hold();
    client.send(&[format!("SET {dead} 2"), format!("GET {alive}")]);
    cluster.shards[2].kill();
    let first = client.text_of_next();
    assert!(first.contains("broke before its reply") || first.contains("is down"), "{first}");
    assert_eq!(client.text_of_next(), "null");
    wait_until("the shard is known to be down", || {
        client.text(&format!("GET {dead}")).starts_with("-CLUSTERDOWN shard \\'c\\' at 127.0.0.1:")
    });
    assert_eq!(client.text(&format!("SET {alive} 1")), "+OK");
    assert!(client.text(&format!("MSET {alive} 9 {dead} 9")).starts_with("-CLUSTERDOWN"));
    assert_eq!(
        client.text(&format!("GET {alive}")),
        "\"1\"",
        "nothing of a request that cannot be sent whole"
    );
    assert!(client.text("FLUSHALL").contains("nothing was changed"));
    assert_eq!(client.text(&format!("GET {alive}")), "\"1\"");
    cluster.shards[2].listen();
    // Which of the two values it is, the error told that nobody knows.
    wait_until("it is served again", || client.text(&format!("GET {dead}")).starts_with('"'));
}

#[test]
fn requests_follow_a_slot_in_their_order_while_it_moves_back_and_forth() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let (moving, staying) = (key(0, 0), key(0, 1));
    let slot = slot_of(moving.as_bytes());
    let mut expected = String::new();
    for round in 0..50 {
        let (from, to) = if round % 2 == 0 { (0, 1) } else { (1, 0) };
        let requests: Vec<String> = (0..20)
            .flat_map(|n| [format!("APPEND {moving} {},", round * 20 + n), format!("SET {staying} {n}")])
            .collect();
        client.send(&requests[..20]);
        cluster.move_slot(slot, from, to);
        client.send(&requests[20..]);
        for n in 0..20 {
            expected += &format!("{},", round * 20 + n);
            assert_eq!(client.receive_texts(2), [format!(":{}", expected.len()), "+OK".to_owned()]);
        }
    }
    assert_eq!(client.text(&format!("GET {moving}")), format!("\"{expected}\""));
}

#[test]
fn a_parked_slot_delays_its_own_requests_only() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client(), cluster.client());
    let (parked, free) = (key(1, 0), key(1, 1));
    let slot = slot_of(parked.as_bytes());
    cluster.shards[1].park(slot);
    client.send(&[format!("APPEND {parked} a"), format!("APPEND {parked} b"), format!("GET {parked}")]);
    for n in 0..100 {
        assert_eq!(other.text(&format!("SET {free} {n}")), "+OK");
    }
    assert!(!cluster.shards[1].log().iter().any(|request| request.contains(&format!("{parked} "))));
    cluster.shards[1].unpark(slot);
    assert_eq!(client.receive_texts(3), [":1", ":2", "\"ab\""]);
}

#[test]
fn split_requests_survive_a_slot_that_moves() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let keys: Vec<String> = (0..9).map(|n| key(n % 3, n / 3)).collect();
    let slot = slot_of(keys[0].as_bytes());
    for round in 0..30 {
        let (from, to) = if round % 2 == 0 { (0, 2) } else { (2, 0) };
        let pairs: Vec<String> = keys.iter().map(|key| format!("{key} {round}")).collect();
        let requests = [format!("MSET {}", pairs.join(" ")), format!("MGET {}", keys.join(" "))];
        client.send(&requests);
        cluster.move_slot(slot, from, to);
        client.send(&requests[1..]);
        let all = format!("[{}]", vec![format!("\"{round}\""); 9].join(", "));
        assert_eq!(client.receive_texts(3), ["+OK".to_owned(), all.clone(), all]);
    }
}

#[test]
fn databases_and_protocols_keep_the_order_of_a_pipeline() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let key = key(0, 0);
    let requests = [
        format!("SET {key} zero"),
        "SELECT 5".to_owned(),
        format!("GET {key}"),
        format!("SET {key} five"),
        "HELLO 3".to_owned(),
        format!("GET {key}"),
        "SELECT 0".to_owned(),
        format!("GET {key}"),
        "GET none".to_owned(),
    ];
    cluster.shards[0].hold();
    client.send(&requests);
    cluster.shards[0].release();
    let replies = client.receive_texts(9);
    assert_eq!(replies[..4], ["+OK", "+OK", "null", "+OK"]);
    assert_eq!(replies[5..], ["\"five\"", "+OK", "\"zero\"", "null"]);
}

#[test]
fn a_client_that_never_reads_is_bounded_and_disturbs_nobody() {
    let budgets = Budgets { client_pause: 64 * 1024, client: 4 << 20, ..Budgets::default() };
    let cluster = Cluster::with_budgets(budgets);
    let mut other = cluster.client();
    let key = key(0, 0);
    let value = "x".repeat(1000);
    assert_eq!(other.text(&format!("SET {key} {value}")), "+OK");
    let mut greedy = TcpStream::connect(cluster.address).expect("a proxy");
    greedy.set_nonblocking(true).expect("a socket");
    let request = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
    let mut pipeline = request.repeat(100_000).into_bytes();
    // The system's buffers may take all of it; the proxy does not.
    while let Ok(count) = greedy.write(&pipeline)
        && count > 0
    {
        pipeline.drain(..count);
    }
    for _ in 0..200 {
        assert_eq!(other.call(&format!("GET {key}")).as_bytes(), Some(value.as_bytes()));
        let held: i64 =
            cluster.context.counters.iter().map(|counters| counters.client_buffer_bytes.get()).sum();
        assert!(held < 5 << 20, "{held}");
    }
    // Once it reads, it gets everything.
    let mut received = 0;
    let mut chunk = vec![0; 1 << 20];
    let wanted = 100_000 * (1000 + 9);
    wait_until("all replies are read", || {
        if let Ok(count) = greedy.write(&pipeline) {
            pipeline.drain(..count);
        }
        while let Ok(count) = greedy.read(&mut chunk) {
            assert!(count > 0);
            received += count;
        }
        received == wanted
    });
}

#[test]
fn a_drain_finishes_what_is_in_flight_and_takes_nobody_new() {
    let mut cluster = Cluster::start();
    let (mut busy, mut idle) = (cluster.client(), cluster.client());
    assert_eq!(idle.text("PING"), "+PONG");
    let key = key(1, 0);
    cluster.shards[1].hold();
    busy.send(&[format!("SET {key} 1"), format!("GET {key}")]);
    wait_until("the requests are on their way", || {
        let waiting: i64 =
            cluster.context.counters.iter().map(|counters| counters.requests_in_flight.get()).sum();
        waiting >= 2
    });
    cluster.stop();
    assert!(idle.try_receive().is_none(), "an idle client is closed");
    wait_until("nobody new is taken", || TcpStream::connect(cluster.address).is_err());
    cluster.shards[1].release();
    assert_eq!(busy.receive_texts(2), ["+OK", "\"1\""]);
    assert!(busy.try_receive().is_none());
    cluster.join();
}

#[test]
fn half_closed_clients_get_their_replies() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let requests: Vec<String> = (0..5000).map(|n| format!("SET {} {n}", key(n % 3, 0))).collect();
    client.send(&requests);
    client.stream.shutdown(std::net::Shutdown::Write).expect("a socket");
    assert!(client.receive_texts(5000).iter().all(|reply| reply == "+OK"));
    assert!(client.try_receive().is_none());
}

#[test]
fn clients_are_listed_and_killed_over_all_workers() {
    let cluster = Cluster::start();
    let mut clients: Vec<_> = (0..6).map(|_| cluster.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.text(&format!("CLIENT SETNAME c{number}")), "+OK");
    }
    let list = clients[0].call("CLIENT LIST");
    let list = String::from_utf8_lossy(list.as_bytes().expect("text")).into_owned();
    (0..6).for_each(|number| assert!(list.contains(&format!("name=c{number} ")), "{list}"));
    let id = clients[5].call("CLIENT ID").as_int().expect("a number");
    assert_eq!(clients[0].text(&format!("CLIENT KILL ID {id}")), ":1");
    assert!(clients[5].try_receive().is_none());
    assert_eq!(clients[0].text("CLIENT PAUSE 60000 WRITE"), "+OK");
    let key = key(0, 0);
    clients[1].send(&[format!("SET {key} 1")]);
    assert_eq!(clients[2].text(&format!("GET {key}")), "null");
    assert_eq!(clients[0].text("CLIENT UNPAUSE"), "+OK");
    assert_eq!(clients[1].receive_texts(1), ["+OK"]);
}

#[test]
fn monitor_shows_the_commands_of_all_workers_with_their_addresses() {
    let cluster = Cluster::start();
    let mut monitor = cluster.client();
    assert_eq!(monitor.text("MONITOR"), "+OK");
    let mut addresses = Vec::new();
    for number in 0..4 {
        let mut client = cluster.client();
        client.call(&format!("GET {}", key(number % 3, 0)));
        client.call("AUTH secret");
        addresses.push(client.stream.local_addr().expect("an address").to_string());
        let lines = monitor.receive_texts(2);
        assert!(
            lines[0].contains(&format!("[0 {}]", addresses[number])) && lines[0].contains("GET"),
            "{lines:?}"
        );
        assert!(lines[1].contains("(redacted)") && !lines[1].contains("secret"), "{lines:?}");
    }
}

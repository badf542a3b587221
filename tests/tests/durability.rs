//! Nothing that was acknowledged is lost when processes are killed, and nothing else comes back.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use slotway_tests::cluster::Plan as Layout;
use slotway_tests::differential::{self, Plan, contents};
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, RedisServer, Site};

fn one_shard(settings: &[(&str, &str)]) -> Layout {
    let settings = [("appendonly", "yes")].iter().chain(settings);
    Layout {
        shards: 1,
        settings: settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Layout::default()
    }
}

fn shard(site: &Site, number: usize) -> Client {
    Client::connect(site.cluster.layout().nodes[number].address).unwrap()
}

fn info(client: &mut Client, field: &str) -> String {
    let text = client.run("INFO persistence").unwrap();
    let text = String::from_utf8_lossy(text.as_bytes().unwrap()).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned));
    line.unwrap_or_else(|| panic!("INFO has no {field}:\n{text}"))
}

/// Random commands, the same to a redis-server, a kill, and all contents compared; with a new base now and then.
#[test]
fn whatever_commands_have_made_is_there_after_a_kill() {
    let seed = differential::seed();
    println!("SLOTWAY_SEED={seed}");
    let oracle = RedisServer::start().unwrap();
    let mut site = Site::start(&one_shard(&[]), "");
    let address = site.cluster.layout().nodes[0].address;
    for round in 0..6 {
        let plan = Plan {
            seed: seed.wrapping_add(round),
            commands: 4_000,
            resp3: false,
            through_proxy: false,
            families: Vec::new(),
        };
        differential::run(&plan, oracle.address(), address).unwrap();
        if round % 2 == 1 {
            let mut client = Client::connect(address).unwrap();
            assert_eq!(client.run("SAVE").unwrap().to_string(), "+OK");
        }
        site.kill("a-0");
        site.restart();
        let (mut expected, mut given) = (oracle.client().unwrap(), Client::connect(address).unwrap());
        let difference = contents::difference_of_values(&mut expected, &mut given).unwrap();
        assert_eq!(difference, None, "round {round} of SLOTWAY_SEED={seed}");
    }
}

#[test]
fn a_new_base_is_made_while_clients_write_and_holds_all_of_it() {
    let mut site = Site::start(&one_shard(&[]), "");
    let mut client = shard(&site, 0);
    for number in 0..20_000 {
        client.send(&["SET", &format!("key:{number}"), &"x".repeat(number % 100)]).unwrap();
    }
    for _ in 0..20_000 {
        client.receive().unwrap();
    }
    assert_eq!(
        client.run("BGREWRITEAOF").unwrap().to_string(),
        "+Background append only file rewriting started"
    );
    let mut count = 0;
    while info(&mut client, "aof_rewrite_in_progress") == "1" || count < 1000 {
        client.call(&["INCR", "counter"]).unwrap();
        client.call(&["RPUSH", &format!("list:{}", count % 50), &count.to_string()]).unwrap();
        client.call(&["DEL", &format!("key:{count}")]).unwrap();
        count += 1;
    }
    assert_eq!(info(&mut client, "aof_last_bgrewrite_status"), "ok");
    assert_eq!(info(&mut client, "aof_rewrites"), "1");
    let size = client.run("DBSIZE").unwrap().to_string();
    site.kill("a-0");
    site.restart();
    let mut client = shard(&site, 0);
    assert_eq!(client.run("DBSIZE").unwrap().to_string(), size);
    assert_eq!(client.run("GET counter").unwrap().to_string(), format!("\"{count}\""));
    let list = client.run("LRANGE list:7 0 -1").unwrap();
    let expected: Vec<String> =
        (0..count).filter(|number| number % 50 == 7).map(|number| number.to_string()).collect();
    let found: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|item| String::from_utf8_lossy(item.as_bytes().unwrap()).into_owned())
        .collect();
    assert_eq!(found, expected);
    wait_until("nothing is loading", || info(&mut client, "loading") == "0");
}

//! The commands about the server answer on a shard as on a real Redis.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use slotway_common::resp::Value;
use slotway_tests::cluster::Plan;
use slotway_tests::folder::Folder;
use slotway_tests::{Client, Cluster, RedisServer};

fn one_shard() -> Cluster {
    let settings = vec![("enable-debug-command".to_owned(), "yes".to_owned())];
    Cluster::start_with(&Plan { shards: 1, proxies: 0, settings }).unwrap()
}

fn redis() -> RedisServer {
    RedisServer::start_with(&["--enable-debug-command", "yes"]).unwrap()
}

/// Connections to Redis and to the shard, in RESP2 and in RESP3.
fn pairs(redis: &RedisServer, shard: &Cluster) -> [(Client, Client); 2] {
    let (there, here) = (redis.address(), shard.layout().nodes[0].address);
    [
        (Client::connect(there).unwrap(), Client::connect(here).unwrap()),
        (Client::connect_resp3(there).unwrap(), Client::connect_resp3(here).unwrap()),
    ]
}

fn text(value: &Value) -> String {
    String::from_utf8_lossy(value.as_bytes().expect("a text")).into_owned()
}

/// The calls whose replies are equal byte for byte.
const EQUAL: &[&str] = &[
    "client setname a",
    "client getname",
    "client setname",
    "client setname a\nb",
    "client setname é",
    "client list type nosuch",
    "client list id 1 x",
    "client list id",
    "client list x",
    "client list type",
    "client list id 999999999",
    "client kill x",
    "client kill",
    "client kill id 0",
    "client kill id x",
    "client kill id 99999999",
    "client kill type x",
    "client kill user x",
    "client kill skipme x",
    "client kill addr 1:2",
    "client kill laddr 1:2 skipme no",
    "client kill addr",
    "client kill type pubsub",
    "client kill foo x",
    "client no-evict on",
    "client no-evict OFF",
    "client no-evict x",
    "client reply x",
    "client reply on",
    "client pause x",
    "client pause -1",
    "client pause 1 x",
    "client pause 1 write x",
    "client pause 0",
    "client pause 1 ALL",
    "client pause 9223372036854775807",
    "client unpause",
    "client nosuch",
    "client",
    "client id x",
    "client info x",
    "slowlog get x",
    "slowlog get -2",
    "slowlog get 1 2",
    "slowlog get 0",
    "slowlog reset",
    "slowlog len",
    "slowlog foo",
    "slowlog",
    "latency latest",
    "latency history x",
    "latency history",
    "latency reset",
    "latency reset a b",
    "latency graph x",
    "latency foo",
    "latency histogram nosuch",
    "memory usage nosuch",
    "memory usage",
    "memory usage x samples",
    "memory usage x samples a",
    "memory usage x samples -1",
    "memory usage x foo 1",
    "memory usage x samples 0 samples 5",
    "memory purge",
    "memory foo",
    "time x",
    "shutdown abort",
    "shutdown foo",
    "shutdown nosave save",
    "shutdown abort now",
    "debug foo",
    "debug sleep",
    "debug sleep x",
    "debug sleep 0.001",
    "debug object nosuch",
    "debug object",
    "debug error foo",
    "debug set-active-expire 1",
    "debug protocol string",
    "debug protocol integer",
    "debug protocol double",
    "debug protocol bignum",
    "debug protocol null",
    "debug protocol array",
    "debug protocol set",
    "debug protocol map",
    "debug protocol attrib",
    "debug protocol push",
    "debug protocol verbatim",
    "debug protocol true",
    "debug protocol FALSE",
    "debug protocol x",
    "debug",
    "info nosuch",
    "config resetstat",
    "config rewrite x",
    "config get maxmemory-policy",
    "config set maxmemory-policy x",
    "config set nosuch 1",
    "config nosuch",
    "command count",
    "command getkeys mset a 1 b 2",
    "command info get",
    "command list filterby aclcat hash x",
    "monitor x",
    "object help x",
    "acl",
    "lolwut version x y z",
    "swapdb 0 99",
    "reset",
];

#[test]
fn calls_answer_byte_for_byte_as_in_redis() {
    let (redis, shard) = (redis(), one_shard());
    for (mut theirs, mut ours) in pairs(&redis, &shard) {
        for line in EQUAL {
            if *line == "lolwut version x y z" {
                continue;
            }
            let words: Vec<&str> = line.split(' ').collect();
            let (expected, given) = (theirs.call_raw(&words).unwrap(), ours.call_raw(&words).unwrap());
            assert_eq!(expected.escape_ascii().to_string(), given.escape_ascii().to_string(), "{line}");
        }
    }
}

#[test]
fn info_has_redis_s_sections_and_every_field_that_means_something() {
    // What Slotway has not got at all, or tells in another section.
    const LEFT_OUT: &[&str] = &[
        "atomicvar_api",
        "gcc_version",
        "total_reads_processed",
        "total_writes_processed",
        "reply_buffer_shrinks",
        "reply_buffer_expands",
    ];
    let (redis, shard) = (redis(), one_shard());
    for (mut theirs, mut ours) in pairs(&redis, &shard) {
        for client in [&mut theirs, &mut ours] {
            client.run("set key value ex 1000").unwrap();
            client.run("get key").unwrap();
            client.run("incr key").unwrap();
            client.run("nosuch").unwrap();
            client.run("client list").unwrap();
        }
        let fields = |text: &str| -> BTreeMap<String, String> {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        };
        for arguments in [
            "",
            " default",
            " all",
            " everything",
            " keyspace",
            " Stats memory",
            " commandstats errorstats",
            " server nosuch",
        ] {
            let line = format!("info{arguments}");
            let (expected, given) = (text(&theirs.run(&line).unwrap()), text(&ours.run(&line).unwrap()));
            let titles = |text: &str| -> Vec<String> {
                text.lines()
                    .filter(|line| line.starts_with("# ") && *line != "# Slotway")
                    .map(str::to_owned)
                    .collect()
            };
            assert_eq!(titles(&expected), titles(&given), "{line}");
            let (expected, given) = (fields(&expected), fields(&given));
            for name in expected.keys().filter(|name| !LEFT_OUT.contains(&name.as_str())) {
                let of_a_command = name.starts_with("cmdstat_") || name.starts_with("latency_percentiles");
                if !of_a_command || name.ends_with("_get") || name.ends_with("client|list") {
                    assert!(given.contains_key(name), "{line} lacks {name}");
                }
            }
            for name in [
                "redis_version",
                "role",
                "maxmemory_policy",
                "db0",
                "errorstat_ERR",
                "loading",
                "used_cpu_sys_children",
            ] {
                // The mean time to live is an estimate.
                let exact = |fields: &BTreeMap<String, String>| {
                    fields.get(name).map(|v| v.split(",avg_ttl").next().unwrap_or("").to_owned())
                };
                if name != "errorstat_ERR" {
                    assert_eq!(exact(&expected), exact(&given), "{line} {name}");
                } else {
                    assert_eq!(exact(&expected).is_some(), exact(&given).is_some(), "{line} {name}");
                }
            }
        }
        let given = fields(&text(&ours.run("info all").unwrap()));
        let number =
            |name: &str| given[name].parse::<u64>().unwrap_or_else(|_| panic!("{name} is {}", given[name]));
        assert!(number("used_memory") > 100_000 && number("used_memory_rss") > number("used_memory") / 2);
        assert!(
            number("total_commands_processed") >= 6
                && number("keyspace_hits") >= 1
                && number("total_net_input_bytes") > 100
        );
        assert!(
            given["cmdstat_get"].starts_with("calls=") && given["cmdstat_get"].contains(",failed_calls=0")
        );
        assert!(
            given["cmdstat_incr"].contains("failed_calls=1")
                || given["cmdstat_incr"].contains("failed_calls=2")
        );
        assert!(given["latency_percentiles_usec_get"].starts_with("p50="));
    }
}

/// The names in a map, or in an array of alternating names and values.
fn names(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Map(pairs) => pairs.iter().map(|(name, _)| text(name)).collect(),
        Value::Array(items) => items.iter().step_by(2).map(text).collect(),
        other => panic!("no map: {other:?}"),
    }
}

#[test]
fn memory_tells_the_figures_that_redis_tells() {
    let (redis, shard) = (redis(), one_shard());
    for (mut theirs, mut ours) in pairs(&redis, &shard) {
        for client in [&mut theirs, &mut ours] {
            client.run("set a 1").unwrap();
            client.call(&["set", "b", &"x".repeat(1000)]).unwrap();
            client.run("hset h f v g w").unwrap();
        }
        let (expected, given) = (theirs.run("memory stats").unwrap(), ours.run("memory stats").unwrap());
        assert_eq!(names(&expected), names(&given));
        let bytes = |client: &mut Client, line: &str| client.run(line).unwrap().as_int().unwrap();
        assert!((24..=64).contains(&bytes(&mut ours, "memory usage a")));
        assert!(bytes(&mut ours, "memory usage b samples 0") > 1000);
        assert!((40..=200).contains(&bytes(&mut ours, "memory usage h")));
        for line in ["memory doctor", "memory malloc-stats", "latency doctor", "lolwut"] {
            assert!(!text(&ours.run(line).unwrap()).is_empty(), "{line}");
            assert_eq!(
                std::mem::discriminant(&theirs.run(line).unwrap()),
                std::mem::discriminant(&ours.run(line).unwrap())
            );
        }
    }
}

#[test]
fn client_list_has_redis_s_fields_and_kill_closes_whom_it_names() {
    let (redis, shard) = (redis(), one_shard());
    for (mut theirs, mut ours) in pairs(&redis, &shard) {
        let fields = |client: &mut Client| -> BTreeMap<String, String> {
            client.run("client setname me").unwrap();
            client.run("select 3").unwrap();
            text(&client.run("client info").unwrap())
                .trim_end()
                .split(' ')
                .filter_map(|field| field.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        };
        let (expected, given) = (fields(&mut theirs), fields(&mut ours));
        assert_eq!(expected.keys().collect::<Vec<_>>(), given.keys().collect::<Vec<_>>());
        for name in ["name", "flags", "db", "cmd", "user", "redir", "resp", "multi", "events"] {
            assert_eq!(expected[name], given[name], "{name}");
        }
        // Seconds, of which one may begin between the two.
        for name in ["age", "idle"] {
            let seconds = |of: &BTreeMap<String, String>| of[name].parse::<i64>().unwrap();
            assert!((seconds(&expected) - seconds(&given)).abs() <= 1, "{name}");
        }
        let address = shard.layout().nodes[0].address;
        for way in ["id", "addr"] {
            let mut victim = Client::connect(address).unwrap();
            let id = victim.run("client id").unwrap().as_int().unwrap();
            let line = format!("client list id {id}");
            let info = text(&ours.run(&line).unwrap());
            let field = |name: &str| info.split(' ').find_map(|f| f.strip_prefix(name)).unwrap().to_owned();
            let target = if way == "id" { field("id=") } else { field("addr=") };
            assert_eq!(ours.run(&format!("client kill {way} {target}")).unwrap(), Value::Int(1));
            assert_eq!(victim.receive_to_end().unwrap(), b"");
        }
        // Oneself is killed after the reply, and only if asked for.
        let mut victim = Client::connect(address).unwrap();
        let id = victim.run("client id").unwrap().as_int().unwrap();
        assert_eq!(victim.run(&format!("client kill id {id}")).unwrap(), Value::Int(0));
        assert_eq!(victim.run(&format!("client kill id {id} skipme no")).unwrap(), Value::Int(1));
        assert_eq!(victim.receive_to_end().unwrap(), b"");
        // A library's name is told where one was given.
        assert_eq!(ours.run("client setinfo lib-name redis-py").unwrap(), Value::Simple(b"OK".to_vec()));
        assert!(ours.run("client setinfo lib-name a\nb").unwrap().is_error());
        assert!(ours.run("client setinfo foo a").unwrap().is_error());
        assert!(text(&ours.run("client info").unwrap()).contains(" lib-name=redis-py"));
    }
}

#[test]
fn replies_are_left_out_as_client_reply_says() {
    let (redis, shard) = (redis(), one_shard());
    for (mut theirs, mut ours) in pairs(&redis, &shard) {
        for client in [&mut theirs, &mut ours] {
            for line in [
                "client reply skip",
                "ping 1",
                "ping 2",
                "client reply skip",
                "nosuch",
                "ping 3",
                "client reply off",
                "ping 4",
                "nosuch",
                "client reply skip",
                "ping 5",
                "client reply foo",
                "client reply on",
                "ping 6",
            ] {
                client.send(&line.split(' ').collect::<Vec<_>>()).unwrap();
            }
            let replies: Vec<_> = (0..4).map(|_| client.receive().unwrap()).collect();
            let bulk = |text: &str| Value::Bulk(text.as_bytes().to_vec());
            assert_eq!(replies, [bulk("2"), bulk("3"), Value::Simple(b"OK".to_vec()), bulk("6")]);
        }
    }
}

#[test]
fn a_pause_holds_commands_back_until_it_ends_or_is_lifted() {
    let shard = one_shard();
    let address = shard.layout().nodes[0].address;
    let (mut pauser, mut writer, mut reader) = (
        Client::connect(address).unwrap(),
        Client::connect(address).unwrap(),
        Client::connect(address).unwrap(),
    );
    // Reads go on under a pause of writes.
    pauser.run("client pause 60000 write").unwrap();
    writer.send(&["set", "a", "1"]).unwrap();
    assert_eq!(reader.run("get a").unwrap(), Value::NullBulk);
    assert_eq!(pauser.run("client unpause").unwrap(), Value::Simple(b"OK".to_vec()));
    assert_eq!(writer.receive().unwrap(), Value::Simple(b"OK".to_vec()));
    assert_eq!(reader.run("get a").unwrap(), Value::Bulk(b"1".to_vec()));
    // A pause ends by itself.
    pauser.run("client pause 50 all").unwrap();
    assert_eq!(reader.run("get a").unwrap(), Value::Bulk(b"1".to_vec()));
}

#[test]
fn slow_commands_are_in_the_slow_log_and_in_latency() {
    let (redis, shard) = (redis(), one_shard());
    for (mut theirs, mut ours) in pairs(&redis, &shard) {
        let mut logs = Vec::new();
        for client in [&mut theirs, &mut ours] {
            client
                .run("config set slowlog-log-slower-than 0 slowlog-max-len 3 latency-monitor-threshold 20")
                .unwrap();
            client.run("slowlog reset").unwrap();
            client.run("latency reset").unwrap();
            client.run("client setname logged").unwrap();
            let many: Vec<String> = std::iter::once("del".to_owned())
                .chain((0..40).map(|n| format!("{n}{}", "x".repeat(130))))
                .collect();
            client.call(&many).unwrap();
            client.run("debug sleep 0.03").unwrap();
            client.run("config set requirepass secret").unwrap();
            client.run("config set requirepass").unwrap();
            client.call(&["config", "set", "requirepass", ""]).unwrap();
            let log = client.run("slowlog get").unwrap();
            let args: Vec<_> = log
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| {
                    let entry = entry.as_array().unwrap();
                    assert_eq!(entry.len(), 6);
                    assert!(text(&entry[4]).starts_with("127.0.0.1:"));
                    (entry[3].clone(), text(&entry[5]))
                })
                .collect();
            logs.push(args);
            assert_eq!(client.run("slowlog len").unwrap(), Value::Int(3));
            client.run("config set slowlog-max-len 128").unwrap();
            let latest = client.run("latency latest").unwrap();
            let event = latest.as_array().unwrap()[0].as_array().unwrap().to_vec();
            assert_eq!(event[0], Value::Bulk(b"command".to_vec()));
            assert!(event[2].as_int().unwrap() >= 30 && event[3].as_int().unwrap() >= 30);
            for (name, samples) in [("Command", 0), ("command", 1)] {
                let history = client.run(&format!("latency history {name}")).unwrap();
                assert_eq!(history.as_array().unwrap().len(), samples, "{name}");
            }
            assert!(text(&client.run("latency graph command").unwrap()).starts_with("command - high "));
            assert_eq!(client.run("latency reset command foo").unwrap(), Value::Int(1));
            let histogram = client.run("latency histogram del debug nosuch").unwrap();
            assert_eq!(names(&histogram), BTreeSet::from(["debug".to_owned(), "del".to_owned()]));
            client.run("config set slowlog-log-slower-than 10000").unwrap();
        }
        assert_eq!(logs[0], logs[1]);
    }
}

#[test]
fn monitor_shows_what_runs_and_hides_passwords() {
    let (redis, shard) = (redis(), one_shard());
    for (there, here) in [(redis.address(), shard.layout().nodes[0].address)] {
        let mut shown = Vec::new();
        for address in [there, here] {
            let mut watcher = Client::connect(address).unwrap();
            assert_eq!(watcher.run("monitor").unwrap(), Value::Simple(b"OK".to_vec()));
            let mut client = Client::connect(address).unwrap();
            client.run("set a b").unwrap();
            client.run("auth secret").unwrap();
            client.run("hello 2 auth default x").unwrap();
            client.run("get").unwrap();
            client.run("nosuch").unwrap();
            client.run("config get maxmemory").unwrap();
            client.run("select 5").unwrap();
            client.call(&["echo", "a\"\\\n\r\t\x07\x08\x01 ä"]).unwrap();
            client.run("incr a").unwrap();
            client.run("ping done").unwrap();
            let mut lines = Vec::new();
            loop {
                let line = text(&watcher.receive().unwrap());
                let (time, rest) = line.split_once(" [").unwrap();
                assert!(time.parse::<f64>().unwrap() > 1e9);
                // Without the client's address.
                let (place, call) = rest.split_once("] ").unwrap();
                let db = place.split(' ').next().unwrap().to_owned();
                lines.push((db, call.to_owned()));
                if call.contains("done") {
                    break;
                }
            }
            shown.push(lines);
        }
        assert_eq!(shown[0], shown[1]);
    }
}

#[test]
fn cluster_commands_describe_the_cluster_to_clients_that_know_slots() {
    let folder = Folder::new().unwrap();
    let place = folder.path().to_string_lossy().into_owned();
    let redis = RedisServer::start_with(&["--cluster-enabled", "yes", "--dir", &place]).unwrap();
    let shard = one_shard();
    redis.client().unwrap().run("cluster addslotsrange 0 16383").unwrap();
    for (mut theirs, mut ours) in pairs(&redis, &shard) {
        for client in [&mut theirs, &mut ours] {
            slotway_tests::wait::wait_until("the cluster to be ok", || {
                text(&client.run("cluster info").unwrap()).contains("cluster_state:ok")
            });
            client.run("mset {s}1 a {s}2 b {s}3 c").unwrap();
        }
        for line in [
            "cluster keyslot foo",
            "cluster keyslot {s}x",
            "cluster keyslot",
            "cluster countkeysinslot 7365",
            "cluster countkeysinslot x",
            "cluster countkeysinslot -1",
            "cluster countkeysinslot 16384",
            "cluster getkeysinslot 7365 0",
            "cluster getkeysinslot 7365 -1",
            "cluster getkeysinslot 16384 1",
            "cluster getkeysinslot x 1",
            "cluster getkeysinslot 1 x",
            "cluster getkeysinslot 1 10",
            "cluster links",
            "cluster nosuch",
            "cluster",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let (expected, given) = (theirs.call_raw(&words).unwrap(), ours.call_raw(&words).unwrap());
            assert_eq!(expected.escape_ascii().to_string(), given.escape_ascii().to_string(), "{line}");
        }
        let slot = text(
            &ours
                .run("cluster keyslot {s}x")
                .map(|slot| Value::Bulk(slot.as_int().unwrap().to_string().into()))
                .unwrap(),
        );
        let keys = |client: &mut Client| {
            let keys = client.run(&format!("cluster getkeysinslot {slot} 10")).unwrap();
            keys.as_array().unwrap().iter().map(text).collect::<BTreeSet<_>>()
        };
        assert_eq!(keys(&mut theirs), keys(&mut ours));
        let id = text(&ours.run("cluster myid").unwrap());
        assert_eq!(id.len(), 40);

        // SLOTS: one range, with the address by which this client came.
        let address = shard.layout().nodes[0].address;
        let slots = ours.run("cluster slots").unwrap();
        let [Value::Int(0), Value::Int(16383), node] = slots.as_array().unwrap()[0].as_array().unwrap()
        else {
            panic!("{slots:?}")
        };
        let node = node.as_array().unwrap();
        assert_eq!(text(&node[0]), address.ip().to_string());
        assert_eq!(node[1], Value::Int(i64::from(address.port())));
        assert_eq!(text(&node[2]), id);

        let shapes = |client: &mut Client, line: &str| shape(&client.run(line).unwrap());
        for line in ["cluster slots", "cluster shards"] {
            assert_eq!(shapes(&mut theirs, line), shapes(&mut ours, line), "{line}");
        }
        let line_shape = |client: &mut Client| {
            let nodes = text(&client.run("cluster nodes").unwrap());
            let fields: Vec<String> = nodes.trim_end().split(' ').map(str::to_owned).collect();
            (
                fields.len(),
                fields[0].len(),
                fields[2].clone(),
                fields[3].clone(),
                fields[7].clone(),
                fields[8].clone(),
            )
        };
        assert_eq!(line_shape(&mut theirs), line_shape(&mut ours));
        let info = |client: &mut Client| -> Vec<String> {
            text(&client.run("cluster info").unwrap())
                .lines()
                .map(|l| l.split(':').next().unwrap_or("").to_owned())
                .collect()
        };
        // Redis counts messages by kind once there are any.
        let known = info(&mut ours);
        assert!(
            info(&mut theirs)
                .iter()
                .filter(|name| !name.contains("messages_"))
                .all(|name| known.contains(name))
        );
    }
}

/// The types of a reply and the names of its maps.
fn shape(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(shape).collect::<Vec<_>>().join(",")),
        Value::Map(pairs) => {
            format!(
                "{{{}}}",
                pairs.iter().map(|(n, v)| format!("{}:{}", shape(n), shape(v))).collect::<Vec<_>>().join(",")
            )
        }
        Value::Bulk(text)
            if text.iter().all(|b| b.is_ascii_lowercase() || *b == b'-') && !text.is_empty() =>
        {
            String::from_utf8_lossy(text).into_owned()
        }
        Value::Bulk(_) => "text".to_owned(),
        Value::Int(_) => "number".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn debug_is_refused_unless_the_cluster_file_allows_it() {
    let cluster = Cluster::start_with(&Plan { shards: 1, proxies: 0, settings: Vec::new() }).unwrap();
    let redis = RedisServer::start().unwrap();
    let line = ["debug", "sleep", "0"];
    assert_eq!(
        redis.client().unwrap().call_raw(&line).unwrap(),
        cluster.shard_client(0).unwrap().call_raw(&line).unwrap()
    );
}

#[test]
fn every_supported_command_has_a_function() {
    let shard = one_shard();
    let mut client = shard.shard_client(0).unwrap();
    for row in
        slotway_common::command::TABLE.iter().filter(|row| !row.is_container() || row.name == "command")
    {
        use slotway_common::command::{Route, Support};
        if row.support != Support::Full || row.route == Route::Internal {
            continue;
        }
        // REPLICAOF refuses to follow another server, which is an answer.
        let left_out =
            ["quit", "shutdown", "monitor", "reset", "client|reply", "client|pause", "replicaof", "slaveof"];
        if left_out.contains(&row.name) {
            continue;
        }
        let mut words: Vec<&str> = row.name.split('|').collect();
        while words.len() < usize::from(row.arity.unsigned_abs()) {
            words.push("1");
        }
        let reply = client.call(&words).unwrap();
        let unsupported =
            matches!(&reply, Value::Error(line) if String::from_utf8_lossy(line).contains("not supported"));
        assert!(!unsupported, "{}: {reply:?}", row.name);
    }
}

#[test]
fn shutdown_ends_the_shard_without_a_reply() {
    for (log, save) in [("no", "nosave"), ("yes", "save")] {
        let settings = vec![("appendonly".to_owned(), log.to_owned())];
        let shard = Cluster::start_with(&Plan { shards: 1, proxies: 0, settings }).unwrap();
        let mut client = shard.shard_client(0).unwrap();
        let process = shard.process_id("a-0");
        if log == "no" {
            assert!(client.run("shutdown save").unwrap().is_error(), "there is nothing to save to");
        }
        client.send(&["shutdown", save]).unwrap();
        assert_eq!(client.receive_to_end().unwrap(), b"");
        slotway_tests::wait::wait_until("the shard to end", || !slotway_tests::process::is_running(process));
    }
}

#[test]
fn a_client_that_does_not_read_is_closed_by_the_limits() {
    let shard = one_shard();
    let address = shard.layout().nodes[0].address;
    let mut watcher = Client::connect(address).unwrap();
    watcher.call(&["set", "big", &"x".repeat(1 << 20)]).unwrap();
    watcher.call(&["config", "set", "client-output-buffer-limit", "normal 0 1 1"]).unwrap();
    // A shard answers no more requests than the socket takes, so what is left is part of one reply, of whatever size.
    let mut slow = Client::connect(address).unwrap();
    let id = slow.run("client id").unwrap().as_int().unwrap();
    for _ in 0..64 {
        slow.send(&["get", "big"]).unwrap();
    }
    slotway_tests::wait::wait_until("the slow client to be closed", || {
        watcher.run(&format!("client list id {id}")).unwrap() == Value::Bulk(Vec::new())
    });
    // A client that reads stays.
    assert!(!watcher.run("get big").unwrap().is_error());

    // The hard limit needs no time to pass.
    watcher.call(&["config", "set", "client-output-buffer-limit", "normal 5mb 0 0"]).unwrap();
    let many: Vec<&str> = std::iter::once("mget").chain(std::iter::repeat_n("big", 64)).collect();
    let mut greedy = Client::connect(address).unwrap();
    greedy.send(&many).unwrap();
    assert!(greedy.receive().is_err());
    let stats = text(&watcher.run("info stats").unwrap());
    assert!(stats.contains("client_output_buffer_limit_disconnections:2"), "{stats}");
}

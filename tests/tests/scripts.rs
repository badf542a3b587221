//! Scripts answer as on a real redis-server, find their way to whichever shard they are called on, and can be ended.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use slotway_common::resp::Value;
use slotway_common::slot::slot_of;
use slotway_tests::cluster::{Cluster, Plan as Layout};
use slotway_tests::differential::{self, Subject, scripts};
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, RedisServer, Site};

const SCRIPTS: usize = 10_000;

fn compare(subject: Subject, resp3: bool) {
    differential::compare(subject, resp3, SCRIPTS, scripts::run).unwrap();
}

#[test]
fn a_shard_runs_scripts_as_redis_in_resp2() {
    compare(Subject::Shard, false);
}

#[test]
fn a_shard_runs_scripts_as_redis_in_resp3() {
    compare(Subject::Shard, true);
}

#[test]
fn the_proxy_over_three_shards_runs_scripts_as_redis_in_resp2() {
    compare(Subject::Proxy, false);
}

#[test]
fn the_proxy_over_three_shards_runs_scripts_as_redis_in_resp3() {
    compare(Subject::Proxy, true);
}

/// EVAL loads it on one shard; EVALSHA is for keys of all of them, with other commands on their slots right behind.
#[test]
fn a_script_that_any_shard_was_given_runs_on_all_and_nothing_overtakes_it() {
    let cluster = Cluster::start().unwrap();
    let mut client = cluster.client().unwrap();
    let script = "redis.call('append', KEYS[1], ARGV[1]) return 1";
    let digest = client.call(&["SCRIPT", "LOAD", script]).unwrap();
    let digest = String::from_utf8(digest.as_bytes().unwrap().to_vec()).unwrap();
    let exists = |client: &mut Client| client.call(&["SCRIPT", "EXISTS", &digest]).unwrap().to_string();
    for shard in 0..3 {
        let mut shard = cluster.shard_client(shard).unwrap();
        assert_eq!(exists(&mut shard), "[:1]");
        shard.run("SCRIPT FLUSH").unwrap();
    }
    assert_eq!(exists(&mut client), "[:0]");
    client.call(&["EVAL", script, "1", "k0", ""]).unwrap();
    assert_eq!(exists(&mut client), "[:1]");
    let keys: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    for letter in ["a", "b"] {
        for key in &keys {
            client.send(&["EVALSHA", &digest, "1", key, letter]).unwrap();
            client.send(&["APPEND", key, &letter.to_uppercase()]).unwrap();
        }
    }
    for number in 0..keys.len() * 4 {
        let reply = client.receive().unwrap();
        assert!(!reply.is_error(), "{number}: {reply}");
    }
    for key in &keys {
        assert_eq!(client.call(&["GET", key]).unwrap().to_string(), "\"aAbB\"", "{key}");
    }
    let unknown = "f".repeat(40);
    for keys in ["0", "1"] {
        let reply = client.call(&["EVALSHA", &unknown, keys, "k1"]).unwrap().to_string();
        assert_eq!(reply, "-NOSCRIPT No matching script. Please use EVAL.");
        assert_eq!(client.call(&["GET", "k1"]).unwrap().to_string(), "\"aAbB\"");
    }
}

/// A loop without an end, which also catches errors.
const ENDLESS: &str = "while true do pcall(function() while true do end end) end";

fn is_busy(client: &mut Client) -> bool {
    client.run("GET k").unwrap().to_string().starts_with("-BUSY")
}

fn a_script_without_an_end_can_be_ended(address: SocketAddr) {
    let (mut caller, mut other) = (Client::connect(address).unwrap(), Client::connect(address).unwrap());
    other.run("CONFIG SET busy-reply-threshold 20").unwrap();
    assert!(other.run("SCRIPT KILL").unwrap().to_string().starts_with("-NOTBUSY"));
    caller.send(&["EVAL", ENDLESS, "1", "k"]).unwrap();
    wait_until("the script is slow", || is_busy(&mut other));
    assert!(other.run("SET k v").unwrap().to_string().starts_with("-BUSY"));
    assert_eq!(other.run("SCRIPT KILL").unwrap().to_string(), "+OK");
    let reply = caller.receive().unwrap().to_string();
    assert!(reply.starts_with("-ERR Script killed by user with SCRIPT KILL"), "{reply}");
    assert_eq!(other.run("SET k v").unwrap().to_string(), "+OK");
    // One that has written cannot be ended, and nobody sees half of it.
    let writing = "redis.call('set', KEYS[1], 1) for i = 1, 3e7 do end return redis.call('incr', KEYS[1])";
    caller.send(&["EVAL", writing, "1", "k"]).unwrap();
    wait_until("the script is slow", || is_busy(&mut other));
    let reply = other.run("SCRIPT KILL").unwrap().to_string();
    assert!(reply.starts_with("-UNKILLABLE") || reply.starts_with("-NOTBUSY"), "{reply}");
    assert_eq!(caller.receive().unwrap().to_string(), ":2");
    assert_eq!(other.run("GET k").unwrap().to_string(), "\"2\"");
    // Its client goes: the script can be ended all the same.
    caller.send(&["EVAL", ENDLESS, "1", "k"]).unwrap();
    wait_until("the script is slow", || is_busy(&mut other));
    drop(caller);
    assert_eq!(other.run("SCRIPT KILL").unwrap().to_string(), "+OK");
    wait_until("the script has ended", || !is_busy(&mut other));
}

/// The other commands of the transaction run, in its database, and nothing of anybody else runs in between.
fn a_script_without_an_end_can_be_ended_within_a_transaction(address: SocketAddr) {
    let (mut caller, mut other) = (Client::connect(address).unwrap(), Client::connect(address).unwrap());
    other.run("CONFIG SET busy-reply-threshold 20").unwrap();
    caller.run("SELECT 1").unwrap();
    for round in 0..2 {
        caller.run("MULTI").unwrap();
        caller.run("SET k 1").unwrap();
        // One that ends by itself and cannot be ended, one that does not end, and what comes after.
        let writing = "local value = redis.call('incr', KEYS[1]) for i = 1, 3e6 do end return value";
        caller.call(&["EVAL", writing, "1", "k"]).unwrap();
        caller.call(&["EVAL", ENDLESS, "1", "k"]).unwrap();
        caller.run("INCRBY k 10").unwrap();
        caller.run("GET k").unwrap();
        caller.send(&["EXEC"]).unwrap();
        wait_until("the script is slow", || is_busy(&mut other));
        wait_until("the second script is ended", || {
            other.run("SCRIPT KILL").unwrap();
            !is_busy(&mut other)
        });
        let reply = caller.receive().unwrap();
        let replies = reply.as_array().unwrap();
        assert_eq!(replies.len(), 5, "{reply}");
        assert_eq!(replies[0].to_string(), "+OK");
        assert_eq!(replies[1].to_string(), ":2");
        assert!(replies[2].to_string().starts_with("-ERR Script killed by user"), "{reply}");
        assert_eq!(replies[3].to_string(), ":12");
        assert_eq!(replies[4].to_string(), "\"12\"");
        assert_eq!(caller.run("GET k").unwrap().to_string(), "\"12\"", "round {round}");
        assert!(other.run("GET k").unwrap().is_null());
    }
    // Its client goes: the transaction ends all the same.
    caller.run("MULTI").unwrap();
    caller.call(&["EVAL", ENDLESS, "1", "k"]).unwrap();
    caller.run("SET k last").unwrap();
    caller.send(&["EXEC"]).unwrap();
    wait_until("the script is slow", || is_busy(&mut other));
    drop(caller);
    assert_eq!(other.run("SCRIPT KILL").unwrap().to_string(), "+OK");
    wait_until("the transaction has ended", || !is_busy(&mut other));
    other.run("SELECT 1").unwrap();
    assert_eq!(other.run("GET k").unwrap().to_string(), "\"last\"");
}

#[test]
fn a_script_without_an_end_can_be_ended_within_a_transaction_on_a_shard() {
    let cluster = Cluster::start_with(&Layout { shards: 1, ..Layout::default() }).unwrap();
    a_script_without_an_end_can_be_ended_within_a_transaction(cluster.layout().nodes[0].address);
}

#[test]
fn a_script_without_an_end_can_be_ended_within_a_transaction_through_a_proxy() {
    a_script_without_an_end_can_be_ended_within_a_transaction(Cluster::start().unwrap().endpoint());
}

#[test]
fn while_a_script_is_slow_every_other_client_of_its_proxy_is_told_so_and_its_own_requests_wait() {
    let mut site = Site::start(&Layout { shards: 1, ..Layout::default() }, "");
    let mut clients: Vec<Client> = (0..6).map(|_| site.cluster.client().unwrap()).collect();
    let (caller, others) = clients.split_first_mut().unwrap();
    caller.run("CONFIG SET busy-reply-threshold 20").unwrap();
    for round in 0..4 {
        let count = 2 * round;
        caller.run("SELECT 0").unwrap();
        if round > 1 {
            caller.run("CLIENT TRACKING ON").unwrap();
        }
        caller.send(&["EVAL", ENDLESS, "1", "k"]).unwrap();
        for line in ["INCR k", "GET k", "MULTI", "INCR k", "EXEC", "MGET k k", "PING"] {
            caller.send(&line.split(' ').collect::<Vec<_>>()).unwrap();
        }
        for other in &mut *others {
            wait_until("the script is slow", || is_busy(other));
            let reply = other.run("EVAL return(1) 1 k").unwrap().to_string();
            assert!(reply.starts_with("-BUSY"), "{reply}");
        }
        assert_eq!(others[0].run("SCRIPT KILL").unwrap().to_string(), "+OK");
        let reply = caller.receive().unwrap().to_string();
        assert!(reply.starts_with("-ERR Script killed by user with SCRIPT KILL"), "{reply}");
        let mut replies: Vec<String> = (0..7).map(|_| caller.receive().unwrap().to_string()).collect();
        let queued = format!("[:{}]", count + 2);
        let first = format!(":{}", count + 1);
        assert_eq!(replies.remove(1), format!("\"{}\"", count + 1));
        let both = format!("[\"{0}\", \"{0}\"]", count + 2);
        assert_eq!(replies, [&first, "+OK", "+QUEUED", &queued, &both, "+PONG"]);
        for other in &mut *others {
            assert!(!is_busy(other));
        }
    }
    caller.send(&["EVAL", ENDLESS, "1", "k"]).unwrap();
    wait_until("the script is slow", || is_busy(&mut others[0]));
    site.kill("a-0");
    let reply = caller.receive().unwrap().to_string();
    assert!(reply.contains("broke before its reply"), "{reply}");
    site.restart();
    assert_eq!(caller.run("GET k").unwrap().to_string(), "\"8\"");
}

/// Also by clients whose requests go over the connection that the script was called over.
#[test]
fn every_client_of_a_proxy_can_end_a_script() {
    let cluster = Cluster::start().unwrap();
    let mut shards: Vec<Client> = (0..3).map(|number| cluster.shard_client(number).unwrap()).collect();
    let mut clients: Vec<Client> = (0..5).map(|_| cluster.client().unwrap()).collect();
    let (caller, others) = clients.split_first_mut().unwrap();
    caller.run("CONFIG SET busy-reply-threshold 20").unwrap();
    for other in others {
        caller.send(&["EVAL", ENDLESS, "1", "k"]).unwrap();
        wait_until("the script is slow", || shards.iter_mut().any(is_busy));
        assert_eq!(other.run("SCRIPT KILL").unwrap().to_string(), "+OK");
        let reply = caller.receive().unwrap().to_string();
        assert!(reply.starts_with("-ERR Script killed by user with SCRIPT KILL"), "{reply}");
    }
}

/// EVAL loads a script on one shard; what transactions on the others call by its digest is found all the same.
#[test]
fn a_transaction_finds_a_script_that_another_shard_was_given() {
    let cluster = Cluster::start().unwrap();
    let mut client = cluster.client().unwrap();
    let (script, unknown) = ("return {KEYS[1], redis.call('incrby', KEYS[1], ARGV[1])}", "f".repeat(40));
    let digest = client.call(&["SCRIPT", "LOAD", script]).unwrap();
    let digest = String::from_utf8_lossy(digest.as_bytes().unwrap()).into_owned();
    client.run("SCRIPT FLUSH").unwrap();
    client.call(&["EVAL", script, "1", "k0", "0"]).unwrap();
    let keys: Vec<String> = (0..30).map(|number| format!("k{number}")).collect();
    let node_of = |key: &str| {
        let mut shards = (0..3).map(|number| cluster.shard_client(number).unwrap());
        shards.position(|mut shard| !shard.call(&["GET", key]).unwrap().is_error()).unwrap()
    };
    for shard in 0..3 {
        // Several slots of one shard, a key that is watched, what nobody knows, and what follows on the same slots.
        let here: Vec<&String> = keys.iter().filter(|key| node_of(key) == shard).collect();
        let [one, other, ..] = here[..] else { panic!("{here:?}") };
        client.call(&["SET", one, "1"]).unwrap();
        client.call(&["DEL", other]).unwrap();
        client.call(&["WATCH", one]).unwrap();
        client.run("MULTI").unwrap();
        client.call(&["EVALSHA", &digest.to_uppercase(), "1", one, "5"]).unwrap();
        client.call(&["EVALSHA", &unknown, "1", one]).unwrap();
        client.call(&["EVALSHA_RO", &digest, "1", other, "7"]).unwrap();
        client.call(&["EVALSHA", &digest, "1", other, "7"]).unwrap();
        client.send(&["EXEC"]).unwrap();
        client.send(&["INCR", one]).unwrap();
        client.send(&["INCR", other]).unwrap();
        let reply = client.receive().unwrap();
        let replies: Vec<String> = reply.as_array().unwrap().iter().map(Value::to_string).collect();
        assert_eq!(replies[0], format!("[\"{one}\", :6]"), "shard {shard}");
        assert!(replies[1].starts_with("-NOSCRIPT"), "shard {shard}: {reply}");
        assert!(replies[2].contains("Write commands are not allowed"), "shard {shard}: {reply}");
        assert_eq!(replies[3], format!("[\"{other}\", :7]"), "shard {shard}");
        assert_eq!(client.receive().unwrap(), Value::Int(7));
        assert_eq!(client.receive().unwrap(), Value::Int(8));
    }
    // Without keys, beside what the proxy answers, and when the key that is watched has changed.
    client.run("SCRIPT FLUSH").unwrap();
    client.call(&["EVAL", "return 'here'", "1", &keys[0]]).unwrap();
    let digest = "7fba52160bee681dd4b040757f6b9775a08c3966";
    client.run("MULTI").unwrap();
    client.call(&["EVALSHA", digest, "0"]).unwrap();
    client.run("DBSIZE").unwrap();
    client.call(&["EVALSHA", digest, "1", &keys[1]]).unwrap();
    client.call(&["EVALSHA", &unknown, "1", &keys[1]]).unwrap();
    let reply = client.run("EXEC").unwrap().to_string();
    assert!(reply.starts_with("[\"here\", :"), "{reply}");
    assert!(reply.contains(", \"here\", -NOSCRIPT"), "{reply}");
    client.run("WATCH k0").unwrap();
    client.run("INCR k0").unwrap();
    client.run("MULTI").unwrap();
    client.call(&["EVALSHA", &unknown, "1", "k0"]).unwrap();
    assert_eq!(client.run("EXEC").unwrap(), Value::NullArray);
}

#[test]
fn a_script_without_an_end_can_be_ended_on_a_shard() {
    let cluster = Cluster::start_with(&Layout { shards: 1, ..Layout::default() }).unwrap();
    a_script_without_an_end_can_be_ended(cluster.layout().nodes[0].address);
}

#[test]
fn a_script_without_an_end_can_be_ended_through_a_proxy() {
    a_script_without_an_end_can_be_ended(Cluster::start().unwrap().endpoint());
}

/// What scripts try that must not cost more than their own run.
#[test]
fn a_script_that_wants_too_much_fails_alone() {
    let cluster = Cluster::start_with(&Layout { shards: 1, ..Layout::default() }).unwrap();
    let mut client = Client::connect(cluster.layout().nodes[0].address).unwrap();
    for script in [
        "local t = {} for i = 1, 1e9 do t[i] = {i, i, i, i} end",
        "return ('x'):rep(2^31)",
        "local s = 'x' while true do s = s .. s end",
        "collectgarbage('stop') local s = '' while true do s = s .. ('y'):rep(100000) end",
        "local t = {} t[1] = t return cjson.encode(t)",
        "local t = {} t[1] = t return cmsgpack.pack(t)",
        "return cmsgpack.unpack(('\\145'):rep(1000000))",
        "cjson.decode_max_depth(2147483647) return cjson.decode(('['):rep(1000000))",
        "cjson.encode_sparse_array(true, 0, 0) return cjson.encode({[2147483647] = 1})",
        "return ('a'):rep(100000):find(('a?'):rep(100000) .. 'b')",
        "return ('('):rep(1000000):match(('('):rep(1000000))",
        "return loadstring('return ' .. ('('):rep(1000000))",
        "local function f() return pcall(f) end f() return f()",
        "return {unpack({}, -2147483648, 2147483647)}",
        "return {unpack({}, 0, 2147483647)}",
        "return struct.pack(('c0'):rep(1000), ('x'):rep(1000))",
        "return string.format('%99999999d', 1)",
        "local f = string.gsub for i = 1, 300 do local g = f f = function(...) return g(...) end end return f(('x'):rep(10), 'x', f)",
    ] {
        let reply = client.call(&["EVAL", script, "0"]).unwrap();
        assert_eq!(client.run("PING").unwrap().to_string(), "+PONG", "{script}: {reply}");
        assert_eq!(client.call(&["EVAL", "return 1", "0"]).unwrap().to_string(), ":1", "{script}");
    }
    let text = client.run("INFO memory").unwrap();
    let text = String::from_utf8_lossy(text.as_bytes().unwrap()).into_owned();
    let used: u64 = text.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().parse().unwrap();
    assert!(used < 700 * 1024 * 1024, "{used} bytes");
}

/// Scripts that add one to each of two keys, while the shard is killed: they are equal afterwards.
#[test]
fn a_script_is_in_the_log_as_a_whole_or_not_at_all() {
    let settings = vec![("appendonly".to_owned(), "yes".to_owned())];
    let mut site = Site::start(&Layout { shards: 1, settings, ..Layout::default() }, "");
    let address = site.cluster.layout().nodes[0].address;
    let script = "for i = 1, 50 do redis.call('incr', KEYS[1]) redis.call('incr', KEYS[2]) end return 1";
    assert_ne!(slot_of(b"a"), slot_of(b"b"));
    for round in 0..4 {
        let mut client = Client::connect(address).unwrap();
        let mut acknowledged = 0;
        for _ in 0..200 {
            client.send(&["EVAL", script, "2", "a", "b"]).unwrap();
        }
        for _ in 0..100 {
            acknowledged += client.receive().unwrap().as_int().unwrap_or(0);
        }
        site.kill("a-0");
        site.restart();
        let mut client = Client::connect(address).unwrap();
        let values = client.run("MGET a b").unwrap();
        let values = values.as_array().unwrap();
        assert_eq!(values[0], values[1], "round {round}");
        let value: i64 = String::from_utf8_lossy(values[0].as_bytes().unwrap()).parse().unwrap();
        assert!(value % 50 == 0 && value >= 50 * acknowledged, "round {round}: {value} after {acknowledged}");
    }
}

/// What scripts and functions answer while memory is over its limit, with each of the flags that they can have.
fn over_the_limit(address: SocketAddr) -> Vec<String> {
    let mut client = Client::connect(address).unwrap();
    client.run("SET {t}k v").unwrap();
    let flags = ["", "no-writes", "allow-oom", "no-writes,allow-oom", "allow-stale", "allow-cross-slot-keys"];
    let bodies = ["return redis.call('get',KEYS[1])", "return redis.call('set',KEYS[1],'w')"];
    for (number, flags) in flags.iter().enumerate() {
        let quoted: Vec<_> =
            flags.split(',').filter(|flag| !flag.is_empty()).map(|flag| format!("'{flag}'")).collect();
        for (body, text) in bodies.iter().enumerate() {
            let code = format!(
                "#!lua name=l{number}{body}\nredis.register_function{{function_name='f{number}{body}',callback=function(KEYS) \
                 {text} end,flags={{{}}}}}",
                quoted.join(",")
            );
            assert!(!client.call(&["FUNCTION", "LOAD", &code]).unwrap().is_error(), "{code}");
        }
    }
    client.run("CONFIG SET maxmemory 1").unwrap();
    wait_until("memory is over its limit", || client.run("SET {t}k v").unwrap().is_error());
    let mut told = Vec::new();
    let mut tell = |words: &[&str]| {
        let reply = client.call(words).unwrap();
        told.push(format!("{}: {reply}", words.join(" ")));
    };
    for (number, flags) in flags.iter().enumerate() {
        for (body, text) in bodies.iter().enumerate() {
            let script = format!("#!lua flags={flags}\n{text}");
            let function = format!("f{number}{body}");
            for (eval, fcall) in [("EVAL", "FCALL"), ("EVAL_RO", "FCALL_RO")] {
                tell(&[eval, &script, "1", "{t}k"]);
                tell(&[eval, &script, "x", "{t}k"]);
                tell(&[fcall, &function, "1", "{t}k"]);
                tell(&[eval, text, "1", "{t}k"]);
            }
        }
    }
    tell(&["EVAL", "#!lua\nno script", "0"]);
    tell(&["EVAL", "#!lua flags=x\nreturn 1", "0"]);
    tell(&["FCALL", "nosuch", "0"]);
    client.run("CONFIG SET maxmemory 0").unwrap();
    client.run("FUNCTION FLUSH").unwrap();
    told
}

#[test]
fn scripts_are_refused_over_maxmemory_as_by_redis() {
    let oracle = RedisServer::start().unwrap();
    let expected = over_the_limit(oracle.address());
    let cluster = Cluster::start().unwrap();
    assert_eq!(over_the_limit(cluster.endpoint()), expected);
    let cluster = Cluster::start_with(&Layout { shards: 1, ..Layout::default() }).unwrap();
    assert_eq!(over_the_limit(cluster.layout().nodes[0].address), expected);
}

#[test]
fn a_script_that_publishes_to_another_shard_is_told_so_at_once() {
    let cluster = Cluster::start().unwrap();
    let mut client = cluster.client().unwrap();
    let publish = "return redis.pcall('publish',ARGV[1],'x')";
    let replies: Vec<String> = (0..20)
        .map(|number| client.call(&["EVAL", publish, "1", "k", &format!("c{number}")]).unwrap().to_string())
        .collect();
    let refused = "-ERR Script attempted to access a non local key in a cluster node";
    assert!(replies.iter().all(|reply| reply == ":0" || reply == refused), "{replies:?}");
    assert!(replies.iter().any(|reply| reply == ":0") && replies.iter().any(|reply| reply == refused));
}

#[test]
fn a_script_whose_error_reads_like_a_refusal_runs_once() {
    let cluster = Cluster::start().unwrap();
    let mut client = Client::connect_resp3(cluster.endpoint()).unwrap();
    let script = "redis.call('incr',KEYS[1]) return redis.error_reply(ARGV[1])";
    let mut runs = 0;
    for tracking in ["CLIENT TRACKING OFF", "CLIENT TRACKING ON NOLOOP"] {
        client.run(tracking).unwrap();
        for error in
            ["MOVED 1 127.0.0.1:1", "PARKED 1", "LATER 5", "BUSY no", "QUOTED x", "MOVED x", "ELSEWHERE x"]
        {
            let reply = client.call(&["EVAL", script, "1", "k", error]).unwrap();
            runs += 1;
            assert_eq!(reply.to_string(), format!("-{error}"));
            let counted = client.call(&["GET", "k"]).unwrap();
            assert_eq!(counted, Value::Bulk(i32::to_string(&runs).into_bytes()), "{error}");
        }
    }
}

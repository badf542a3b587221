//! Bytes that are no requests get the same answer as from a real redis-server, from a shard and through the proxy, and
//! do no harm to anybody else.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use slotway_tests::fuzzing::{Inputs, REQUESTS};
use slotway_tests::{Client, Cluster, Plan, RedisServer};

/// Sends `bytes`, then the end of the stream, and gives all that comes back until the other side closes.
fn answer(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a listener");
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // Who has been refused may be closed before everything is sent, and then lose the answer to a reset.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return answer,
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return answer,
            Err(error) => panic!("{}: {error}", bytes[..bytes.len().min(100)].escape_ascii()),
        }
    }
}

/// What comes back while the connection stays open for writing: the server closes it by itself.
fn answer_and_close(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut client = Client::connect(address).expect("a listener");
    client.send_raw(bytes).expect("a reader");
    client.receive_to_end().unwrap_or_else(|error| {
        panic!("not closed after {}: {error}", bytes[..bytes.len().min(100)].escape_ascii())
    })
}

fn compare(who: &str, case: &[u8], expected: &[u8], found: &[u8], differences: &mut Vec<String>) {
    if expected != found {
        differences.push(format!(
            "{who}: \"{}\" gets \"{}\", of redis-server \"{}\"",
            case[..case.len().min(100)].escape_ascii(),
            found.escape_ascii(),
            expected.escape_ascii()
        ));
    }
}

fn one_shard() -> Cluster {
    Cluster::start_with(&Plan { shards: 1, ..Plan::default() }).expect("a cluster")
}

fn shard_and_proxy(cluster: &Cluster) -> [(&'static str, SocketAddr); 2] {
    [("shard", cluster.layout().nodes[0].address), ("proxy", cluster.endpoint())]
}

#[test]
fn malformed_requests_are_refused_and_closed_as_in_redis() {
    let (redis, cluster) = (RedisServer::start().unwrap(), one_shard());
    let long = vec![b'1'; 70_000];
    let mut cases: Vec<Vec<u8>> = [
        &b"*a\r\n"[..],
        b"*2147483648\r\n",
        b"*99999999999999999999\r\n",
        b"*1 \r\n",
        b"* 1\r\n",
        b"*01\r\n$4\r\nPING\r\n",
        b"*+1\r\n$4\r\nPING\r\n",
        b"*\r\n",
        b"*1\r\n:3\r\n",
        b"*1\r\nPING\r\n",
        b"*1\r\n\r\n\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$-0\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n$\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$9223372036854775807\r\n",
        b"*1\r\n$18446744073709551616\r\n",
        b"*2\r\n$4\r\nECHO\r\n$-1\r\n",
        b"\"a\r\n",
        b"\"a\"b\r\n",
        b"ECHO 'a\r\n",
        b"ECHO 'a'b\r\n",
        b"PING\r\nECHO \"x\r\nPING\r\n",
        b"*1\r\n$4\r\nPING\r\n*x\r\n*1\r\n$4\r\nPING\r\n",
    ]
    .iter()
    .map(|case| case.to_vec())
    .collect();
    cases.push(long.clone());
    cases.push([&b"*"[..], &long].concat());
    cases.push([&b"*1\r\n$"[..], &long].concat());
    // Redis waits for ever behind a NUL, here it is refused like the rest.
    cases.extend(
        (1..=255u8)
            .filter(|byte| *byte != b'$')
            .map(|byte| vec![b'*', b'1', b'\r', b'\n', byte, b'3', b'\r', b'\n']),
    );
    let mut differences = Vec::new();
    for case in &cases {
        let expected = answer_and_close(redis.address(), case);
        for (who, address) in shard_and_proxy(&cluster) {
            compare(who, case, &expected, &answer_and_close(address, case), &mut differences);
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
    for (_, address) in shard_and_proxy(&cluster) {
        assert_eq!(Client::connect(address).unwrap().run("PING").unwrap().to_string(), "+PONG");
    }
}

#[test]
fn odd_but_legal_requests_are_answered_as_in_redis() {
    let (redis, cluster) = (RedisServer::start().unwrap(), one_shard());
    let mut differences = Vec::new();
    for case in [
        &b"\r\n\r\n\n  \r\nPING\r\n"[..],
        b"*0\r\n*-1\r\n*-2147483649\r\nPING\r\n",
        b"PING\nPING\n",
        b"ECHO \"\\x41\\n\\q\" \r\n",
        b"ECHO \"\" \r\n",
        b"ECHO a\0b\r\nPING\r\n",
        b"\0\r\nPING\r\n",
        b"*1\r\n$0\r\n\r\nPING\r\n",
        b"*2\r\n$4\r\nECHO\r\n$2\r\nabXXPING\r\n",
        b"*1\rX$4\rXPINGXXPING\r\n",
        b"*2\r\n$4\r\nECHO\r\n$5\r\na\r\nb\0\r\n",
        b"*1\r\n$4\r\npInG\r\n",
        b"nonsense 1 2 3\r\n",
        b"*3\r\n$3\r\nfoo\r\n$3\r\n\r\n\r\r\n$2\r\n\xff\x00\r\n",
        b"GET\r\n",
        b"*2\r\n$4\r\nPING",
        b"PING",
    ] {
        let expected = answer(redis.address(), case);
        for (who, address) in shard_and_proxy(&cluster) {
            compare(who, case, &expected, &answer(address, case), &mut differences);
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn before_authentication_only_small_requests_are_taken() {
    let (redis, cluster) = (RedisServer::start_with(&["--requirepass", "x"]).unwrap(), one_shard());
    let mut client = cluster.client().unwrap();
    assert_eq!(client.run("CONFIG SET requirepass x").unwrap().to_string(), "+OK");
    for case in [&b"*11\r\n"[..], b"*1\r\n$16385\r\n", b"*x\r\n"] {
        let expected = answer_and_close(redis.address(), case);
        for (who, address) in shard_and_proxy(&cluster) {
            assert_eq!(answer_and_close(address, case), expected, "{who}: {}", case.escape_ascii());
        }
    }
}

/// A web page can have a browser send such requests, with commands in their bodies.
#[test]
fn requests_of_http_end_the_connection_and_nothing_behind_them_runs() {
    let (redis, mut cluster) = (RedisServer::start().unwrap(), one_shard());
    let servers = [redis.address(), cluster.layout().nodes[0].address, cluster.endpoint()];
    for case in [
        &b"POST / HTTP/1.1\r\nHost: x\r\n\r\nDEL victim\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nDEL victim\r\n",
        b"GET / HTTP/1.1\r\nhOST: x\r\nDEL victim\r\n",
        b"pOsT\r\nDEL victim\r\n",
        b"*1\r\n$4\r\nPOST\r\n*2\r\n$3\r\nDEL\r\n$6\r\nvictim\r\n",
        b"*2\r\n$5\r\nhost:\r\n$1\r\nx\r\n*2\r\n$3\r\nDEL\r\n$6\r\nvictim\r\n",
        b"*1\r\n$6\r\nPOST\0x\r\nDEL victim\r\n",
        b"PING\r\nPOST x\r\nDEL victim\r\n",
        b"MULTI\r\nDEL victim\r\nPOST x\r\nEXEC\r\n",
        b"SUBSCRIBE a\r\nHost: x\r\nDEL victim\r\n",
        b"CLIENT REPLY OFF\r\nPOST x\r\nDEL victim\r\n",
    ] {
        for address in servers {
            let mut client = Client::connect(address).unwrap();
            assert_eq!(client.run("SET victim alive").unwrap().to_string(), "+OK");
            let mut attacker = Client::connect(address).unwrap();
            attacker.send_raw(case).unwrap();
            // Closing with requests unread resets the connection, and then nothing can be read.
            let _ = attacker.receive_to_end();
            let left = client.run("GET victim").unwrap().to_string();
            assert_eq!(left, "\"alive\"", "{address}: {}", case.escape_ascii());
        }
    }
    for other in [&b"POSTS\r\nPING\r\n"[..], b"HOST\r\nPING\r\n", b"ECHO POST\r\nECHO Host:\r\n"] {
        let expected = answer(redis.address(), other);
        for (who, address) in shard_and_proxy(&cluster) {
            assert_eq!(answer(address, other), expected, "{who}: {}", other.escape_ascii());
        }
    }
    let told = |id: &str, line: &&String| line.starts_with(id) && line.contains("cross protocol scripting");
    for id in ["a-0", "proxy-0"] {
        let lines = cluster.up().lines();
        assert_eq!(lines.iter().filter(|line| told(id, line)).count(), 1, "{id} warns once");
    }
}

#[test]
fn before_authentication_requests_of_http_end_the_connection() {
    let cluster = one_shard();
    assert_eq!(cluster.client().unwrap().run("CONFIG SET requirepass x").unwrap().to_string(), "+OK");
    for (who, address) in shard_and_proxy(&cluster) {
        let mut client = Client::connect(address).unwrap();
        client.send_raw(b"POST / HTTP/1.1\r\nAUTH x\r\nSET a b\r\n").unwrap();
        assert!(client.receive_to_end().unwrap_or_default().is_empty(), "{who}");
    }
}

/// Random bytes and mutated requests on many connections: the processes go on serving everybody else.
#[test]
fn random_bytes_harm_nobody_else() {
    let mut cluster = Cluster::start().unwrap();
    let seed: u64 = rand::rng().random();
    eprintln!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let mut inputs = Inputs::new(seed, REQUESTS);
    let mut bystander = cluster.client().unwrap();
    let addresses = [cluster.endpoint(), cluster.layout().nodes[0].address];
    for round in 0..1_000 {
        let input = if random.random_ratio(1, 3) {
            (0..random.random_range(1..2_000)).map(|_| random.random()).collect()
        } else {
            inputs.next_input()
        };
        answer(addresses[round % 2], &input);
        if round % 50 == 0 {
            let (key, value) = (format!("k{round}"), round.to_string());
            assert_eq!(bystander.call(&["SET", &key, &value]).unwrap().to_string(), "+OK");
            assert_eq!(bystander.call(&["GET", &key]).unwrap().as_bytes(), Some(value.as_bytes()));
        }
    }
    for id in ["a-0", "proxy-0"] {
        assert!(slotway_tests::process::is_running(cluster.process_id(id)), "{id}");
    }
    assert!(!cluster.up().lines().iter().any(|line| line.contains("panicked")));
}

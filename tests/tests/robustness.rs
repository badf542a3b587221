//! Clients that misbehave harm themselves: memory stays bounded, everybody else is served.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use slotway_common::resp::Value;
use slotway_tests::process::resident_bytes;
use slotway_tests::wait::wait_until;
use slotway_tests::{Client, Cluster};

const MIB: u64 = 1 << 20;

/// The key `key:0` and its neighbours, all in one slot.
const KEY: &str = "{key:0}";

struct Stage {
    cluster: Cluster,
    /// Number of the shard that has [`KEY`].
    shard: usize,
}

impl Stage {
    fn start() -> Stage {
        let cluster = Cluster::start().unwrap();
        let owns = |number: &usize| {
            !cluster.shard_client(*number).unwrap().run(&format!("GET {KEY}")).unwrap().is_error()
        };
        let shard = (0..3).find(owns).expect("an owner");
        Stage { cluster, shard }
    }

    /// The shard that has [`KEY`], then the proxy: name, address and process.
    fn servers(&self) -> [(&'static str, SocketAddr); 2] {
        let node = &self.cluster.layout().nodes[self.shard];
        [("shard", node.address), ("proxy", self.cluster.endpoint())]
    }

    /// Resident bytes of the shard that has [`KEY`] and of the proxy.
    fn resident(&self) -> [u64; 2] {
        let shard = &self.cluster.layout().nodes[self.shard].id;
        [shard.as_str(), "proxy-0"].map(|id| resident_bytes(self.cluster.process_id(id)))
    }

    /// Panics when the memory of one of them has grown by more than `most` since `before`.
    fn check_growth(&self, what: &str, before: [u64; 2], most: u64) {
        let now = self.resident();
        let growth = [0, 1].map(|index| now[index].saturating_sub(before[index]) / MIB);
        eprintln!("{what}: shard +{} MiB, proxy +{} MiB", growth[0], growth[1]);
        assert!(
            growth.iter().all(|growth| *growth <= most),
            "{what}: {growth:?} MiB more, at most {most} were expected"
        );
    }

    /// Others are served, and nothing has restarted.
    fn check_bystanders(&self) {
        for (who, address) in self.servers() {
            let mut client = Client::connect(address).unwrap();
            for _ in 0..100 {
                assert_eq!(client.run("PING").unwrap().to_string(), "+PONG", "{who}");
                let reply = client.run(&format!("INCR {KEY}count")).unwrap();
                assert!(reply.as_int().is_some(), "{who}: {reply}");
            }
        }
    }

    /// Clients that the server counts, this one included.
    fn clients(&self, address: SocketAddr) -> usize {
        let mut client = Client::connect(address).unwrap();
        let reply = client.run("INFO clients").unwrap();
        let text = String::from_utf8_lossy(reply.as_bytes().unwrap()).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("connected_clients:")).expect("a count");
        line.parse().expect("a number")
    }
}

/// Fills a list with `count` elements of `length` bytes.
fn fill_list(client: &mut Client, key: &str, count: usize, length: usize) {
    let mut left = count;
    while left > 0 {
        let batch = left.min(1_000);
        let mut words = vec![b"RPUSH".to_vec(), key.as_bytes().to_vec()];
        words.extend((0..batch).map(|_| vec![b'x'; length]));
        assert!(!client.call(&words).unwrap().is_error());
        left -= batch;
    }
}

fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// Writes until the server takes no more for a while, `most` bytes have gone, or it closes; gives what has gone.
fn write_while_taken(stream: &mut TcpStream, bytes: &[u8], most: usize) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut gone = 0;
    while gone < most {
        let from = gone % bytes.len();
        match stream.write(&bytes[from..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => gone += count,
        }
    }
    gone
}

#[test]
fn who_reads_no_replies_takes_bounded_memory() {
    let stage = Stage::start();
    // A reply of 32 MiB.
    fill_list(&mut stage.cluster.client().unwrap(), KEY, 32_000, 1_000);
    let lrange = request(&["LRANGE", KEY, "0", "-1"]);
    for (who, address) in stage.servers() {
        let before = stage.resident();
        let mut streams: Vec<TcpStream> = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(&lrange.repeat(50)).unwrap();
            streams.push(stream);
        }
        stage.check_bystanders();
        stage.check_growth(
            &format!("two clients that do not read 50 replies of 32 MiB from the {who}"),
            before,
            700,
        );
        drop(streams);
        stage.check_bystanders();
    }
}

#[test]
fn who_sends_without_reading_is_stopped() {
    let stage = Stage::start();
    let value = "v".repeat(1_000);
    let mut client = stage.cluster.client().unwrap();
    assert_eq!(client.call(&["SET", KEY, &value]).unwrap().to_string(), "+OK");
    let gets = request(&["GET", KEY]).repeat(1_000);
    for (who, address) in stage.servers() {
        let before = stage.resident();
        let mut stream = TcpStream::connect(address).unwrap();
        let most = 256 << 20;
        let gone = write_while_taken(&mut stream, &gets, most);
        eprintln!("the {who} took {gone} bytes of requests from a client that reads nothing");
        assert!(gone < most, "the {who} never stops reading");
        stage.check_bystanders();
        stage.check_growth(&format!("a client that sends and never reads at the {who}"), before, 100);
    }
}

#[test]
fn long_pipelines_are_answered_in_order() {
    let stage = Stage::start();
    for (who, address) in stage.servers() {
        let before = stage.resident();
        let mut client = Client::connect(address).unwrap();
        assert!(!client.run(&format!("DEL {KEY}n")).unwrap().is_error());
        let requests = request(&["INCR", &format!("{KEY}n")]).repeat(100_000);
        let mut sender = Client::connect(address).unwrap();
        // Sent by one thread while another one reads, as an asynchronous client does.
        let (sent, replies) = std::thread::scope(|scope| {
            let mut stream = TcpStream::connect(address).unwrap();
            let mut reader = stream.try_clone().unwrap();
            let sent = scope.spawn(move || stream.write_all(&requests));
            let mut replies = Vec::new();
            let mut chunk = vec![0; 1 << 16];
            let mut lines = 0;
            while lines < 100_000 {
                let length = reader.read(&mut chunk).expect("replies");
                assert!(length > 0, "{who} closed");
                lines += chunk[..length].iter().filter(|byte| **byte == b'\n').count();
                replies.extend_from_slice(&chunk[..length]);
            }
            (sent.join().expect("a sender"), replies)
        });
        sent.unwrap();
        let expected: Vec<u8> = (1..=100_000).flat_map(|n: u32| format!(":{n}\r\n").into_bytes()).collect();
        assert!(replies == expected, "{who}: replies out of order");
        assert_eq!(sender.run("PING").unwrap().to_string(), "+PONG");
        stage.check_growth(&format!("100,000 pipelined commands at the {who}"), before, 64);
    }
}

#[test]
fn an_announced_argument_takes_memory_only_as_it_comes() {
    let stage = Stage::start();
    for (who, address) in stage.servers() {
        let (before, clients) = (stage.resident(), stage.clients(address));
        let mut streams = Vec::new();
        for _ in 0..20 {
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .write_all(format!("*3\r\n$3\r\nSET\r\n${}\r\n{KEY}\r\n$536870912\r\n", KEY.len()).as_bytes())
                .unwrap();
            streams.push(stream);
        }
        for stream in &mut streams {
            stream.write_all(&vec![b'x'; 100_000]).unwrap();
        }
        stage.check_bystanders();
        stage.check_growth(
            &format!("20 announced arguments of 512 MiB, 100 kB of each sent, at the {who}"),
            before,
            64,
        );

        // One is sent whole, in small pieces at first.
        let before = stage.resident();
        let size = 64 << 20;
        let mut client = Client::connect(address).unwrap();
        client
            .send_raw(format!("*3\r\n$3\r\nSET\r\n${}\r\n{KEY}\r\n${size}\r\n", KEY.len()).as_bytes())
            .unwrap();
        for _ in 0..200 {
            client.send_raw(b"y").unwrap();
        }
        client.send_raw(&vec![b'y'; size - 200]).unwrap();
        client.send_raw(b"\r\n").unwrap();
        assert_eq!(client.receive().unwrap().to_string(), "+OK", "{who}");
        assert_eq!(client.run(&format!("STRLEN {KEY}")).unwrap(), Value::Int(size as i64), "{who}");
        stage.check_growth(&format!("a value of 64 MiB at the {who}"), before, 64 * 4);
        assert!(!client.run(&format!("DEL {KEY}")).unwrap().is_error());
        drop(streams);
        wait_until("their connections are closed", || stage.clients(address) < clients + 10);
    }
}

#[test]
fn many_connections_come_and_go_at_once() {
    let stage = Stage::start();
    for (who, address) in stage.servers() {
        let (before, clients) = (stage.resident(), stage.clients(address));
        let mut made = 0;
        for round in 0..4 {
            let mut streams = Vec::new();
            for number in 0..500 {
                let Ok(mut stream) = TcpStream::connect(address) else { break };
                // Some say something, some half of something, some nothing.
                let _ = match number % 3 {
                    0 => stream.write_all(b"*1\r\n$4\r\nPING\r\n"),
                    1 => stream.write_all(b"*2\r\n$3\r\nGET\r\n$5\r\nab"),
                    _ => Ok(()),
                };
                streams.push(stream);
            }
            made += streams.len();
            if round % 2 == 0 {
                stage.check_bystanders();
            }
        }
        assert_eq!(made, 2_000, "{who}: connections were refused");
        wait_until("all connections are closed", || stage.clients(address) < clients + 10);
        stage.check_bystanders();
        stage.check_growth(&format!("2,000 connections that came and went at the {who}"), before, 64);
    }
}

/// Fills KEY with a million elements of a type.
fn fill(client: &mut Client, kind: &str, count: usize) {
    const BATCH: usize = 2_000;
    for start in (0..count).step_by(BATCH) {
        let name = match kind {
            "list" => "RPUSH",
            "hash" => "HSET",
            "set" => "SADD",
            _ => "ZADD",
        };
        let mut words = vec![name.to_owned(), KEY.to_owned()];
        for number in start..start + BATCH {
            match kind {
                "hash" => words.extend([format!("field:{number}"), format!("value:{number}")]),
                "zset" => words.extend([number.to_string(), format!("member:{number}")]),
                _ => words.push(format!("member:{number}")),
            }
        }
        assert!(!client.call(&words).unwrap().is_error());
    }
}

#[test]
fn large_values_end_without_a_stall() {
    let stage = Stage::start();
    let (_, address) = stage.servers()[0];
    let mut client = Client::connect(address).unwrap();
    for kind in ["list", "hash", "set", "zset"] {
        for end in ["DEL {key:0}", "SET {key:0} x", "PEXPIRE {key:0} 1", "FLUSHALL"] {
            fill(&mut client, kind, 1_000_000);
            let stop = std::sync::atomic::AtomicBool::new(false);
            let (took, longest) = std::thread::scope(|scope| {
                let pings = scope.spawn(|| {
                    let mut other = Client::connect(address).unwrap();
                    let mut longest = Duration::ZERO;
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let began = Instant::now();
                        assert_eq!(other.run("PING").unwrap().to_string(), "+PONG");
                        longest = longest.max(began.elapsed());
                    }
                    longest
                });
                let began = Instant::now();
                assert!(!client.run(end).unwrap().is_error());
                let took = began.elapsed();
                wait_until("the value is gone", || {
                    matches!(client.run("TYPE {key:0}").unwrap().as_bytes(), Some(b"none" | b"string"))
                });
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                (took, pings.join().expect("pings"))
            });
            eprintln!("{kind} of 1,000,000, {end}: took {took:?}, longest PING meanwhile {longest:?}");
            assert!(longest < Duration::from_secs(5), "{kind}, {end}: {longest:?}");
            assert!(!client.run("FLUSHALL SYNC").unwrap().is_error());
        }
    }
}

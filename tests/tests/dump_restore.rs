//! DUMP and RESTORE against a real redis-server: what one of them dumps the other restores, and damaged dumps hurt
//! nobody.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use slotway_common::resp::Value;
use slotway_tests::differential::contents::held;
use slotway_tests::differential::seed;
use slotway_tests::dumps::{Entry, opened, packed, pieces, sealed, string, ziplist, zipmap};
use slotway_tests::{Client, Cluster, Plan, RedisServer};

fn cluster(shards: usize) -> Cluster {
    Cluster::start_with(&Plan { shards, ..Plan::default() }).unwrap()
}

/// Bytes without any pattern.
fn noise(random: &mut StdRng, len: usize) -> Vec<u8> {
    (0..len).map(|_| random.random()).collect()
}

/// Calls that make values of every type and size.
fn values(random: &mut StdRng) -> Vec<Vec<Vec<u8>>> {
    let integers: Vec<Vec<u8>> = (0..64)
        .flat_map(|shift| [-1i64, 0, 1].map(|more| (1i64 << shift).wrapping_add(more)))
        .flat_map(|number| [number, number.wrapping_neg()])
        .map(|number| number.to_string().into_bytes())
        .collect();
    let mut texts: Vec<Vec<u8>> = [0, 1, 2, 11, 12, 19, 20, 21, 44, 45, 63, 64, 65, 253, 254, 255]
        .iter()
        .flat_map(|len| [noise(random, *len), vec![b'a'; *len]])
        .collect();
    texts.extend(
        ["007", "-0", " 1", "1.0", "9223372036854775808", "\r\n"].map(|text| text.as_bytes().to_vec()),
    );
    let long: Vec<Vec<u8>> = [511, 512, 513, 4095, 4096, 8191, 8192, 16_383, 16_384, 70_000, 1 << 20]
        .iter()
        .flat_map(|len| {
            let pattern = noise(random, 300).repeat(len / 300 + 1)[..*len].to_vec();
            [noise(random, *len), vec![0; *len], pattern]
        })
        .collect();
    let many = |count: usize| (0..count).map(|number| format!("element {number}").into_bytes()).collect();
    let mut elements: Vec<Vec<Vec<u8>>> = vec![integers.clone(), texts.clone(), long.clone()];
    elements.extend([1, 2, 127, 128, 129, 511, 512, 513, 5000].map(many));
    for width in [1, 30_000, 3_000_000, 3_000_000_000i64] {
        elements.extend([1, 500, 600].map(|count| {
            (0..count).map(|number| ((number - 200) * width).to_string().into_bytes()).collect()
        }));
    }
    elements.push(vec![b"only".to_vec()]);
    elements.extend(long.iter().map(|long| vec![b"short".to_vec(), long.clone(), b"1".to_vec()]));

    // Not -0, which becomes 0 wherever a sorted set is packed, here as there.
    let scores =
        ["0", "-1", "0.1", "inf", "-inf", "1e300", "5e-324", "3.0000000000000004", "4e18", "-7.5", "7"];
    let mut calls: Vec<Vec<Vec<u8>>> =
        [&integers[..], &texts, &long].concat().into_iter().map(|text| vec![b"SET".to_vec(), text]).collect();
    for elements in elements {
        for (name, first, second) in
            [("RPUSH", None, None), ("SADD", None, None), ("HSET", None, Some(0)), ("ZADD", Some(0), None)]
        {
            let mut call = vec![name.as_bytes().to_vec()];
            for (index, element) in elements.iter().enumerate() {
                call.extend(first.map(|shift: usize| scores[(index + shift) % scores.len()].into()));
                call.push(element.clone());
                call.extend(
                    second.map(|shift: usize| elements[(index * 7 + shift) % elements.len()].clone()),
                );
            }
            calls.push(call);
        }
    }
    calls
}

/// Makes the values; gives their keys.
fn fill(client: &mut Client, calls: &[Vec<Vec<u8>>]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        let key = format!("key {number}").into_bytes();
        let request: Vec<&[u8]> = [&call[0], &key].into_iter().chain(&call[1..]).map(Vec::as_slice).collect();
        let reply = client.call(&request).unwrap();
        assert!(!reply.is_error(), "{reply}");
        keys.push(key);
    }
    keys
}

fn dump(client: &mut Client, key: &[u8]) -> Vec<u8> {
    client.call(&[&b"DUMP"[..], key]).unwrap().as_bytes().expect("a dump").to_vec()
}

fn restore(client: &mut Client, key: &[u8], payload: &[u8]) -> Value {
    client.call(&[&b"RESTORE"[..], key, b"0", payload, b"REPLACE"]).unwrap()
}

#[test]
fn values_of_every_type_and_encoding_travel_both_ways() {
    let seed = seed();
    println!("SLOTWAY_SEED={seed}");
    let calls = values(&mut StdRng::seed_from_u64(seed));
    let cluster = cluster(3);
    let mut slotway = cluster.client().unwrap();
    let small = [
        "--hash-max-listpack-entries 3 --zset-max-listpack-entries 3 --set-max-intset-entries 3",
        "--list-max-listpack-size 2 --rdbcompression no",
    ];
    let large = [
        "--hash-max-listpack-entries 100000 --zset-max-listpack-entries 100000 --set-max-intset-entries 100000",
        "--hash-max-listpack-value 100000 --zset-max-listpack-value 100000",
        "--list-max-listpack-size -5 --list-compress-depth 1",
    ];
    for (arguments, plain) in
        [(String::new(), false), (small.join(" "), false), (large.join(" "), false), (String::new(), true)]
    {
        let arguments = format!("{arguments} --enable-debug-command yes");
        let redis = RedisServer::start_with(&arguments.split_whitespace().collect::<Vec<_>>()).unwrap();
        let mut redis = redis.client().unwrap();
        if plain {
            // Elements from here on are list nodes of their own.
            assert!(!redis.run("DEBUG QUICKLIST-PACKED-THRESHOLD 100b").unwrap().is_error());
        }
        for key in fill(&mut redis, &calls) {
            let told = key.escape_ascii();
            let expected = held(&mut redis, &key).unwrap();
            let there = dump(&mut redis, &key);
            assert_eq!(restore(&mut slotway, &key, &there).to_string(), "+OK", "{told}");
            assert!(held(&mut slotway, &key).unwrap() == expected, "{told} differs here");
            let here = dump(&mut slotway, &key);
            assert_eq!(restore(&mut redis, &key, &here).to_string(), "+OK", "{told}");
            assert!(held(&mut redis, &key).unwrap() == expected, "{told} differs there");
            // Compression need not be the same, but about as good.
            assert!(
                here.len() <= there.len() * 3 / 2 + 64 || !arguments.starts_with(" "),
                "{told}: {} and {} bytes",
                here.len(),
                there.len()
            );
        }
    }
}

#[test]
fn values_made_here_are_restored_by_redis() {
    let seed = seed();
    println!("SLOTWAY_SEED={seed}");
    let calls = values(&mut StdRng::seed_from_u64(seed));
    let cluster = cluster(1);
    let redis = RedisServer::start().unwrap();
    let (mut slotway, mut redis) = (cluster.client().unwrap(), redis.client().unwrap());
    for key in fill(&mut slotway, &calls) {
        let told = key.escape_ascii();
        assert_eq!(restore(&mut redis, &key, &dump(&mut slotway, &key)).to_string(), "+OK", "{told}");
        assert!(held(&mut redis, &key).unwrap() == held(&mut slotway, &key).unwrap(), "{told} differs");
        let encoding = [&b"OBJECT"[..], b"ENCODING", &key];
        assert_eq!(redis.call(&encoding).unwrap(), slotway.call(&encoding).unwrap(), "{told}");
    }
}

/// Calls that make streams: small and large ones, with other fields than the first entry's, deletions and groups.
fn stream_calls() -> Vec<String> {
    let mut calls = Vec::new();
    for (key, entries) in [("{x}1", 1), ("{x}9", 9), ("{x}many", 2500)] {
        for number in 1..=entries {
            let fields = match number % 7 {
                0 => format!("other {number}"),
                3 => format!("a {number} b text more -{number}"),
                _ => format!("a {number} b {}", "v".repeat(number % 300)),
            };
            calls.push(format!("XADD {key} {number}-{} {fields}", number % 3));
        }
        calls.push(format!("XDEL {key} 5-2 6-0 7-1 200-2"));
        for group in ["g1", "g2"] {
            calls.push(format!("XGROUP CREATE {key} {group} 0"));
            calls.push(format!("XREADGROUP GROUP {group} alice COUNT 3 STREAMS {key} >"));
            calls.push(format!("XREADGROUP GROUP {group} bob COUNT 700 STREAMS {key} >"));
            calls.push(format!("XACK {key} {group} 2-2 9-0"));
        }
        calls.push(format!("XGROUP CREATECONSUMER {key} g2 idle"));
        calls.push(format!("XGROUP SETID {key} g1 4-1"));
        calls.push(format!("XSETID {key} 9999-5"));
    }
    calls.push("XGROUP CREATE {x}empty g $ MKSTREAM".to_owned());
    calls
}

#[test]
fn streams_with_their_groups_travel_both_ways() {
    let (cluster, redis) = (cluster(1), RedisServer::start().unwrap());
    let (mut slotway, mut redis) = (cluster.client().unwrap(), redis.client().unwrap());
    for call in stream_calls() {
        let (here, there) = (slotway.run(&call).unwrap(), redis.run(&call).unwrap());
        assert!(here == there, "{call}: {here:.200} and {there:.200}");
    }
    for key in ["{x}1", "{x}9", "{x}many", "{x}empty"].map(str::as_bytes) {
        let told = key.escape_ascii();
        let expected = held(&mut redis, key).unwrap();
        let (here, there) = (dump(&mut slotway, key), dump(&mut redis, key));
        assert_eq!(here[0], 19, "{told}");
        for (client, payload) in [(&mut redis, here), (&mut slotway, there)] {
            assert_eq!(restore(client, key, &payload).to_string(), "+OK", "{told}");
            assert!(held(client, key).unwrap() == expected, "{told} differs");
        }
        // Times are part of a dump.
        let times = |client: &mut Client| client.call(&[&b"XINFO"[..], b"STREAM", key, b"FULL"]).unwrap();
        let (full, copied) = (times(&mut slotway), dump(&mut slotway, key));
        assert_eq!(restore(&mut slotway, key, &copied).to_string(), "+OK");
        assert!(times(&mut slotway) == full, "{told}");
    }
    // As Redis 5 and 6.2 wrote it: without the first id, the highest deleted one, and the number ever added.
    for call in ["DEL {x}old", "XADD {x}old 1-1 a 1", "XADD {x}old 2-1 a 2", "XADD {x}old 3-1 b 3"] {
        slotway.run(call).unwrap();
    }
    let now = opened(&dump(&mut slotway, b"{x}old")).to_vec();
    let old = [&[15][..], &now[1..now.len() - 6], &[0]].concat();
    for client in [&mut slotway, &mut redis] {
        assert_eq!(restore(client, b"{x}old", &sealed(&old, 9)).to_string(), "+OK");
    }
    assert_eq!(held(&mut slotway, b"{x}old").unwrap(), held(&mut redis, b"{x}old").unwrap());
}

#[test]
fn hyperloglogs_count_the_same_and_are_the_same_bytes_on_both_sides() {
    let (cluster, redis) = (cluster(1), RedisServer::start().unwrap());
    let (mut slotway, mut redis) = (cluster.client().unwrap(), redis.client().unwrap());
    for elements in [0, 1, 10, 500, 1500, 20_000] {
        let names: Vec<String> = (0..elements).map(|number| format!("element {number}")).collect();
        for client in [&mut slotway, &mut redis] {
            client.run("DEL {l}og {l}copy").unwrap();
            let call: Vec<&str> =
                ["PFADD", "{l}og"].into_iter().chain(names.iter().map(String::as_str)).collect();
            assert_eq!(client.call(&call).unwrap(), Value::Int(1));
        }
        let (here, there) = (dump(&mut slotway, b"{l}og"), dump(&mut redis, b"{l}og"));
        assert_eq!(restore(&mut slotway, b"{l}copy", &there).to_string(), "+OK");
        assert_eq!(restore(&mut redis, b"{l}copy", &here).to_string(), "+OK");
        // Before there is a count that is kept in it, and with one.
        for line in [
            "GET {l}og",
            "GET {l}copy",
            "PFCOUNT {l}og",
            "PFCOUNT {l}copy",
            "GET {l}og",
            "PFCOUNT {l}og {l}copy",
        ] {
            let (here, there) = (slotway.run(line).unwrap(), redis.run(line).unwrap());
            assert!(here == there, "{line} of {elements} elements: {here:.100} and {there:.100}");
        }
    }
}

/// Values in the encodings of Redis 2 to 6, sound ones and unsound ones.
fn old_values() -> Vec<Vec<u8>> {
    use Entry::{Bytes, Int};
    let long = [b'l'; 300];
    let longer = [b'L'; 20_000];
    let elements = [
        Bytes(b""),
        Bytes(b"text"),
        Int(0),
        Int(12),
        Int(13),
        Int(-1),
        Int(-129),
        Int(40_000),
        Int(-9_000_000),
        Int(1 << 40),
        Bytes(&long),
        Int(i64::MIN),
        Bytes(&longer),
        Bytes(b"7"),
    ];
    let scored = [
        Bytes(b"a"),
        Int(-5),
        Bytes(b"b"),
        Bytes(b"0.5"),
        Bytes(b"c"),
        Int(1000),
        Bytes(b"d"),
        Bytes(b"inf"),
    ];
    let fields: [(&[u8], &[u8]); 4] = [(b"f", b""), (b"12", b"13"), (&long, b"v"), (b"", &long)];
    let mut short = ziplist(&elements);
    short.truncate(short.len() - 1);
    let mut count = ziplist(&elements);
    count[8] += 1;
    let mut last = ziplist(&elements);
    last[4] += 1;
    let texts = |texts: &[&[u8]]| texts.iter().map(|text| string(text)).collect::<Vec<_>>();
    let score = |member: &[u8], score: &[u8]| [&string(member)[..], &[score.len() as u8], score].concat();
    vec![
        pieces(1, 3, &texts(&[b"a", b"1", &longer])),
        pieces(1, 0, &[]),
        pieces(2, 3, &texts(&[b"a", b"1", b"b"])),
        pieces(2, 3, &texts(&[b"3", b"1", b"2"])),
        pieces(2, 2, &texts(&[b"a", b"a"])),
        pieces(3, 3, &[score(b"a", b"1"), score(b"b", b"-0.25"), [&string(b"c")[..], &[254]].concat()]),
        pieces(3, 1, &[[&string(b"c")[..], &[253]].concat()]),
        pieces(3, 1, &[[&string(b"c")[..], &[255]].concat()]),
        pieces(4, 2, &texts(&[b"f", b"1", b"g", &longer])),
        packed(9, &zipmap(&fields, 0)),
        packed(9, &zipmap(&fields, 3)),
        packed(9, &zipmap(&[], 0)),
        packed(9, &zipmap(&[(b"f", b"1"), (b"f", b"2")], 0)),
        packed(10, &ziplist(&elements)),
        packed(10, &ziplist(&[])),
        packed(10, &short),
        packed(10, &count),
        packed(10, &last),
        packed(12, &ziplist(&scored)),
        packed(12, &ziplist(&scored[..3])),
        packed(12, &ziplist(&[Bytes(b"a"), Int(1), Bytes(b"a"), Int(2)])),
        packed(13, &ziplist(&elements)),
        packed(13, &ziplist(&elements[..3])),
        packed(13, &ziplist(&[Int(1), Int(1), Int(1), Int(2)])),
        pieces(14, 2, &[string(&ziplist(&elements)), string(&ziplist(&scored))]),
        pieces(14, 2, &[string(&ziplist(&[])), string(&ziplist(&scored))]),
        pieces(14, 1, &[string(&ziplist(&[]))]),
        pieces(14, 0, &[]),
        pieces(18, 2, &[[&[1][..], &string(b"plain")].concat(), [&[1][..], &string(&longer)].concat()]),
        pieces(18, 1, &[[&[3][..], &string(b"plain")].concat()]),
        // What stands between a value and the footer means nothing.
        [string(b"").as_slice(), b"more"].concat(),
    ]
}

#[test]
fn old_encodings_are_taken_and_refused_as_by_redis() {
    let (cluster, redis) = (cluster(1), RedisServer::start().unwrap());
    let (mut slotway, mut redis) = (cluster.client().unwrap(), redis.client().unwrap());
    for (number, value) in old_values().iter().enumerate() {
        let key = format!("old {number}").into_bytes();
        for version in [1, 6, 9, 10, 11] {
            let payload = sealed(value, version);
            let (there, here) = (restore(&mut redis, &key, &payload), restore(&mut slotway, &key, &payload));
            assert_eq!(here, there, "value {number}, version {version}");
        }
        let (there, here) = (held(&mut redis, &key).unwrap(), held(&mut slotway, &key).unwrap());
        assert!(here == there, "value {number}:\n  redis:   {there:.2000}\n  slotway: {here:.2000}");
        let encoding = [&b"OBJECT"[..], b"ENCODING", &key];
        assert_eq!(slotway.call(&encoding).unwrap(), redis.call(&encoding).unwrap(), "value {number}");
    }
}

#[test]
fn damaged_dumps_are_refused_or_make_sound_values() {
    let seed = seed();
    println!("SLOTWAY_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (cluster, redis) = (cluster(1), RedisServer::start().unwrap());
    let (mut slotway, mut redis) = (cluster.client().unwrap(), redis.client().unwrap());
    let calls: Vec<_> =
        values(&mut random).into_iter().filter(|call| call.concat().len() < 3000).step_by(7).collect();
    let mut dumps: Vec<Vec<u8>> =
        fill(&mut redis, &calls).iter().map(|key| opened(&dump(&mut redis, key)).to_vec()).collect();
    for call in stream_calls().into_iter().filter(|call| !call.contains("many")) {
        redis.run(&call).unwrap();
    }
    for key in ["{x}1", "{x}9", "{x}empty"].map(str::as_bytes) {
        dumps.push(opened(&dump(&mut redis, key)).to_vec());
    }
    dumps.extend(old_values().into_iter().filter(|value| value.len() < 3000));
    let mut taken = 0;
    for value in dumps {
        for _ in 0..60 {
            let mut damaged = value.clone();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..damaged.len());
                match random.random_range(0..4) {
                    0 => damaged[at] = random.random(),
                    1 => damaged[at] ^= 1 << random.random_range(0..8),
                    2 => damaged[at] = damaged[at].wrapping_add(1),
                    _ => damaged.truncate(at.max(1)),
                }
            }
            let reply = restore(&mut slotway, b"damaged", &sealed(&damaged, 10));
            match reply.to_string().as_str() {
                "+OK" => {
                    taken += 1;
                    // It can be read, dumped, and restored there.
                    let here = held(&mut slotway, b"damaged").unwrap();
                    let again = dump(&mut slotway, b"damaged");
                    assert_eq!(restore(&mut redis, b"damaged", &again).to_string(), "+OK");
                    assert!(held(&mut redis, b"damaged").unwrap() == here, "{}", damaged.escape_ascii());
                }
                "-ERR Bad data format" => {}
                other => panic!("{other} to {}", damaged.escape_ascii()),
            }
        }
    }
    println!("{taken} damaged dumps were values");
    assert_eq!(slotway.run("PING").unwrap().to_string(), "+PONG");
}

#[test]
fn options_and_errors_are_those_of_redis() {
    let (cluster, redis) = (cluster(1), RedisServer::start().unwrap());
    let (mut slotway, mut redis) = (cluster.client().unwrap(), redis.client().unwrap());
    let good = sealed(b"\0\x05value", 10);
    let mut wrong = good.clone();
    wrong[3] ^= 1;
    let bad = sealed(b"\x02\0", 10);
    let newer = sealed(b"\0\x05value", 11);
    let options: &[&[&str]] = &[
        &[],
        &["REPLACE"],
        &["replace", "ABSTTL"],
        &["REPLACE", "IDLETIME", "1000"],
        &["REPLACE", "IDLETIME", "-1"],
        &["REPLACE", "IDLETIME", "x"],
        &["REPLACE", "IDLETIME", "99999999999"],
        &["REPLACE", "IDLETIME"],
        &["REPLACE", "FREQ", "255"],
        &["REPLACE", "FREQ", "256"],
        &["REPLACE", "FREQ", "-1"],
        &["REPLACE", "FREQ", ""],
        &["REPLACE", "FREQ", "1", "IDLETIME", "1"],
        &["REPLACE", "IDLETIME", "1", "FREQ", "1"],
        &["REPLACE", "FREQ", "1", "FREQ", "2"],
        &["NOSUCH"],
    ];
    for policy in ["noeviction", "allkeys-lfu"] {
        for client in [&mut slotway, &mut redis] {
            let reply = client.call(&["CONFIG", "SET", "maxmemory-policy", policy]).unwrap();
            assert!(!reply.is_error(), "{reply}");
        }
        for payload in [&good, &wrong, &bad, &newer, &good[..9].to_vec(), &Vec::new()] {
            for time in ["0", "-1", "x", "1000000", "9223372036854775807", "4102444800000"] {
                for options in options {
                    let mut call: Vec<&[u8]> = vec![b"RESTORE", b"k", time.as_bytes(), payload];
                    call.extend(options.iter().map(|option| option.as_bytes()));
                    let told = format!("{time} {} {options:?}, {policy}", payload.escape_ascii());
                    let reply = slotway.call(&call).unwrap();
                    assert_eq!(reply, redis.call(&call).unwrap(), "{told}");
                    // Later on the counter of uses grows at random.
                    let first: &[&str] =
                        if reply.is_error() { &[] } else { &["OBJECT IDLETIME k", "OBJECT FREQ k"] };
                    for ask in first.iter().chain(&["EXISTS k", "GET k"]) {
                        let (here, there) = (slotway.run(ask).unwrap(), redis.run(ask).unwrap());
                        let near = matches!((&here, &there), (Value::Int(here), Value::Int(there)) if (here - there).abs() <= 2);
                        assert!(here == there || near, "{ask} after {told}: {here}, {there}");
                    }
                    let left = |client: &mut Client| client.run("PTTL k").unwrap().as_int().unwrap();
                    assert!((left(&mut slotway) - left(&mut redis)).abs() < 5000, "{told}");
                }
            }
        }
    }
    for line in
        ["DUMP", "DUMP a b", "DUMP nosuch", "RESTORE k 0", "SET k v", "RESTORE k -1 x", "RESTORE k x x"]
    {
        assert_eq!(slotway.run(line).unwrap(), redis.run(line).unwrap(), "{line}");
    }
}

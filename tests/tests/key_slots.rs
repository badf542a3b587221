//! Keys go into the slots that Redis Cluster puts them into.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use slotway_common::slot::slot_of;
use slotway_tests::RedisServer;
use slotway_tests::folder::Folder;

#[test]
fn every_key_is_in_the_slot_that_redis_gives_it() {
    // A server in cluster mode writes nodes.conf into its directory.
    let folder = Folder::new().unwrap();
    let directory = folder.path().to_string_lossy().into_owned();
    let port = slotway_tests::ports::free_ports(1)[0].to_string();
    let redis =
        RedisServer::start_with(&["--cluster-enabled", "yes", "--cluster-port", &port, "--dir", &directory])
            .unwrap();
    let mut client = redis.client().unwrap();
    let seed: u64 = rand::rng().random();
    eprintln!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let mut keys: Vec<Vec<u8>> = [
        "", "{}", "{", "}", "}{", "{}a", "{a}", "{{a}}", "{a}{b}", "a{b", "a}b{c}", "{a", "a{}b{c}", "{{}",
        "{}}",
    ]
    .iter()
    .map(|key| key.as_bytes().to_vec())
    .collect();
    // Few different bytes, so that braces come often and in every order.
    for _ in 0..20_000 {
        let length = random.random_range(0..24);
        keys.push(
            (0..length)
                .map(|_| match random.random_range(0..6) {
                    0 => b'{',
                    1 => b'}',
                    2 => random.random(),
                    _ => random.random_range(b'a'..=b'c'),
                })
                .collect(),
        );
    }
    for batch in keys.chunks(500) {
        for key in batch {
            client.send(&[&b"CLUSTER"[..], b"KEYSLOT", key]).unwrap();
        }
        for key in batch {
            let slot = client.receive().unwrap().as_int();
            assert_eq!(slot, Some(i64::from(slot_of(key))), "{}", key.escape_ascii());
        }
    }
}

//! The `redis` crate: through the proxy as on one Redis, and cluster-aware on the shards.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use redis::cluster::ClusterClient;
use redis::{Client, Commands, Connection, RedisResult};
use slotway_tests::{Cluster, Plan};

fn connect(cluster: &Cluster, options: &str) -> Connection {
    Client::open(format!("redis://{}/{options}", cluster.endpoint())).unwrap().get_connection().unwrap()
}

/// With RESP2 and with RESP3.
#[test]
fn typed_replies_are_those_of_one_redis() {
    let cluster = Cluster::start().unwrap();
    for options in ["", "?protocol=resp3"] {
        let mut connection = connect(&cluster, options);
        let () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
        let () = connection.set("name", b"\x00\xffada").unwrap();
        let name: Vec<u8> = connection.get("name").unwrap();
        assert_eq!(name, b"\x00\xffada");
        let nobody: Option<String> = connection.get("nobody").unwrap();
        assert_eq!(nobody, None);

        let pairs: Vec<(String, usize)> = (0..200).map(|number| (format!("k{number}"), number)).collect();
        let () = connection.mset(&pairs).unwrap();
        let keys: Vec<&String> = pairs.iter().map(|(key, _)| key).collect();
        let values: Vec<usize> = connection.mget(&keys).unwrap();
        assert_eq!(values, (0..200).collect::<Vec<_>>());
        let removed: usize = connection.del(&keys).unwrap();
        assert_eq!(removed, 200);

        let added: usize = connection.zadd_multiple("board", &[(1.5, "bob"), (3.0, "ada")]).unwrap();
        assert_eq!(added, 2);
        let board: Vec<(String, f64)> = connection.zrange_withscores("board", 0, -1).unwrap();
        assert_eq!(board, [("bob".to_owned(), 1.5), ("ada".to_owned(), 3.0)]);
        let () = connection.hset_multiple("hash", &[("a", 1), ("b", 2)]).unwrap();
        let hash: std::collections::BTreeMap<String, i64> = connection.hgetall("hash").unwrap();
        assert_eq!(hash.into_iter().collect::<Vec<_>>(), [("a".to_owned(), 1), ("b".to_owned(), 2)]);

        let mut pipeline = redis::pipe();
        for number in 0..1000 {
            pipeline.cmd("SET").arg(format!("p{number}")).arg(number).ignore();
            pipeline.cmd("GET").arg(format!("p{number}"));
        }
        let replies: Vec<usize> = pipeline.query(&mut connection).unwrap();
        assert_eq!(replies, (0..1000).collect::<Vec<_>>());

        let wrong: RedisResult<usize> = connection.lpush("name", "x");
        assert_eq!(wrong.unwrap_err().code(), Some("WRONGTYPE"));
        let found: Vec<String> =
            connection.scan_match::<_, String>("p*").unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(found.len(), 1000);
    }
}

#[test]
fn database_of_the_url_is_selected() {
    let cluster = Cluster::start().unwrap();
    let () = connect(&cluster, "7").set("name", "seven").unwrap();
    let here: Option<String> = connect(&cluster, "0").get("name").unwrap();
    assert_eq!(here, None);
    let there: String = connect(&cluster, "7").get("name").unwrap();
    assert_eq!(there, "seven");
}

#[test]
fn cluster_aware_client_uses_the_shards_directly() {
    let cluster = Cluster::start_with(&Plan { proxies: 0, ..Plan::default() }).unwrap();
    // It learns the others from the first.
    let seed = format!("redis://{}", cluster.layout().nodes[0].address);
    let mut connection = ClusterClient::new(vec![seed]).unwrap().get_connection().unwrap();
    for number in 0..300 {
        let () = connection.set(format!("key:{number}"), number).unwrap();
    }
    for number in 0..300 {
        let value: i64 = connection.get(format!("key:{number}")).unwrap();
        assert_eq!(value, number);
    }
    for shard in 0..3 {
        let keys = cluster.shard_client(shard).unwrap().run("DBSIZE").unwrap().as_int().unwrap();
        assert!((50..200).contains(&keys), "shard {shard} has {keys} of 300 keys");
    }
}

//! Settings of the cluster are made everywhere or nowhere, and last.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::time::Duration;

use slotway_common::cluster_file::ClusterFile;
use slotway_common::handshake::Identity;
use slotway_common::internal::{CallError, Connection};
use slotway_common::resp::Value;
use slotway_tests::{Cluster, Plan};

/// An internal connection to a shard, as a proxy opens one.
async fn connect(cluster: &Cluster, number: usize) -> Connection {
    let layout = cluster.layout();
    let file = ClusterFile::read(&layout.file()).unwrap();
    let secret = slotway_common::secret::Secret::read(&layout.directory().join(&file.secret_path)).unwrap();
    let identity = Identity { cluster: file.cluster.clone(), node: "proxy-0".to_owned() };
    let address = layout.nodes[number].address.to_string();
    Connection::open(&address, &identity, &secret, None, Duration::from_secs(20)).await.unwrap()
}

async fn settings(connection: &mut Connection) -> serde_json::Value {
    let reply = connection.call(&["SLOTWAY", "SETTINGS"]).await.unwrap();
    serde_json::from_slice(reply.as_bytes().unwrap()).unwrap()
}

fn get(cluster: &Cluster, number: usize, name: &str) -> String {
    let reply = cluster.shard_client(number).unwrap().run(&format!("config get {name}")).unwrap();
    String::from_utf8_lossy(reply.as_array().unwrap()[1].as_bytes().unwrap()).into_owned()
}

#[tokio::test]
async fn committed_settings_are_in_force_everywhere_and_outlive_a_kill() {
    let plan = Plan { shards: 1, proxies: 1, settings: vec![("timeout".to_owned(), "11".to_owned())] };
    let cluster = Cluster::start_with(&plan).unwrap();
    let mut connection = connect(&cluster, 0).await;
    let founded = settings(&mut connection).await;
    assert_eq!(founded["values"], serde_json::json!({"timeout": "11"}));

    let refused = connection.call(&["SLOTWAY", "SETTINGS", "CHECK", "hz", "5", "maxmemory", "x"]).await;
    let Err(CallError::Refused(text)) = refused else { panic!("a wrong value was accepted") };
    assert_eq!(
        text,
        "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"
    );
    let checked = connection.call(&["SLOTWAY", "SETTINGS", "CHECK", "timeout", "77"]).await.unwrap();
    assert_eq!(checked, Value::Simple(b"OK".to_vec()));
    assert_eq!(get(&cluster, 0, "timeout"), "11");
    let mut proxy = cluster.client().unwrap();
    assert_eq!(proxy.run("config set maxmemory 1gb maxclients 500 timeout 0").unwrap().to_string(), "+OK");
    let committed = settings(&mut connection).await;
    assert_eq!(committed["values"], serde_json::json!({"maxmemory": "1073741824", "maxclients": "500"}));
    assert!(committed["version"].as_u64() > founded["version"].as_u64(), "{committed} after {founded}");
    // What a client sets at the shard itself does not last.
    let mut client = cluster.shard_client(0).unwrap();
    client.run("config set maxmemory-samples 9").unwrap();

    cluster.kill("a-0");
    // The file's value is a wish now: the cluster has another one.
    let file = cluster.layout().file();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("timeout: \"11\"", "timeout: \"12\"")).unwrap();
    let _again = cluster.start_missing().unwrap();
    assert_eq!(settings(&mut connect(&cluster, 0).await).await, committed);
    assert_eq!(get(&cluster, 0, "maxmemory-samples"), "5");
    assert_eq!(get(&cluster, 0, "timeout"), "0");
    let info = cluster.shard_client(0).unwrap().run("info memory").unwrap();
    assert!(String::from_utf8_lossy(info.as_bytes().unwrap()).contains("maxmemory:1073741824\r\n"));
}

#[tokio::test]
async fn only_internal_connections_reach_the_settings_of_the_cluster() {
    let cluster = Cluster::start_with(&Plan { shards: 1, proxies: 0, settings: Vec::new() }).unwrap();
    let reply = cluster.shard_client(0).unwrap().run("slotway settings").unwrap();
    let Value::Error(text) = reply else { panic!("{reply:?}") };
    assert!(text.starts_with(b"ERR unknown command 'slotway'"), "{}", text.escape_ascii());
}

#[test]
fn memory_and_passwords_are_shared_by_all_shards_of_a_file() {
    let settings =
        vec![("maxmemory".to_owned(), "300mb".to_owned()), ("requirepass".to_owned(), "secret".to_owned())];
    let cluster = Cluster::start_with(&Plan { shards: 3, proxies: 0, settings }).unwrap();
    let mut limits = 0;
    for number in 0..3 {
        let mut client = cluster.shard_client(number).unwrap();
        assert_eq!(client.run("get a").unwrap(), Value::Error(b"NOAUTH Authentication required.".to_vec()));
        assert!(client.run("auth wrong").unwrap().is_error());
        assert_eq!(client.run("auth secret").unwrap(), Value::Simple(b"OK".to_vec()));
        let info = client.run("info memory").unwrap();
        let info = String::from_utf8_lossy(info.as_bytes().unwrap()).into_owned();
        let limit = info.lines().find_map(|line| line.strip_prefix("maxmemory:")).unwrap();
        limits += limit.parse::<u64>().unwrap();
    }
    let all = 300 << 20;
    assert!((all - 3..=all).contains(&limits), "{limits}");
}

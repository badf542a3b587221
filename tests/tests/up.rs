//! `slotway up`: what it starts, what it leaves alone, and that nothing stays behind.

use std::net::TcpListener;

use slotway_tests::cluster::{Layout, Up};
use slotway_tests::process::{is_running, signal};
use slotway_tests::wait::wait_until;
use slotway_tests::{Cluster, Plan, RedisServer};

fn shards_only() -> Plan {
    Plan { proxies: 0, shards: 2, ..Plan::default() }
}

fn wait_until_gone(processes: &[u32]) {
    wait_until("every child ends", || !processes.iter().any(|process| is_running(*process)));
}

#[test]
fn interrupt_stops_every_child_and_is_a_success() {
    let mut cluster = Cluster::start().unwrap();
    let children = cluster.up().all_started();
    assert_eq!(children.len(), 4);
    signal(cluster.up().process_id(), "INT");
    let status = cluster.up().wait();
    assert_eq!(status.code(), Some(0));
    assert!(!children.iter().any(|child| is_running(*child)), "it ended before its children");
}

#[test]
fn terminate_stops_every_child() {
    let mut cluster = Cluster::start_with(&shards_only()).unwrap();
    let children = cluster.up().all_started();
    signal(cluster.up().process_id(), "TERM");
    assert_eq!(cluster.up().wait().code(), Some(0));
    assert!(!children.iter().any(|child| is_running(*child)));
}

#[test]
fn children_stop_when_their_parent_is_killed() {
    let mut cluster = Cluster::start().unwrap();
    let children = cluster.up().all_started();
    signal(cluster.up().process_id(), "KILL");
    cluster.up().wait();
    wait_until_gone(&children);
}

#[test]
fn child_that_does_not_stop_is_killed() {
    let mut cluster = Cluster::start_with(&shards_only()).unwrap();
    let frozen = cluster.process_id("a-0");
    signal(frozen, "STOP");
    signal(cluster.up().process_id(), "INT");
    cluster.up().wait_for_line("a-0 does not stop: killed");
    assert_eq!(cluster.up().wait().code(), Some(0));
    assert!(!is_running(frozen));
}

#[test]
fn ended_child_is_reported_and_started_again_by_the_same_command() {
    let mut cluster = Cluster::start().unwrap();
    cluster.kill("b-0");
    cluster.up().wait_for_line(
        "b-0 ended (signal: 9 (SIGKILL)): its slots fail until it is started again with `slotway up cluster.yaml`",
    );
    let mut second = cluster.start_missing().unwrap();
    second.wait_for_line("a-0 is running already: left alone");
    second.wait_for_line("c-0 is running already: left alone");
    second.wait_for_line("proxy-0 is running already: left alone");
    assert_eq!(second.all_started().len(), 1);
    let restarted = second.started("b-0").unwrap();
    assert!(is_running(restarted));
    signal(second.process_id(), "INT");
    assert_eq!(second.wait().code(), Some(0));
    assert!(is_running(cluster.process_id("a-0")), "it stopped what it had not started");
}

#[test]
fn nothing_is_started_when_everything_runs() {
    let cluster = Cluster::start().unwrap();
    let mut second = cluster.start_missing().unwrap();
    assert_eq!(second.wait().code(), Some(0));
    assert!(second.all_started().is_empty());
}

#[test]
fn cluster_without_children_is_an_error() {
    let mut cluster = Cluster::start_with(&shards_only()).unwrap();
    cluster.kill("a-0");
    cluster.kill("b-0");
    assert_eq!(cluster.up().wait().code(), Some(1));
    cluster.up().wait_for_line("slotway: every process that was started has ended");
}

/// Its one line of complaint, without having started anything.
fn refused(up: &mut Up) -> String {
    assert_eq!(up.wait().code(), Some(1));
    let line = up.wait_for_line("slotway: ");
    assert!(up.all_started().is_empty());
    line
}

#[test]
fn redis_server_on_a_port_is_named() {
    let layout = Layout::new(&Plan::default()).unwrap();
    let address = layout.proxies[0].address;
    let _redis = RedisServer::start_on(address.port()).unwrap();
    let line = refused(&mut layout.up().unwrap());
    assert_eq!(
        line,
        format!(
            "slotway: {address} (clients of proxy-0) is in use by another process: not a Slotway process: it \
             answered `ERR unknown command 'SLOTWAY', with args beginning with: 'CO…`"
        )
    );
}

#[test]
fn silent_process_on_a_port_is_named() {
    let layout = Layout::new(&shards_only()).unwrap();
    let _listener = TcpListener::bind(layout.nodes[1].address).unwrap();
    let line = refused(&mut layout.up().unwrap());
    let address = layout.nodes[1].address;
    assert_eq!(
        line,
        format!("slotway: {address} (clients of b-0) is in use by another process: no answer within 5000 ms")
    );
}

#[test]
fn process_that_ends_while_it_is_asked_is_started() {
    let layout = Layout::new(&shards_only()).unwrap();
    let listener = TcpListener::bind(layout.nodes[0].address).unwrap();
    let mut up = layout.up().unwrap();
    let asked = listener.accept().unwrap();
    drop((listener, asked));
    up.wait_until_ready().unwrap();
}

#[test]
fn foreign_process_on_an_admin_port_is_named() {
    let layout = Layout::new(&shards_only()).unwrap();
    let _listener = TcpListener::bind(layout.nodes[0].admin).unwrap();
    let line = refused(&mut layout.up().unwrap());
    let address = layout.nodes[0].admin;
    assert_eq!(
        line,
        format!(
            "slotway: {address} (admin of a-0) is in use by another process: it is not a process of this cluster"
        )
    );
}

#[test]
fn process_of_another_cluster_is_named() {
    let cluster = Cluster::start_with(&shards_only()).unwrap();
    let address = cluster.layout().nodes[0].address;
    let file = cluster.layout().file();
    let text = std::fs::read_to_string(&file).unwrap().replace("cluster: test", "cluster: other");
    std::fs::write(file, text).unwrap();
    let line = refused(&mut cluster.layout().up().unwrap());
    assert_eq!(
        line,
        format!(
            "slotway: {address} (clients of a-0) is in use by another process: ERR handshake refused: a process of \
             cluster `other` met one of cluster `test`"
        )
    );
}

#[test]
fn cluster_with_the_same_name_and_another_secret_is_foreign() {
    let cluster = Cluster::start_with(&shards_only()).unwrap();
    let secret = cluster.layout().directory().join("data/test/secret");
    std::fs::write(secret, "another secret of some length").unwrap();
    let line = refused(&mut cluster.layout().up().unwrap());
    assert!(line.ends_with("is in use by another process: the secrets differ"), "{line}");
}

#[test]
fn child_that_ends_before_it_is_ready_stops_the_rest() {
    let layout = Layout::new(&shards_only()).unwrap();
    let mut up = layout.up().unwrap();
    up.wait_for_line("a-0 started as process ");
    signal(up.started("a-0").unwrap(), "KILL");
    let status = up.wait();
    // It may have been ready already; then the other child runs on until it is asked to stop.
    if status.code() == Some(1) {
        up.wait_for_line("slotway: a-0 ended before the cluster was ready, see its lines above");
    }
    wait_until_gone(&up.all_started());
}

//! What every process shows to Prometheus, checked by Prometheus itself.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use slotway_tests::cluster::Process;
use slotway_tests::folder::Folder;
use slotway_tests::http;
use slotway_tests::ports::free_ports;
use slotway_tests::wait::{wait_for, wait_until};
use slotway_tests::{Cluster, Plan};

fn processes(cluster: &Cluster) -> Vec<Process> {
    let layout = cluster.layout();
    layout.proxies.iter().chain(&layout.nodes).cloned().collect()
}

fn use_a_little(cluster: &Cluster) {
    let mut client = cluster.client().unwrap();
    for line in [
        "SET a 1",
        "GET a",
        "GET nothing",
        "LPUSH l 1 2",
        "HSET h f v",
        "SADD s 1",
        "ZADD z 1 m",
        "GET l",
        "NOSUCH",
    ] {
        client.run(line).unwrap();
    }
}

/// What `promtool check metrics` complains of.
fn complaints(page: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: tests/setup.sh");
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() { said } else { format!("{}: {said}", output.status) }
}

#[test]
fn promtool_finds_nothing_to_complain_of() {
    let cluster = Cluster::start().unwrap();
    use_a_little(&cluster);
    for process in processes(&cluster) {
        let (status, page) = http::get(process.admin, "/metrics").unwrap();
        assert_eq!(status, 200, "{}", process.id);
        assert_eq!(complaints(&page), "", "{}", process.id);
        let own = if process.id.starts_with("proxy") { "slotway_proxy_" } else { "slotway_shard_" };
        assert!(page.lines().any(|line| line.starts_with(own)), "{}: {page}", process.id);
        assert!(page.contains("process_cpu_seconds_total"), "{}", process.id);
    }
}

#[test]
fn requests_are_counted_by_family() {
    let cluster = Cluster::start().unwrap();
    use_a_little(&cluster);
    let admin = cluster.layout().proxies[0].admin;
    wait_until("the proxy counts", || {
        let (_, page) = http::get(admin, "/metrics").unwrap();
        let counted = |family: &str, at_least: f64| {
            let prefix = format!("slotway_proxy_requests_total{{family=\"{family}\"}} ");
            page.lines()
                .find_map(|line| line.strip_prefix(&prefix)?.parse::<f64>().ok())
                .is_some_and(|count| count >= at_least)
        };
        counted("string", 4.0) && counted("list", 1.0) && counted("sorted-set", 1.0)
    });
}

#[test]
fn health_pages_answer() {
    let cluster = Cluster::start().unwrap();
    for process in processes(&cluster) {
        for path in ["/healthz", "/readyz"] {
            let answer = http::get(process.admin, path).unwrap();
            assert_eq!(answer, (200, "ok\n".to_owned()), "{} {path}", process.id);
        }
    }
}

#[test]
fn discovery_names_every_process() {
    let cluster = Cluster::start_with(&Plan { proxies: 2, ..Plan::default() }).unwrap();
    for proxy in &cluster.layout().proxies {
        let (status, page) = http::get(proxy.admin, "/sd").unwrap();
        assert_eq!(status, 200);
        let targets: Value = serde_json::from_str(&page).unwrap();
        for process in processes(&cluster) {
            let target = targets
                .as_array()
                .unwrap()
                .iter()
                .find(|target| target["labels"]["node"] == process.id.as_str())
                .unwrap_or_else(|| panic!("{} is not in {page}", process.id));
            assert_eq!(target["targets"], serde_json::json!([process.admin.to_string()]));
            assert_eq!(target["labels"]["cluster"], "test");
        }
    }
}

/// A Prometheus with the repository's configuration, which ends with this value.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

fn config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

impl Prometheus {
    fn start(proxy_admin: SocketAddr) -> Prometheus {
        let folder = Folder::new().unwrap();
        let port = free_ports(1)[0];
        let shipped = std::fs::read_to_string(config().join("prometheus.yml")).unwrap();
        assert!(shipped.contains("127.0.0.1:9379"), "{shipped}");
        let own = shipped
            .replace("127.0.0.1:9379", &proxy_admin.to_string())
            .replace("interval: 5s", "interval: 200ms")
            .replace("interval: 10s", "interval: 200ms");
        std::fs::write(folder.path().join("prometheus.yml"), own).unwrap();
        std::fs::copy(config().join("alerts.yml"), folder.path().join("alerts.yml")).unwrap();
        let child = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is installed: tests/setup.sh");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let prometheus = Prometheus { child, address, _folder: folder };
        wait_until("Prometheus is ready", || {
            http::get(address, "/-/ready").is_ok_and(|(status, _)| status == 200)
        });
        prometheus
    }

    /// The values of a query's answer.
    fn query(&self, query: &str) -> Vec<f64> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (_, body) = http::get(self.address, &format!("/api/v1/query?query={encoded}")).unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["status"], "success", "{query}: {body}");
        let series = answer["data"]["result"].as_array().unwrap();
        series.iter().map(|series| series["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn prometheus_finds_scrapes_and_answers() {
    let cluster = Cluster::start().unwrap();
    let prometheus = Prometheus::start(cluster.layout().proxies[0].admin);
    wait_until("Prometheus scrapes every process", || prometheus.query("sum(up{cluster=\"test\"})") == [4.0]);
    use_a_little(&cluster);
    wait_until("the shards together own every slot", || {
        prometheus.query("sum(slotway_shard_slots_owned)") == [16384.0]
    });
    wait_until("the shards' hits are there", || {
        prometheus.query("sum(slotway_shard_keyspace_hits_total)").first().is_some_and(|hits| *hits >= 1.0)
    });
    let rules = wait_for("the alert rules are loaded", || {
        let (_, body) = http::get(prometheus.address, "/api/v1/rules").ok()?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        let groups = answer["data"]["groups"].as_array()?.clone();
        (!groups.is_empty()).then_some(groups)
    });
    for rule in rules.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        assert_ne!(rule["health"], "err", "{rule}");
    }

    cluster.kill("c-0");
    wait_until("Prometheus sees that a shard is gone", || prometheus.query("up{node=\"c-0\"}") == [0.0]);
}

#[test]
fn shipped_configuration_is_valid() {
    let output = Command::new("promtool")
        .args(["check", "config", "prometheus.yml"])
        .current_dir(config())
        .output()
        .expect("promtool is installed: tests/setup.sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
}

/// Every metric that alerts and dashboard ask for is one that a process shows.
#[test]
fn alerts_and_dashboard_use_metrics_that_exist() {
    let cluster = Cluster::start().unwrap();
    use_a_little(&cluster);
    let pages: String =
        processes(&cluster).iter().map(|process| http::get(process.admin, "/metrics").unwrap().1).collect();
    for file in ["alerts.yml", "dashboard.json"] {
        let text = std::fs::read_to_string(config().join(file)).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|word| word.starts_with("slotway_") || word.starts_with("process_")) {
            let shown = pages.lines().any(|line| line.starts_with(word));
            assert!(shown, "{file} uses {word}, which no process shows");
        }
    }
}

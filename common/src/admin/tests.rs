use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;

fn request(admin: &Admin, head: &str) -> String {
    let mut stream = TcpStream::connect(admin.address()).unwrap();
    write!(stream, "{head}\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn start(health: &Arc<Health>) -> Admin {
    let page = Page { path: "/sd", content_type: "application/json", body: Box::new(|| "[]".to_owned()) };
    Admin::start("127.0.0.1:0", Arc::new(Metrics::new()), health.clone(), vec![page]).unwrap()
}

#[test]
fn pages_answer_with_their_state() {
    let health = Health::new();
    let admin = start(&health);
    let answer = request(&admin, "GET /readyz HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nstarting\n"), "{answer}");
    health.set_ready();
    assert!(request(&admin, "GET /readyz HTTP/1.1").starts_with("HTTP/1.1 200 "));
    assert!(request(&admin, "GET /healthz HTTP/1.1").ends_with("ok\n"));

    let metrics = request(&admin, "GET /metrics HTTP/1.1");
    assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
    assert!(metrics.contains("process_cpu_seconds_total"), "{metrics}");

    let discovery = request(&admin, "GET /sd?x=1 HTTP/1.1");
    assert!(discovery.contains("content-type: application/json"), "{discovery}");
    assert!(discovery.ends_with("[]"), "{discovery}");
}

#[test]
fn other_paths_and_methods_are_refused() {
    let admin = start(&Health::new());
    let answer = request(&admin, "GET / HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.ends_with("not found; there are /metrics, /healthz, /readyz, /sd\n"), "{answer}");
    let answer = request(&admin, "POST /metrics HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(request(&admin, "nonsense").starts_with("HTTP/1.1 400 "));
}

#[test]
fn taken_port_is_told_at_the_start() {
    let admin = start(&Health::new());
    let second =
        Admin::start(&admin.address().to_string(), Arc::new(Metrics::new()), Health::new(), Vec::new());
    assert_eq!(second.err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
}

#[test]
fn dropping_it_closes_the_port() {
    let admin = start(&Health::new());
    let address = admin.address();
    drop(admin);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_ok() {
        assert!(std::time::Instant::now() < deadline, "the port is still open");
        std::thread::yield_now();
    }
}

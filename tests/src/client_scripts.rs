//! Runs the scripts of `clients/`, which use other people's client libraries.

use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::programs::client_libraries;

/// Only a script that hangs takes longer.
const PATIENCE: Duration = Duration::from_secs(240);

fn path(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script)
}

/// Runs a Python script: `SCRIPT HOST PORT more…`.
///
/// # Panics
/// When it fails, with what it printed.
pub fn python(script: &str, address: SocketAddr, more: &[&str]) {
    run(command(script, address, more));
}

/// Runs a Node.js script: `SCRIPT LIBRARIES HOST PORT`. Does nothing where there is no Node.js.
///
/// # Panics
/// When it fails, with what it printed.
pub fn node(script: &str, address: SocketAddr) {
    if !client_libraries().join("node_modules").is_dir() {
        eprintln!("there is no Node.js here: not tested");
        return;
    }
    run(command(script, address, &[]));
}

/// Runs a script of either kind, and gives what it has printed; `None` where its libraries are not installed.
///
/// # Panics
/// When it fails, with what it printed.
#[must_use]
pub fn output(script: &str, address: SocketAddr, more: &[&str]) -> Option<String> {
    let libraries = if script.ends_with(".py") { "venv" } else { "node_modules" };
    client_libraries().join(libraries).is_dir().then(|| run(command(script, address, more)))
}

fn command(script: &str, address: SocketAddr, more: &[&str]) -> Command {
    let libraries = client_libraries();
    let mut command = if script.ends_with(".py") {
        let mut command = Command::new(libraries.join("venv/bin/python"));
        command.arg(path(script));
        command
    } else {
        let mut command = Command::new("node");
        command.arg(path(script)).arg(libraries);
        command
    };
    command.args([address.ip().to_string(), address.port().to_string()]).args(more);
    command
}

/// Runs a script, which prints `ok` at its end. Gives what it has printed. What it has started and left ends with it.
fn run(mut command: Command) -> String {
    let mut child = command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the script's interpreter starts");
    let (output, errors) = (read(child.stdout.take()), read(child.stderr.take()));
    let give_up = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().expect("a child") {
            None if Instant::now() < give_up => std::thread::sleep(Duration::from_millis(10)),
            status => break status,
        }
    };
    let _ = Command::new("kill")
        .args(["-KILL", "--", &format!("-{}", child.id())])
        .stderr(Stdio::null())
        .status();
    let _ = child.wait();
    let (output, errors) = (output.join().unwrap_or_default(), errors.join().unwrap_or_default());
    let text = || String::from_utf8_lossy(&[&output[..], &errors].concat()).into_owned();
    let status = status.unwrap_or_else(|| panic!("{command:?} has not ended after {PATIENCE:?}: {}", text()));
    assert!(status.success(), "{command:?}: {}", text());
    assert!(output.ends_with(b"ok\n"), "{command:?}: {}", text());
    String::from_utf8_lossy(&output).into_owned()
}

fn read(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
        bytes
    })
}

//! A bad file or flag ends a program with exit code 2 and one line that says what and where.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use slotway_tests::folder::Folder;
use slotway_tests::programs::binary;

fn run(program: &str, arguments: &[&str], folder: &Folder) -> Output {
    let mut child = Command::new(binary(program))
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // What accepts the input would serve for ever.
    let start = Instant::now();
    while child.try_wait().expect("a status").is_none() {
        if start.elapsed() > Duration::from_secs(30) {
            child.kill().expect("a running child");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("its output")
}

/// The line on standard error.
fn refusal(program: &str, arguments: &[&str], folder: &Folder) -> String {
    let output = run(program, arguments, folder);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{program} {arguments:?}: {text}");
    assert_eq!(output.stdout, b"", "{program} {arguments:?}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1, "{program} {arguments:?}: {text}");
    text.trim_end().to_owned()
}

/// Every program, with the flags that it needs besides the file.
fn programs(file: &str) -> [(&'static str, Vec<&str>); 9] {
    [
        ("slotway", vec!["up", file]),
        ("slotway", vec!["status", file]),
        ("slotway", vec!["plan", file]),
        ("slotway", vec!["apply", file]),
        ("slotway", vec!["abort", file]),
        ("slotway", vec!["rebalance", file, "--by", "keys"]),
        ("slotway", vec!["drain", file, "a"]),
        ("slotway-shard", vec!["--node", "a-0", "--cluster", file]),
        ("slotway-proxy", vec!["--cluster", file]),
    ]
}

#[test]
fn missing_file_is_named() {
    let folder = Folder::new().unwrap();
    for (program, arguments) in programs("nowhere.yaml") {
        assert_eq!(
            refusal(program, &arguments, &folder),
            format!("{program}: nowhere.yaml: cannot be read: No such file or directory (os error 2)")
        );
    }
}

#[test]
fn mistake_in_a_file_is_told_with_its_line() {
    let folder = Folder::new().unwrap();
    let text =
        "cluster: local\nshards:\n  - { name: a, nodes: [127.0.0.1:7001] }\n  - { name: a, nodes: [] }\n";
    std::fs::write(folder.path().join("bad.yaml"), text).unwrap();
    for (program, arguments) in programs("bad.yaml") {
        assert_eq!(
            refusal(program, &arguments, &folder),
            format!("{program}: bad.yaml:4: shard name `a` is used twice, first in line 3")
        );
    }
}

#[test]
fn bad_setting_is_told_with_its_line() {
    let folder = Folder::new().unwrap();
    for (settings, reason) in
        [("maxmemory: lots", "maxmemory"), ("no-such-setting: 1", "no-such-setting"), ("port: 7", "port")]
    {
        let text = format!(
            "cluster: local\nshards:\n  - {{ name: a, nodes: [127.0.0.1:7001] }}\nsettings:\n  {settings}\n"
        );
        std::fs::write(folder.path().join("bad.yaml"), text).unwrap();
        let line = refusal("slotway", &["up", "bad.yaml"], &folder);
        assert!(line.starts_with("slotway: bad.yaml:5: "), "{line}");
        assert!(line.contains(reason), "{line}");
    }
}

#[test]
fn bad_flags_are_named() {
    let folder = Folder::new().unwrap();
    for program in ["slotway-shard", "slotway-proxy"] {
        assert_eq!(
            refusal(program, &["--cluster", "x.yaml", "--port", "7"], &folder),
            format!("{program}: unexpected argument '--port' found (see --help)")
        );
        assert!(refusal(program, &[], &folder).contains("--cluster"));
    }
    assert_eq!(
        refusal("slotway", &["start"], &folder),
        "slotway: unrecognized subcommand 'start' (see --help)"
    );
}

#[test]
fn node_that_is_not_in_the_file_is_named() {
    let folder = Folder::new().unwrap();
    let text = "cluster: local\nshards:\n  - { name: a, nodes: [127.0.0.1:7001] }\n";
    std::fs::write(folder.path().join("cluster.yaml"), text).unwrap();
    let line = refusal("slotway-shard", &["--cluster", "cluster.yaml", "--node", "b-0"], &folder);
    assert_eq!(line, "slotway-shard: cluster.yaml: there is no node b-0");
}

#[test]
fn cluster_on_other_hosts_needs_a_secret() {
    let folder = Folder::new().unwrap();
    let text = "cluster: local\nproxies:\n  - { listen: 127.0.0.1:7000 }\nshards:\n  - { name: a, nodes: [192.0.2.1:7001] }\n";
    std::fs::write(folder.path().join("remote.yaml"), text).unwrap();
    for (program, arguments) in programs("remote.yaml") {
        assert_eq!(
            refusal(program, &arguments, &folder),
            format!(
                "{program}: node a-0 at 192.0.2.1:7001 is not on this machine, so the cluster needs a secret: put at \
                 least 16 random bytes into data/local/secret on every host"
            )
        );
    }
}

#[test]
fn help_is_no_mistake() {
    let folder = Folder::new().unwrap();
    for program in ["slotway", "slotway-shard", "slotway-proxy"] {
        let output = run(program, &["--help"], &folder);
        assert_eq!(output.status.code(), Some(0), "{program}");
        assert!(!output.stdout.is_empty(), "{program}");
    }
}

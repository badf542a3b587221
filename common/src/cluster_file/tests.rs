use super::*;

const DESIGN: &str = "\
cluster: local
proxies:
  - { listen: 127.0.0.1:6379, admin: 127.0.0.1:9379 }
shards:
  - { name: a, nodes: [127.0.0.1:7001] }
  - { name: b, nodes: [127.0.0.1:7002] }
  - { name: c, nodes: [127.0.0.1:7003] }
settings: {}      # cluster-wide CONFIG parameters, by their Redis names
";

fn parse(text: &str) -> Result<ClusterFile, String> {
    ClusterFile::parse(text.as_bytes()).map_err(|problem| format!("{}: {}", problem.line, problem.reason))
}

fn refusal(text: &str) -> String {
    let reason = parse(text).expect_err("accepted");
    assert!(!reason.contains('\n'), "more than one line: {reason}");
    reason
}

/// A file with these shards, which begin in line 3.
fn shards(lines: &str) -> String {
    format!("cluster: local\nshards:\n{lines}")
}

#[test]
fn example_of_the_design_is_understood() {
    let file = parse(DESIGN).unwrap();
    assert_eq!(file.cluster, "local");
    assert_eq!(file.proxies[0].id, "proxy-0");
    assert_eq!(file.proxies[0].admin.to_string(), "127.0.0.1:9379");
    let (shard, node) = file.node("b-0").unwrap();
    assert_eq!(shard.name, "b");
    assert_eq!(node.control.to_string(), "127.0.0.1:17002");
    assert_eq!(node.admin.to_string(), "127.0.0.1:27002");
    assert_eq!(node.directory, Path::new("data/local/b-0"));
    assert_eq!(file.secret_path, Path::new("data/local/secret"));
    let topology = file.topology();
    assert_eq!(topology.shards[1].slots.to_string(), "5462-10922");
    assert_eq!(topology.shards[2].nodes[0].address, "127.0.0.1:7003");
}

#[test]
fn nodes_can_be_maps() {
    let file = parse(&shards(
        "  - name: a
    nodes:
      - { client: \"[::1]:60000\", control: 7002, admin: 127.0.0.1:7003, directory: /var/lib/a }
      - db.example.com:7001
",
    ))
    .unwrap();
    let nodes = &file.shards[0].nodes;
    assert_eq!(nodes[0].client.to_string(), "[::1]:60000");
    assert_eq!(nodes[0].control.to_string(), "[::1]:7002");
    assert_eq!(nodes[0].admin.to_string(), "127.0.0.1:7003");
    assert_eq!(nodes[0].directory, Path::new("/var/lib/a"));
    assert_eq!(nodes[1].admin.to_string(), "db.example.com:27001");
}

#[test]
fn slots_are_ranges_or_lists_of_ranges() {
    let file = parse(&shards(
        "  - { name: a, slots: 0-99, nodes: [h:1] }
  - { name: b, slots: [100-199, 300, 302-16383], nodes: [h:2] }
  - { name: c, slots: [], nodes: [h:3] }
  - { name: d, slots: [200-299, 301], nodes: [h:4] }
",
    ))
    .unwrap();
    let slots: Vec<String> = file.slots(&[]).iter().map(ToString::to_string).collect();
    assert_eq!(slots, ["0-99", "100-199,300,302-16383", "", "200-299,301"]);
}

#[test]
fn settings_are_texts_as_config_set_takes_them() {
    let file = parse(&format!(
        "{}settings: {{ MaxMemory: 100mb, hz: 10, lazyfree-lazy-user-del: yes, slowlog-log-slower-than: -1 }}\n",
        shards("  - { name: a, nodes: [h:1] }\n")
    ))
    .unwrap();
    let settings: Vec<(&str, &str)> =
        file.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        settings,
        [
            ("hz", "10"),
            ("lazyfree-lazy-user-del", "yes"),
            ("maxmemory", "100mb"),
            ("slowlog-log-slower-than", "-1")
        ]
    );
}

#[test]
fn bad_setting_is_told_with_its_line() {
    let file = |settings: &str| format!("{}settings:\n{settings}", shards("  - { name: a, nodes: [h:1] }\n"));
    assert_eq!(refusal(&file("  hz: 10\n  maxmemroy: 1gb\n")), "6: there is no setting `maxmemroy`");
    assert_eq!(refusal(&file("  hz: 10\n  HZ: 10\n")), "6: setting `HZ` is given twice");
    for bad in ["  maxmemory: lots\n", "  maxmemory-policy: some\n", "  hz: [1]\n", "  port: 7\n", "  hz:\n"]
    {
        assert!(refusal(&file(bad)).starts_with("5: "), "{bad}");
    }
}

#[test]
fn every_mistake_is_told_with_its_line() {
    for (text, reason) in [
        ("", "1: the file is empty, it needs `cluster`, `proxies` and `shards`"),
        ("# nothing\n\n", "1: the file is empty, it needs `cluster`, `proxies` and `shards`"),
        ("- a\n- b\n", "1: invalid type: sequence, expected a map with `cluster`, `proxies` and `shards`"),
        (
            "just text\n",
            "1: invalid type: string \"just text\", expected a map with `cluster`, `proxies` and `shards`",
        ),
        ("cluster: [\n", "2: not valid YAML: while parsing a node, did not find expected node content"),
        ("cluster: local\n", "1: missing field `shards`"),
        ("cluster: local\nshards: []\n", "2: a cluster has at least one shard"),
        ("cluster: local\nshards: 5\n", "2: shards: invalid type: integer `5`, expected a sequence"),
        ("cluster: [a]\nshards: []\n", "1: cluster: invalid type: sequence, expected a string"),
        (
            "cluster: a/b\nshards: []\n",
            "1: cluster name `a/b` is not 1 to 64 letters, digits, `-` and `_`, not beginning with `-`",
        ),
        (
            "cluster: local\nshards: []\nshard: []\n",
            "3: unknown field `shard`, expected one of `cluster`, `proxies`, `shards`, `settings`, `secret`",
        ),
        ("cluster: local\ncluster: other\n", "2: key `cluster` is given twice, first in line 1"),
        (
            "cluster: local\n---\ncluster: b\n",
            "2: a second document starts here, a file describes one cluster",
        ),
        ("cluster: local\n? [a]\n: b\n", "2: a key must be a plain word"),
    ] {
        assert_eq!(refusal(text), reason, "{text}");
    }
}

#[test]
fn every_mistake_in_a_shard_is_told_with_its_line() {
    for (text, reason) in [
        (
            "  - { name: a, nodes: [h:1] }\n  - name: b\n    node: [h:2]\n",
            "5: shards[1]: unknown field `node`, expected one of `name`, `slots`, `weight`, `nodes`",
        ),
        (
            "  - { name: a, nodes: [h:1] }\n  - name: b\n    nodes: [h:2]\n    name: c\n",
            "6: key `name` is given twice, first in line 4",
        ),
        (
            "  - { name: a, nodes: [h:1] }\n  - { name: a, nodes: [h:2] }\n",
            "4: shard name `a` is used twice, first in line 3",
        ),
        ("  - { name: a }\n", "3: shards[0]: missing field `nodes`"),
        ("  - { name: a, nodes: [] }\n", "3: shard `a` has no nodes"),
        (
            "  - { name: a, nodes: h:1 }\n",
            "3: shards[0].nodes: invalid type: string \"h:1\", expected a sequence",
        ),
        ("  - name: a\n    nodes:\n      - h\n", "5: `h` is not an address such as 127.0.0.1:7001"),
        (
            "  - name: a\n    nodes:\n      - 7001\n",
            "5: shards[0].nodes[0]: invalid type: integer `7001`, expected an address such as 127.0.0.1:7001, or a \
             map with `client`",
        ),
        (
            "  - name: a\n    nodes:\n      - { control: 5 }\n",
            "5: shards[0].nodes[0]: missing field `client`",
        ),
        (
            "  - name: a\n    nodes:\n      - client: h:1\n        dir: x\n",
            "6: shards[0].nodes[0]: unknown field `dir`, expected one of `client`, `control`, `admin`, `directory`",
        ),
        (
            "  - name: a\n    nodes:\n      - client: h:1\n        admin: 70000\n",
            "6: admin port 70000 of a-0 does not exist, ports are 1 to 65535",
        ),
        (
            "  - name: a\n    nodes:\n      - 0.0.0.0:1\n",
            "5: nobody can connect to 0.0.0.0:1, give node a-0 the address that others use",
        ),
        (
            "  - name: a\n    nodes: [h:50000]\n",
            "4: admin port of a-0 would be 50000 + 20000 = 70000, above 65535: set `admin`, or use a port up to 45535",
        ),
        (
            "  - name: a\n    nodes: [h:60000]\n",
            "4: control port of a-0 would be 60000 + 10000 = 70000, above 65535: set `control`, or use a port up to \
             45535",
        ),
        (
            "  - { name: a, nodes: [h:1] }\n  - name: b\n    nodes:\n      - h:1\n",
            "6: h:1 for clients of b-0 is taken by clients of a-0 in line 3",
        ),
        (
            "  - { name: a, nodes: [localhost:1] }\n  - { name: b, nodes: [\"127.0.0.1:10001\"] }\n",
            "4: 127.0.0.1:10001 for clients of b-0 is taken by control of a-0 in line 3, which listens at \
             localhost:10001",
        ),
        (
            "  - name: a\n    nodes:\n      - { client: h:1, directory: d }\n      - { client: h:2, directory: d }\n",
            "6: nodes a-0 and a-1 have the same directory d",
        ),
        (
            "  - { name: a, slots: 0-99, nodes: [h:1] }\n  - { name: b, slots: [90-16383], nodes: [h:2] }\n",
            "4: shard `b` owns slots 90-99, which shard `a` in line 3 owns too",
        ),
        (
            "  - { name: a, slots: 0-99, nodes: [h:1] }\n  - { name: b, slots: [200-16382], nodes: [h:2] }\n",
            "2: no shard owns slots 100-199,16383",
        ),
        (
            "  - name: a\n    nodes: [h:1]\n    slots:\n      - 0-99\n      - 5-6\n",
            "7: slot 5 is named twice",
        ),
        (
            "  - name: a\n    nodes: [h:1]\n    slots:\n      - 0-99\n      - 100-16384\n",
            "7: slot 16384 does not exist, the last one is 16383",
        ),
        ("  - { name: a, slots: 9-3, nodes: [h:1] }\n", "3: slot range 9-3 ends before it starts"),
        ("  - { name: a, slots: x, nodes: [h:1] }\n", "3: `x` is not a slot range such as `0-5460` or `42`"),
        (
            "  - { name: a, slots: true, nodes: [h:1] }\n",
            "3: shards[0].slots: invalid type: boolean `true`, expected a slot range such as 0-5460, or a list of \
             ranges",
        ),
        (
            "  - { name: a, slots: 0-16383, weight: 1, nodes: [h:1] }\n",
            "3: shard `a` has both `slots` and `weight`",
        ),
        (
            "  - { name: a, slots: 0-16383, nodes: [h:1] }\n  - { name: b, nodes: [h:2] }\n",
            "4: shard `b` has no `slots`, but shard `a` in line 3 has: give every shard `slots`, or none",
        ),
        (
            "  - { name: a, nodes: [h:1] }\n  - { name: b, slots: [], nodes: [h:2] }\n",
            "3: shard `a` has no `slots`, but shard `b` in line 4 has: give every shard `slots`, or none",
        ),
        (
            "  - { name: a, weight: -1, nodes: [h:1] }\n",
            "3: shards[0].weight: invalid type: integer `-1`, expected a whole number up to 4294967295",
        ),
        (
            "  - { name: a, weight: 0, nodes: [h:1] }\n",
            "2: every shard has weight 0, so nobody would own the slots",
        ),
    ] {
        assert_eq!(refusal(&shards(text)), reason, "{text}");
    }
}

#[test]
fn every_mistake_in_a_proxy_is_told_with_its_line() {
    let file = |proxy: &str| {
        format!("cluster: local\nshards:\n  - {{ name: a, nodes: [127.0.0.1:7001] }}\nproxies:\n{proxy}")
    };
    for (text, reason) in [
        ("  - { admin: h:1 }\n", "5: proxies[0]: missing field `listen`"),
        (
            "  - listen: 127.0.0.1:6379\n    admin: 7001\n",
            "3: 127.0.0.1:7001 for clients of a-0 is taken by admin of proxy-0 in line 6",
        ),
        (
            "  - { listen: 0.0.0.0:7001 }\n",
            "3: 127.0.0.1:7001 for clients of a-0 is taken by clients of proxy-0 in line 5, which listens at \
             0.0.0.0:7001",
        ),
        (
            "  - { listen: h:1, threads: 2 }\n",
            "5: proxies[0]: unknown field `threads`, expected `listen` or `admin`",
        ),
    ] {
        assert_eq!(refusal(&file(text)), reason, "{text}");
    }
}

#[test]
fn unreadable_file_is_named() {
    let error = ClusterFile::read(Path::new("/nonexistent/cluster.yaml")).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/cluster.yaml: cannot be read: "), "{error}");
    let problem = ClusterFile::parse(b"cluster: local\n# \xff\n").unwrap_err();
    assert_eq!(problem, Problem { line: 2, reason: "the file is not UTF-8 text".to_owned() });
}

#[test]
fn remote_cluster_without_secret_is_refused_in_one_line() {
    let folder = std::env::temp_dir().join(format!("slotway-cluster-file-{}", std::process::id()));
    let mut file =
        parse(&shards("  - { name: a, nodes: [127.0.0.1:7001] }\n  - { name: b, nodes: [10.0.0.5:7001] }\n"))
            .unwrap();
    file.secret_path = folder.join("secret");
    let refusal = file.secret().unwrap_err().to_string();
    assert!(
        refusal
            .starts_with("node b-0 at 10.0.0.5:7001 is not on this machine, so the cluster needs a secret: "),
        "{refusal}"
    );
    assert!(!refusal.contains('\n'));
    file.shards.pop();
    let made = file.secret().unwrap();
    assert_eq!(file.secret().unwrap(), made);
    std::fs::remove_dir_all(folder).unwrap();
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused_in_one_line(text in "[a-z:{}\\[\\], \n\"'#&*!|>0-9-]{0,200}") {
        if let Err(reason) = parse(&text) {
            proptest::prop_assert!(!reason.contains('\n'), "{}", reason);
        }
    }

    #[test]
    fn any_damage_to_a_good_file_is_read_or_refused_in_one_line(at in 0..DESIGN.len(), with in ".{0,3}") {
        let mut text = DESIGN.to_owned();
        text.replace_range(at..=at, &with);
        if let Err(reason) = parse(&text) {
            proptest::prop_assert!(!reason.contains('\n'), "{}", reason);
        }
    }
}

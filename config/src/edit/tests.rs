use super::*;

const MIXED: &str = "\
# Größe: drei Shards — bitte nicht löschen
cluster: local   # its name
proxies:
  - { listen: 127.0.0.1:6379 }   # the only one
shards:
  # the old machine
  - { name: a, nodes: [127.0.0.1:7001] }   # half of it
  - name: b   # the new machine
    weight: 2          # it is larger
    nodes:
      - 127.0.0.1:7002   # rack 4
  - name: \"c\"   # still empty

    nodes: [127.0.0.1:7003]

settings: {}      # none
";

fn edit(text: &str, wanted: &[(&str, Placement)]) -> Result<(String, Vec<String>), String> {
    let folder = std::env::temp_dir().join(format!("slotway-edit-{}", random_name()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("cluster.yaml");
    std::fs::write(&path, text).unwrap();
    let wanted = wanted.iter().map(|(name, placement)| ((*name).to_owned(), placement.clone())).collect();
    let edited = Edited::new(&path, &wanted);
    let result = edited.and_then(|edited| edited.write().map(|()| edited.changes));
    let written = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    result
        .map(|changes| (written, changes))
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.display()), ""))
}

fn random_name() -> String {
    slotway_common::platform::random::hex_id::<8>()
}

fn slots(text: &str) -> Placement {
    Placement::Slots(text.parse().unwrap())
}

#[test]
fn only_the_placements_change() {
    let wanted = [("a", slots("0-99")), ("b", slots("100-16383")), ("c", slots(""))];
    let (after, changes) = edit(MIXED, &wanted).unwrap();
    let expected = MIXED
        .replace("7001] }", "7001], slots: 0-99 }")
        .replace("weight: 2 ", "slots: 100-16383 ")
        .replace("# still empty\n", "# still empty\n    slots: []\n");
    assert_eq!(after, expected);
    assert_eq!(changes, ["shard a: slots: 0-99", "shard b: slots: 100-16383", "shard c: slots: []"]);
}

#[test]
fn weight_of_one_shard_changes_alone() {
    let (after, changes) = edit(MIXED, &[("c", Placement::Weight(0)), ("a", Placement::Weight(1))]).unwrap();
    assert_eq!(after, MIXED.replace("# still empty\n", "# still empty\n    weight: 0\n"));
    assert_eq!(changes, ["shard c: weight: 0"]);
    let (after, _) = edit(MIXED, &[("b", Placement::Weight(0))]).unwrap();
    assert_eq!(after, MIXED.replace("weight: 2 ", "weight: 0 "));
}

#[test]
fn lists_over_several_lines_are_replaced() {
    let text = "\
cluster: local
shards:
- slots:
  - 0-99   # first
  - 200
  name: a
  nodes: [127.0.0.1:7001]
- { \"name\": \"b\", \"slots\": [100-199,
      201-16383], nodes: [127.0.0.1:7002] }   # the rest
";
    let (after, _) = edit(text, &[("a", slots("0-100,200")), ("b", slots("101-199,201-16383"))]).unwrap();
    assert_eq!(
        after,
        "\
cluster: local
shards:
- slots: [0-100, 200]
  name: a
  nodes: [127.0.0.1:7001]
- { \"name\": \"b\", slots: [101-199, 201-16383], nodes: [127.0.0.1:7002] }   # the rest
"
    );
}

#[test]
fn many_ranges_are_broken_into_lines() {
    let even: SlotRanges = (0..16384).filter(|slot| slot % 2 == 0 && *slot < 100).collect();
    let odd: SlotRanges = (0..16384).filter(|slot| slot % 2 == 1 || *slot >= 100).collect();
    for text in [
        MIXED.to_owned(),
        MIXED.replace("\n", "\r\n"),
        "cluster: local\nshards:\n- name: a\n  nodes: [127.0.0.1:7001]\n- name: b\n  nodes: [127.0.0.1:7002]"
            .to_owned(),
        "{cluster: local, shards: [{name: a, nodes: [127.0.0.1:7001]}, {name: b, nodes: [127.0.0.1:7002]}]}"
            .to_owned(),
    ] {
        let mut wanted = vec![("a", Placement::Slots(even.clone())), ("b", Placement::Slots(odd.clone()))];
        if text.contains("7003") {
            wanted.push(("c", slots("")));
        }
        let (after, _) = edit(&text, &wanted).unwrap();
        if text.lines().count() > 1 {
            assert!(after.lines().all(|line| line.len() <= 110), "{after}");
        }
        assert_eq!(after.contains("\r\n"), text.contains("\r\n"));
        let (again, changes) = edit(&after, &wanted).unwrap();
        assert_eq!(again, after, "writing the same again changes nothing");
        assert!(changes.is_empty());
    }
}

#[test]
fn file_without_an_end_of_line_is_completed() {
    let text = "cluster: local\nshards:\n  - nodes: [127.0.0.1:7001]\n    name: a";
    let (after, _) = edit(text, &[("a", Placement::Weight(3))]).unwrap();
    assert_eq!(after, format!("{text}\n    weight: 3"));
}

#[test]
fn shard_that_cannot_be_edited_is_named_and_the_file_left_alone() {
    let text = "\
cluster: local
shards:
  - { name: a, nodes: [127.0.0.1:7001], weight: &one 1 }
  - { name: b, nodes: [127.0.0.1:7002], weight: *one }
";
    assert_eq!(
        edit(text, &[("a", Placement::Weight(3))]).unwrap_err(),
        "cluster.yaml: shard a is written in a way that cannot be edited: give it `weight: 3` by hand"
    );
    let (after, _) = edit(text, &[("b", Placement::Weight(3))]).unwrap();
    assert_eq!(after, text.replace("*one", "3"));
}

#[test]
fn file_that_changed_meanwhile_is_left_alone() {
    let path = std::env::temp_dir().join(format!("slotway-edit-{}.yaml", random_name()));
    std::fs::write(&path, MIXED).unwrap();
    let edited = Edited::new(&path, &BTreeMap::from([("b".to_owned(), Placement::Weight(0))])).unwrap();
    std::fs::write(&path, MIXED.replace("weight: 2", "weight: 3")).unwrap();
    let refusal = edited.write().unwrap_err().to_string();
    assert!(refusal.ends_with(": somebody else has changed it meanwhile: try again"), "{refusal}");
    assert!(std::fs::read_to_string(&path).unwrap().contains("weight: 3"));
    std::fs::remove_file(&path).unwrap();
}

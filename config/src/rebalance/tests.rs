use super::*;
use crate::apply::tests::Fake;
use crate::plan::tests::{file, founded};

fn request(by: Measure) -> Request {
    Request { by, window: Duration::ZERO, dry_run: true, options: Options::default() }
}

fn read(fake: &mut Fake, by: Measure) -> Result<BTreeMap<u16, u64>, String> {
    let state = fake.state.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(costs(fake, &state, request(by))).map_err(|error| error.to_string())
}

#[test]
fn slots_cost_what_is_asked_for() {
    let mut fake = Fake::new(founded(&file(&[("a", ""), ("b", "")])));
    fake.slots.insert(3, SlotFigures { slot: 3, keys: 4, bytes: 500, operations: 6 });
    assert_eq!(read(&mut fake, Measure::Keys).unwrap(), BTreeMap::from([(3, 4)]));
    assert_eq!(read(&mut fake, Measure::Bytes).unwrap(), BTreeMap::from([(3, 500)]));
    assert_eq!(read(&mut fake, Measure::Load).unwrap(), BTreeMap::from([(3, 0)]), "none in no time");
}

#[test]
fn what_shards_carry_is_shown_before_and_after() {
    let file = file(&[("a", ""), ("b", "")]);
    let current: Vec<SlotRanges> = file.slots(&[]);
    let costs = BTreeMap::from([(0, 1024), (1, 1024)]);
    let wanted = balance::balance(&current, &weights(&file), &costs);
    assert_eq!(
        table(&file, Measure::Bytes, &current, &wanted, &costs),
        "\
SHARD  BYTES NOW          AFTERWARDS        GETS
a      2.0 KiB (100.0 %)  1.0 KiB (50.0 %)  0 slots
b      0 B (0.0 %)        1.0 KiB (50.0 %)  1 slot
"
    );
}

#[test]
fn refusals_are_one_line() {
    let silent = RebalanceError::Silent { node: "a-0".to_owned(), reason: "connection refused".to_owned() };
    assert_eq!(silent.to_string(), "node a-0 does not say what its slots hold: connection refused");
    assert_eq!(
        RebalanceError::Idle(Duration::from_secs(10)).to_string(),
        "no operation was counted within 10 s, so there is nothing to balance"
    );
}

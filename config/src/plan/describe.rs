//! A plan as text for people and as JSON for scripts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};
use slotway_common::cluster_state::{Move, Shard};
use slotway_common::topology::SlotRanges;

use super::Plan;
use crate::units::{bytes, plural};

/// More ranges are only counted in a text.
const MOST_RANGES: usize = 8;

/// What a move carries, as its source counts it now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MoveFigures {
    pub keys: u64,
    /// Of keys and values.
    pub bytes: u64,
}

/// The steps, one a line. `figures` are by the ids of moves; a move without is one whose source did not answer.
#[must_use]
pub fn describe(plan: &Plan, figures: &BTreeMap<String, MoveFigures>) -> String {
    let mut text = String::new();
    let mut line = |line: std::fmt::Arguments<'_>| {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{line}");
    };
    if !plan.running.is_empty() {
        line(format_args!("under way, counted as done:"));
    }
    for migration in &plan.running {
        line(format_args!(
            "  {}: {} from {} to {}, {} of them moved",
            migration.id,
            plural(migration.slots.count(), "slot"),
            migration.source,
            migration.target,
            migration.moved.count()
        ));
    }
    if plan.is_empty() {
        let then = if plan.running.is_empty() { "is" } else { "will be" };
        line(format_args!("nothing to do: cluster {} {then} as the file wants it", plan.cluster));
    } else {
        line(format_args!("cluster {}, generation {}:", plan.cluster, plan.generation));
    }
    for shard in &plan.add {
        line(format_args!("  add shard {} ({})", shard.name, nodes(shard)));
    }
    for planned in &plan.moves {
        line(format_args!("  move {}", route(planned, figures)));
    }
    for planned in &plan.waiting {
        line(format_args!("  then, when they have arrived there, move {}", route(planned, figures)));
    }
    for name in &plan.remove {
        line(format_args!("  remove shard {name}"));
    }
    for change in &plan.settings {
        line(format_args!("  set {} to {} (now {})", change.name, change.to, change.from));
    }
    for note in &plan.notes {
        line(format_args!("note: {note}"));
    }
    if plan.all_moves().count() > 1 {
        let known: Vec<&MoveFigures> =
            plan.all_moves().filter_map(|planned| figures.get(&planned.id)).collect();
        let total = MoveFigures {
            keys: known.iter().map(|figures| figures.keys).sum(),
            bytes: known.iter().map(|figures| figures.bytes).sum(),
        };
        let least = if known.len() < plan.all_moves().count() { "at least " } else { "" };
        line(format_args!(
            "altogether {}, {least}{} keys and {} move",
            plural(plan.slots_to_move(), "slot"),
            total.keys,
            bytes(total.bytes)
        ));
    }
    text
}

/// The plan as one object, with `changes` (whether there is anything to do), `add`, `moves` (each with `waits`, `keys`
/// and `bytes`, which are null if unknown), `running`, `remove`, `settings` and `notes`.
#[must_use]
pub fn to_json(plan: &Plan, figures: &BTreeMap<String, MoveFigures>) -> Value {
    let moves = plan.moves.iter().map(|planned| (planned, false));
    let waiting = plan.waiting.iter().map(|planned| (planned, true));
    let moves: Vec<Value> = moves
        .chain(waiting)
        .map(|(planned, waits)| {
            let carries = figures.get(&planned.id);
            json!({
                "id": planned.id,
                "source": planned.source,
                "target": planned.target,
                "slots": planned.slots,
                "slot_count": planned.slots.count(),
                "waits": waits,
                "keys": carries.map(|figures| figures.keys),
                "bytes": carries.map(|figures| figures.bytes),
            })
        })
        .collect();
    let add: Vec<Value> = plan
        .add
        .iter()
        .map(|shard| {
            let nodes: Vec<Value> =
                shard.nodes.iter().map(|node| json!({ "node": node.id, "address": node.address })).collect();
            json!({ "shard": shard.name, "nodes": nodes })
        })
        .collect();
    json!({
        "cluster": plan.cluster,
        "generation": plan.generation,
        "changes": !plan.is_empty(),
        "add": add,
        "moves": moves,
        "running": plan.running,
        "remove": plan.remove,
        "settings": plan.settings,
        "notes": plan.notes,
    })
}

fn route(planned: &Move, figures: &BTreeMap<String, MoveFigures>) -> String {
    let carries = match figures.get(&planned.id) {
        Some(figures) => format!(" ({} keys, {})", figures.keys, bytes(figures.bytes)),
        None => String::new(),
    };
    format!(
        "{}{carries} from {} to {}: {}",
        plural(planned.slots.count(), "slot"),
        planned.source,
        planned.target,
        shortened(&planned.slots)
    )
}

/// The first ranges, and how many more there are.
pub(crate) fn shortened(slots: &SlotRanges) -> String {
    let ranges = slots.ranges();
    let shown: Vec<String> = ranges.iter().take(MOST_RANGES).map(ToString::to_string).collect();
    match ranges.len().saturating_sub(MOST_RANGES) {
        0 => shown.join(","),
        more => format!("{} and {}", shown.join(","), plural(more, "more range")),
    }
}

/// `d-0 at 127.0.0.1:7004, d-1 at …`.
fn nodes(shard: &Shard) -> String {
    let nodes: Vec<String> =
        shard.nodes.iter().map(|node| format!("{} at {}", node.id, node.address)).collect();
    nodes.join(", ")
}

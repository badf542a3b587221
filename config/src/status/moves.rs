//! Moves of slots: those under way, and those that ended early and left slots behind.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use serde::Serialize;
use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::{ClusterState, Migration, MoveProgress, Phase};
use slotway_common::secret::Secret;

use crate::apply::figures;
use crate::apply::progress::Pace;
use crate::control::{Control, ControlPlane};
use crate::units::{columns, plural};

/// More moves that ended early are not shown.
const MOST_ENDED: usize = 5;

/// The moves of a cluster. In JSON with the fields of the committed state and, under `progress`, the source's figures.
#[derive(Debug, Default, Serialize)]
pub struct Moves {
    pub under_way: Vec<Move>,
    /// Ended before all slots had moved; the rest is still at the source. The last one comes first.
    pub ended_early: Vec<Migration>,
}

/// A move under way.
#[derive(Debug, Serialize)]
pub struct Move {
    #[serde(flatten)]
    pub migration: Migration,
    pub slots_total: usize,
    pub slots_moved: usize,
    pub progress: MoveProgress,
    /// Slots, keys, speeds and the time left, for people.
    #[serde(skip)]
    text: String,
}

/// The speeds of moves, from one look to the next.
#[derive(Default)]
pub(super) struct Paces(HashMap<String, Pace>);

/// What the cluster says. Nothing if nobody answers: the table of nodes tells that.
pub(super) async fn collect(file: &ClusterFile, secret: &Secret, paces: &mut Paces) -> Moves {
    let mut cluster = Control::new(file, secret.clone());
    let Ok(state) = cluster.state().await else { return Moves::default() };
    let figures = figures(&mut cluster, &state, &state.migrations).await;
    of(&state, figures, paces, Instant::now())
}

fn of(
    state: &ClusterState,
    mut figures: BTreeMap<String, MoveProgress>,
    paces: &mut Paces,
    now: Instant,
) -> Moves {
    paces.0.retain(|id, _| state.migrations.iter().any(|migration| migration.id == *id));
    let under_way = state.migrations.iter().map(|migration| {
        let progress = figures.remove(&migration.id).unwrap_or_default();
        let pace = paces.0.entry(migration.id.clone()).or_insert_with(Pace::new);
        pace.take(migration, &progress, now);
        Move {
            text: pace.text(migration, &progress),
            slots_total: migration.slots.count(),
            slots_moved: migration.moved.count(),
            migration: migration.clone(),
            progress,
        }
    });
    Moves { under_way: under_way.collect(), ended_early: left_behind(state) }
}

/// Moves that ended early, as long as some of their slots are where they should not stay.
fn left_behind(state: &ClusterState) -> Vec<Migration> {
    let is_left = |migration: &Migration| {
        matches!(migration.phase, Phase::Aborted(_))
            && state.shard(&migration.source).is_some_and(|source| {
                let mut left = migration.remaining().slots().collect::<Vec<_>>().into_iter();
                left.any(|slot| source.slots.contains(slot) && state.migration_of(slot).is_none())
            })
    };
    state.ended.iter().rev().filter(|migration| is_left(migration)).take(MOST_ENDED).cloned().collect()
}

/// Appends a table of the moves, if there are any.
pub(super) fn render(moves: &Moves, text: &mut String) {
    if moves.under_way.is_empty() && moves.ended_early.is_empty() {
        return;
    }
    text.push('\n');
    let mut rows = vec![["MOVE", "FROM", "TO", "PROGRESS"].map(String::from)];
    let row = |migration: &Migration, progress: String| {
        [migration.id.clone(), migration.source.clone(), migration.target.clone(), progress]
    };
    for one in &moves.under_way {
        rows.push(row(&one.migration, one.text.clone()));
    }
    for migration in &moves.ended_early {
        if let Phase::Aborted(reason) = &migration.phase {
            let slots = plural(migration.slots.count(), "slot");
            let progress = format!("ended after {} of {slots}: {reason}", migration.moved.count());
            rows.push(row(migration, progress));
        }
    }
    columns(&rows, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{advance, file, founded, propose};
    use slotway_common::cluster_state::{AbortReason, Change};

    #[test]
    fn moves_under_way_and_those_that_left_slots_behind_are_shown() {
        let mut state = founded(&file(&[("a", ""), ("b", ""), ("c", "")]));
        let two = file(&[("a", ""), ("b", "")]);
        let planned = crate::plan::plan(&two, &state).unwrap();
        propose(&mut state, Change::StartMoves { moves: planned.moves });
        advance(&mut state, "4-10923", 5);
        propose(
            &mut state,
            Change::AbortMove { id: "4-13653".to_owned(), reason: AbortReason::asked("too hot") },
        );
        let progress = MoveProgress { keys: 3, keys_total: 9, ..MoveProgress::default() };
        let figures = BTreeMap::from([("4-10923".to_owned(), progress)]);
        let moves = of(&state, figures, &mut Paces::default(), Instant::now());
        let mut text = String::new();
        render(&moves, &mut text);
        assert_eq!(
            text,
            "
MOVE     FROM  TO  PROGRESS
4-10923  c     a   5 of 2730 slots, 3 of 9 keys
4-13653  c     b   ended after 0 of 2731 slots: too hot
"
        );
        let json = serde_json::to_value(&moves).unwrap();
        assert_eq!(json["under_way"][0]["id"], "4-10923");
        assert_eq!(json["under_way"][0]["slots_moved"], 5);
        assert_eq!(json["under_way"][0]["progress"]["keys"], 3);
        assert_eq!(json["ended_early"][0]["phase"]["aborted"]["text"], "too hot");

        let again = crate::plan::plan(&two, &state).unwrap();
        propose(&mut state, Change::StartMoves { moves: again.moves });
        let moves = of(&state, BTreeMap::new(), &mut Paces::default(), Instant::now());
        assert!(moves.ended_early.is_empty(), "its slots are on their way again");
    }

    #[test]
    fn nothing_is_shown_where_nothing_moves() {
        let state = founded(&file(&[("a", "")]));
        let mut text = String::new();
        render(&of(&state, BTreeMap::new(), &mut Paces::default(), Instant::now()), &mut text);
        assert_eq!(text, "");
    }
}

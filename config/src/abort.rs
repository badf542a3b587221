//! `slotway abort`: ends moves where they are. What has moved stays at the target, the rest at the source.

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde_json::json;
use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::{AbortReason, Change, Migration, Outcome, Phase};

use crate::CommandError;
use crate::apply::ApplyError;
use crate::control::{Control, ControlPlane};
use crate::reshard;
use crate::units::plural;

/// What the state keeps as the reason.
const REASON: &str = "stopped by an operator";

/// Why no move was ended. One line.
#[derive(Debug, thiserror::Error)]
pub enum AbortError {
    #[error("there is no move {id}; {running}")]
    Unknown { id: String, running: String },
}

/// `slotway abort FILE [ID]`: this move, or all that are under way.
///
/// # Errors
/// There is no such move, or the cluster does not answer.
pub async fn run(file: &ClusterFile, id: Option<&str>, json: bool) -> Result<ExitCode, CommandError> {
    let mut cluster = Control::new(file, file.secret()?);
    let ended = abort(&mut cluster, id).await?;
    if json {
        reshard::print(&reshard::pretty(&json!({ "moves": ended })));
    } else if ended.is_empty() {
        reshard::print("no move is under way\n");
    }
    for migration in ended.iter().filter(|_| !json) {
        let Migration { id, source, target, slots, moved, phase, .. } = migration;
        let line = match phase {
            Phase::Aborted(reason) => format!(
                "move {id} has ended ({reason}): {} of {} are at {target}, the rest stays at {source}",
                moved.count(),
                plural(slots.count(), "slot")
            ),
            Phase::Finished => format!("move {id} was finished already: {target} has its slots"),
            Phase::Running => format!("move {id} is still under way"),
        };
        reshard::print(&(line + "\n"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends moves, and gives them as they are then.
async fn abort<C: ControlPlane>(cluster: &mut C, id: Option<&str>) -> Result<Vec<Migration>, CommandError> {
    let state = cluster.state().await?;
    let running: Vec<String> = state.migrations.iter().map(|migration| migration.id.clone()).collect();
    let ids: Vec<String> = match id {
        None => running,
        Some(id) if state.migration(id).is_some() => vec![id.to_owned()],
        Some(id) => {
            let running = if running.is_empty() {
                "none is under way".to_owned()
            } else {
                format!("under way are {}", running.join(", "))
            };
            return Err(AbortError::Unknown { id: id.to_owned(), running }.into());
        }
    };
    let mut generation = state.generation;
    let under_way: BTreeSet<&str> = state.migrations.iter().map(|migration| migration.id.as_str()).collect();
    for id in ids.iter().filter(|id| under_way.contains(id.as_str())) {
        let change = Change::AbortMove { id: id.clone(), reason: AbortReason::asked(REASON) };
        match cluster.propose(change).await? {
            Outcome::Done { generation: reached } => generation = reached,
            Outcome::Refused(reason) => {
                return Err(ApplyError::Refused { what: format!("end move {id}"), reason }.into());
            }
        }
    }
    let mut state = cluster.state().await?;
    // The node that answers may be a moment behind.
    while state.generation < generation {
        state = cluster.newer(state.generation).await?.unwrap_or(state);
    }
    Ok(ids.iter().filter_map(|id| state.migration(id).cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::tests::Fake;
    use crate::plan::tests::{advance, file, founded, propose};

    fn moving() -> Fake {
        let mut state = founded(&file(&[("a", ""), ("b", ""), ("c", "")]));
        let planned = crate::plan::plan(&file(&[("a", ""), ("b", "")]), &state).unwrap();
        propose(&mut state, Change::StartMoves { moves: planned.moves });
        advance(&mut state, "4-10923", 5);
        Fake::new(state)
    }

    fn end(fake: &mut Fake, id: Option<&str>) -> Result<Vec<(String, Phase, usize)>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(abort(fake, id)).map_err(|error| error.to_string())?;
        Ok(ended.into_iter().map(|one| (one.id, one.phase, one.moved.count())).collect())
    }

    #[test]
    fn moves_end_where_they_are() {
        let mut fake = moving();
        let aborted = || Phase::Aborted(AbortReason::asked(REASON));
        assert_eq!(end(&mut fake, Some("4-10923")).unwrap(), [("4-10923".to_owned(), aborted(), 5)]);
        assert_eq!(end(&mut fake, Some("4-10923")).unwrap(), [("4-10923".to_owned(), aborted(), 5)]);
        assert_eq!(fake.proposals.len(), 1, "it has ended already");
        assert_eq!(end(&mut fake, None).unwrap(), [("4-13653".to_owned(), aborted(), 0)]);
        assert_eq!(end(&mut fake, None).unwrap(), []);
    }

    #[test]
    fn unknown_move_is_refused_with_those_under_way() {
        let mut fake = moving();
        assert_eq!(
            end(&mut fake, Some("7-0")).unwrap_err(),
            "there is no move 7-0; under way are 4-10923, 4-13653"
        );
        end(&mut fake, None).unwrap();
        assert_eq!(end(&mut fake, Some("7-0")).unwrap_err(), "there is no move 7-0; none is under way");
    }
}

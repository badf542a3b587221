//! The commands that change who owns what: `plan` and `apply`, and what the others have in common with them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::ClusterState;
use slotway_common::shutdown;

use crate::CommandError;
use crate::apply::{Applied, Apply, Report, START_PATIENCE, Terminal};
use crate::control::{Control, ControlPlane, SlotFigures};
use crate::plan::{self, MoveFigures, Plan, describe};

/// Exit code of `slotway plan` when there is something to do.
pub const CHANGES: u8 = 3;

/// Exit code after Ctrl-C, as shells give it.
const INTERRUPTED: u8 = 130;

/// How a change is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Nobody is asked.
    pub yes: bool,
    /// Nobody looks on once the moves have begun.
    pub detach: bool,
    /// The outcome is printed as JSON.
    pub json: bool,
}

/// `slotway plan`: prints what there is to do.
///
/// # Errors
/// The cluster does not answer, or cannot become what the file wants.
pub async fn plan(file: &ClusterFile, json: bool) -> Result<ExitCode, CommandError> {
    let mut cluster = Control::new(file, file.secret()?);
    let state = cluster.state().await?;
    let planned = plan::plan(file, &state)?;
    let figures = measure(&mut cluster, &state, &planned).await;
    print(&if json { pretty(&plan::to_json(&planned, &figures)) } else { describe(&planned, &figures) });
    Ok(if planned.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(CHANGES) })
}

/// `slotway apply`.
///
/// # Errors
/// Why the cluster is not as the file wants it.
pub async fn apply(path: &Path, file: ClusterFile, options: Options) -> Result<ExitCode, CommandError> {
    let mut cluster = Control::new(&file, file.secret()?);
    carry_out(&mut cluster, path, &file, options, || Ok(())).await
}

/// Shows the plan, asks, calls `agreed`, and carries the plan out.
///
/// # Errors
/// Of `agreed`, and why the cluster is not as the file wants it.
pub(crate) async fn carry_out(
    cluster: &mut Control,
    path: &Path,
    file: &ClusterFile,
    options: Options,
    agreed: impl FnOnce() -> Result<(), CommandError>,
) -> Result<ExitCode, CommandError> {
    let state = cluster.state().await?;
    let planned = plan::plan(file, &state)?;
    let figures = measure(cluster, &state, &planned).await;
    let text = describe(&planned, &figures);
    if options.json {
        let _ = io::stderr().write_all(text.as_bytes());
    } else {
        print(&text);
    }
    if planned.is_empty() && planned.running.is_empty() {
        agreed()?;
        tell(options, "nothing_to_do", &planned, &figures, &state);
        return Ok(ExitCode::SUCCESS);
    }
    // Looking on at moves that somebody has agreed to already needs no answer.
    if !planned.is_empty() && !options.yes && !ask()? {
        tell(options, "refused", &planned, &figures, &state);
        let _ = writeln!(io::stderr(), "nothing was changed");
        return Ok(ExitCode::from(1));
    }
    agreed()?;

    let mut requests = shutdown::Requests::listen(false).map_err(CommandError::Signals)?;
    let (begun, mut report, name) = (Cell::new(false), Terminal::new(), path.display().to_string());
    let ended = {
        let mut apply = Apply {
            cluster,
            report: &mut report,
            file,
            path: &name,
            start_patience: START_PATIENCE,
            begun: &begun,
        };
        tokio::select! {
            ended = apply.run(&planned, options.detach) => Some(ended),
            _ = requests.next() => None,
        }
    };
    report.finish();
    let follow = format!(
        "`slotway status --watch {name}` follows the moves, `slotway abort {name}` stops them, `slotway apply {name}` \
         does what is left"
    );
    let outcome = match ended {
        None if begun.get() => {
            report.say(&format!("interrupted; the moves go on: {follow}"));
            "interrupted"
        }
        None => {
            report.say(&format!("interrupted before a slot moved; `slotway apply {name}` does what is left"));
            "interrupted"
        }
        Some(Ok(Applied::Started)) => {
            report.say(&format!("the moves have begun: {follow}"));
            "started"
        }
        Some(Ok(Applied::Done)) => {
            report.say(&format!("cluster {} is as {name} wants it", file.cluster));
            "done"
        }
        Some(Err(error)) => return Err(error.into()),
    };
    if options.json {
        let state = cluster.state().await.unwrap_or(state);
        tell(options, outcome, &planned, &figures, &state);
    }
    Ok(if outcome == "interrupted" { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// The outcome as JSON, if it is wanted: `outcome`, the `plan`, and its `moves` as they are now.
fn tell(
    options: Options,
    outcome: &str,
    planned: &Plan,
    figures: &BTreeMap<String, MoveFigures>,
    state: &ClusterState,
) {
    if !options.json {
        return;
    }
    let running = planned.running.iter().map(|migration| migration.id.as_str());
    let ids: BTreeSet<&str> =
        running.chain(planned.moves.iter().map(|planned| planned.id.as_str())).collect();
    let moves: Vec<_> = ids.into_iter().filter_map(|id| state.migration(id)).collect();
    print(&pretty(&json!({ "outcome": outcome, "plan": plan::to_json(planned, figures), "moves": moves })));
}

/// What every move carries. A move is left out if a shard that holds some of its slots does not answer.
async fn measure<C: ControlPlane>(
    cluster: &mut C,
    state: &ClusterState,
    planned: &Plan,
) -> BTreeMap<String, MoveFigures> {
    let mut moved: BTreeSet<u16> = BTreeSet::new();
    planned.all_moves().for_each(|planned| moved.extend(planned.slots.slots()));
    let mut held: BTreeMap<u16, SlotFigures> = BTreeMap::new();
    let mut silent: Vec<&str> = Vec::new();
    for shard in &state.shards {
        if !shard.slots.slots().any(|slot| moved.contains(&slot)) {
            continue;
        }
        let Some(node) = shard.primary() else { continue };
        match cluster.slots(node).await {
            Ok(slots) => held.extend(slots.into_iter().map(|figures| (figures.slot, figures))),
            Err(_) => silent.push(&shard.name),
        }
    }
    let unknown = |slot: u16| {
        state.shards.iter().any(|shard| silent.contains(&shard.name.as_str()) && shard.slots.contains(slot))
    };
    planned
        .all_moves()
        .filter(|planned| silent.is_empty() || !planned.slots.slots().any(unknown))
        .map(|planned| {
            let figures = planned.slots.slots().filter_map(|slot| held.get(&slot));
            let sum = figures.fold(MoveFigures::default(), |sum, figures| MoveFigures {
                keys: sum.keys + figures.keys,
                bytes: sum.bytes + figures.bytes,
            });
            (planned.id.clone(), sum)
        })
        .collect()
}

/// Whether a person at the terminal says yes.
fn ask() -> Result<bool, CommandError> {
    if !io::stdin().is_terminal() {
        return Err(CommandError::Unattended);
    }
    let _ = write!(io::stderr(), "go on? [y/N] ").and_then(|()| io::stderr().flush());
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    Ok(read.is_ok() && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

/// Whoever reads it may stop early, as `head` does.
pub(crate) fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

pub(crate) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::tests::Fake;
    use crate::plan::tests::{file, founded};

    #[test]
    fn moves_are_measured_by_what_their_slots_hold() {
        let mut fake = Fake::new(founded(&file(&[("a", ""), ("b", "")])));
        for slot in [0, 8000, 9000, 16383] {
            fake.slots.insert(slot, SlotFigures { slot, keys: 2, bytes: 100, operations: 0 });
        }
        let wanted = file(&[("a", "")]);
        let planned = plan::plan(&wanted, &fake.state).unwrap();
        let state = fake.state.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let figures = runtime.block_on(measure(&mut fake, &state, &planned));
        assert_eq!(figures, BTreeMap::from([("3-8192".to_owned(), MoveFigures { keys: 4, bytes: 200 })]));
    }
}

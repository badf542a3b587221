//! `slotway rebalance`: gives every shard its share of slots, keys, bytes or load, with the fewest slots moved.

mod balance;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use slotway_common::cluster_file::{ClusterFile, Placement};
use slotway_common::cluster_state::ClusterState;
use slotway_common::topology::{self, SlotRanges};
use tokio::time::sleep;

use crate::CommandError;
use crate::control::{Control, ControlPlane, SlotFigures};
use crate::edit::Edited;
use crate::plan::{self, ownership};
use crate::reshard::{self, Options};
use crate::units::{bytes, columns, plural};

/// What shards get equal parts of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// The number of slots.
    Slots,
    /// The number of keys.
    Keys,
    /// Bytes of keys and values.
    Bytes,
    /// Operations, counted for a while.
    Load,
}

/// Why slots were not spread anew. One line.
#[derive(Debug, thiserror::Error)]
pub enum RebalanceError {
    #[error("node {node} does not say what its slots hold: {reason}")]
    Silent { node: String, reason: String },
    #[error("no shard holds any keys, so there is nothing to balance")]
    Empty,
    #[error("no operation was counted within {} s, so there is nothing to balance", .0.as_secs())]
    Idle(Duration),
}

/// What `slotway rebalance` was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub by: Measure,
    /// How long operations are counted.
    pub window: Duration,
    /// Nothing is written or changed.
    pub dry_run: bool,
    pub options: Options,
}

/// `slotway rebalance`.
///
/// # Errors
/// The file cannot be edited, the cluster does not answer, or it refuses.
pub async fn run(path: &Path, file: ClusterFile, request: Request) -> Result<ExitCode, CommandError> {
    let mut cluster = Control::new(&file, file.secret()?);
    let state = cluster.state().await?;
    // What the file wants beside its slots must be possible before they are spread anew.
    plan::plan(&file, &state)?;
    let current = ownership(&file, &state);
    let weights = weights(&file);
    let by_weight = matches!(file.shards.first().map(|shard| &shard.placement), Some(Placement::Weight(_)));
    let (costs, wanted) = if request.by == Measure::Slots {
        let costs = (0..slotway_common::slot::SLOTS).map(|slot| (slot, 1)).collect();
        (costs, topology::spread(&weights, &current))
    } else {
        let costs = costs(&mut cluster, &state, request).await?;
        if costs.values().all(|cost| *cost == 0) {
            return Err(match request.by {
                Measure::Load => RebalanceError::Idle(request.window).into(),
                _ => RebalanceError::Empty.into(),
            });
        }
        let wanted = balance::balance(&current, &weights, &costs);
        (costs, wanted)
    };
    if !request.options.json {
        reshard::print(&table(&file, request.by, &current, &wanted, &costs));
    }
    // Weights already say that each shard gets its share of the slots.
    let keeps_file = wanted == current || (by_weight && request.by == Measure::Slots);
    let placements: BTreeMap<String, Placement> = if keeps_file {
        BTreeMap::new()
    } else {
        let names = file.shards.iter().map(|shard| shard.name.clone());
        names.zip(wanted).map(|(name, slots)| (name, Placement::Slots(slots))).collect()
    };
    let edited = Edited::new(path, &placements)?;
    if request.dry_run {
        return reshard::plan(&edited.file, request.options.json).await;
    }
    change(&mut cluster, path, &edited, request.options).await
}

/// Tells what will be written, asks, writes the file and carries it out.
pub(crate) async fn change(
    cluster: &mut Control,
    path: &Path,
    edited: &Edited,
    options: Options,
) -> Result<ExitCode, CommandError> {
    if !options.json {
        for change in &edited.changes {
            reshard::print(&format!("{} will have {change}\n", path.display()));
        }
    }
    reshard::carry_out(cluster, path, &edited.file, options, || Ok(edited.write()?)).await
}

/// The shards' weights; 1 where the file gives slots.
fn weights(file: &ClusterFile) -> Vec<u32> {
    let weight = |placement: &Placement| match placement {
        Placement::Weight(weight) => *weight,
        Placement::Slots(_) => 1,
    };
    file.shards.iter().map(|shard| weight(&shard.placement)).collect()
}

/// What each slot carries.
async fn costs<C: ControlPlane>(
    cluster: &mut C,
    state: &ClusterState,
    request: Request,
) -> Result<BTreeMap<u16, u64>, CommandError> {
    let first = all_slots(cluster, state).await?;
    let cost = |measure: fn(&SlotFigures) -> u64, slots: &BTreeMap<u16, SlotFigures>| {
        slots.iter().map(|(slot, figures)| (*slot, measure(figures))).collect()
    };
    Ok(match request.by {
        Measure::Slots => cost(|_| 1, &first),
        Measure::Keys => cost(|figures| figures.keys, &first),
        Measure::Bytes => cost(|figures| figures.bytes, &first),
        Measure::Load => {
            sleep(request.window).await;
            let second = all_slots(cluster, state).await?;
            let before = |slot: &u16| first.get(slot).map_or(0, |figures| figures.operations);
            let counted = |(slot, figures): (&u16, &SlotFigures)| {
                (*slot, figures.operations.saturating_sub(before(slot)))
            };
            second.iter().map(counted).collect()
        }
    })
}

/// Of all shards. Balancing by half of the figures would move too much, so every one must answer.
async fn all_slots<C: ControlPlane>(
    cluster: &mut C,
    state: &ClusterState,
) -> Result<BTreeMap<u16, SlotFigures>, RebalanceError> {
    let mut all = BTreeMap::new();
    for shard in state.shards.iter().filter(|shard| !shard.slots.is_empty()) {
        let Some(node) = shard.primary() else { continue };
        let slots = cluster
            .slots(node)
            .await
            .map_err(|reason| RebalanceError::Silent { node: node.id.clone(), reason })?;
        let owned = slots.into_iter().filter(|figures| shard.slots.contains(figures.slot));
        all.extend(owned.map(|figures| (figures.slot, figures)));
    }
    Ok(all)
}

/// What each shard carries now and afterwards.
fn table(
    file: &ClusterFile,
    by: Measure,
    current: &[SlotRanges],
    wanted: &[SlotRanges],
    costs: &BTreeMap<u16, u64>,
) -> String {
    let what = match by {
        Measure::Slots => "SLOTS",
        Measure::Keys => "KEYS",
        Measure::Bytes => "BYTES",
        Measure::Load => "OPERATIONS",
    };
    let total: u64 = costs.values().sum();
    let carried = |slots: &SlotRanges| -> u64 { slots.slots().filter_map(|slot| costs.get(&slot)).sum() };
    let shown = |slots: &SlotRanges| {
        let carried = carried(slots);
        let percent = if total == 0 { 0.0 } else { carried as f64 * 100.0 / total as f64 };
        let amount = if by == Measure::Bytes { bytes(carried) } else { carried.to_string() };
        format!("{amount} ({percent:.1} %)")
    };
    let mut rows =
        vec![["SHARD".to_owned(), format!("{what} NOW"), "AFTERWARDS".to_owned(), "GETS".to_owned()]];
    for ((shard, now), then) in file.shards.iter().zip(current).zip(wanted) {
        let gained = then.slots().filter(|slot| !now.contains(*slot)).count();
        rows.push([shard.name.clone(), shown(now), shown(then), plural(gained, "slot")]);
    }
    let mut text = String::new();
    columns(&rows, &mut text);
    text
}

#[cfg(test)]
mod tests;

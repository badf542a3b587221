//! `slotway drain`: everything that a shard owns goes to the others, so that it can be removed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use slotway_common::cluster_file::{ClusterFile, Placement};
use slotway_common::topology::SlotRanges;

use crate::control::Control;
use crate::edit::Edited;
use crate::reshard::{self, Options};
use crate::{CommandError, rebalance};

/// Why a shard cannot be emptied. One line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrainError {
    #[error("there is no shard {name} in {file} (it has {known})")]
    Unknown { name: String, file: String, known: String },
    #[error("shard {0} is the only one that may own slots: nobody could take its own")]
    Last(String),
}

/// `slotway drain FILE NAME`.
///
/// # Errors
/// There is no such shard or no other, the file cannot be edited, the cluster does not answer, or it refuses.
pub async fn run(
    path: &Path,
    file: ClusterFile,
    name: &str,
    options: Options,
) -> Result<ExitCode, CommandError> {
    let mut cluster = Control::new(&file, file.secret()?);
    let placements = without(&file, name, &path.display().to_string())?;
    let edited = Edited::new(path, &placements)?;
    let ended = rebalance::change(&mut cluster, path, &edited, options).await?;
    if ended == ExitCode::SUCCESS && !options.json && !options.detach {
        let path = path.display();
        reshard::print(&format!(
            "shard {name} owns nothing; to remove it, delete it from {path} and run `slotway apply {path}`\n"
        ));
    }
    Ok(ended)
}

/// Where shards are when one has nothing: its weight is 0, or its slots are those of the others.
fn without(file: &ClusterFile, name: &str, path: &str) -> Result<BTreeMap<String, Placement>, DrainError> {
    let Some(position) = file.shards.iter().position(|shard| shard.name == name) else {
        let known: Vec<&str> = file.shards.iter().map(|shard| shard.name.as_str()).collect();
        return Err(DrainError::Unknown {
            name: name.to_owned(),
            file: path.to_owned(),
            known: known.join(", "),
        });
    };
    let drained = file.shards.get(position).map(|shard| &shard.placement);
    if let Some(Placement::Weight(_)) = drained {
        let others = file.shards.iter().filter(|shard| shard.name != name);
        if others.into_iter().all(|shard| shard.placement == Placement::Weight(0)) {
            return Err(DrainError::Last(name.to_owned()));
        }
        return Ok(BTreeMap::from([(name.to_owned(), Placement::Weight(0))]));
    }
    if file.shards.len() == 1 {
        return Err(DrainError::Last(name.to_owned()));
    }
    let mut placed = file.slots(&[]);
    let homeless: Vec<u16> = match placed.get_mut(position) {
        Some(slots) => std::mem::take(slots).slots().collect(),
        None => Vec::new(),
    };
    let mut homeless = homeless.into_iter();
    let shares = shares(&placed, position, homeless.len());
    for (slots, more) in placed.iter_mut().zip(shares) {
        *slots = slots.slots().chain(homeless.by_ref().take(more)).collect();
    }
    let names = file.shards.iter().map(|shard| shard.name.clone());
    Ok(names.zip(placed).map(|(name, slots)| (name, Placement::Slots(slots))).collect())
}

/// How many of `homeless` slots each shard but one gets, so that those with the fewest get most.
fn shares(placed: &[SlotRanges], without: usize, homeless: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> = placed.iter().map(SlotRanges::count).collect();
    let mut shares = vec![0; placed.len()];
    for _ in 0..homeless {
        let smallest =
            (0..sizes.len()).filter(|index| *index != without).min_by_key(|index| sizes.get(*index));
        let Some(index) = smallest else { break };
        if let (Some(size), Some(share)) = (sizes.get_mut(index), shares.get_mut(index)) {
            *size += 1;
            *share += 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::file;

    fn texts(file: &ClusterFile, name: &str) -> Result<Vec<String>, String> {
        let placements = without(file, name, "cluster.yaml").map_err(|error| error.to_string())?;
        let text = |placement: &Placement| match placement {
            Placement::Slots(slots) => slots.to_string(),
            Placement::Weight(weight) => format!("weight {weight}"),
        };
        Ok(placements.iter().map(|(name, placement)| format!("{name}: {}", text(placement))).collect())
    }

    #[test]
    fn weight_becomes_zero() {
        let file = file(&[("a", ""), ("b", "weight: 2"), ("c", "")]);
        assert_eq!(texts(&file, "b").unwrap(), ["b: weight 0"]);
    }

    #[test]
    fn slots_go_to_those_with_the_fewest() {
        let file = file(&[("a", "slots: 0-9999"), ("b", "slots: 10000-10999"), ("c", "slots: 11000-16383")]);
        assert_eq!(texts(&file, "a").unwrap(), ["a: ", "b: 0-7191,10000-10999", "c: 7192-9999,11000-16383"]);
        let empty = crate::plan::tests::file(&[("a", "slots: 0-16383"), ("b", "slots: []")]);
        assert_eq!(texts(&empty, "b").unwrap(), ["a: 0-16383", "b: "]);
    }

    #[test]
    fn last_shard_and_unknown_shards_are_refused() {
        let last = "shard a is the only one that may own slots: nobody could take its own";
        assert_eq!(texts(&file(&[("a", "")]), "a").unwrap_err(), last);
        assert_eq!(texts(&file(&[("a", ""), ("b", "weight: 0")]), "a").unwrap_err(), last);
        assert_eq!(texts(&file(&[("a", "slots: 0-16383")]), "a").unwrap_err(), last);
        assert_eq!(
            texts(&file(&[("a", ""), ("b", "")]), "x").unwrap_err(),
            "there is no shard x in cluster.yaml (it has a, b)"
        );
    }
}

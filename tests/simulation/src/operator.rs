//! Who begins moves, some of them at once, aborts some, and sends what comes too late.

use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use slotway_common::cluster_state::{AbortReason, Change, ClusterState, Migration, Move, Outcome, Proposal};
use slotway_common::handshake::Identity;
use slotway_common::internal::Connection;
use slotway_common::platform::random;
use slotway_common::slot::Slot;
use slotway_common::topology::SlotRanges;
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::shared::Common;

/// For a node to answer; a proposal takes 5 s where there is no leader.
const PATIENCE: Duration = Duration::from_secs(6);
/// Milliseconds between two decisions at most.
const PACE: u64 = 400;

/// The operator's host.
pub async fn run(common: Common) -> turmoil::Result {
    let mut random = random::generator();
    let nodes: Vec<(String, String)> = {
        let nodes = common.file.shards.iter().flat_map(|shard| &shard.nodes);
        nodes.map(|node| (node.id.clone(), node.control.to_string())).collect()
    };
    spawn_local(abort_at_once(common.clone(), nodes.clone()));
    // A move as it was at some time, for what comes too late.
    let mut past: Vec<Migration> = Vec::new();
    while !common.quiet.get() {
        sleep(Duration::from_millis(random.random_range(0..PACE))).await;
        let (node, address) = &nodes[random.random_range(0..nodes.len())];
        // Whatever fails, there is a next time.
        let _ = decide(&common, &mut random, (node, address), &mut past).await;
    }
    std::future::pending().await
}

/// Aborts the moves that are to be aborted at once.
async fn abort_at_once(common: Common, nodes: Vec<(String, String)>) {
    let mut random = random::generator();
    let identity = Identity { cluster: common.file.cluster.clone(), node: "slotway".to_owned() };
    while !common.quiet.get() {
        let (node, address) = &nodes[random.random_range(0..nodes.len())];
        let opening = Connection::open(address, &identity, &common.secret, Some(node), PATIENCE);
        let Ok(mut connection) = opening.await else {
            sleep(Duration::from_millis(PACE)).await;
            continue;
        };
        loop {
            let wanted = common.to_abort.borrow_mut().take();
            let Some(id) = wanted else {
                sleep(Duration::from_millis(1)).await;
                continue;
            };
            common.note(format!("at {node} the operator aborts {id}"));
            let change = Change::AbortMove { id, reason: AbortReason::asked("asked by a test") };
            let proposal = Proposal { request: random::hex_id::<16>(), change };
            let Ok(json) = serde_json::to_string(&proposal) else { break };
            if connection.call(&["SLOTWAY", "PROPOSE", &json]).await.is_err() {
                break;
            }
        }
    }
}

async fn decide(
    common: &Common,
    random: &mut SmallRng,
    (node, address): (&str, &str),
    past: &mut Vec<Migration>,
) -> Option<()> {
    let identity = Identity { cluster: common.file.cluster.clone(), node: "slotway".to_owned() };
    let opening = Connection::open(address, &identity, &common.secret, Some(node), PATIENCE);
    let mut connection = opening.await.ok()?;
    let answer = connection.call(&["SLOTWAY", "STATE"]).await.ok()?;
    let state = ClusterState::from_json(answer.as_bytes()?).ok()?;
    if !state.is_founded() || common.quiet.get() {
        return None;
    }
    past.extend(state.migrations.iter().cloned());
    let change = match random.random_range(0..100) {
        0..65 => moves(common, random, &state)?,
        65..85 => {
            let id = state.migrations.choose(random)?.id.clone();
            Change::AbortMove { id, reason: AbortReason::asked("asked by a test") }
        }
        85..93 => late(random, &state, past)?,
        _ => return None,
    };
    let proposal = Proposal { request: random::hex_id::<16>(), change };
    common.note(format!("at {node} the operator proposes {:?}", proposal.change));
    let json = serde_json::to_string(&proposal).ok()?;
    let answer = connection.call(&["SLOTWAY", "PROPOSE", &json]).await.ok()?;
    let outcome: Outcome = serde_json::from_slice(answer.as_bytes()?).ok()?;
    common.note(format!("{outcome:?}"));
    Some(())
}

/// One move or two.
fn moves(common: &Common, random: &mut SmallRng, state: &ClusterState) -> Option<Change> {
    if state.migrations.len() > 2 {
        return None;
    }
    let mut moves: Vec<Move> = Vec::new();
    for _ in 0..random.random_range(1..=2) {
        let source = state.shards.choose(random)?;
        let target = state.shards.choose(random)?;
        let is_free = |slot: &Slot| {
            source.slots.contains(*slot)
                && state.migration_of(*slot).is_none()
                && moves.iter().all(|other| !other.slots.contains(*slot))
        };
        let mut slots: Vec<Slot> = common.slots.iter().copied().filter(is_free).collect();
        if slots.is_empty() || source.name == target.name {
            continue;
        }
        slots.shuffle(random);
        slots.truncate(random.random_range(1..=slots.len()));
        // Some that hold nothing, too: a few, or so many that the move takes several batches.
        let (step, most) = if random.random_ratio(1, 3) { (1, 2500) } else { (1009, 10) };
        slots.extend(source.slots.slots().step_by(step).take(most).filter(|slot| {
            !common.slots.contains(slot)
                && state.migration_of(*slot).is_none()
                && moves.iter().all(|other| !other.slots.contains(*slot))
        }));
        common.moves.set(common.moves.get() + 1);
        moves.push(Move {
            id: format!("{}-{}", state.generation, common.moves.get()),
            source: source.name.clone(),
            target: target.name.clone(),
            slots: SlotRanges::from_slots(slots),
        });
    }
    (!moves.is_empty()).then_some(Change::StartMoves { moves })
}

/// The commit of a move that began under other epochs than those of now, or of one that has ended.
fn late(random: &mut SmallRng, state: &ClusterState, past: &[Migration]) -> Option<Change> {
    let commit = |migration: &Migration, earlier: u64| Change::CommitSlots {
        id: migration.id.clone(),
        slots: migration.slots.clone(),
        source_epoch: migration.source_epoch.saturating_sub(earlier),
        target_epoch: migration.target_epoch,
        incarnations: None,
    };
    match state.migrations.choose(random) {
        Some(running) => Some(commit(running, 1)),
        None => {
            let ended = past.choose(random)?;
            state.migration(&ended.id).is_some_and(|now| state.ended.contains(now)).then(|| commit(ended, 0))
        }
    }
}

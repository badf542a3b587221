//! One move away from this shard, batch by batch: copy, park, hand over, commit.

use std::rc::Rc;
use std::time::{Duration, Instant};

use slotway_common::cluster_state::{AbortReason, Change, ClusterState, Migration, Phase};
use slotway_common::fault;
use slotway_common::platform::clock;
use slotway_common::platform::threads::yield_now;
use slotway_common::slot::{SLOTS, Slot};
use slotway_common::topology::SlotRanges;
use tokio::time::{sleep, timeout};

use super::super::pace::Pace;
use super::super::scripts::between_scripts;
use super::super::state::Server;
use super::target_link::{self, Link};
use crate::changes::{Finished, SlotCopy};
use crate::control::{Control, ProposeError};
use crate::migration::Batch;
use crate::node::Shard;
use crate::stream::Digest;

/// Slots of one batch at most, and bytes of values after which no more are added.
const MOST_SLOTS: usize = 1024;
/// Slots of one batch at most while there is traffic: a client that meets a parked slot falls behind with all that it
/// has to send, so few clients should meet one at a time.
const MOST_SLOTS_IN_TRAFFIC: usize = 128;
const MOST_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes that are queued by the copy, and written, at once.
const CHUNK: usize = 256 * 1024;
/// Bytes that the target may not have confirmed before more is sent.
const WINDOW: usize = 2 * 1024 * 1024;
/// Lag at which a copied batch is parked.
const SMALL_LAG: usize = 32 * 1024;
/// While there is traffic, a request should meet a parked slot once in so many at most: what parks take, weighted with
/// the share of all slots that they concern, times this is the time that a batch takes at least.
const PARKED_SHARE: f64 = 3000.0;
/// Longest such time: a park that lasted because a process stood still, or a leader was looked for, says nothing of the
/// next one, and must not hold the move up for minutes.
const LONGEST_REST: Duration = Duration::from_millis(500);
/// How long a lag may stay above that before writers are slowed down.
const PATIENCE_WITH_LAG: Duration = Duration::from_millis(20);
/// How long a target is looked for before the move is given up.
const PATIENCE_WITH_CONNECTION: Duration = Duration::from_secs(10);
/// For how long transactions are kept off slots that are to be parked, and then not.
const KEPT_OFF: Duration = Duration::from_millis(50);
/// Between two looks at whether they have gone.
const LOOK: Duration = Duration::from_millis(1);
/// Between two attempts to connect, or to have something decided.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a batch did not go.
enum Stopped {
    /// The move has ended in the committed state.
    Ended,
    /// The connection or the target failed; what has been copied is void.
    Failed { reason: AbortReason, parked: bool },
}

/// Runs a move until it ends, or this process does.
pub(super) async fn drive(server: Rc<Server>, control: Control, id: String) {
    let mut driver = Driver {
        server,
        control,
        id,
        sequence: 0,
        digest: Digest::default(),
        batches: 0,
        target_incarnation: 0,
    };
    let mut failing_since: Option<Instant> = None;
    while let Some(migration) = driver.running() {
        tracing::info!(id = driver.id, to = migration.target, slots = %migration.remaining(), "slots are moving");
        match driver.connected(&migration, &mut failing_since).await {
            Stopped::Ended => break,
            Stopped::Failed { reason, parked } => {
                let since = *failing_since.get_or_insert_with(clock::monotonic);
                let may_pass = reason.kind.is_passing() && clock::since(since) <= PATIENCE_WITH_CONNECTION;
                if parked || !may_pass {
                    driver.abort(reason).await;
                } else {
                    tracing::warn!(id = driver.id, "the move begins its batch again: {reason}");
                    sleep(PAUSE).await;
                }
            }
        }
    }
    match driver.control.state().migration(&driver.id).map(|migration| migration.phase.clone()) {
        Some(Phase::Aborted(reason)) => {
            driver.server.shard.borrow_mut().node.moves.count_abort(reason.kind);
            tracing::warn!(id = driver.id, "the move was aborted: {reason}");
        }
        _ => tracing::info!(id = driver.id, "the move has ended"),
    }
}

struct Driver {
    server: Rc<Server>,
    control: Control,
    id: String,
    /// Of the stream that is open: last sequence number, digest, and batches handed over.
    sequence: u64,
    digest: Digest,
    batches: u64,
    /// Of the process that the stream leads to.
    target_incarnation: u64,
}

impl Driver {
    /// The move, if it is under way and leads away from this process.
    fn running(&self) -> Option<Migration> {
        let state = self.control.state();
        let me = self.server.shard.borrow().node.identity.node.clone();
        let (shard, _) = state.node(&me)?;
        let found = state.migration(&self.id)?;
        let mine =
            found.phase == Phase::Running && found.source == shard.name && found.source_epoch == shard.epoch;
        mine.then(|| found.clone())
    }

    /// Connects and moves one batch after the other.
    async fn connected(&mut self, migration: &Migration, failing_since: &mut Option<Instant>) -> Stopped {
        let (identity, secret) = {
            let shard = self.server.shard.borrow();
            (shard.node.identity.clone(), shard.node.secret.clone())
        };
        let failed = |reason: AbortReason| Stopped::Failed { reason, parked: false };
        let Some(secret) = secret else {
            return failed(AbortReason::failed("this node has no cluster secret"));
        };
        let state: std::sync::Arc<ClusterState> = self.control.state();
        let mut link = match Link::open(&state, migration, &identity, &secret).await {
            Ok(link) => link,
            Err(reason) => return failed(reason),
        };
        (self.sequence, self.digest, self.batches) = (0, Digest::default(), 0);
        self.target_incarnation = state.incarnations(migration).1;
        while let Some(migration) = self.running() {
            let slots = self.batch(&migration.remaining());
            if let Err(stopped) = self.move_batch(&mut link, &migration, slots).await {
                self.forget_batch();
                return stopped;
            }
            *failing_since = None;
        }
        Stopped::Ended
    }

    /// The next slots to move.
    fn batch(&self, remaining: &SlotRanges) -> Vec<Slot> {
        let most = if self.server.has_traffic() { MOST_SLOTS_IN_TRAFFIC } else { MOST_SLOTS };
        let shard = self.server.shard.borrow();
        let mut bytes = 0;
        let mut slots = Vec::new();
        for slot in remaining.slots().take(most) {
            bytes += shard.engine.slot(slot).bytes();
            if !slots.is_empty() && bytes > MOST_BYTES {
                break;
            }
            slots.push(slot);
        }
        slots
    }

    async fn move_batch(
        &mut self,
        link: &mut Link,
        migration: &Migration,
        slots: Vec<Slot>,
    ) -> Result<(), Stopped> {
        {
            let Shard { engine, node } = &mut *self.server.shard.borrow_mut();
            let stream = (self.sequence, self.digest);
            let copy = node.changes.begin_copy(engine, slots.clone(), Finished::Followed, stream);
            node.moves.batches.push(Batch::new(self.id.clone(), copy, slots.clone()));
        }
        fault::point("source-begun");
        let (begun_at, count) = (clock::monotonic(), slots.len());
        self.copy(link).await?;
        fault::point("source-copied");
        self.between_transactions(&slots).await?;
        let parked_at = clock::monotonic();
        let frame = self.park().ok_or(Stopped::Ended)?;
        fault::point("source-parked");
        let parked = |reason: AbortReason| Stopped::Failed { reason, parked: true };
        link.send(&frame).await.map_err(parked)?;
        self.batches += 1;
        let ready = async {
            loop {
                let news = link.heard.news.notified();
                if link.heard.ready.get() >= self.batches {
                    return Ok(());
                }
                if let Some(reason) = link.heard.failed.borrow().clone() {
                    return Err(parked(reason));
                }
                news.await;
            }
        };
        timeout(target_link::PATIENCE, ready).await.map_err(|_| parked(target_link::silent()))??;
        fault::point("source-ready");
        let ready_at = clock::monotonic();
        let result = self.commit(migration, slots.into_iter().collect()).await;
        let parked = clock::since(parked_at);
        tracing::debug!(
            id = self.id,
            count,
            copied = ?parked_at - begun_at,
            ready = ?ready_at - parked_at,
            decided = ?clock::since(ready_at),
            "a batch of slots is decided"
        );
        if result.is_ok() && self.server.has_traffic() {
            let share = count as f64 / f64::from(SLOTS);
            let rest = parked.mul_f64(share * PARKED_SHARE).saturating_sub(parked_at - begun_at);
            sleep(rest.min(LONGEST_REST)).await;
        }
        result
    }

    /// Copies the batch until the target is so little behind that the slots can be parked.
    async fn copy(&mut self, link: &mut Link) -> Result<(), Stopped> {
        let failed = |reason: AbortReason| Stopped::Failed { reason, parked: false };
        // What the target had applied when it last gave a sign, or had nothing to do.
        let mut sign = (link.heard.applied.get(), clock::monotonic());
        let mut copied_at: Option<Instant> = None;
        let mut pace = Pace::new(self.server.clone());
        let mut out = Vec::with_capacity(CHUNK * 2);
        loop {
            if let Some(reason) = link.heard.failed.borrow().clone() {
                return Err(failed(reason));
            }
            out.clear();
            let slice = pace.slice();
            let began = clock::monotonic();
            let (copied, lag, on_the_way) = {
                let Shard { engine, node } = &mut *self.server.shard.borrow_mut();
                let batch = node.moves.batch(&self.id).ok_or(Stopped::Ended)?;
                batch.confirmed(link.heard.applied.get());
                let wants_more = |copy: &SlotCopy| {
                    !copy.is_copied() && copy.queued() < CHUNK && clock::since(began) < slice
                };
                if batch.on_the_way() < WINDOW {
                    while node.changes.copy(batch.copy).is_some_and(wants_more) {
                        node.changes.advance(engine, batch.copy);
                    }
                    if let Some(copy) = node.changes.copy_mut(batch.copy)
                        && copy.send(CHUNK, &mut out)
                    {
                        batch.sent(copy.sequence(), out.len());
                    }
                }
                let is_copied = node.changes.copy(batch.copy).is_some_and(SlotCopy::is_copied);
                let state = (is_copied, batch.lag(&node.changes), batch.on_the_way());
                if !node.moves.is_congested(&node.changes) {
                    node.moves.wake_slowed();
                }
                state
            };
            let applied = link.heard.applied.get();
            if applied != sign.0 || on_the_way == out.len() {
                sign = (applied, clock::monotonic());
            } else if clock::since(sign.1) > target_link::PATIENCE {
                return Err(failed(target_link::silent()));
            }
            if copied {
                let since = *copied_at.get_or_insert_with(clock::monotonic);
                if lag < SMALL_LAG {
                    // More comes as long as anybody writes; what is left then goes with the park.
                    return link.send(&out).await.map_err(failed);
                }
                if clock::since(since) > PATIENCE_WITH_LAG
                    && let Some(batch) = self.server.shard.borrow_mut().node.moves.batch(&self.id)
                {
                    batch.ending = true;
                }
            }
            fault::point("source-copying");
            let took = clock::since(began);
            if out.is_empty() {
                // The target is behind, or there is nothing to send: its next word, or soon.
                let _ = timeout(Duration::from_millis(1), link.heard.news.notified()).await;
            } else {
                link.send(&out).await.map_err(failed)?;
                // What is left when all is copied is little, unless a large value is on its way.
                if copied && lag < CHUNK {
                    yield_now().await;
                } else {
                    pace.rest(took).await;
                }
            }
        }
    }

    /// Waits until no transaction holds a slot of the batch, and no script is in the middle of a run. Transactions that come are
    /// kept off the slots meanwhile, but not for long: one of them may hold a slot here that it needs, and wait for another.
    async fn between_transactions(&self, slots: &[Slot]) -> Result<(), Stopped> {
        loop {
            let deadline = clock::monotonic() + KEPT_OFF;
            while clock::monotonic() < deadline {
                between_scripts(&self.server).await;
                if self.server.shard.borrow_mut().node.locks.reserve(slots) {
                    // It is parked in the same turn, so nobody gets in between.
                    self.server.shard.borrow_mut().node.locks.unreserve(slots);
                    return Ok(());
                }
                sleep(LOOK).await;
            }
            self.server.shard.borrow_mut().node.locks.unreserve(slots);
            self.running().ok_or(Stopped::Ended)?;
            sleep(KEPT_OFF).await;
        }
    }

    /// Parks the batch; gives the last frames, up to the one that the target answers when it has them all.
    fn park(&mut self) -> Option<Vec<u8>> {
        let shard = &mut *self.server.shard.borrow_mut();
        shard.park(&self.id);
        let id = shard.node.moves.batch(&self.id)?.copy;
        let copy = shard.node.changes.copy_mut(id)?;
        let mut out = Vec::new();
        while copy.send(CHUNK, &mut out) {}
        copy.put_final(&shard.engine, &mut out);
        (self.sequence, self.digest) = (copy.sequence(), copy.digest());
        Some(out)
    }

    /// Has the cluster decide that the slots are the target's, and waits until this node has followed.
    async fn commit(&mut self, migration: &Migration, slots: SlotRanges) -> Result<(), Stopped> {
        let incarnations = (self.server.shard.borrow().node.incarnation, self.target_incarnation);
        let change = Change::CommitSlots {
            id: self.id.clone(),
            slots: slots.clone(),
            source_epoch: migration.source_epoch,
            target_epoch: migration.target_epoch,
            // This check would hide what the planted bug does.
            incarnations: (!fault::planted("restarted-node-serves")).then_some(incarnations),
        };
        loop {
            match self.control.propose(change.clone()).await {
                Ok(_) => {
                    fault::point("source-committed");
                    break;
                }
                // Decided otherwise; what the state says holds.
                Err(ProposeError::Refused(reason)) => {
                    tracing::warn!(id = self.id, "the slots stay: {reason}");
                    break;
                }
                // It may be decided yet: nothing but the committed state releases the slots.
                Err(ProposeError::Unknown(reason)) => {
                    tracing::warn!(id = self.id, "not known yet whether slots have moved: {reason}");
                    sleep(PAUSE).await;
                }
            }
        }
        self.followed().await;
        match self.running() {
            Some(_) => Ok(()),
            None => Err(Stopped::Ended),
        }
    }

    /// Waits until the data thread has taken over what this node has applied: the batch is gone then.
    async fn followed(&mut self) {
        while self.server.shard.borrow_mut().node.moves.batch(&self.id).is_some() {
            let state = self.control.state();
            let batch_is_open = state.migration(&self.id).is_some_and(|found| found.phase == Phase::Running);
            self.server.shard.borrow_mut().adopt(&state);
            if batch_is_open && self.server.shard.borrow_mut().node.moves.batch(&self.id).is_some() {
                // Applied here, so this cannot last.
                self.control.changed().await;
            }
        }
    }

    /// Has the cluster decide that the move ends where it is.
    async fn abort(&mut self, reason: AbortReason) {
        while self.running().is_some() {
            let change = Change::AbortMove { id: self.id.clone(), reason: reason.clone() };
            if let Err(error) = self.control.propose(change).await {
                tracing::warn!(id = self.id, "the move is not aborted yet: {error}");
                sleep(PAUSE).await;
            }
        }
        let state = self.control.state();
        self.server.shard.borrow_mut().adopt(&state);
    }

    /// A batch that was parked stays so until the committed state ends the move; one that was not is served on and
    /// copied anew.
    fn forget_batch(&mut self) {
        let Shard { engine, node } = &mut *self.server.shard.borrow_mut();
        let Some(position) = node.moves.batches.iter().position(|batch| batch.id == self.id) else { return };
        let parked = node.moves.batches.get(position).is_some_and(|batch| batch.parked_at.is_some());
        if parked && !fault::planted("source-reopens-by-itself") {
            return;
        }
        let batch = node.moves.batches.remove(position);
        node.changes.end_copy(engine, batch.copy);
        for slot in batch.slots {
            node.locks.release(engine, slot, clock::monotonic());
        }
        node.moves.wake_slowed();
    }
}

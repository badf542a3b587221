//! A connection over which slots arrive: reads the slot stream, applies it, and hands complete batches over to whoever
//! serves them once they are owned.

use std::rc::Rc;
use std::time::{Duration, Instant};

use slotway_common::cluster_state::{AbortKind, AbortReason, ClusterState, Phase};
use slotway_common::fault;
use slotway_common::platform::clock;
use slotway_common::slot::Slot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::logging;
use super::pace::Pace;
use super::state::Server;
use crate::engine::SlotSpace;
use crate::locks::Holder;
use crate::migration::{Applied, Target, TargetError};
use crate::node::Shard;
use crate::stream::{Digest, Frames, Kind, put_frame};

/// Bytes that are read at once.
const READ: usize = 256 * 1024;
/// How often a silent stream looks whether it is to end.
const LOOK_UP: Duration = Duration::from_millis(100);
/// For the source to say something while a batch is under way: what has arrived of it takes memory.
const PATIENCE_WITH_SOURCE: Duration = Duration::from_secs(30);
/// For this node to learn of a move that its source has learnt of.
const PATIENCE: Duration = Duration::from_secs(5);

/// The answers to a slot stream.
#[derive(Default)]
struct Answers {
    sequence: u64,
    digest: Digest,
}

impl Answers {
    fn put(&mut self, kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.sequence += 1;
        put_frame((kind, 0, 0), self.sequence, payload, &mut self.digest, &mut bytes);
        bytes
    }
}

/// Takes the slots of a move in until the source ends the stream.
pub(super) async fn serve(connection: &mut Connection, id: &str) {
    let mut answers = Answers::default();
    if let Err(reason) = receive(connection, id, &mut answers).await {
        tracing::warn!(id, "slots do not arrive: {reason}");
        let mut payload = vec![reason.kind.position() as u8];
        payload.extend_from_slice(reason.text.as_bytes());
        let answer = answers.put(Kind::Failed, &payload);
        // The source may be gone; it then has no use for the reason.
        let _ = connection.stream.write_all(&answer).await;
        let _ = connection.stream.shutdown().await;
    }
}

async fn receive(connection: &mut Connection, id: &str, answers: &mut Answers) -> Result<(), AbortReason> {
    let server = connection.server.clone();
    await_move(&server, id).await?;
    let mut target = {
        let shard = &*server.shard.borrow();
        Target::new(shard.engine.limits, &shard.node.handlers.data, shard.engine.lazy_free())
    };
    fault::point("target-begun");
    let mut frames = Frames::new();
    frames.buffer().append(&mut connection.input);
    let mut batch = Batch { server: server.clone(), switched: None };
    let mut pace = Pace::new(server.clone());
    let mut heard = clock::monotonic();
    loop {
        if target.slots() == 0 {
            // A new base of the log would not have in it what is in the middle of arriving.
            while server.shard.borrow().node.log.is_base_wanted() {
                sleep(Duration::from_millis(1)).await;
            }
        }
        let applied_before = frames.last();
        let began = clock::monotonic();
        let prepared = apply(&server, &mut target, &mut frames, id, pace.slice())?;
        let took = clock::since(began);
        if target.slots() > 0 {
            batch.begin();
        }
        if frames.last() > applied_before {
            fault::point("target-applying");
            let answer = answers.put(Kind::Applied, &frames.last().to_le_bytes());
            connection.stream.write_all(&answer).await.map_err(AbortReason::unreachable)?;
        }
        match prepared {
            Some(slots) => {
                fault::point("target-prepared");
                batch.check()?;
                hand_over(&server, &mut target, &slots, id)?;
                batch.end();
                // From here on the source may have it decided that the slots are this shard's.
                logging::synced(&server).await.map_err(AbortReason::failed)?;
                fault::point("target-handed-over");
                let answer = answers.put(Kind::Ready, &[]);
                connection.stream.write_all(&answer).await.map_err(AbortReason::unreachable)?;
                continue;
            }
            // Reading does not give way to others as long as there is something to read, so this has to.
            None if frames.last() > applied_before => pace.rest(took).await,
            None => {}
        }
        if frames.has_more() {
            continue;
        }
        let buffer = frames.buffer();
        buffer.reserve(READ);
        let read = timeout(LOOK_UP, connection.stream.read_buf(buffer)).await;
        if connection.session.client.killed.get() || server.shard.borrow().node.stopping {
            return Err(AbortReason::unreachable("the target is stopping"));
        }
        match read {
            Ok(Ok(0)) if target.slots() == 0 => return Ok(()),
            Ok(Ok(0)) => return Err(AbortReason::unreachable("the source has closed the stream")),
            Ok(Ok(_)) => heard = clock::monotonic(),
            Ok(Err(error)) => return Err(AbortReason::unreachable(error)),
            // Between two batches there is nothing to say.
            Err(_) if target.slots() > 0 && clock::since(heard) > PATIENCE_WITH_SOURCE => {
                let seconds = PATIENCE_WITH_SOURCE.as_secs();
                return Err(AbortReason::unreachable(format!("the source was silent for {seconds} s")));
            }
            Err(_) => {}
        }
    }
}

/// A batch that is arriving, as far as the log is concerned.
struct Batch {
    server: Rc<Server>,
    /// What [`crate::log::Log::switched`] said when it began.
    switched: Option<u64>,
}

impl Batch {
    fn begin(&mut self) {
        if self.switched.is_none() {
            let log = &mut self.server.shard.borrow_mut().node.log;
            log.count_staging(true);
            self.switched = Some(log.switched());
        }
    }

    /// Refuses a batch of which the log has a part only.
    fn check(&self) -> Result<(), AbortReason> {
        let now = self.server.shard.borrow().node.log.switched();
        if self.switched.is_some_and(|before| before != now) {
            return Err(AbortReason::unreachable("the target's log was switched on or off meanwhile"));
        }
        Ok(())
    }

    fn end(&mut self) {
        if self.switched.take().is_some()
            && let Ok(mut shard) = self.server.shard.try_borrow_mut()
        {
            shard.node.log.count_staging(false);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits until this node knows the move, and checks that it leads here.
async fn await_move(server: &Rc<Server>, id: &str) -> Result<(), AbortReason> {
    let Some(mut control) = server.control.clone() else {
        return Err(AbortReason::failed("this node follows no committed state"));
    };
    let known = timeout(PATIENCE, async {
        while control.state().migration(id).is_none() {
            control.changed().await;
        }
    });
    if known.await.is_err() {
        return Err(AbortReason::unreachable(format!("this node knows of no move {id}")));
    }
    check(&control.state(), &server.shard.borrow(), id)
}

fn check(state: &ClusterState, shard: &Shard, id: &str) -> Result<(), AbortReason> {
    // The move was agreed on with the process before this one; its end is on the way.
    if let Some(reason) = shard.node.not_serving() {
        return Err(AbortReason::unreachable(format!("the target does not serve yet: {reason}")));
    }
    let found = state.migration(id).filter(|found| found.phase == Phase::Running);
    let found = found.ok_or_else(|| AbortReason::unreachable(format!("move {id} has ended")))?;
    let me = state.node(&shard.node.identity.node).map(|(shard, _)| shard.name.as_str());
    if me != Some(found.target.as_str()) {
        let target = &found.target;
        return Err(AbortReason::failed(format!("move {id} leads to shard {target}, not here")));
    }
    Ok(())
}

/// Applies whole frames for one slice of time; gives the slots of a batch when it is complete.
fn apply(
    server: &Server,
    target: &mut Target,
    frames: &mut Frames,
    id: &str,
    slice: Duration,
) -> Result<Option<Vec<Slot>>, AbortReason> {
    let shard = &mut *server.shard.borrow_mut();
    let started: Instant = clock::monotonic();
    loop {
        let before = frames.digest();
        let Some(frame) = frames.take().map_err(TargetError::from)? else { return Ok(None) };
        match target.apply(&frame, before)? {
            Applied::Complete(slots) => return Ok(Some(slots)),
            Applied::Going => shard.node.changes.staged(id, &frame),
        }
        if clock::since(started) > slice {
            return has_room(shard, id).map(|()| None);
        }
    }
}

/// Refuses more before keys that are served here would have to be evicted for it.
fn has_room(shard: &Shard, id: &str) -> Result<(), AbortReason> {
    let Some(limit) = shard.import_limit(id) else { return Ok(()) };
    let used = shard.engine.memory.used();
    if used > limit {
        let what = format!("the target has no room: {used} bytes are in use, and it may use {limit}");
        return Err(AbortReason::new(AbortKind::Full, what));
    }
    Ok(())
}

/// Puts complete slots where they are served from once this shard owns them.
fn hand_over(server: &Server, target: &mut Target, slots: &[Slot], id: &str) -> Result<(), AbortReason> {
    let shard = &mut *server.shard.borrow_mut();
    has_room(shard, id)?;
    if let Some(control) = &server.control {
        check(&control.state(), shard, id)?;
    }
    shard.node.changes.arrived(id, slots);
    for slot in slots {
        let space: SlotSpace = target.hand_over(*slot);
        if let Some((_, old)) = shard.node.moves.arrived.insert(*slot, (id.to_owned(), space)) {
            shard.engine.free(old);
        }
        if !shard.node.owns(*slot) {
            shard.node.locks.hold(&mut shard.engine, *slot, Holder::Arriving);
        }
    }
    Ok(())
}

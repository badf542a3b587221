//! What other threads ask of a worker.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use slotway_common::platform::net::Stream;
use tokio::time::{MissedTickBehavior, interval};

use super::client;
use super::sockets::Driver;
use crate::fleet::{Mailbox, Message};
use crate::worker::Worker;

/// Interval of the worker's own housekeeping.
const TICK: Duration = Duration::from_millis(100);
/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves the mailbox until the worker has drained.
pub(super) async fn serve(driver: &Rc<Driver>, mut mailbox: Mailbox) {
    let worker = &driver.worker;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = mailbox.recv() => match message {
                Some(Message::Client { stream, peer, client }) => take_in(driver, stream, peer, client),
                Some(Message::Run(run)) => run(worker),
                Some(Message::Show(line)) => worker.show(&line),
                Some(Message::Drain(done)) => {
                    drain(worker).await;
                    drop(done);
                    return;
                }
                None => return,
            },
            _ = ticks.tick() => tick(worker),
        }
    }
}

fn take_in(driver: &Rc<Driver>, stream: std::net::TcpStream, peer: SocketAddr, number: u64) {
    match Stream::from_std(stream) {
        Ok(stream) => client::open(driver, stream, peer, number),
        Err(error) => {
            tracing::warn!(%error, "client not taken in");
            let worker = &driver.worker;
            worker.context.fleet.client_left(worker.index);
        }
    }
}

fn tick(worker: &Worker) {
    if let Some(pulse) = worker.context.pulses.get(worker.index) {
        pulse.beat();
    }
    worker.with(|core| {
        core.tick();
        core.publish();
    });
}

/// Closes clients once their requests are answered, for a bounded time.
async fn drain(worker: &Worker) {
    let ids = worker.core.borrow().sessions.ids();
    worker.with(|core| ids.iter().for_each(|id| core.close_when_answered(*id)));
    let deadline = tokio::time::Instant::now() + DRAIN;
    while !worker.core.borrow().sessions.is_empty() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
        tick(worker);
    }
}

//! The end of a turn: everything that has collected in buffers is written.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::spawn_local;

use super::shard;
use super::sockets::Driver;
use crate::core::{Action, Core, SessionId, UpstreamId};
use crate::jobs;

/// The turn's task.
pub(super) async fn run(driver: Rc<Driver>) {
    poll_fn(|cx| {
        let turn = &driver.worker.turn;
        turn.set_task(cx.waker());
        if turn.is_wanted() {
            end(&driver);
            turn.ended();
        }
        Poll::<()>::Pending
    })
    .await;
}

/// Ends the turn.
fn end(driver: &Rc<Driver>) {
    let mut core = driver.worker.core.borrow_mut();
    core.now = driver.worker.now();
    loop {
        core.settle();
        if core.has_actions() {
            for action in core.take_actions() {
                perform(driver, &mut core, action);
            }
        }
        let shards = driver.shards.borrow();
        while let Some((id, upstream)) = core.next_upstream() {
            let Some(writer) = shards.get(id) else { continue };
            match writer.try_write(upstream.unsent()) {
                Ok(count) => core.upstream_wrote(id, count, false),
                Err(error) => {
                    core.upstream_wrote(id, 0, true);
                    if error.kind() == io::ErrorKind::WouldBlock {
                        spawn_local(write_shard(Rc::clone(driver), id));
                    }
                    // Any other error the connection's reader gets to know too.
                }
            }
        }
        drop(shards);
        let clients = driver.clients.borrow();
        while let Some((id, session)) = core.next_session() {
            let Some(writer) = clients.get(id) else { continue };
            match writer.try_write(session.unsent()) {
                Ok(count) => core.session_wrote(id, count, false),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    core.session_wrote(id, 0, true);
                    spawn_local(write_client(Rc::clone(driver), id));
                }
                Err(_) => core.close_now(id),
            }
        }
        drop(clients);
        if !core.has_work() {
            return;
        }
    }
}

/// Goes on writing to a shard whose socket was full.
async fn write_shard(driver: Rc<Driver>, id: UpstreamId) {
    while let Some(writer) = driver.shard_writer(id) {
        if writer.writable().await.is_err() {
            return;
        }
        let done = driver.worker.with(|core| {
            let Some(upstream) = core.upstreams.get(id) else { return true };
            match writer.try_write(upstream.unsent()) {
                Ok(count) => {
                    let left = upstream.unsent().len() > count;
                    core.upstream_wrote(id, count, left);
                    !left
                }
                Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            }
        });
        if done {
            return;
        }
    }
}

/// Goes on writing to a client whose socket was full.
async fn write_client(driver: Rc<Driver>, id: SessionId) {
    while let Some(writer) = driver.client_writer(id) {
        if writer.writable().await.is_err() {
            return;
        }
        let done = driver.worker.with(|core| {
            let Some(session) = core.sessions.get(id) else { return true };
            match writer.try_write(session.unsent()) {
                Ok(count) => {
                    let left = session.unsent().len() > count;
                    core.session_wrote(id, count, left);
                    !left
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
                Err(_) => {
                    core.close_now(id);
                    true
                }
            }
        });
        if done {
            return;
        }
    }
}

fn perform(driver: &Rc<Driver>, core: &mut Core, action: Action) {
    let worker = &driver.worker;
    match action {
        Action::Connect(id) => {
            spawn_local(shard::run(Rc::clone(driver), id));
        }
        Action::Disconnect(id) => {
            if let Some(writer) = driver.shards.borrow_mut().remove(id) {
                writer.close();
            }
        }
        Action::Close(id) => {
            if let Some(writer) = driver.clients.borrow_mut().remove(id) {
                // The reading task sees the end of the stream and ends.
                writer.close();
            }
            if let Some(waker) = driver.unread.borrow_mut().remove(&id) {
                waker.wake();
            }
            worker.forget_monitor(id);
            core.close_session(id);
            worker.context.fleet.client_left(worker.index);
        }
        Action::Read(id) => {
            if let Some(waker) = driver.unread.borrow_mut().remove(&id) {
                waker.wake();
            }
        }
        Action::Run(job) => {
            spawn_local(jobs::run(Rc::clone(worker), job));
        }
        Action::Refresh => worker.context.refresh.notify_one(),
        Action::Release { detention, after_ms } => {
            let worker = Rc::clone(worker);
            spawn_local(async move {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                worker.with(|core| core.release(detention));
            });
        }
        Action::FindScripts(unknown) => {
            spawn_local(jobs::find_scripts(Rc::clone(worker), unknown));
        }
        Action::Redirect { token, to, keys } => {
            spawn_local(jobs::redirect(Rc::clone(worker), token, to, keys));
        }
        Action::Monitor(line) => worker.context.fleet.show(line),
        Action::MonitorLeft(id) => worker.forget_monitor(id),
    }
}

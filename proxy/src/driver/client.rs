//! Reading clients.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use slotway_common::platform::net::{ReadHalf, Stream};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::spawn_local;

use super::sockets::Driver;
use crate::core::SessionId;

/// Reads in a row before other tasks get their turn.
const READS: usize = 8;

/// Takes in an accepted client.
pub(super) fn open(driver: &Rc<Driver>, stream: Stream, peer: SocketAddr, client: u64) {
    let local = stream.local_addr().unwrap_or(peer);
    let descriptor = stream.as_raw_fd();
    let (reader, writer) = stream.into_split();
    let id = driver.worker.with(|core| {
        let id = core.open_session(client, peer, local);
        if let Some(session) = core.sessions.get_mut(id) {
            session.descriptor = descriptor;
        }
        id
    });
    driver.clients.borrow_mut().insert(id, Rc::new(writer));
    spawn_local(read(Rc::clone(driver), id, reader));
}

async fn read(driver: Rc<Driver>, id: SessionId, mut reader: ReadHalf) {
    poll_fn(|cx| poll_read(&driver, id, &mut reader, cx)).await;
    driver.worker.with(|core| core.input_ended(id));
}

/// Reads and handles what there is. Ready at the end of the stream.
fn poll_read(driver: &Driver, id: SessionId, reader: &mut ReadHalf, cx: &mut Context<'_>) -> Poll<()> {
    let worker = &driver.worker;
    let mut core = worker.core.borrow_mut();
    let mut scratch = driver.scratch.borrow_mut();
    let mut read_any = false;
    let mut result = Poll::Pending;
    for round in 0..=READS {
        if round == READS {
            cx.waker().wake_by_ref();
            break;
        }
        if !core.wants_input(id) {
            if core.sessions.get(id).is_none() {
                result = Poll::Ready(());
            } else {
                driver.unread.borrow_mut().insert(id, cx.waker().clone());
            }
            break;
        }
        let mut buffer = ReadBuf::new(&mut scratch);
        match Pin::new(&mut *reader).poll_read(cx, &mut buffer) {
            Poll::Pending => break,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                if !read_any {
                    core.now = worker.now();
                    read_any = true;
                }
                core.received(id, buffer.filled());
            }
            Poll::Ready(Ok(())) => {
                result = Poll::Ready(());
                break;
            }
            Poll::Ready(Err(_)) => {
                core.close_now(id);
                result = Poll::Ready(());
                break;
            }
        }
    }
    if core.has_work() {
        drop(core);
        worker.turn.wake();
    }
    result
}

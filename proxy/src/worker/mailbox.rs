//! What other threads ask of a worker.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::{Worker, client};
use crate::core::SessionId;

/// A request of another thread.
pub enum Message {
    /// Take in an accepted client.
    Client { stream: std::net::TcpStream, peer: SocketAddr, client: u64 },
    /// Run this on the worker's thread.
    Run(Box<dyn FnOnce(&Rc<Worker>) + Send>),
    /// Show this line to the clients in MONITOR mode.
    Show(Arc<[u8]>),
    /// Finish what is in flight, then end. The answer is dropped when that is done.
    Drain(oneshot::Sender<()>),
}

/// The receiving end.
pub type Mailbox = mpsc::UnboundedReceiver<Message>;

/// The sending end, and what others know of a worker.
#[derive(Debug)]
pub struct WorkerHandle {
    sender: mpsc::UnboundedSender<Message>,
    /// Clients that the worker has.
    pub clients: AtomicUsize,
}

impl WorkerHandle {
    /// A handle and the mailbox that it sends to.
    pub fn new() -> (Self, Mailbox) {
        let (sender, mailbox) = mpsc::unbounded_channel();
        (Self { sender, clients: AtomicUsize::new(0) }, mailbox)
    }

    /// Sends a message; the worker ends only with the process, and then nobody needs it.
    pub fn send(&self, message: Message) {
        let _ = self.sender.send(message);
    }

    /// Runs something on the worker's thread and gives where its result will be; nothing if the worker has ended.
    pub fn start<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Rc<Worker>) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        self.send(Message::Run(Box::new(move |worker| {
            let _ = sender.send(run(worker));
        })));
        receiver
    }
}

/// Interval of the worker's own housekeeping.
const TICK: Duration = Duration::from_millis(100);
/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves the mailbox until the worker has drained.
pub(super) async fn serve(worker: &Rc<Worker>, mut mailbox: Mailbox) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = mailbox.recv() => match message {
                Some(Message::Client { stream, peer, client }) => worker.take_in(stream, peer, client),
                Some(Message::Run(run)) => run(worker),
                Some(Message::Show(line)) => worker.show(&line),
                Some(Message::Drain(done)) => {
                    worker.drain().await;
                    drop(done);
                    return;
                }
                None => return,
            },
            _ = ticks.tick() => worker.tick(),
        }
    }
}

impl Worker {
    fn take_in(self: &Rc<Self>, stream: std::net::TcpStream, peer: SocketAddr, number: u64) {
        match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => client::open(self, stream, peer, number),
            Err(error) => {
                tracing::warn!(%error, "client not taken in");
                self.context.fleet.client_left(self.index);
            }
        }
    }

    fn show(&self, line: &[u8]) {
        let monitors = self.monitors.borrow().clone();
        self.with(|core| monitors.iter().for_each(|id| core.show_line(*id, line)));
    }

    /// Puts a client into MONITOR mode.
    pub(crate) fn add_monitor(&self, id: SessionId) {
        self.monitors.borrow_mut().push(id);
        self.context.fleet.monitors_changed(1);
        self.context.monitors.notify_one();
    }

    pub(crate) fn forget_monitor(&self, id: SessionId) {
        let mut monitors = self.monitors.borrow_mut();
        let before = monitors.len();
        monitors.retain(|monitor| *monitor != id);
        if monitors.len() < before {
            self.context.fleet.monitors_changed(-1);
            self.context.monitors.notify_one();
        }
    }

    fn tick(&self) {
        if let Some(pulse) = self.context.pulses.get(self.index) {
            pulse.beat();
        }
        self.with(|core| {
            core.tick();
            core.publish();
        });
    }

    /// Closes clients once their requests are answered, for a bounded time.
    async fn drain(self: &Rc<Self>) {
        self.draining.set(true);
        let ids = self.core.borrow().sessions.ids();
        self.with(|core| ids.iter().for_each(|id| core.close_when_answered(*id)));
        let deadline = tokio::time::Instant::now() + DRAIN;
        while !self.core.borrow().sessions.is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.tick();
        }
    }
}

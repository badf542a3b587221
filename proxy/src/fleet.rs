//! All workers of the process, and how other threads reach them.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::worker::Worker;

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

/// The workers, by their positions.
#[derive(Debug)]
pub struct Fleet {
    workers: Vec<WorkerHandle>,
    next_client: AtomicU64,
    monitors: AtomicIsize,
    rejected: AtomicU64,
}

impl Fleet {
    pub fn new(workers: Vec<WorkerHandle>) -> Self {
        Self {
            workers,
            next_client: AtomicU64::new(1),
            monitors: AtomicIsize::new(0),
            rejected: AtomicU64::new(0),
        }
    }

    pub fn workers(&self) -> &[WorkerHandle] {
        &self.workers
    }

    /// Clients of the whole process.
    pub fn clients(&self) -> usize {
        self.workers.iter().map(|worker| worker.clients.load(Ordering::Relaxed)).sum()
    }

    /// Clients that were turned away because of `maxclients`.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    pub(crate) fn count_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives an accepted client to the worker with the fewest.
    pub fn assign(&self, stream: std::net::TcpStream, peer: SocketAddr) {
        let least = self.workers.iter().min_by_key(|worker| worker.clients.load(Ordering::Relaxed));
        if let Some(worker) = least {
            worker.clients.fetch_add(1, Ordering::Relaxed);
            let client = self.next_client.fetch_add(1, Ordering::Relaxed);
            worker.send(Message::Client { stream, peer, client });
        }
    }

    pub(crate) fn client_left(&self, worker: usize) {
        if let Some(worker) = self.workers.get(worker) {
            worker.clients.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Runs something on each worker, at the same time, and collects the results.
    pub async fn each<T: Send + 'static>(
        &self,
        run: impl Fn(&Rc<Worker>) -> T + Clone + Send + 'static,
    ) -> Vec<T> {
        let mut answers = Vec::with_capacity(self.workers.len());
        for worker in &self.workers {
            let run = run.clone();
            answers.push(worker.start(move |worker| run(worker)));
        }
        let mut results = Vec::with_capacity(answers.len());
        for answer in answers {
            results.extend(answer.await.ok());
        }
        results
    }

    /// Has each worker do something, without waiting for it.
    pub fn tell(&self, run: impl Fn(&Rc<Worker>) + Clone + Send + 'static) {
        for worker in &self.workers {
            let run = run.clone();
            worker.send(Message::Run(Box::new(move |worker| run(worker))));
        }
    }

    /// Shows a line to the clients in MONITOR mode, wherever they are.
    pub(crate) fn show(&self, line: Vec<u8>) {
        let line: Arc<[u8]> = line.into();
        for worker in &self.workers {
            worker.send(Message::Show(Arc::clone(&line)));
        }
    }

    /// Whether some client is in MONITOR mode.
    pub fn is_monitored(&self) -> bool {
        self.monitors.load(Ordering::Relaxed) > 0
    }

    /// Takes note that clients entered or left MONITOR mode.
    pub(crate) fn monitors_changed(&self, change: isize) {
        let monitored = self.monitors.fetch_add(change, Ordering::Relaxed) + change > 0;
        self.tell(move |worker| worker.with(|core| core.set_monitored(monitored)));
    }
}

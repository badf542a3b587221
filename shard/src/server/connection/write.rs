//! Writes replies, as far as what they tell of is as safe as it has to be.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::{Connection, KEEP};

impl Connection {
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let free = if self.held.is_empty() { self.output.len() } else { self.release() };
        while self.written < free {
            let rest = &self.output[self.written..free];
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    let stats = &mut self.server.shard.borrow_mut().node.stats;
                    stats.output_bytes += count as u64;
                    stats.writes += 1;
                    let client = &self.session.client;
                    client.total_output.set(client.total_output.get() + count as u64);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.session.client.output_bytes.set(self.output.len() - self.written);
                    return Poll::Pending;
                }
            }
        }
        if !self.held.is_empty() {
            self.session.client.output_bytes.set(self.output.len() - self.written);
            return Poll::Ready(Ok(()));
        }
        self.written = 0;
        if self.output.capacity() > KEEP {
            self.output = Vec::new();
        } else {
            self.output.clear();
        }
        self.session.client.output_bytes.set(0);
        Poll::Ready(Ok(()))
    }

    /// How much of the output may be written; the task is woken when it is more.
    #[cold]
    fn release(&mut self) -> usize {
        let server = self.server.clone();
        let node = &server.shard.borrow().node;
        match node.log.failure() {
            Some(reason) => self.held.fail(&mut self.output, self.session.protocol, reason),
            None => {
                if let Some(sequence) = self.held.release(node.log.released()) {
                    server.pending.borrow_mut().add(sequence, self.session.client.clone());
                }
            }
        }
        if self.written > KEEP {
            self.output.drain(..self.written);
            self.held.shift(self.written);
            self.written = 0;
        }
        self.held.free(self.output.len())
    }
}

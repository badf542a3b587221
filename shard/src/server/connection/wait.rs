//! What a connection waits for before its next request runs: when that begins, and when it is over.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use slotway_common::command::{Command, Route};
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::resp::{Args, Reply};
use tokio::time::sleep;

use super::{Connection, LARGE};
use crate::client::Waits;
use crate::dispatch::{self, Prepared};
use crate::node::Shard;
use crate::server::users;

impl Connection {
    /// Whether it goes on waiting. What is over has been answered then.
    #[cold]
    pub(super) fn still_waits(&mut self) -> bool {
        match self.session.client.waits.get() {
            // The request itself looks again, or none is to run any more.
            Waits::Nothing | Waits::Slot | Waits::Targets | Waits::Pause | Waits::Stream => false,
            // Whoever ends it says so.
            Waits::Data => true,
            Waits::Script => !self.has_run(),
            Waits::Save { bases } => !self.has_saved(bases),
            Waits::Users => !self.has_changed_users(),
        }
    }

    /// Whether a request was held back, and something wakes the task when that may be over; otherwise it is read again.
    #[cold]
    pub(super) fn is_held_back(&mut self, context: &mut Context<'_>) -> bool {
        match self.session.client.waits.get() {
            Waits::Slot | Waits::Targets => true,
            Waits::Pause if self.poll_pause(context).is_pending() => true,
            Waits::Pause => {
                self.session.client.waits.set(Waits::Nothing);
                false
            }
            // It has run, and waits for its reply.
            _ => false,
        }
    }

    /// Nothing is run until the client is woken; what was answered is written.
    #[cold]
    pub(super) fn poll_waiting(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready(Err(_)) = self.poll_write(context) {
            return Poll::Ready(());
        }
        // These may last: what it sends meanwhile is only kept, but its going must be noticed.
        if self.session.client.waits.get().is_blocked() {
            while self.input.len() < LARGE {
                let read =
                    tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), context, &mut self.input);
                match read {
                    Poll::Ready(Ok(count)) if self.note_read(count) => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => break,
                }
            }
        }
        Poll::Pending
    }

    /// Whether a request has to wait before it runs.
    #[inline]
    pub(super) fn must_wait(&self, shard: &mut Shard, prepared: &Prepared, args: &Args<'_>) -> bool {
        shard.node.pause.is_some() && self.is_paused(shard, prepared, args)
            || shard.node.locks.is_any_held() && self.is_held(shard, prepared.command(), args)
    }

    /// True when CLIENT PAUSE holds a request back.
    #[cold]
    fn is_paused(&self, shard: &Shard, prepared: &Prepared, args: &Args<'_>) -> bool {
        let is_paused = dispatch::is_paused(&shard.node, &self.session, prepared, args);
        if is_paused {
            self.session.client.waits.set(Waits::Pause);
            if prepared.command().is_some_and(|command| command.route != Route::Internal) {
                self.session.client.last_command.set(prepared.command());
            }
        }
        is_paused
    }

    /// True when the client has to wait for a slot that is held; it is woken when that is released, or when it has waited for too
    /// long: then its request is refused. Proxies are told instead, so that their other clients need not wait.
    #[cold]
    fn is_held(&self, shard: &mut Shard, command: Option<&'static Command>, args: &Args<'_>) -> bool {
        if self.session.internal.is_some() || self.gave_up.take() {
            return false;
        }
        let locks = &mut shard.node.locks;
        let held = match &self.session.transaction {
            Some(transaction) if command.is_some_and(|command| command.name == "exec") => {
                locks.held_among(transaction.queued.slots())
            }
            _ => locks.held_of(command, args),
        };
        if let Some(slot) = held {
            locks.wait(slot, &self.session.client, clock::monotonic());
            self.session.client.waits.set(Waits::Slot);
        }
        held.is_some()
    }

    /// Whether a client that writes faster than slots can be moved has to wait for them.
    #[cold]
    pub(super) fn is_slowed(&mut self, shard: &mut Shard) -> bool {
        self.session.slowed = shard.node.moves.is_congested(&shard.node.changes);
        if self.session.slowed {
            shard.node.moves.wait_for_targets(self.session.client.clone());
            self.session.client.waits.set(Waits::Targets);
        }
        self.session.slowed
    }

    /// Waits until the pause ends; UNPAUSE wakes the task earlier.
    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let pause = self.server.shard.borrow().node.pause;
        let left = pause.map_or(0, |pause| pause.until - clock::now_ms());
        let Ok(left @ 1..) = u64::try_from(left) else {
            self.pause_ends = None;
            return Poll::Ready(());
        };
        let mut end = Box::pin(sleep(Duration::from_millis(left)));
        let ended = end.as_mut().poll(context);
        self.pause_ends = Some(end);
        ended
    }

    /// Takes the reply of a slow script when that has ended.
    fn has_run(&mut self) -> bool {
        let server = self.server.clone();
        let shard = &mut *server.shard.borrow_mut();
        let Some(ended) = shard.node.scripts.suspended.take_ended(self.session.client.id) else {
            return false;
        };
        self.session = ended.session;
        (self.session.acting, self.session.scripting) = (None, false);
        self.session.client.waits.set(Waits::Nothing);
        let from = self.output.len();
        if !self.session.muted {
            self.output.extend_from_slice(&ended.reply);
        }
        self.hold(from, shard.node.changes.visible(), shard.node.log.released());
        true
    }

    /// Answers SAVE when the base that it waits for has ended.
    fn has_saved(&mut self, bases: u64) -> bool {
        let server = self.server.clone();
        let node = &server.shard.borrow().node;
        let is_over = node.log.failure().is_some() || !node.log.is_on();
        if node.log.bases_ended() < bases && !is_over {
            return false;
        }
        self.session.client.waits.set(Waits::Nothing);
        if self.session.muted {
            return true;
        }
        let mut reply = Reply::new(&mut self.output, self.session.protocol);
        match node.log.last_save_error() {
            None if !is_over => reply.ok(),
            reason => {
                let reason = reason.unwrap_or_else(|| "the log has ended".to_owned());
                reply.error(&Error::err(format!("nothing was saved: {reason}")));
            }
        }
        true
    }

    /// Has the cluster change its users, and takes the reply when it has.
    fn has_changed_users(&mut self) -> bool {
        let client = self.session.client.clone();
        if let Some(words) = self.session.changes_users.take() {
            let change = users::change(self.server.clone(), client, self.session.protocol, words);
            tokio::task::spawn_local(change);
            return false;
        }
        let Some(reply) = client.users_reply.borrow_mut().take() else { return false };
        client.waits.set(Waits::Nothing);
        self.session.closing |= client.is_leaving.get();
        if !self.session.muted {
            self.output.extend_from_slice(&reply);
        }
        true
    }
}

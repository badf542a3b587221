//! Whether a process lives and whether it can serve.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::platform::clock;

/// What `/healthz` and `/readyz` tell.
///
/// Alive: every watched thread showed itself within its limit. Ready: alive, and the process said that it serves.
pub struct Health {
    start: Instant,
    readiness: Mutex<Result<(), String>>,
    /// What is broken for good.
    broken: Mutex<Option<String>>,
    watched: Mutex<Vec<Watched>>,
}

struct Watched {
    thread: &'static str,
    limit: Duration,
    last: Arc<AtomicU64>,
}

/// A watched thread's sign of life. Giving it costs a clock reading and a store.
pub struct Pulse {
    start: Instant,
    last: Arc<AtomicU64>,
}

impl Health {
    /// Not ready, because it is starting.
    pub fn new() -> Arc<Health> {
        Arc::new(Health {
            start: clock::monotonic(),
            readiness: Mutex::new(Err("starting".to_owned())),
            broken: Mutex::default(),
            watched: Mutex::default(),
        })
    }

    /// From now on `/readyz` answers 200.
    pub fn set_ready(&self) {
        *self.readiness.lock().unwrap_or_else(PoisonError::into_inner) = Ok(());
    }

    /// From now on `/readyz` answers 503 with this reason, one line.
    pub fn set_not_ready(&self, reason: impl Into<String>) {
        *self.readiness.lock().unwrap_or_else(PoisonError::into_inner) = Err(reason.into());
    }

    /// From now on `/healthz` and `/readyz` answer 503 with this reason, one line: only another process can do better.
    pub fn set_broken(&self, reason: impl Into<String>) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| reason.into());
    }

    /// Watches a thread that calls [`Pulse::beat`] more often than every `limit`.
    pub fn watch(&self, thread: &'static str, limit: Duration) -> Pulse {
        let pulse = Pulse { start: self.start, last: Arc::default() };
        pulse.beat();
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).push(Watched {
            thread,
            limit,
            last: pulse.last.clone(),
        });
        pulse
    }

    /// The reason if a watched thread is late, or something is broken.
    pub fn alive(&self) -> Result<(), String> {
        if let Some(reason) = &*self.broken.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(reason.clone());
        }
        let now = milliseconds_since(self.start);
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        for Watched { thread, limit, last } in watched.iter() {
            let silent = Duration::from_millis(now.saturating_sub(last.load(Relaxed)));
            if silent > *limit {
                return Err(format!("the {thread} thread has been busy for {} ms", silent.as_millis()));
            }
        }
        Ok(())
    }

    /// The reason if it is not alive or does not serve.
    pub fn ready(&self) -> Result<(), String> {
        self.alive()?;
        self.readiness.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Pulse {
    #[inline]
    pub fn beat(&self) {
        self.last.store(milliseconds_since(self.start), Relaxed);
    }
}

fn milliseconds_since(start: Instant) -> u64 {
    u64::try_from(clock::monotonic().saturating_duration_since(start).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_after_it_was_said() {
        let health = Health::new();
        assert_eq!(health.alive(), Ok(()));
        assert_eq!(health.ready(), Err("starting".to_owned()));
        health.set_ready();
        assert_eq!(health.ready(), Ok(()));
        health.set_not_ready("draining");
        assert_eq!(health.ready(), Err("draining".to_owned()));
    }

    #[test]
    fn silent_thread_makes_it_unhealthy_until_it_beats() {
        let health = Health::new();
        health.set_ready();
        let pulse = health.watch("data", Duration::from_millis(1));
        let deadline = clock::monotonic() + Duration::from_secs(10);
        while health.alive().is_ok() {
            assert!(clock::monotonic() < deadline, "the silence was not noticed");
            std::thread::yield_now();
        }
        assert!(health.ready().unwrap_err().starts_with("the data thread has been busy for "));
        let patient = Health::new();
        let pulse_of_patient = patient.watch("data", Duration::from_secs(3600));
        pulse_of_patient.beat();
        pulse.beat();
        assert_eq!(patient.alive(), Ok(()));
    }
}

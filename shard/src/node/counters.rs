//! What a shard counts beside its data.

use std::collections::VecDeque;
use std::time::Instant;

use slotway_common::statistics::Statistics;

/// Counters of the server.
#[derive(Clone, Debug, Default)]
pub struct ServerStats {
    /// What was run for clients, those of proxies included.
    pub run: Statistics,
    pub input_bytes: u64,
    pub output_bytes: u64,
    /// Reads of sockets that brought something, and writes.
    pub reads: u64,
    pub writes: u64,
    /// Clients that were closed because a budget was used up.
    pub closed_for_output: u64,
    pub closed_for_input: u64,
    /// Clients that a message was sent to, once for each message.
    pub messages: u64,
    /// Requests answered with MOVED.
    pub redirects: u64,
    /// What users were denied, by [`slotway_common::acl::Reason`].
    pub denied: [u64; 4],
    /// Commands, input and output bytes a second, over the last 16 samples of 100 ms.
    pub rates: Rates,
}

/// Moving averages of what happens a second.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    samples: VecDeque<(Instant, [u64; 3])>,
}

impl Rates {
    /// Adds a sample of the running totals.
    pub fn sample(&mut self, now: Instant, totals: [u64; 3]) {
        self.samples.push_back((now, totals));
        if self.samples.len() > 17 {
            self.samples.pop_front();
        }
    }

    /// Commands a second between the last two samples.
    #[must_use]
    pub fn latest_commands_per_second(&self) -> f64 {
        let mut samples = self.samples.iter().rev();
        let (Some((last, new)), Some((first, old))) = (samples.next(), samples.next()) else { return 0.0 };
        let seconds = last.duration_since(*first).as_secs_f64();
        if seconds > 0.0 { new[0].saturating_sub(old[0]) as f64 / seconds } else { 0.0 }
    }

    /// Commands, input bytes and output bytes a second.
    #[must_use]
    pub fn per_second(&self) -> [f64; 3] {
        let (Some((first, old)), Some((last, new))) = (self.samples.front(), self.samples.back()) else {
            return [0.0; 3];
        };
        let seconds = last.duration_since(*first).as_secs_f64();
        if seconds <= 0.0 {
            return [0.0; 3];
        }
        std::array::from_fn(|index| new[index].saturating_sub(old[index]) as f64 / seconds)
    }
}

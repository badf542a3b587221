//! Durations in buckets of powers of two.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Cell, Value};

/// Bounds of 2^10 ns (about 1 µs) to 2^33 ns (about 8.6 s), and one bucket for what takes longer.
pub const BUCKETS: usize = 25;

/// The first bucket takes everything up to 2 to this power, in nanoseconds.
const FIRST_POWER: u32 = 10;

/// A distribution of durations. One thread observes, at the cost of three adds.
#[derive(Default, Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_nanoseconds: AtomicU64,
}

impl Histogram {
    #[inline]
    pub fn observe(&self, duration: Duration) {
        self.observe_nanoseconds(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    #[inline]
    pub fn observe_nanoseconds(&self, nanoseconds: u64) {
        self.observe_many(nanoseconds, 1);
    }

    /// `count` things that took this long each, as when one clock reading covers a batch.
    #[inline]
    pub fn observe_many(&self, nanoseconds: u64, count: u64) {
        if let Some(bucket) = self.buckets.get(bucket_of(nanoseconds)) {
            bucket.store(bucket.load(Relaxed).wrapping_add(count), Relaxed);
        }
        let sum = self.sum_nanoseconds.load(Relaxed);
        self.sum_nanoseconds.store(sum.wrapping_add(nanoseconds.wrapping_mul(count)), Relaxed);
    }

    /// Number of observations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }
}

impl Cell for Histogram {
    const SUFFIX: &'static str = "_seconds";

    fn value(&self) -> Value {
        let mut buckets = [0; BUCKETS];
        buckets.iter_mut().zip(&self.buckets).for_each(|(copy, bucket)| *copy = bucket.load(Relaxed));
        Value::Histogram { buckets, sum_seconds: self.sum_nanoseconds.load(Relaxed) as f64 / 1e9 }
    }
}

/// The first bucket whose bound, 2^(position + 10) ns, is not exceeded.
#[inline]
fn bucket_of(nanoseconds: u64) -> usize {
    let power = u64::BITS - nanoseconds.saturating_sub(1).leading_zeros();
    (power.saturating_sub(FIRST_POWER) as usize).min(BUCKETS - 1)
}

pub(super) fn proto(buckets: &[u64; BUCKETS], sum_seconds: f64) -> prometheus::proto::Histogram {
    let mut cumulative = 0;
    let mut bounded = Vec::with_capacity(BUCKETS - 1);
    for (power, count) in (FIRST_POWER..).zip(buckets) {
        cumulative += count;
        let mut bucket = prometheus::proto::Bucket::default();
        bucket.set_cumulative_count(cumulative);
        bucket.set_upper_bound(2f64.powi(power as i32) / 1e9);
        bounded.push(bucket);
    }
    // The last bucket has no bound; the encoder writes it from the count.
    bounded.pop();
    let mut histogram = prometheus::proto::Histogram::default();
    histogram.set_bucket(bounded);
    histogram.set_sample_count(cumulative);
    histogram.set_sample_sum(sum_seconds);
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_belong_to_their_bucket() {
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(1024), 0);
        assert_eq!(bucket_of(1025), 1);
        assert_eq!(bucket_of(2048), 1);
        assert_eq!(bucket_of(1 << 33), BUCKETS - 2);
        assert_eq!(bucket_of((1 << 33) + 1), BUCKETS - 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn buckets_are_shown_cumulatively() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_nanos(500));
        histogram.observe_many(3_000, 4);
        histogram.observe(Duration::from_secs(60));
        let Value::Histogram { buckets, sum_seconds } = histogram.value() else { panic!() };
        let proto = proto(&buckets, sum_seconds);
        assert_eq!(proto.get_sample_count(), 6);
        let counts: Vec<u64> =
            proto.get_bucket().iter().take(4).map(prometheus::proto::Bucket::cumulative_count).collect();
        assert_eq!(counts, [1, 1, 5, 5]);
        assert!((sum_seconds - 60.000_012_5).abs() < 1e-9);
    }
}

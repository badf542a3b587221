//! Numbers that one thread writes and any thread reads, and the declaration of sets of them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Snapshot, Value};

/// What can stand in a [`cells!`](crate::cells) declaration.
pub trait Cell: Default {
    /// What Prometheus's naming rules append to the field's name.
    const SUFFIX: &'static str;

    fn value(&self) -> Value;

    fn collect(&self, name: &str, help: &str, snapshot: &mut Snapshot<'_>) {
        snapshot.add(name, help, None, self.value());
    }
}

/// A number that only grows. One thread adds; a second one that adds at the same moment would lose counts.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    #[inline]
    pub fn add(&self, count: u64) {
        // A load and a store, which is an ordinary add: fetch_add would lock the cache line for nothing.
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Publishes a count that the owner keeps elsewhere; it must never be lower than before.
    #[inline]
    pub fn set(&self, count: u64) {
        self.0.store(count, Relaxed);
    }

    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Cell for Counter {
    const SUFFIX: &'static str = "_total";

    fn value(&self) -> Value {
        Value::Counter(self.get() as f64)
    }
}

/// A number that goes up and down. One thread writes.
#[derive(Default, Debug)]
pub struct Gauge(AtomicI64);

impl Gauge {
    #[inline]
    pub fn add(&self, difference: i64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(difference), Relaxed);
    }

    #[inline]
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// A number of bytes or things; what exceeds `i64` is cut off.
    #[inline]
    pub fn set_count(&self, value: usize) {
        self.set(i64::try_from(value).unwrap_or(i64::MAX));
    }

    #[inline]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

impl Cell for Gauge {
    const SUFFIX: &'static str = "";

    fn value(&self) -> Value {
        Value::Gauge(self.get() as f64)
    }
}

/// Time spent, shown in seconds. One thread adds.
#[derive(Default, Debug)]
pub struct Seconds(Counter);

impl Seconds {
    #[inline]
    pub fn add(&self, spent: Duration) {
        self.add_nanoseconds(u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX));
    }

    #[inline]
    pub fn add_nanoseconds(&self, nanoseconds: u64) {
        self.0.add(nanoseconds);
    }
}

impl Cell for Seconds {
    const SUFFIX: &'static str = "_seconds_total";

    fn value(&self) -> Value {
        Value::Counter(self.0.get() as f64 / 1e9)
    }
}

/// Declares a set of metrics: one line each of kind, name and help text.
///
/// ```
/// slotway_common::cells! {
///     /// What a worker counts.
///     pub struct WorkerCells in "proxy" {
///         counter redirects "Requests that a shard sent elsewhere.";
///         gauge clients "Open client connections.";
///         seconds paused "Time during which nothing was read from clients.";
///         counters errors[kind: ["client", "upstream"]] "Error replies by who caused them.";
///         histograms request_duration[family: ["string", "hash"]] "Time from a request's last byte to its reply.";
///     }
/// }
///
/// let cells = std::sync::Arc::new(WorkerCells::default());
/// cells.redirects.inc();
/// cells.errors.at(1).inc();
/// cells.request_duration.at(0).observe_nanoseconds(1_500);
///
/// let metrics = slotway_common::metrics::Metrics::new();
/// metrics.register(&[], cells.clone());
/// let page = metrics.render();
/// assert!(page.contains("slotway_proxy_redirects_total 1\n"));
/// assert!(page.contains("slotway_proxy_errors_total{kind=\"upstream\"} 1\n"));
/// assert!(page.contains("slotway_proxy_request_duration_seconds_count{family=\"string\"} 1\n"));
/// ```
///
/// Kinds: `counter`, `gauge`, `seconds` (a counter of time), `histogram` (of durations), and with a label whose values
/// are fixed `counters`, `gauges`, `histograms`. The label's values are an expression that turns into an iterator of
/// texts; [`Family::at`](crate::metrics::Family::at) takes a position in it.
#[macro_export]
macro_rules! cells {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $set:ident in $part:literal {
            $($kind:ident $field:ident $([$label:ident: $values:expr])? $help:literal;)*
        }
    ) => {
        $(#[$attribute])*
        $visibility struct $set {
            $(#[doc = $help] pub $field: $crate::cells!(@type $kind),)*
        }

        impl Default for $set {
            fn default() -> Self {
                $set { $($field: $crate::cells!(@new $kind $([$label $values])?),)* }
            }
        }

        impl $crate::metrics::Source for $set {
            fn collect(&self, snapshot: &mut $crate::metrics::Snapshot<'_>) {
                $(
                    let name = ::std::format!(
                        "slotway_{}_{}{}",
                        $part,
                        ::std::stringify!($field),
                        $crate::cells!(@suffix $kind)
                    );
                    self.$field.collect(&name, $help, snapshot);
                )*
                #[allow(unused_imports)]
                use $crate::metrics::Cell as _;
            }
        }
    };
    (@type counter) => { $crate::metrics::Counter };
    (@type gauge) => { $crate::metrics::Gauge };
    (@type seconds) => { $crate::metrics::Seconds };
    (@type histogram) => { $crate::metrics::Histogram };
    (@type counters) => { $crate::metrics::Family<$crate::metrics::Counter> };
    (@type gauges) => { $crate::metrics::Family<$crate::metrics::Gauge> };
    (@type histograms) => { $crate::metrics::Family<$crate::metrics::Histogram> };
    (@one counters) => { $crate::metrics::Counter };
    (@one gauges) => { $crate::metrics::Gauge };
    (@one histograms) => { $crate::metrics::Histogram };
    (@one $kind:ident) => { $crate::cells!(@type $kind) };
    (@suffix $kind:ident) => { <$crate::cells!(@one $kind) as $crate::metrics::Cell>::SUFFIX };
    (@new $kind:ident) => { ::std::default::Default::default() };
    (@new $kind:ident [$label:ident $values:expr]) => {
        $crate::metrics::Family::new(::std::stringify!($label), $values)
    };
}

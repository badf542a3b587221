//! What a process counts, in the Prometheus text format.
//!
//! A set of metrics is declared with [`cells!`](crate::cells), one line each; every thread that counts has a value of
//! the declared type of its own, and [`Metrics::register`] makes them visible. Values of one type that are registered
//! with equal labels are summed, so the threads of a process are one series.
//!
//! Adding to a cell costs an ordinary add of the thread that owns it: [`Counter`], [`Gauge`] and [`Histogram`] have one
//! writer, which publishes with relaxed stores; the admin thread reads copies at any time and never makes it wait. What a
//! thread already keeps in its own structures it copies into gauges (`set`) on its regular tick.
//!
//! Names are `slotway_<part>_<field>` with Prometheus's suffixes: `_total` for counters, base units (seconds, bytes).

mod cells;
mod family;
mod histogram;

pub use cells::{Cell, Counter, Gauge, Seconds};
pub use family::Family;
pub use histogram::{BUCKETS, Histogram};

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Registry, TextEncoder};

/// Something that can be read at any time by the admin thread.
pub trait Source: Send + Sync {
    /// Gives every metric's present value to the snapshot.
    fn collect(&self, snapshot: &mut Snapshot<'_>);
}

/// All metrics of a process.
pub struct Metrics {
    /// What the prometheus crate collects itself: CPU time, memory and files of the process.
    registry: Registry,
    sources: Mutex<Vec<Registered>>,
}

struct Registered {
    labels: Vec<(&'static str, String)>,
    source: Arc<dyn Source>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    pub fn new() -> Metrics {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        {
            let process = prometheus::process_collector::ProcessCollector::for_self();
            if let Err(error) = registry.register(Box::new(process)) {
                tracing::warn!(%error, "no figures of the process in the metrics");
            }
        }
        Metrics { registry, sources: Mutex::default() }
    }

    /// Shows a set of cells. Sets with equal names and labels are summed.
    ///
    /// `labels` go to every metric of the set. Their values must come from a bounded set, such as the cluster's shards.
    pub fn register(&self, labels: &[(&'static str, &str)], source: Arc<dyn Source>) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.push(Registered { labels, source });
    }

    /// Stops showing a set of cells, for example those of a shard that left the cluster.
    pub fn unregister(&self, source: &Arc<dyn Source>) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|registered| !Arc::ptr_eq(&registered.source, source));
    }

    /// The page of `/metrics`.
    pub fn render(&self) -> String {
        let mut families = Families::default();
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        for registered in sources.iter() {
            registered.source.collect(&mut Snapshot { families: &mut families, labels: &registered.labels });
        }
        drop(sources);

        let mut page = self.registry.gather();
        page.extend(families.into_proto());
        page.sort_by(|left, right| left.name().cmp(right.name()));
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&page, &mut text) {
            tracing::error!(%error, "metrics could not be written");
        }
        text
    }
}

/// What the present values are collected into.
pub struct Snapshot<'a> {
    families: &'a mut Families,
    labels: &'a [(&'static str, String)],
}

impl Snapshot<'_> {
    /// Adds one series' value.
    pub fn add(&mut self, name: &str, help: &str, label: Option<(&str, &str)>, value: Value) {
        let mut labels: Vec<(String, String)> =
            self.labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        labels.extend(label.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let family =
            self.families.0.entry(name.to_owned()).or_insert_with(|| (help.to_owned(), BTreeMap::new()));
        match family.1.entry(labels) {
            Entry::Vacant(place) => drop(place.insert(value)),
            Entry::Occupied(mut place) => place.get_mut().merge(value),
        }
    }
}

/// The value of one series.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Counter(f64),
    Gauge(f64),
    Histogram {
        /// One count a bucket, not cumulative; the last one is what exceeds every bound.
        buckets: [u64; BUCKETS],
        sum_seconds: f64,
    },
}

impl Value {
    fn merge(&mut self, other: Value) {
        match (self, other) {
            (Value::Counter(own), Value::Counter(more)) | (Value::Gauge(own), Value::Gauge(more)) => {
                *own += more
            }
            (
                Value::Histogram { buckets, sum_seconds },
                Value::Histogram { buckets: more, sum_seconds: more_seconds },
            ) => {
                buckets.iter_mut().zip(more).for_each(|(own, more)| *own += more);
                *sum_seconds += more_seconds;
            }
            (own, other) => debug_assert!(false, "{own:?} and {other:?} have one name"),
        }
    }

    fn kind(&self) -> MetricType {
        match self {
            Value::Counter(_) => MetricType::COUNTER,
            Value::Gauge(_) => MetricType::GAUGE,
            Value::Histogram { .. } => MetricType::HISTOGRAM,
        }
    }
}

type Series = BTreeMap<Vec<(String, String)>, Value>;

#[derive(Default)]
struct Families(BTreeMap<String, (String, Series)>);

impl Families {
    fn into_proto(self) -> impl Iterator<Item = MetricFamily> {
        self.0.into_iter().map(|(name, (help, series))| {
            let mut family = MetricFamily::default();
            family.set_name(name);
            family.set_help(help);
            if let Some(value) = series.values().next() {
                family.set_field_type(value.kind());
            }
            family.set_metric(series.into_iter().map(|(labels, value)| metric(labels, value)).collect());
            family
        })
    }
}

fn metric(labels: Vec<(String, String)>, value: Value) -> Metric {
    let mut metric = Metric::from_label(
        labels
            .into_iter()
            .map(|(name, value)| {
                let mut pair = LabelPair::default();
                pair.set_name(name);
                pair.set_value(value);
                pair
            })
            .collect(),
    );
    match value {
        Value::Counter(value) => {
            let mut counter = prometheus::proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        Value::Gauge(value) => {
            let mut gauge = prometheus::proto::Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        Value::Histogram { buckets, sum_seconds } => {
            metric.set_histogram(histogram::proto(&buckets, sum_seconds));
        }
    }
    metric
}

#[cfg(test)]
mod tests;

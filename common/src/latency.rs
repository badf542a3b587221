//! What was slow: the events of LATENCY, and how long each command takes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::command::{self, COUNT, Command, Flags, TABLE};
use crate::resp::{Args, Reply};
use crate::settings::percentile;
use hdrhistogram::Histogram;

/// Samples of an event that are kept.
const SAMPLES: usize = 160;

/// The longest time that is told from longer ones in a histogram, in nanoseconds.
const LONGEST: u64 = 1_000_000_000;

/// Decimal digits to which times are told apart.
const DIGITS: u8 = 2;

/// One kind of event.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// Seconds since 1970 and the longest duration in that second, in milliseconds; oldest first.
    samples: VecDeque<(i64, u64)>,
    /// The longest duration ever, in milliseconds.
    pub longest: u64,
}

impl Event {
    fn add(&mut self, at: i64, milliseconds: u64) {
        self.longest = self.longest.max(milliseconds);
        match self.samples.back_mut() {
            Some((second, known)) if *second == at => *known = milliseconds.max(*known),
            _ => {
                if self.samples.len() == SAMPLES {
                    self.samples.pop_front();
                }
                self.samples.push_back((at, milliseconds));
            }
        }
    }

    /// Seconds since 1970 and milliseconds, oldest first.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = (i64, u64)> {
        self.samples.iter().copied()
    }
}

/// The latencies of one process, or of a thread of it.
#[derive(Clone, Debug)]
pub struct Latency {
    /// Events at least so long are kept; `None`: none are (`latency-monitor-threshold`).
    pub threshold: Option<Duration>,
    /// Whether histograms are kept (`latency-tracking`).
    tracking: bool,
    events: BTreeMap<&'static str, Event>,
    /// Nanoseconds by id of the command; made when the command first runs.
    histograms: Vec<Option<Box<Histogram<u32>>>>,
}

impl Default for Latency {
    fn default() -> Self {
        Self { threshold: None, tracking: true, events: BTreeMap::new(), histograms: vec![None; COUNT] }
    }
}

impl Latency {
    /// Notes that `command` took so long, at `now` milliseconds since 1970, if that was too long.
    #[inline]
    pub fn observe_event(&mut self, command: &Command, took: Duration, now: i64) {
        if self.threshold.is_some_and(|threshold| took >= threshold) {
            let event = if command.flags.contains(Flags::FAST) { "fast-command" } else { "command" };
            self.add(event, took, now);
        }
    }

    /// Notes in the histogram of `command` that it took so long.
    #[inline]
    pub fn observe(&mut self, command: &Command, took: Duration) {
        if self.tracking
            && let Some(place) = self.histograms.get_mut(usize::from(command.id))
        {
            match place {
                Some(histogram) => histogram.saturating_record(took.as_nanos() as u64),
                None => *place = first_sample(took),
            }
        }
    }

    /// Notes something that kept clients waiting, if it took long enough.
    pub fn event(&mut self, name: &'static str, took: Duration, now: i64) {
        if self.threshold.is_some_and(|threshold| took >= threshold) {
            self.add(name, took, now);
        }
    }

    #[cold]
    fn add(&mut self, name: &'static str, took: Duration, now: i64) {
        self.events.entry(name).or_default().add(now / 1000, took.as_millis() as u64);
    }

    /// The events with their names, in the order of these.
    pub fn events(&self) -> impl ExactSizeIterator<Item = (&'static str, &Event)> {
        self.events.iter().map(|(name, event)| (*name, event))
    }

    /// The event of exactly that name.
    #[must_use]
    pub fn named(&self, name: &[u8]) -> Option<(&'static str, &Event)> {
        self.events().find(|(known, _)| known.as_bytes() == name)
    }

    /// Forgets an event; false when there was none of that name.
    pub fn forget(&mut self, name: &[u8]) -> bool {
        match self.named(name).map(|(name, _)| name) {
            Some(name) => self.events.remove(name).is_some(),
            None => false,
        }
    }

    /// Forgets all events and tells how many there were.
    pub fn forget_all(&mut self) -> usize {
        std::mem::take(&mut self.events).len()
    }

    /// How long a command took, in nanoseconds, if it ran.
    #[must_use]
    pub fn histogram(&self, command: &Command) -> Option<&Histogram<u32>> {
        self.histograms.get(usize::from(command.id))?.as_deref()
    }

    /// Answers LATENCY HISTOGRAM for the commands of these names, or for all that ran.
    pub fn write_histograms(&self, names: &Args<'_>, reply: &mut Reply<'_>) {
        let ran = |row: &&'static Command| self.histogram(row).is_some();
        let with_subcommands = |row: &'static Command| std::iter::once(row).chain(row.subcommands());
        let rows: Vec<&'static Command> = if names.is_empty() {
            TABLE.iter().filter(|row| !row.hidden).filter(ran).collect()
        } else {
            let rows = names.iter().filter_map(command::find_by_full_name);
            rows.flat_map(with_subcommands).filter(ran).collect()
        };
        reply.map(rows.len());
        for row in rows {
            let Some(histogram) = self.histogram(row) else { continue };
            reply.bulk(row.name.as_bytes());
            reply.map(2);
            reply.bulk(b"calls");
            reply.int(histogram.len() as i64);
            reply.bulk(b"histogram_usec");
            write_counts(histogram, reply);
        }
    }

    /// The lines of `INFO latencystats`.
    #[must_use]
    pub fn percentile_lines(&self, percentiles: &[f64]) -> String {
        let mut text = String::new();
        for row in &TABLE {
            let Some(histogram) = self.histogram(row) else { continue };
            let value = |p: &f64| {
                let microseconds = histogram.value_at_percentile(*p) as f64 / 1000.0;
                format!("p{}={microseconds:.3}", percentile(*p))
            };
            let values: Vec<String> = percentiles.iter().map(value).collect();
            text.push_str(&format!("latency_percentiles_usec_{}:{}\r\n", row.name, values.join(",")));
        }
        text
    }

    /// Switches the histograms; switched off, they are forgotten.
    pub fn set_tracking(&mut self, tracking: bool) {
        self.tracking = tracking;
        if !tracking {
            self.forget_histograms();
        }
    }

    pub fn forget_histograms(&mut self) {
        self.histograms.fill(None);
    }
}

/// Writes how many calls took at most so many microseconds. Bounds double from 1024 ns on; those between which nothing was
/// counted are left out.
fn write_counts(histogram: &Histogram<u32>, reply: &mut Reply<'_>) {
    let mut counts: Vec<(u64, u64)> = Vec::new();
    let mut total = 0;
    let mut bound = 1024;
    while total < histogram.len() && bound < u64::MAX / 4 {
        let upper = histogram.highest_equivalent(bound);
        let below = histogram.count_between(0, upper);
        if below > total {
            counts.push((upper / 1000, below));
            total = below;
        }
        bound *= 2;
    }
    reply.map(counts.len());
    for (microseconds, count) in counts {
        reply.int(microseconds as i64);
        reply.int(count as i64);
    }
}

#[cold]
fn first_sample(took: Duration) -> Option<Box<Histogram<u32>>> {
    let mut histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS).ok()?;
    histogram.saturating_record(took.as_nanos() as u64);
    Some(Box::new(histogram))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_keeps_the_longest_of_each_second_and_the_last_160_seconds() {
        let mut latency = Latency { threshold: Some(Duration::from_millis(5)), ..Latency::default() };
        latency.event("expire-cycle", Duration::from_millis(4), 1000);
        assert_eq!(latency.events().len(), 0);
        for second in 0..200 {
            latency.event("expire-cycle", Duration::from_millis(9), second * 1000);
            latency.event("expire-cycle", Duration::from_millis(7), second * 1000 + 999);
        }
        let (name, event) = latency.named(b"expire-cycle").unwrap();
        assert_eq!((name, event.longest, event.samples().len()), ("expire-cycle", 9, 160));
        assert_eq!(event.samples().next(), Some((40, 9)));
        assert!(latency.forget(b"expire-cycle") && !latency.forget(b"expire-cycle"));
    }
}

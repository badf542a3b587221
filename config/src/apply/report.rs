//! What `slotway apply` tells while it works: bars on a terminal, else a line now and then.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use slotway_common::cluster_state::{Migration, MoveProgress};

use super::progress::Pace;
use crate::units::plural;

/// Between two lines about a move where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// A bar's steps.
const STEPS: f64 = 1000.0;

/// Who is told.
pub(crate) trait Report {
    /// One line.
    fn say(&mut self, line: &str);
    /// The moves under way, with what is known about them.
    fn progress(&mut self, running: &[Migration], figures: &BTreeMap<String, MoveProgress>);
    /// A move has been finished.
    fn ended(&mut self, migration: &Migration);
    /// No move is under way any more.
    fn finish(&mut self);
}

/// Tells standard error, so that standard output has the result alone.
pub(crate) struct Terminal {
    /// `None` where standard error is no terminal.
    bars: Option<MultiProgress>,
    shown: HashMap<String, Shown>,
}

struct Shown {
    pace: Pace,
    bar: Option<ProgressBar>,
    line_at: Instant,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        Self { bars: io::stderr().is_terminal().then(MultiProgress::new), shown: HashMap::new() }
    }
}

impl Report for Terminal {
    fn say(&mut self, line: &str) {
        // Not eprintln, which panics if nobody reads standard error any more.
        let written = match &self.bars {
            Some(bars) if !self.shown.is_empty() => bars.println(line),
            _ => writeln!(io::stderr(), "{line}"),
        };
        drop(written);
    }

    fn progress(&mut self, running: &[Migration], figures: &BTreeMap<String, MoveProgress>) {
        let now = Instant::now();
        self.shown.retain(|id, shown| {
            let runs = running.iter().any(|migration| migration.id == *id);
            if let Some(bar) = shown.bar.as_ref().filter(|_| !runs) {
                bar.finish_and_clear();
            }
            runs
        });
        for migration in running {
            let unknown = MoveProgress::default();
            let figures = figures.get(&migration.id).unwrap_or(&unknown);
            let bars = &self.bars;
            let shown = self.shown.entry(migration.id.clone()).or_insert_with(|| Shown {
                pace: Pace::new(),
                bar: bars.as_ref().map(|bars| bars.add(bar(migration))),
                line_at: now,
            });
            let done = shown.pace.take(migration, figures, now);
            let text = shown.pace.text(migration, figures);
            match &shown.bar {
                Some(bar) => {
                    bar.set_position((done * STEPS) as u64);
                    bar.set_message(text);
                }
                None if now >= shown.line_at => {
                    shown.line_at = now + LINE_EVERY;
                    let _ = writeln!(io::stderr(), "{}: {text}", route(migration));
                }
                None => {}
            }
        }
    }

    fn ended(&mut self, migration: &Migration) {
        self.say(&format!("{}: {} moved", route(migration), plural(migration.slots.count(), "slot")));
    }

    fn finish(&mut self) {
        self.progress(&[], &BTreeMap::new());
    }
}

fn bar(migration: &Migration) -> ProgressBar {
    let bar = ProgressBar::new(STEPS as u64);
    if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(route(migration));
    bar
}

/// `a to d`.
fn route(migration: &Migration) -> String {
    format!("{} to {}", migration.source, migration.target)
}

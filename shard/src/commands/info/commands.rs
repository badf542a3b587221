//! The sections about the commands that ran.

use slotway_common::command::{Route, TABLE};
use slotway_common::settings::percentile;

use super::{Facts, Section};

pub(super) fn calls(facts: &Facts<'_>, section: &mut Section) {
    for (row, stats) in TABLE.iter().zip(&facts.node.stats.by_command) {
        let is_seen = row.route != Route::Internal;
        if is_seen && (stats.calls > 0 || stats.rejected > 0 || stats.failed > 0) {
            let value = format!(
                "calls={},usec={},usec_per_call={:.2},rejected_calls={},failed_calls={}",
                stats.calls,
                stats.microseconds,
                if stats.calls == 0 { 0.0 } else { stats.microseconds as f64 / stats.calls as f64 },
                stats.rejected,
                stats.failed
            );
            section.add(&format!("cmdstat_{}", row.name), value);
        }
    }
}

pub(super) fn errors(facts: &Facts<'_>, section: &mut Section) {
    for (prefix, count) in &facts.node.stats.by_error {
        section.add(&format!("errorstat_{prefix}"), format!("count={count}"));
    }
}

pub(super) fn latencies(facts: &Facts<'_>, section: &mut Section) {
    let percentiles = facts.node.settings.values.percentiles();
    for row in TABLE.iter().filter(|row| row.route != Route::Internal) {
        let Some(histogram) = facts.node.latency.histogram(row) else { continue };
        let values: Vec<String> = percentiles
            .iter()
            .map(|p| {
                let microseconds = histogram.value_at_percentile(*p) as f64 / 1000.0;
                format!("p{}={microseconds:.3}", percentile(*p))
            })
            .collect();
        section.add(&format!("latency_percentiles_usec_{}", row.name), values.join(","));
    }
}

//! The sections about the commands that ran.

use super::section::{Facts, Section};

pub(super) fn calls(facts: &Facts<'_>, section: &mut Section) {
    section.text.push_str(&facts.node.stats.run.command_lines());
}

pub(super) fn errors(facts: &Facts<'_>, section: &mut Section) {
    section.text.push_str(&facts.node.stats.run.error_lines());
}

pub(super) fn latencies(facts: &Facts<'_>, section: &mut Section) {
    let percentiles = facts.node.settings.values.percentiles();
    section.text.push_str(&facts.node.latency.percentile_lines(percentiles));
}

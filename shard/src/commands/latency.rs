//! LATENCY: what was slow.

use slotway_common::error::Error;
use slotway_common::latency::{Event, Latency};

use crate::node::{NodeCall, NodeHandler};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("latency|latest", latest),
    ("latency|history", history),
    ("latency|reset", reset),
    ("latency|graph", graph),
    ("latency|doctor", doctor),
    ("latency|histogram", histogram),
];

fn latest(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let events = call.node.latency.events();
    call.reply.array(events.len());
    for (name, event) in events {
        let (at, milliseconds) = event.samples().last().unwrap_or_default();
        call.reply.array(4);
        call.reply.bulk(name.as_bytes());
        call.reply.int(at);
        call.reply.int(milliseconds as i64);
        call.reply.int(event.longest as i64);
    }
    Ok(())
}

fn history(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let Some((_, event)) = call.node.latency.named(call.args.at(2)) else {
        call.reply.array(0);
        return Ok(());
    };
    call.reply.array(event.samples().len());
    for (at, milliseconds) in event.samples() {
        call.reply.array(2);
        call.reply.int(at);
        call.reply.int(milliseconds as i64);
    }
    Ok(())
}

fn reset(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let latency = &mut call.node.latency;
    let forgotten = if call.args.len() == 2 {
        latency.forget_all()
    } else {
        call.args.rest(2).iter().filter(|name| latency.forget(name)).count()
    };
    call.reply.int(forgotten as i64);
    Ok(())
}

fn graph(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let wanted = call.args.at(2);
    let Some((name, event)) = call.node.latency.named(wanted) else {
        let mut text = b"No samples available for event '".to_vec();
        text.extend_from_slice(wanted);
        text.push(b'\'');
        return Err(Error::Bytes(text));
    };
    let text = drawing(name, event, call.engine.now() / 1000);
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// A line of figures, and under it the latest samples as bars, oldest first, with how long ago each was.
fn drawing(name: &str, event: &Event, now: i64) -> String {
    const WIDEST: u64 = 40;
    let shown: Vec<(i64, u64)> = event.samples().skip(event.samples().len().saturating_sub(40)).collect();
    let high = shown.iter().map(|(_, latency)| *latency).max().unwrap_or(0);
    let low = shown.iter().map(|(_, latency)| *latency).min().unwrap_or(0);
    let mut text = format!("{name} - high {high} ms, low {low} ms (all time high {} ms)\n", event.longest);
    text.push_str(&"-".repeat(80));
    text.push('\n');
    for (at, latency) in shown {
        let width = (latency * WIDEST).checked_div(high).unwrap_or(0).max(1);
        text.push_str(&format!("{:>7} {:<40} {latency} ms\n", ago(now - at), "#".repeat(width as usize)));
    }
    text
}

fn ago(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn doctor(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let text = findings(&call.node.latency);
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// What there is to say of the events, in words.
fn findings(latency: &Latency) -> String {
    if latency.threshold.is_none() {
        return "Slow events are not kept: latency-monitor-threshold is 0. Set it to the number of milliseconds from which \
                on an event is too slow.\n"
            .to_owned();
    }
    if latency.events().len() == 0 {
        return "Nothing was slower than latency-monitor-threshold so far.\n".to_owned();
    }
    let mut text = String::from("Slower than latency-monitor-threshold were:\n\n");
    for (name, event) in latency.events() {
        let count = event.samples().len() as u64;
        let mean = event.samples().map(|(_, latency)| latency).sum::<u64>() / count.max(1);
        text.push_str(&format!(
            "- {name}: in {count} different seconds, {mean} ms on average, {} ms at most.\n",
            event.longest
        ));
    }
    let has = |name: &str| latency.named(name.as_bytes()).is_some();
    text.push('\n');
    if has("command") || has("fast-command") {
        text.push_str(
            "- SLOWLOG GET shows which commands took longest. Commands that walk over large values or all keys (KEYS, \
             SMEMBERS, LRANGE of a long list) make every other client of this shard wait: the SCAN family takes small \
             steps.\n",
        );
    }
    if has("fast-command") {
        text.push_str(
            "- Fast commands were slow: the process did not get a core of its own when it needed one, or the machine was \
             short of memory.\n",
        );
    }
    if has("expire-cycle") || has("eviction-cycle") {
        text.push_str(
            "- Removing keys took long: very many expired at once, or memory is at maxmemory. Spread the expiry times, \
             or add a shard.\n",
        );
    }
    text
}

fn histogram(call: &mut NodeCall<'_>) -> Result<(), Error> {
    call.node.latency.write_histograms(&call.args.rest(2), &mut call.reply);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_doctor_names_what_was_slow_and_what_to_do() {
        let mut latency = Latency::default();
        assert!(findings(&latency).contains("latency-monitor-threshold is 0"));
        latency.threshold = Some(Duration::from_millis(1));
        assert!(findings(&latency).starts_with("Nothing"));
        latency.event("command", Duration::from_millis(30), 5000);
        let text = findings(&latency);
        assert!(
            text.contains("command: in 1 different seconds, 30 ms") && text.contains("SLOWLOG"),
            "{text}"
        );
        let (name, event) = latency.named(b"command").unwrap();
        assert!(drawing(name, event, 10).contains("high 30 ms"), "{}", drawing(name, event, 10));
    }
}

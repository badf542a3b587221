//! Merges the INFO texts of several shards into one.
//!
//! Which rule a field has says the table in `slotway_common::info`.

use slotway_common::info::{self, Merge};
use slotway_common::platform::process::CpuTimes;

use super::sections::{Section, Sections};

/// Reads the sections of an INFO text.
fn parse(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            sections.push(Section { title: title.to_owned(), fields: Vec::new() });
        } else if let (Some((name, value)), Some(section)) = (line.split_once(':'), sections.last_mut()) {
            // What processes say to each other is nothing to the client.
            if !name.ends_with("_slotway") {
                section.fields.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    sections
}

/// The sections of all texts as one, in the order in which they first come.
pub(super) fn merge(texts: &[String]) -> Vec<Section> {
    let mut merged: Vec<Section> = Vec::new();
    for text in texts {
        for section in parse(text) {
            let Some(known) = merged.iter_mut().find(|known| known.title == section.title) else {
                merged.push(section);
                continue;
            };
            for (name, value) in section.fields {
                match known.fields.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, mine)) => *mine = merge_value(&name, mine, &value),
                    None => known.fields.push((name, value)),
                }
            }
        }
    }
    for section in &mut merged {
        derive(section);
    }
    merged
}

fn merge_value(field: &str, mine: &str, theirs: &str) -> String {
    // What shards have beyond Redis's fields is counted.
    match info::merge(field).unwrap_or(Merge::Sum) {
        Merge::Pairs => merge_group(field, mine, theirs),
        Merge::First | Merge::Own | Merge::Derived => mine.to_owned(),
        Merge::AllOk if mine == "ok" => theirs.to_owned(),
        Merge::AllOk => mine.to_owned(),
        Merge::Any => u8::from(mine != "0" || theirs != "0").to_string(),
        Merge::Sum => merge_numbers(mine, theirs, i64::saturating_add, |mine, theirs| mine + theirs),
        Merge::Largest => merge_numbers(mine, theirs, Ord::max, f64::max),
        Merge::Smallest => merge_numbers(mine, theirs, Ord::min, f64::min),
    }
}

/// Fractions keep their digits.
fn merge_numbers(
    mine: &str,
    theirs: &str,
    whole: impl Fn(i64, i64) -> i64,
    fraction: impl Fn(f64, f64) -> f64,
) -> String {
    if let (Ok(mine), Ok(theirs)) = (mine.parse(), theirs.parse()) {
        return whole(mine, theirs).to_string();
    }
    match (mine.parse(), theirs.parse()) {
        (Ok(left), Ok(right)) => {
            let digits = mine.split_once('.').map_or(0, |(_, digits)| digits.len());
            format!("{:.digits$}", fraction(left, right))
        }
        _ => mine.to_owned(),
    }
}

/// `key=value` pairs: of keyspaces, commands, errors and percentiles.
fn merge_group(field: &str, mine: &str, theirs: &str) -> String {
    let pairs = |text: &str| -> Vec<(String, f64)> {
        text.split(',')
            .filter_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                Some((name.to_owned(), value.parse().ok()?))
            })
            .collect()
    };
    let (left, right) = (pairs(mine), pairs(theirs));
    let find = |pairs: &[(String, f64)], name: &str| {
        pairs.iter().find(|(known, _)| known == name).map_or(0.0, |(_, value)| *value)
    };
    let sum = |name: &str| find(&left, name) + find(&right, name);
    let weighted = |name: &str, weight: &str| {
        let total = sum(weight);
        let value = find(&left, name) * find(&left, weight) + find(&right, name) * find(&right, weight);
        if total == 0.0 { 0.0 } else { value / total }
    };
    let merged: Vec<String> = left
        .iter()
        .map(|(name, own)| match name.as_str() {
            "avg_ttl" => format!("avg_ttl={:.0}", weighted("avg_ttl", "expires")),
            "usec_per_call" => {
                let calls = sum("calls");
                format!("usec_per_call={:.2}", if calls == 0.0 { 0.0 } else { sum("usec") / calls })
            }
            // A percentile of all cannot be told from those of the parts; the slowest part is what matters.
            _ if field.starts_with("latency_percentiles_") => {
                format!("{name}={:.3}", own.max(find(&right, name)))
            }
            _ => format!("{name}={:.0}", sum(name)),
        })
        .collect();
    merged.join(",")
}

/// Makes anew what follows from other fields.
fn derive(section: &mut Section) {
    let names: Vec<String> = section.fields.iter().map(|(name, _)| name.clone()).collect();
    for name in &names {
        if let Some(base) = name.strip_suffix("_human")
            && section.get(base).is_some()
        {
            let text = human(section.number(base));
            section.set(name, text);
        }
    }
    let ratio = |part: f64, whole: f64| if whole == 0.0 { 0.0 } else { part / whole };
    let (used, peak) = (section.number("used_memory"), section.number("used_memory_peak"));
    let net = used - section.number("used_memory_startup");
    let (active, resident) = (section.number("allocator_active"), section.number("allocator_resident"));
    let rss = section.number("used_memory_rss");
    for (name, value) in [
        ("used_memory_peak_perc", format!("{:.2}%", ratio(used, peak) * 100.0)),
        (
            "used_memory_dataset_perc",
            format!("{:.2}%", ratio(section.number("used_memory_dataset"), net) * 100.0),
        ),
        ("allocator_frag_ratio", format!("{:.2}", ratio(active, section.number("allocator_allocated")))),
        ("allocator_rss_ratio", format!("{:.2}", ratio(resident, active))),
        ("rss_overhead_ratio", format!("{:.2}", ratio(rss, resident))),
        ("mem_fragmentation_ratio", format!("{:.2}", ratio(rss, used))),
        (
            "loading_loaded_perc",
            format!(
                "{:.2}",
                ratio(section.number("loading_loaded_bytes"), section.number("loading_total_bytes")) * 100.0
            ),
        ),
    ] {
        if section.get(name).is_some() {
            section.set(name, value);
        }
    }
}

/// Bytes as Redis writes them for people.
pub(super) fn human(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    match bytes {
        bytes if bytes < KIB => format!("{bytes}B"),
        bytes if bytes < KIB * KIB => format!("{:.2}K", bytes / KIB),
        bytes if bytes < KIB * KIB * KIB => format!("{:.2}M", bytes / KIB / KIB),
        bytes if bytes < KIB * KIB * KIB * KIB => format!("{:.2}G", bytes / KIB / KIB / KIB),
        bytes => format!("{:.2}T", bytes / KIB / KIB / KIB / KIB),
    }
}

/// Puts the proxy's own figures in place of the shards'. A section that is there only in `own` is added.
pub(super) fn override_with(merged: &mut Vec<Section>, own: Vec<(Section, bool)>) {
    for (section, whole) in own {
        match merged.iter_mut().find(|known| known.title == section.title) {
            Some(known) if whole => *known = section,
            Some(known) => section.fields.into_iter().for_each(|(name, value)| known.set(&name, value)),
            None => merged.push(section),
        }
    }
}

/// Adds the proxy's CPU time to that of the shards.
pub(super) fn add_cpu(merged: &mut [Section], own: CpuTimes) {
    let Some(cpu) = merged.iter_mut().find(|section| section.title == "CPU") else { return };
    for (field, time) in [("used_cpu_sys", own.system), ("used_cpu_user", own.user)] {
        let sum = cpu.number(field) + time.as_secs_f64();
        cpu.set(field, format!("{sum:.6}"));
    }
}

/// Adds what the proxy has denied to its clients to what shards have denied to scripts.
pub(super) fn add_denied(merged: &mut [Section], own: [u64; 4]) {
    let Some(stats) = merged.iter_mut().find(|section| section.title == "Stats") else { return };
    for (reason, own) in ["cmd", "key", "channel", "auth"].into_iter().zip(own) {
        let field = format!("acl_access_denied_{reason}");
        let sum = stats.number(&field) as u64 + own;
        stats.set(&field, sum.to_string());
    }
}

/// The text of the sections that were asked for, in Redis's order.
pub(super) fn write(sections: &[Section], wanted: &Sections) -> String {
    let mut text = String::new();
    for title in Sections::TITLES.iter().filter(|title| wanted.has(title)) {
        let Some(section) = sections.iter().find(|section| section.title == **title) else { continue };
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str(&format!("# {title}\r\n"));
        for (name, value) in &section.fields {
            text.push_str(&format!("{name}:{value}\r\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(texts: &[&str]) -> Vec<Section> {
        merge(&texts.iter().map(|text| text.replace('|', "\r\n")).collect::<Vec<_>>())
    }

    #[test]
    fn numbers_add_up_and_what_follows_from_them_is_made_anew() {
        let sections = merged(&[
            "# Memory|used_memory:1024|used_memory_human:1.00K|used_memory_peak:2048|used_memory_peak_perc:50.00%|maxmemory_policy:noeviction|total_system_memory:8|",
            "# Memory|used_memory:1024|used_memory_human:1.00K|used_memory_peak:1024|used_memory_peak_perc:100.00%|maxmemory_policy:noeviction|total_system_memory:8|",
        ]);
        let memory = &sections[0];
        let values: Vec<&str> = memory.fields.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["2048", "2.00K", "3072", "66.67%", "noeviction", "8"]);
    }

    #[test]
    fn keyspaces_and_commands_add_up_field_by_field() {
        let sections = merged(&[
            "# Commandstats|cmdstat_get:calls=1,usec=10,usec_per_call=10.00,rejected_calls=0,failed_calls=0|# Keyspace|db0:keys=2,expires=1,avg_ttl=100|",
            "# Commandstats|cmdstat_get:calls=3,usec=10,usec_per_call=3.33,rejected_calls=1,failed_calls=0|# Keyspace|db0:keys=3,expires=3,avg_ttl=500|db5:keys=1,expires=0,avg_ttl=0|",
        ]);
        assert_eq!(
            sections[0].get("cmdstat_get"),
            Some("calls=4,usec=20,usec_per_call=5.00,rejected_calls=1,failed_calls=0")
        );
        assert_eq!(sections[1].get("db0"), Some("keys=5,expires=4,avg_ttl=400"));
        assert_eq!(sections[1].get("db5"), Some("keys=1,expires=0,avg_ttl=0"));
    }

    #[test]
    fn fractions_keep_their_digits_flags_stay_flags_and_a_save_is_over_when_the_last_is() {
        let sections = merged(&[
            "# Stats|instantaneous_input_kbps:1.25|# Persistence|rdb_last_save_time:5|aof_enabled:1|aof_last_write_status:ok|",
            "# Stats|instantaneous_input_kbps:0.50|# Persistence|rdb_last_save_time:7|aof_enabled:1|aof_last_write_status:err|",
        ]);
        assert_eq!(sections[0].get("instantaneous_input_kbps"), Some("1.75"));
        let values: Vec<&str> = sections[1].fields.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["5", "1", "err"]);
    }

    #[test]
    fn bytes_are_written_for_people_as_redis_does_it() {
        let texts: Vec<String> =
            [0.0, 1023.0, 1024.0, 1_014_976.0, 25_276_502_016.0].map(human).into_iter().collect();
        assert_eq!(texts, ["0B", "1023B", "1.00K", "991.19K", "23.54G"]);
    }
}

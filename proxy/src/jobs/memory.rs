//! MEMORY: the shards' figures added up.

use std::rc::Rc;

use slotway_common::error::Error;
use slotway_common::resp::{Reply, Value};

use super::asking::{ask_all, ask_all_reachable, decode, name, successful, values};
use crate::core::Job;
use crate::worker::Worker;

/// The replies of all shards to MEMORY STATS as one: bytes and counts added, what is derived from others derived anew.
pub(super) async fn stats(worker: &Rc<Worker>, _job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let mut merged: Vec<(Vec<u8>, Figure)> = Vec::new();
    for (_, answer) in values(worker, &[b"MEMORY", b"STATS"]).await? {
        for (key, value) in pairs(&answer) {
            let Some(figure) = Figure::of(value) else { continue };
            match merged.iter_mut().find(|(known, _)| known == key) {
                Some((_, known)) => known.add(&figure),
                None => merged.push((key.to_vec(), figure)),
            }
        }
    }
    derive(&mut merged);
    reply.map(merged.len());
    for (key, figure) in &merged {
        reply.bulk(key);
        figure.write(reply);
    }
    Ok(())
}

/// A value of MEMORY STATS.
#[derive(Clone, Debug, PartialEq)]
enum Figure {
    Number(i64),
    Fraction(f64),
    Group(Vec<(Vec<u8>, i64)>),
}

impl Figure {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Int(number) => Some(Self::Number(*number)),
            Value::Array(_) => {
                let fields = pairs(value).filter_map(|(key, value)| Some((key.to_vec(), value.as_int()?)));
                Some(Self::Group(fields.collect()))
            }
            other => std::str::from_utf8(other.as_bytes()?).ok()?.parse().ok().map(Self::Fraction),
        }
    }

    fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Number(mine), Self::Number(theirs)) => *mine += theirs,
            (Self::Group(mine), Self::Group(theirs)) => {
                for (key, number) in theirs {
                    match mine.iter_mut().find(|(known, _)| known == key) {
                        Some((_, known)) => *known += number,
                        None => mine.push((key.clone(), *number)),
                    }
                }
            }
            _ => {}
        }
    }

    fn write(&self, reply: &mut Reply<'_>) {
        match self {
            Self::Number(number) => reply.int(*number),
            Self::Fraction(fraction) => reply.double(*fraction),
            Self::Group(fields) => {
                reply.map(fields.len());
                for (key, number) in fields {
                    reply.bulk(key);
                    reply.int(*number);
                }
            }
        }
    }
}

fn pairs(value: &Value) -> impl Iterator<Item = (&[u8], &Value)> {
    let items = value.as_array().unwrap_or_default();
    items.chunks_exact(2).filter_map(|pair| Some((pair.first()?.as_bytes()?, pair.get(1)?)))
}

/// Quotients of sums, since a sum of quotients says nothing.
fn derive(figures: &mut [(Vec<u8>, Figure)]) {
    let number = |figures: &[(Vec<u8>, Figure)], name: &str| {
        let found = figures.iter().find(|(key, _)| key == name.as_bytes());
        match found {
            Some((_, Figure::Number(number))) => *number as f64,
            _ => 0.0,
        }
    };
    let divide = |part: f64, whole: f64| if whole == 0.0 { 0.0 } else { part / whole };
    let total = number(figures, "total.allocated");
    let net = total - number(figures, "startup.allocated");
    let resident = number(figures, "allocator.resident");
    for (name, value) in [
        ("dataset.percentage", divide(number(figures, "dataset.bytes") * 100.0, net)),
        ("peak.percentage", divide(total * 100.0, number(figures, "peak.allocated"))),
        (
            "allocator-fragmentation.ratio",
            divide(number(figures, "allocator.active"), number(figures, "allocator.allocated")),
        ),
        ("allocator-rss.ratio", divide(resident, number(figures, "allocator.active"))),
        ("rss-overhead.ratio", divide(resident + number(figures, "rss-overhead.bytes"), resident)),
        ("fragmentation", divide(total + number(figures, "fragmentation.bytes"), total)),
    ] {
        if let Some((_, figure)) = figures.iter_mut().find(|(key, _)| key == name.as_bytes()) {
            *figure = Figure::Fraction(value);
        }
    }
    let keys = number(figures, "keys.count");
    if let Some((_, figure)) = figures.iter_mut().find(|(key, _)| key == b"keys.bytes-per-key") {
        *figure = Figure::Number(divide(net, keys) as i64);
    }
}

/// What each shard finds, under its name.
pub(super) async fn doctor(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    texts(worker, job, reply).await
}

pub(super) async fn malloc_stats(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    texts(worker, job, reply).await
}

async fn texts(worker: &Rc<Worker>, job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    let args = job.args.args();
    let words: Vec<&[u8]> = args.iter().collect();
    let mut text = Vec::new();
    for (shard, answer) in ask_all_reachable(worker, &words).await {
        text.extend_from_slice(format!("# Shard {}\n", name(worker, shard)).as_bytes());
        match answer.and_then(successful).and_then(|reply| decode(&reply)) {
            Ok(part) => text.extend_from_slice(part.as_bytes().unwrap_or_default()),
            Err(error) => text.extend_from_slice(error.to_string().as_bytes()),
        }
        text.push(b'\n');
    }
    reply.verbatim("txt", &text);
    Ok(())
}

pub(super) async fn purge(worker: &Rc<Worker>, _job: &Job, reply: &mut Reply<'_>) -> Result<(), Error> {
    ask_all(worker, &[b"MEMORY", b"PURGE"]).await?;
    reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_are_derived_from_the_sums() {
        let number = |name: &str, value| (name.as_bytes().to_vec(), Figure::Number(value));
        let mut figures = vec![
            number("total.allocated", 300),
            number("startup.allocated", 100),
            number("dataset.bytes", 100),
            number("keys.count", 4),
            (b"dataset.percentage".to_vec(), Figure::Fraction(1.0)),
            number("keys.bytes-per-key", 1),
        ];
        derive(&mut figures);
        assert_eq!(figures[4].1, Figure::Fraction(50.0));
        assert_eq!(figures[5].1, Figure::Number(50));
    }

    #[test]
    fn databases_add_up_field_by_field() {
        let group = |fields: &[(&str, i64)]| {
            Figure::Group(fields.iter().map(|(key, number)| (key.as_bytes().to_vec(), *number)).collect())
        };
        let mut first = group(&[("a", 1)]);
        first.add(&group(&[("a", 2), ("b", 3)]));
        assert_eq!(first, group(&[("a", 3), ("b", 3)]));
    }
}

//! Bytes per key or element, by the allocator's own count, averaged over several sizes.
//!
//! Tables grow in steps, so one size would flatter one side or the other: each shape is measured at sizes that grow
//! by equal factors from a size to its double, and the average over them counts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use slotway_tests::Client;

use crate::Effort;
use crate::load::pipeline;
use crate::servers::{Options, Server, Side};

/// Sizes of each shape.
const STEPS: u32 = 6;

#[derive(Debug, Serialize)]
pub struct Shape {
    pub shape: &'static str,
    /// What the bytes are divided by.
    pub per: &'static str,
    /// Average over the sizes.
    pub ours: f64,
    pub theirs: f64,
    pub ratio: f64,
    pub sizes: Vec<Size>,
}

#[derive(Debug, Serialize)]
pub struct Size {
    /// Keys or elements.
    pub count: u64,
    pub ours: f64,
    pub theirs: f64,
}

/// How a data set of a shape is made.
struct Recipe {
    shape: &'static str,
    per: &'static str,
    /// Keys at the smallest size.
    keys: u64,
    /// Elements of each key at the smallest size.
    elements: u64,
    /// Whether more keys or longer values make it larger.
    grow: Grow,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Grow {
    Keys,
    Elements,
}

#[derive(Clone, Copy)]
enum Kind {
    String,
    Hash { value: usize },
    Set,
    SortedSet,
}

const RECIPES: [Recipe; 6] = [
    Recipe {
        shape: "strings of 16 + 16 bytes",
        per: "key",
        keys: 200_000,
        elements: 1,
        grow: Grow::Keys,
        kind: Kind::String,
    },
    Recipe {
        shape: "hashes of 10 fields (6 + 16 bytes)",
        per: "key",
        keys: 20_000,
        elements: 10,
        grow: Grow::Keys,
        kind: Kind::Hash { value: 16 },
    },
    Recipe {
        shape: "hashes of 10,000 to 20,000 fields (10 + 32 bytes)",
        per: "field",
        keys: 10,
        elements: 10_000,
        grow: Grow::Elements,
        kind: Kind::Hash { value: 32 },
    },
    Recipe {
        shape: "sets of 200 to 400 integers",
        per: "member",
        keys: 10_000,
        elements: 200,
        grow: Grow::Elements,
        kind: Kind::Set,
    },
    Recipe {
        shape: "sorted sets of 100 (14 bytes)",
        per: "member",
        keys: 5_000,
        elements: 100,
        grow: Grow::Keys,
        kind: Kind::SortedSet,
    },
    Recipe {
        shape: "sorted sets of 10,000 to 20,000 (14 bytes)",
        per: "member",
        keys: 10,
        elements: 10_000,
        grow: Grow::Elements,
        kind: Kind::SortedSet,
    },
];

pub fn measure(options: &Options, effort: &Effort) -> Result<Vec<Shape>> {
    let mut shapes = Vec::new();
    for recipe in RECIPES {
        let ours = curve(&Side::shard(options)?, &recipe, effort).context(recipe.shape)?;
        let theirs = curve(&Side::redis()?, &recipe, effort).context(recipe.shape)?;
        let sizes: Vec<Size> = ours
            .iter()
            .zip(&theirs)
            .map(|((count, ours), (_, theirs))| Size { count: *count, ours: *ours, theirs: *theirs })
            .collect();
        let average = |figure: fn(&Size) -> f64| sizes.iter().map(figure).sum::<f64>() / sizes.len() as f64;
        let (ours, theirs) = (average(|size| size.ours), average(|size| size.theirs));
        let shape = Shape { shape: recipe.shape, per: recipe.per, ours, theirs, ratio: ours / theirs, sizes };
        eprintln!(
            "{}: {:.1} bytes, redis-server {:.1}, ratio {:.2}",
            shape.shape, shape.ours, shape.theirs, shape.ratio
        );
        shapes.push(shape);
    }
    Ok(shapes)
}

/// Count and bytes per unit at each size.
fn curve(side: &Side, recipe: &Recipe, effort: &Effort) -> Result<Vec<(u64, f64)>> {
    let store = side.stores.first().context("a store")?;
    let mut client = store.client()?;
    // What the first commands of a connection and of each kind need is not the data's.
    recipe.add(store, 0..1, 0..1)?;
    ensure!(!client.run("FLUSHALL")?.is_error(), "FLUSHALL failed");
    let empty = settled(store, &mut client)?;

    let scaled = |keys: u64| ((keys as f64 * effort.scale) as u64).max(1);
    let (first_keys, first_elements) = (scaled(recipe.keys), recipe.elements);
    let (mut keys, mut elements) = (0, first_elements);
    let mut curve = Vec::new();
    for step in 0..STEPS {
        let factor = 2f64.powf(f64::from(step) / f64::from(STEPS - 1));
        let grown = |size: u64| (size as f64 * factor).round() as u64;
        match recipe.grow {
            Grow::Keys => {
                recipe.add(store, keys..grown(first_keys), 0..elements)?;
                keys = grown(first_keys);
            }
            Grow::Elements => {
                let from = if step == 0 { 0 } else { elements };
                keys = first_keys;
                recipe.add(store, 0..keys, from..grown(first_elements))?;
                elements = grown(first_elements);
            }
        }
        let bytes = settled(store, &mut client)?.saturating_sub(empty);
        let count = if recipe.per == "key" { keys } else { keys * elements };
        curve.push((count, bytes as f64 / count as f64));
    }
    Ok(curve)
}

impl Recipe {
    /// Adds the elements to each of the keys. The same on every side. The connection's buffers are gone afterwards.
    fn add(&self, store: &Server, keys: std::ops::Range<u64>, elements: std::ops::Range<u64>) -> Result<()> {
        /// Elements of one command.
        const TOGETHER: u64 = 100;
        let kind = self.kind;
        let commands = keys.flat_map(|key| {
            let mut starts = elements.clone().step_by(TOGETHER as usize);
            let end = elements.end;
            let mut random = StdRng::seed_from_u64(key << 32 | elements.start);
            std::iter::from_fn(move || {
                let start = starts.next()?;
                Some(kind.command(key, start..end.min(start + TOGETHER), &mut random))
            })
        });
        pipeline(&mut store.client()?, commands)
    }
}

impl Kind {
    fn command(self, key: u64, elements: std::ops::Range<u64>, random: &mut StdRng) -> Vec<String> {
        let name = format!("key:{key:012}");
        match self {
            Kind::String => vec!["SET".to_owned(), name, format!("v{key:015}")],
            Kind::Hash { value } => {
                let mut command = vec!["HSET".to_owned(), name];
                for element in elements {
                    // Field names of small hashes are short, as those of records are.
                    command.push(if value < 32 {
                        format!("field{element}")
                    } else {
                        format!("field{element:05}")
                    });
                    command.push(format!("v{:0width$}", random.random::<u32>(), width = value - 1));
                }
                command
            }
            Kind::Set => {
                let mut command = vec!["SADD".to_owned(), name];
                // Different ones by construction, of up to 32 bits, in no order.
                command.extend(elements.map(|element| {
                    ((key * 1_000_003 + element).wrapping_mul(2_654_435_761) % (1 << 31)).to_string()
                }));
                command
            }
            Kind::SortedSet => {
                let mut command = vec!["ZADD".to_owned(), name];
                for element in elements {
                    command.push(random.random_range(0..1_000_000).to_string());
                    command.push(format!("member{element:08}"));
                }
                command
            }
        }
    }
}

/// Allocated bytes, once tables have been rehashed and freed memory is free.
fn settled(store: &Server, client: &mut Client) -> Result<u64> {
    let mut last = allocated(client)?;
    let mut same = 0;
    // Redis looks at its allocator ten times a second.
    for _ in 0..300 {
        std::thread::sleep(Duration::from_millis(150));
        crate::cpu::settle(&[store.process_id()])?;
        let now = allocated(client)?;
        same = if now.abs_diff(last) < 4096 { same + 1 } else { 0 };
        last = now;
        if same == 2 {
            break;
        }
    }
    Ok(last)
}

fn allocated(client: &mut Client) -> Result<u64> {
    let info = client.run("INFO memory")?;
    let text = String::from_utf8_lossy(info.as_bytes().unwrap_or_default()).into_owned();
    let field = text.lines().find_map(|line| line.strip_prefix("allocator_allocated:"));
    field.context("INFO has no allocator_allocated")?.trim().parse().context("allocator_allocated")
}

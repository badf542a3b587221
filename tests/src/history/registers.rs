//! Registers: is there one order of the commands that explains every reply, in which no command comes before one that
//! had ended when it began, nor before an earlier one of its client?
//!
//! The commands are gone through in the order of time. A configuration is a value of the register with the commands
//! that have taken effect though their replies are still to come; all configurations that explain the replies so far
//! are kept (Lowe, "Testing for linearizability", 2017, "just-in-time linearization"). A command takes effect at the
//! latest when a reply needs it, so few configurations exist at any time.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use slotway_common::resp::Value;

use super::Operation;
use super::segment::{Seen, Segment};

/// More than that is no history that can be decided, but a load on too few keys.
const MOST_CONFIGURATIONS: usize = 200_000;

/// What the register holds.
type State<'h> = Option<&'h str>;

/// A command, by what it says of the value before and after it.
#[derive(Clone, Copy)]
enum Effect<'h> {
    Set(&'h str),
    Get(State<'h>),
    /// With what was there before, if that is known.
    GetSet(&'h str, Option<State<'h>>),
    SetNx(&'h str, Option<bool>),
    Del(Option<bool>),
}

impl<'h> Effect<'h> {
    /// The value afterwards; `None` if the reply cannot be explained by the value before.
    fn apply(self, state: State<'h>) -> Option<State<'h>> {
        match self {
            Effect::Set(value) => Some(Some(value)),
            Effect::Get(read) => (read == state).then_some(state),
            Effect::GetSet(value, read) => read.is_none_or(|read| read == state).then_some(Some(value)),
            Effect::SetNx(value, wrote) => {
                let writes = state.is_none();
                let after = if writes { Some(value) } else { state };
                wrote.is_none_or(|wrote| wrote == writes).then_some(after)
            }
            Effect::Del(removed) => removed.is_none_or(|removed| removed == state.is_some()).then_some(None),
        }
    }

    fn written(self) -> Option<&'h str> {
        match self {
            Effect::Set(value) | Effect::GetSet(value, _) | Effect::SetNx(value, _) => Some(value),
            Effect::Get(_) | Effect::Del(_) => None,
        }
    }

    fn read(self) -> Option<&'h str> {
        match self {
            Effect::Get(read) | Effect::GetSet(_, Some(read)) => read,
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
struct Step<'h> {
    effect: Effect<'h>,
    operation: &'h Operation,
    /// Its reply came, so that it must have taken effect.
    certain: bool,
}

pub(super) fn check(segment: &Segment<'_>) -> Result<(), String> {
    let mut steps = Vec::new();
    for seen in &segment.seen {
        if let Some(effect) = effect(seen)? {
            steps.push(Step { effect, operation: seen.operation, certain: seen.reply.is_some() });
        }
    }
    // A write that nobody has read and nobody knows of has not been done, as far as anybody can tell; but for commands
    // that tell whether there was something.
    let read: BTreeSet<&str> = steps.iter().filter_map(|step| step.effect.read()).collect();
    let asked =
        steps.iter().any(|step| matches!(step.effect, Effect::SetNx(_, Some(_)) | Effect::Del(Some(_))));
    steps.retain(|step| {
        step.certain || asked || step.effect.written().is_none_or(|value| read.contains(value))
    });
    let written: BTreeSet<&str> = steps.iter().filter_map(|step| step.effect.written()).collect();
    for step in &steps {
        if let Some(value) = step.effect.read().filter(|value| !written.contains(value)) {
            return Err(format!(
                "{value} was never written since the slot was empty: {}",
                step.operation.describe()
            ));
        }
    }
    linearize(&steps)
}

/// What a command and its reply say; `None` for a read of which nothing is known.
fn effect<'h>(seen: &Seen<'h>) -> Result<Option<Effect<'h>>, String> {
    let strange = || format!("a strange reply: {}", seen.operation.describe());
    let text = |reply: &'h Value| -> Result<State<'h>, String> {
        match reply {
            null if null.is_null() => Ok(None),
            Value::Bulk(bytes) => std::str::from_utf8(bytes).map(Some).map_err(|_| strange()),
            _ => Err(strange()),
        }
    };
    let flag = |reply: &Value| reply.as_int().map(|number| number == 1).ok_or_else(strange);
    Ok(match seen.command() {
        "SET" | "MSET" => {
            if seen.reply.is_some_and(|reply| reply.as_bytes() != Some(b"OK")) {
                return Err(strange());
            }
            Some(Effect::Set(seen.word(2)))
        }
        "GET" => seen.reply.map(text).transpose()?.map(Effect::Get),
        "MGET" => match seen.reply {
            None => None,
            Some(reply) => {
                let items = reply.as_array().ok_or_else(strange)?;
                let mut values = items.iter().map(text);
                let first = values.next().ok_or_else(strange)??;
                for value in values {
                    if value? != first {
                        return Err(format!("torn: {}", seen.operation.describe()));
                    }
                }
                Some(Effect::Get(first))
            }
        },
        "GETSET" => Some(Effect::GetSet(seen.word(2), seen.reply.map(text).transpose()?)),
        "SETNX" => Some(Effect::SetNx(seen.word(2), seen.reply.map(flag).transpose()?)),
        "DEL" => Some(Effect::Del(seen.reply.map(flag).transpose()?)),
        _ => return Err(strange()),
    })
}

/// A value, and the positions of the steps under way that have taken effect.
type Configuration<'h> = (State<'h>, BTreeSet<usize>);

fn linearize(steps: &[Step<'_>]) -> Result<(), String> {
    // Beginnings before ends, where they are at the same time.
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (position, step) in steps.iter().enumerate() {
        events.push((step.operation.invoked, false, position));
        if step.certain {
            events.push((step.operation.returned, true, position));
        }
    }
    events.sort_unstable();
    let mut under_way: BTreeSet<usize> = BTreeSet::new();
    let mut configurations: HashSet<Configuration<'_>> = HashSet::from([(None, BTreeSet::new())]);
    for (_, ends, position) in events {
        if !ends {
            under_way.insert(position);
            continue;
        }
        let explained = explain(steps, &under_way, &configurations, position)?;
        under_way.remove(&position);
        if explained.is_empty() {
            return Err(not_linearizable(steps, &configurations, position));
        }
        configurations = explained;
    }
    Ok(())
}

/// All configurations in which the step has taken effect.
fn explain<'h>(
    steps: &[Step<'h>],
    under_way: &BTreeSet<usize>,
    configurations: &HashSet<Configuration<'h>>,
    position: usize,
) -> Result<HashSet<Configuration<'h>>, String> {
    let mut explained = HashSet::new();
    let mut met: HashSet<Configuration<'h>> = HashSet::new();
    let mut open: Vec<Configuration<'h>> = configurations.iter().cloned().collect();
    while let Some((state, mut done)) = open.pop() {
        if done.remove(&position) {
            explained.insert((state, done));
            continue;
        }
        if met.len() > MOST_CONFIGURATIONS {
            return Err(format!("cannot be decided at {}", steps[position].operation.describe()));
        }
        for next in under_way.iter().copied().filter(|next| !done.contains(next)) {
            if is_behind(steps, under_way, &done, next) {
                continue;
            }
            let Some(after) = steps[next].effect.apply(state) else { continue };
            let mut done = done.clone();
            done.insert(next);
            if met.insert((after, done.clone())) {
                open.push((after, done));
            }
        }
    }
    Ok(explained)
}

/// Whether an earlier command of the same client has to take effect first.
fn is_behind(steps: &[Step<'_>], under_way: &BTreeSet<usize>, done: &BTreeSet<usize>, next: usize) -> bool {
    let operation = steps[next].operation;
    under_way.iter().any(|other| {
        let earlier = steps[*other];
        earlier.certain
            && earlier.operation.client == operation.client
            && earlier.operation.number < operation.number
            && !done.contains(other)
    })
}

fn not_linearizable(
    steps: &[Step<'_>],
    configurations: &HashSet<Configuration<'_>>,
    position: usize,
) -> String {
    let step = steps[position];
    let values: BTreeSet<&str> = configurations.iter().map(|(state, _)| state.unwrap_or("nothing")).collect();
    let mut around: BTreeMap<u64, String> = BTreeMap::new();
    for other in steps.iter().filter(|other| {
        other.operation.invoked <= step.operation.returned
            && other.operation.returned >= step.operation.invoked
    }) {
        around.insert(other.operation.invoked, other.operation.describe());
    }
    let around: Vec<String> = around.into_values().take(12).collect();
    format!(
        "no order explains {}: it can have held {values:?}; at that time:\n    {}",
        step.operation.describe(),
        around.join("\n    ")
    )
}

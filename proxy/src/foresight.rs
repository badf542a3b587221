//! What a script will need beside what it names, from what its calls before have needed.
//!
//! A script that runs across shards finds out by running what it needs of which keys, and each time it needs more it begins anew. Most
//! scripts make the same of their arguments in each call: they add a suffix to a key, or look at a field that an argument names. So
//! what a call has needed is put in terms of its arguments, and what several calls had in common is lent to the next one at once.
//! A guess that was wrong costs what is lent in vain, and the wait for its slot; one that is missing costs a round.

use std::collections::HashMap;

use slotway_common::command::{Need, Window};
use slotway_common::resp::Args;

/// So many scripts are remembered.
const MOST_SCRIPTS: usize = 1_000;
/// So much is remembered of one, and of one key.
const MOST_TRAITS: usize = 128;
/// Words with more bytes are not.
const LONGEST: usize = 256;
/// So many calls must have had something in common, more than had not since.
const SURE: u8 = 2;
const SUREST: u8 = 8;
/// After so many calls a script is learned anew: nobody tells whether what was lent was used.
const RELEARNED: u32 = 1_000;
/// A word that begins with an argument of fewer bytes does so by chance.
const SHORTEST: usize = 4;

/// A word, in terms of a call's arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Word {
    Same(Vec<u8>),
    /// The argument at this place, and what follows it.
    Argument(usize, Vec<u8>),
}

/// How much of a key was needed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Extent {
    Window(Window),
    Member(Word),
}

/// Something that calls may have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trait {
    database: u32,
    key: Word,
    extent: Extent,
}

#[derive(Debug, Default)]
struct Script {
    calls: u32,
    /// With how sure it is.
    traits: Vec<(Trait, u8)>,
}

/// What is known of scripts, by their names.
#[derive(Debug, Default)]
pub(crate) struct Foresight {
    scripts: HashMap<u64, Script>,
}

impl Word {
    /// The longest argument that a word begins with stands for it.
    fn of(word: &[u8], args: &Args<'_>) -> Option<Self> {
        if word.len() > LONGEST {
            return None;
        }
        // The name of the command and that of the script are not meant.
        let begins = |at: &usize| {
            let argument = args.at(*at);
            word == argument || argument.len() >= SHORTEST && word.starts_with(argument)
        };
        // Of several that are the same the first one.
        let found = (2..args.len()).rev().filter(begins).max_by_key(|at| args.at(*at).len());
        Some(match found {
            Some(at) => Self::Argument(at, word.get(args.at(at).len()..).unwrap_or_default().to_vec()),
            None => Self::Same(word.to_vec()),
        })
    }

    fn in_call(&self, args: &Args<'_>) -> Option<Vec<u8>> {
        match self {
            Self::Same(word) => Some(word.clone()),
            Self::Argument(at, rest) => Some([args.get(*at)?, rest].concat()),
        }
    }
}

impl Trait {
    fn all_of(((database, key), window): &Need, args: &Args<'_>) -> Vec<Self> {
        let Some(key) = Word::of(key, args) else { return Vec::new() };
        let new = |extent| Self { database: *database, key: key.clone(), extent };
        match window {
            Window::Members(members) => {
                let words = members.iter().take(MOST_TRAITS).filter_map(|member| Word::of(member, args));
                words.map(|word| new(Extent::Member(word))).collect()
            }
            window => vec![new(Extent::Window(window.clone()))],
        }
    }

    fn in_call(&self, args: &Args<'_>) -> Option<Need> {
        let window = match &self.extent {
            Extent::Window(window) => window.clone(),
            Extent::Member(word) => Window::Members(vec![word.in_call(args)?]),
        };
        Some(((self.database, self.key.in_call(args)?), window))
    }
}

impl Foresight {
    /// What a call of a script is going to need.
    pub(crate) fn of_call(&mut self, script: u64, args: &Args<'_>) -> Vec<Need> {
        let Some(known) = self.scripts.get_mut(&script) else { return Vec::new() };
        known.calls += 1;
        if known.calls > RELEARNED {
            self.scripts.remove(&script);
            return Vec::new();
        }
        let sure = known.traits.iter().filter(|(_, sureness)| *sureness >= SURE);
        sure.filter_map(|(known, _)| known.in_call(args)).collect()
    }

    /// A call of a script has needed this, beside what was foreseen.
    pub(crate) fn learn(&mut self, script: u64, args: &Args<'_>, needs: &[Need]) {
        if needs.is_empty() {
            return;
        }
        if self.scripts.len() >= MOST_SCRIPTS && !self.scripts.contains_key(&script) {
            self.scripts.clear();
        }
        let known = &mut self.scripts.entry(script).or_default().traits;
        let mut found: Vec<Trait> = Vec::new();
        for seen in needs.iter().take(MOST_TRAITS).flat_map(|need| Trait::all_of(need, args)) {
            if !found.contains(&seen) {
                found.push(seen);
            }
        }
        known.retain_mut(|(known, sureness)| {
            if let Some(at) = found.iter().position(|seen| seen == known) {
                found.swap_remove(at);
                *sureness = (*sureness + 1).min(SUREST);
            } else if *sureness < SURE {
                return false;
            }
            true
        });
        let room = MOST_TRAITS.saturating_sub(known.len());
        known.extend(found.into_iter().take(room).map(|seen| (seen, 1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owned::OwnedArgs;

    fn call(words: &str) -> OwnedArgs {
        OwnedArgs::from_words(words.split(' ').map(str::as_bytes))
    }

    fn need(key: &str, window: Window) -> Need {
        ((0, key.as_bytes().to_vec()), window)
    }

    fn members(names: &[&str]) -> Window {
        Window::Members(names.iter().map(|name| name.as_bytes().to_vec()).collect())
    }

    #[test]
    fn what_two_calls_had_in_common_is_foreseen_in_terms_of_the_third_ones_arguments() {
        let mut foresight = Foresight::default();
        for (job, next) in [("7", "18"), ("8", "19")] {
            let call = call(&format!("evalsha x 2 queue:wait queue:{job} {job}"));
            assert_eq!(foresight.of_call(1, &call.args()), []);
            let needs = [
                need("queue:wait", Window::Tail(1)),
                need(&format!("queue:{job}:lock"), Window::Whole),
                need(&format!("queue:{next}"), Window::Whole),
                need("queue:done", members(&[job, "all"])),
            ];
            foresight.learn(1, &call.args(), &needs);
        }
        let expected = [
            need("queue:wait", Window::Tail(1)),
            need("queue:9:lock", Window::Whole),
            need("queue:done", members(&["9"])),
            need("queue:done", members(&["all"])),
        ];
        let third = call("evalsha x 2 queue:wait queue:9 9");
        let mut foreseen = foresight.of_call(1, &third.args());
        foreseen.sort_by_key(|(name, _)| expected.iter().position(|(other, _)| other == name));
        assert_eq!(foreseen, expected);
        assert_eq!(foresight.of_call(2, &third.args()), []);
        assert!(foresight.of_call(1, &call("evalsha x 0").args()).len() < 3);
    }

    #[test]
    fn what_is_sure_stays_when_a_call_needs_something_else_beside() {
        let mut foresight = Foresight::default();
        let call = call("evalsha x 1 queue:wait");
        for _ in 0..2 {
            foresight.learn(1, &call.args(), &[need("queue:wait", Window::Whole)]);
        }
        for other in ["a", "b", "c"] {
            foresight.learn(1, &call.args(), &[need(other, Window::Whole)]);
        }
        assert_eq!(foresight.of_call(1, &call.args()), [need("queue:wait", Window::Whole)]);
    }

    #[test]
    fn no_more_than_so_much_is_remembered() {
        let mut foresight = Foresight::default();
        let many: Vec<Need> =
            (0..1000).map(|number| need(&format!("key{number}"), members(&["a", "b"]))).collect();
        for script in 0..2_000 {
            foresight.learn(script, &call("evalsha x 0").args(), &many);
        }
        assert!(foresight.scripts.len() <= MOST_SCRIPTS);
        assert!(foresight.scripts.values().all(|script| script.traits.len() <= MOST_TRAITS));
    }

    #[test]
    fn a_script_is_learned_anew_from_time_to_time() {
        let mut foresight = Foresight::default();
        let call = call("evalsha x 1 queue:wait");
        for _ in 0..2 {
            foresight.learn(1, &call.args(), &[need("queue:wait", Window::Whole)]);
        }
        let foreseen = (0..=RELEARNED).filter(|_| !foresight.of_call(1, &call.args()).is_empty()).count();
        assert_eq!(foreseen, RELEARNED as usize);
    }
}

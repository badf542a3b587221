//! Selectors and users as rules, the way ACL LIST and GETUSER show them.

use super::bits::{Commands, rows};
use super::selector::{KeyPattern, Selector};
use super::user::User;
use crate::command::Categories;

impl KeyPattern {
    fn rule(&self) -> Vec<u8> {
        let prefix: &[u8] = match (self.read, self.write) {
            (true, true) => b"~",
            (true, false) => b"%R~",
            _ => b"%W~",
        };
        [prefix, &self.pattern].concat()
    }
}

impl Selector {
    /// Key patterns.
    pub fn key_rules(&self) -> Vec<Vec<u8>> {
        if self.all_keys { vec![b"~*".to_vec()] } else { self.keys.iter().map(KeyPattern::rule).collect() }
    }

    /// Key patterns, told from all keys also where one is `*` because its reading and writing were allowed one by one.
    pub fn exact_key_rules(&self) -> Vec<Vec<u8>> {
        let exact = |rule: Vec<u8>| if rule == b"~*" { b"%RW~*".to_vec() } else { rule };
        if self.all_keys { self.key_rules() } else { self.key_rules().into_iter().map(exact).collect() }
    }

    /// Channel patterns.
    pub fn channel_rules(&self) -> Vec<Vec<u8>> {
        if self.all_channels {
            return vec![b"&*".to_vec()];
        }
        self.channels.iter().map(|pattern| [b"&", pattern.as_slice()].concat()).collect()
    }

    /// All or none, then the categories that fit best, one after the other, then single commands for what still differs: what
    /// Redis makes of its bits. Its order of single commands is that of a hash table with a random seed; here it is the
    /// command table's. What Redis 7.0 does not have is left out unless it is wanted.
    pub fn command_rules(&self, with_hidden: bool) -> Vec<Vec<u8>> {
        let from_none = !self.commands.future;
        let mut described = if from_none { Commands::default() } else { Commands::ALL };
        let mut rules: Vec<Vec<u8>> = vec![if from_none { b"-@all".to_vec() } else { b"+@all".to_vec() }];
        let mut left = self.commands.clone();
        let mut applied = Categories::NONE;
        while let Some((category, name)) = best_category(&left, applied, from_none) {
            described.set_category(category, from_none);
            left.set_category(category, !from_none);
            rules.push(format!("{}@{name}", if from_none { '+' } else { '-' }).into_bytes());
            applied = applied.with(category);
        }
        for row in rows().filter(|row| with_hidden || !row.hidden) {
            let allowed = self.commands.contains(row);
            if allowed != described.contains(row) {
                rules.push(format!("{}{}", if allowed { '+' } else { '-' }, row.name).into_bytes());
                described.set(row, allowed);
            }
            if !allowed && let Some(arguments) = self.first_args.get(&row.id) {
                for argument in arguments {
                    rules.push([b"+", row.name.as_bytes(), b"|", argument].concat());
                }
            }
        }
        debug_assert!(!with_hidden || described.agrees(&self.commands));
        rules
    }

    fn line(&self) -> Vec<u8> {
        let mut rules = self.key_rules();
        if !self.all_channels {
            rules.push(b"resetchannels".to_vec());
        }
        rules.extend(self.channel_rules());
        rules.extend(self.command_rules(false));
        rules.join(&b' ')
    }
}

/// The category that is most wanted: with the fewest commands that are not, and among these the most that are.
fn best_category(
    left: &Commands,
    applied: Categories,
    from_none: bool,
) -> Option<(Categories, &'static str)> {
    let mut best: Option<(usize, usize, (Categories, &str))> = None;
    for (category, name) in Categories::MEMBERS.iter().copied() {
        if applied.contains(category) {
            continue;
        }
        let (on, off) = left.count(category);
        let (same, different) = if from_none { (on, off) } else { (off, on) };
        let is_better =
            best.is_none_or(|(fewest, most, _)| different < fewest || different == fewest && same > most);
        if same > different && is_better {
            best = Some((different, same, (category, name)));
        }
    }
    best.map(|(_, _, found)| found)
}

impl User {
    /// Its flags, in Redis's order.
    pub(super) fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.on { "on" } else { "off" }];
        flags.extend(self.nopass.then_some("nopass"));
        flags.extend(self.sanitize.map(|on| if on { "sanitize-payload" } else { "skip-sanitize-payload" }));
        flags
    }

    /// The line of ACL LIST.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> = vec![b"user".to_vec(), self.name.clone()];
        words.extend(self.flags().into_iter().map(|flag| flag.as_bytes().to_vec()));
        words.extend(self.passwords.iter().map(|hash| format!("#{hash}").into_bytes()));
        words.push(self.root.line());
        words.extend(self.selectors.iter().map(|selector| [b"(", &*selector.line(), b")"].concat()));
        words.join(&b' ')
    }
}

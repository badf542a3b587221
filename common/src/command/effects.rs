//! What a call may do to the server, as far as it is checked before the call runs.

use super::flags::Flags;
use super::row::Command;
use crate::resp::Args;
use crate::script::{ScriptFlags, Source, of_script, source};

/// What a call, or a whole transaction, may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// It may change data, or tell others of something: CLIENT PAUSE with WRITE holds it back.
    pub writes: bool,
    /// It is refused while memory is over its limit and nothing can be evicted.
    pub needs_memory: bool,
}

impl Effects {
    /// Those of a command by its row.
    #[must_use]
    pub const fn of(command: &Command) -> Self {
        Self {
            writes: command.flags.contains(Flags::WRITE) || command.may_replicate,
            needs_memory: command.flags.contains(Flags::DENYOOM),
        }
    }

    /// Those of a script that says what it does: its own flags count then, and not those of the command that calls it.
    #[must_use]
    pub fn of_script(flags: ScriptFlags) -> Self {
        let writes = !flags.contains(ScriptFlags::NO_WRITES);
        Self { writes, needs_memory: writes && !flags.contains(ScriptFlags::ALLOW_OOM) }
    }

    /// Those of a call, by `lookup` of the flags of a script that is not in the call itself.
    #[must_use]
    pub fn of_call(
        command: &Command,
        args: &Args<'_>,
        lookup: impl FnOnce(Source<'_>) -> Option<ScriptFlags>,
    ) -> Self {
        let flags = match source(command, args) {
            None => None,
            Some(Source::Text(text)) => of_script(text).ok().and_then(|head| head.flags),
            Some(other) => lookup(other),
        };
        flags.map_or_else(|| Self::of(command), Self::of_script)
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self { writes: self.writes || other.writes, needs_memory: self.needs_memory || other.needs_memory }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::lookup;
    use crate::resp::request::Span;

    fn effects(words: &[&str]) -> (bool, bool) {
        let bytes = words.concat();
        let mut at = 0;
        let spans: Vec<Span> = words
            .iter()
            .map(|word| {
                at += word.len() as u32;
                (at - word.len() as u32, word.len() as u32)
            })
            .collect();
        let command = lookup(words[0].as_bytes()).unwrap();
        let Effects { writes, needs_memory } =
            Effects::of_call(command, &Args::new(bytes.as_bytes(), &spans), |_| None);
        (writes, needs_memory)
    }

    #[test]
    fn a_script_that_says_what_it_does_is_believed() {
        assert_eq!(effects(&["eval", "return 1", "0"]), (true, false));
        assert_eq!(effects(&["eval_ro", "return 1", "0"]), (false, false));
        assert_eq!(effects(&["eval", "#!lua\nreturn 1", "0"]), (true, true));
        assert_eq!(effects(&["eval_ro", "#!lua\nreturn 1", "0"]), (true, true));
        assert_eq!(effects(&["eval", "#!lua flags=allow-oom\nreturn 1", "0"]), (true, false));
        assert_eq!(effects(&["eval", "#!lua flags=no-writes\nreturn 1", "0"]), (false, false));
        assert_eq!(effects(&["fcall", "f", "0"]), (true, false));
        assert_eq!(effects(&["publish", "a", "b"]), (true, false));
        assert_eq!(effects(&["get", "a"]), (false, false));
        assert_eq!(effects(&["set", "a", "b"]), (true, true));
    }
}

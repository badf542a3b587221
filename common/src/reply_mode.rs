//! CLIENT REPLY: which replies a client gets.

use crate::error::Error;

/// Which replies a client gets. Confirmations of SUBSCRIBE, messages and invalidations are no replies: it gets them all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// None to the command after the one that runs.
    SkipNext,
    /// None to the command that runs, or comes next.
    Skip,
}

impl ReplyMode {
    /// Whether the command that runs is not answered.
    #[must_use]
    #[inline]
    pub const fn is_muted(self) -> bool {
        matches!(self, Self::Off | Self::Skip)
    }

    /// A command has ended.
    #[inline]
    pub fn end_command(&mut self) {
        *self = match *self {
            Self::SkipNext => Self::Skip,
            Self::Skip => Self::On,
            other => other,
        };
    }

    /// RESET. It is answered itself where replies were off, and not where the reply to it was to be skipped.
    pub fn reset(&mut self) {
        if *self != Self::Skip {
            *self = Self::On;
        }
    }

    /// CLIENT REPLY with this word; tells whether it is answered with OK.
    ///
    /// # Errors
    /// There is no such mode.
    pub fn change(&mut self, word: &[u8]) -> Result<bool, Error> {
        match word.to_ascii_lowercase().as_slice() {
            b"on" => *self = Self::On,
            b"off" => *self = Self::Off,
            // Where replies are off anyway there is none to skip.
            b"skip" if *self == Self::Off => {}
            b"skip" => *self = Self::SkipNext,
            _ => return Err(Error::Syntax),
        }
        Ok(*self == Self::On)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these commands are answered; a word is one of CLIENT REPLY.
    fn answered(words: &[&str]) -> Vec<bool> {
        let mut mode = ReplyMode::On;
        let mut answer = |word: &&str| {
            let before = mode;
            let says_ok = *word == "PING" || mode.change(word.as_bytes()).unwrap();
            let answered = says_ok && !(before.is_muted() && mode == before);
            mode.end_command();
            answered
        };
        words.iter().map(&mut answer).collect()
    }

    #[test]
    fn skip_concerns_the_next_command_only() {
        assert_eq!(answered(&["SKIP", "PING", "PING"]), [false, false, true]);
        assert_eq!(answered(&["SKIP", "SKIP", "PING", "PING"]), [false, false, false, true]);
        assert_eq!(answered(&["SKIP", "ON", "PING"]), [false, true, true]);
        assert_eq!(answered(&["SKIP", "OFF", "PING", "ON"]), [false, false, false, true]);
        assert_eq!(answered(&["OFF", "SKIP", "PING", "ON", "PING"]), [false, false, false, true, true]);
        assert!(ReplyMode::On.change(b"x").is_err());
    }
}

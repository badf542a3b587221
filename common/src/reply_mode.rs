//! CLIENT REPLY: which replies a client gets.

use crate::error::Error;

/// Which replies a client gets. Confirmations of SUBSCRIBE, messages and invalidations are no replies: it gets them all.
/// The three are apart, as in Redis: within EXEC, where no command ends, SKIP followed by ON leaves the reply after EXEC
/// skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplyMode {
    off: bool,
    /// None to the command after the one that runs.
    skip_next: bool,
    /// None to the command that runs, or comes next.
    skip: bool,
}

impl ReplyMode {
    /// Every command is answered.
    pub const ON: Self = Self { off: false, skip_next: false, skip: false };

    /// Whether the command that runs is not answered.
    #[must_use]
    #[inline]
    pub const fn is_muted(self) -> bool {
        self.off || self.skip
    }

    /// A command has ended.
    #[inline]
    pub const fn end_command(&mut self) {
        self.skip = self.skip_next;
        self.skip_next = false;
    }

    /// RESET. It is answered itself where replies were off, and not where the reply to it was to be skipped.
    pub const fn reset(&mut self) {
        self.off = false;
        self.skip_next = false;
    }

    /// CLIENT REPLY with this word; tells whether it is answered with OK.
    ///
    /// # Errors
    /// There is no such mode.
    pub fn change(&mut self, word: &[u8]) -> Result<bool, Error> {
        match word.to_ascii_lowercase().as_slice() {
            b"on" => {
                self.off = false;
                self.skip = false;
                return Ok(true);
            }
            b"off" => self.off = true,
            // Where replies are off anyway there is none to skip.
            b"skip" => self.skip_next |= !self.off,
            _ => return Err(Error::Syntax),
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_exec_a_reply_that_was_to_be_skipped_stays_so() {
        let mut mode = ReplyMode::ON;
        for word in ["skip", "off", "on", "on"] {
            mode.change(word.as_bytes()).unwrap();
        }
        mode.end_command();
        assert!(mode.is_muted());
        mode.end_command();
        assert_eq!(mode, ReplyMode::ON);
    }

    /// Which of these commands are answered; a word is one of CLIENT REPLY.
    fn answered(words: &[&str]) -> Vec<bool> {
        let mut mode = ReplyMode::ON;
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
        assert!(ReplyMode::default().change(b"x").is_err());
    }
}

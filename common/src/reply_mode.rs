//! CLIENT REPLY: which replies a client gets.

use crate::error::Error;

/// Which replies a client gets. Confirmations of SUBSCRIBE, messages and invalidations are no replies: it gets them all.
/// The three are apart, as in Redis: within EXEC, where no command ends, SKIP followed by ON leaves the reply after EXEC
/// skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplyMode(u8);

const OFF: u8 = 1;
/// None to the command after the one that runs.
const SKIP_NEXT: u8 = 2;
/// None to the command that runs, or comes next.
const SKIP: u8 = 4;
/// They were turned on since the last command ended: within EXEC, which some of its commands have answered then, whatever the
/// mode has become after them.
const TURNED_ON: u8 = 8;

impl ReplyMode {
    /// Every command is answered.
    pub const ON: Self = Self(0);

    /// Whether the command that runs is not answered.
    #[must_use]
    #[inline]
    pub const fn is_muted(self) -> bool {
        self.0 & (OFF | SKIP) != 0
    }

    /// A command has ended.
    #[inline]
    pub const fn end_command(&mut self) {
        let skip = if self.0 & SKIP_NEXT != 0 { SKIP } else { 0 };
        self.0 = self.0 & OFF | skip;
    }

    /// RESET. It is answered itself where replies were off, and not where the reply to it was to be skipped.
    pub const fn reset(&mut self) {
        self.0 &= SKIP | TURNED_ON;
    }

    /// CLIENT REPLY with this word; tells whether it is answered with OK.
    ///
    /// # Errors
    /// There is no such mode.
    pub fn change(&mut self, word: &[u8]) -> Result<bool, Error> {
        match word.to_ascii_lowercase().as_slice() {
            b"on" => {
                self.0 = self.0 & SKIP_NEXT | TURNED_ON;
                return Ok(true);
            }
            b"off" => self.0 |= OFF,
            // Where replies are off anyway there is none to skip.
            b"skip" if self.0 & OFF == 0 => self.0 |= SKIP_NEXT,
            b"skip" => {}
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

//! `client-output-buffer-limit`: how much may wait to be sent to a client.

use std::fmt;

use super::value::{lenient_integer, parse_memory, parts};

/// The limits of one class of clients. 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes at which a client is closed at once.
    pub hard: u64,
    /// Bytes above which a client may stay for [`Self::seconds`].
    pub soft: u64,
    pub seconds: u32,
}

/// The limits of all classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}

impl Default for OutputLimits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            normal: OutputLimit::default(),
            replica: OutputLimit { hard: 256 * MIB, soft: 64 * MIB, seconds: 60 },
            pubsub: OutputLimit { hard: 32 * MIB, soft: 8 * MIB, seconds: 60 },
        }
    }
}

impl OutputLimits {
    /// These limits with those of the classes that `text` names replaced.
    pub(super) fn changed_by(mut self, text: &[u8]) -> Result<Self, &'static str> {
        let parts = parts(text);
        let (groups, []) = parts.as_chunks::<4>() else {
            return Err("Wrong number of arguments in buffer limit configuration.");
        };
        for [class, hard, soft, seconds] in groups {
            let limit = match class.to_ascii_lowercase().as_slice() {
                b"normal" => &mut self.normal,
                b"slave" | b"replica" => &mut self.replica,
                b"pubsub" => &mut self.pubsub,
                _ => return Err("Invalid client class specified in buffer limit configuration."),
            };
            // Redis keeps the seconds in 32 bits with a sign, and looks at the sign after cutting.
            let seconds = lenient_integer(seconds).and_then(|seconds| u32::try_from(seconds as i32).ok());
            let (Some(hard), Some(soft), Some(seconds)) = (parse_memory(hard), parse_memory(soft), seconds)
            else {
                return Err("Error in hard, soft or soft_seconds setting in buffer limit configuration.");
            };
            *limit = OutputLimit { hard, soft, seconds };
        }
        Ok(self)
    }
}

impl fmt::Display for OutputLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = [("normal", self.normal), (" slave", self.replica), (" pubsub", self.pubsub)];
        for (name, OutputLimit { hard, soft, seconds }) in classes {
            write!(f, "{name} {hard} {soft} {seconds}")?;
        }
        Ok(())
    }
}

//! Replies that are held until what they tell of is as safe as it has to be.

use std::collections::VecDeque;

use slotway_common::error::Error;
use slotway_common::resp::{Protocol, Reply};

/// What a connection holds back, by the places in its output.
#[derive(Default)]
pub(super) struct Held {
    parts: VecDeque<Part>,
    /// The change that the connection was last told to wait for.
    awaited: u64,
}

/// Output from `from` on, of so many replies, waits for a change to be safe.
struct Part {
    from: usize,
    sequence: u64,
    replies: usize,
}

impl Held {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Holds the reply that begins there until that change is safe, and with it all that comes behind it.
    #[inline]
    pub(super) fn add(&mut self, from: usize, sequence: u64) {
        match self.parts.back_mut() {
            // It waits for the replies before it in any case.
            Some(last) if last.sequence >= sequence => last.replies += 1,
            _ => self.parts.push_back(Part { from, sequence, replies: 1 }),
        }
    }

    /// Lets go of what is safe; gives the change that the next part waits for, where that is another one than the last time.
    pub(super) fn release(&mut self, released: u64) -> Option<u64> {
        while self.parts.front().is_some_and(|part| part.sequence <= released) {
            self.parts.pop_front();
        }
        let next = self.parts.front()?.sequence;
        (std::mem::replace(&mut self.awaited, next) != next).then_some(next)
    }

    /// How much of `length` bytes of output may be written.
    pub(super) fn free(&self, length: usize) -> usize {
        self.parts.front().map_or(length, |part| part.from)
    }

    /// So many bytes from the start of the output have been written and are gone.
    pub(super) fn shift(&mut self, bytes: usize) {
        for part in &mut self.parts {
            part.from = part.from.saturating_sub(bytes);
        }
    }

    /// The log has failed: what is held is answered with errors.
    pub(super) fn fail(&mut self, output: &mut Vec<u8>, protocol: Protocol, reason: &str) {
        let Some(first) = self.parts.front() else { return };
        output.truncate(first.from);
        let text = format!("MISCONF the log failed before this was safe, so it may be lost: {reason}");
        let error = Error::Line(text.into());
        for _ in 0..self.parts.iter().map(|part| part.replies).sum() {
            Reply::new(output, protocol).error(&error);
        }
        self.parts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_goes_out_up_to_the_first_part_that_is_not_safe() {
        let mut held = Held::default();
        held.add(10, 5);
        held.add(20, 7);
        held.add(25, 7);
        held.add(30, 6);
        assert_eq!(held.free(40), 10);
        held.shift(10);
        assert_eq!((held.free(30), held.release(4)), (0, Some(5)));
        assert_eq!((held.release(4), held.release(6), held.free(30)), (None, Some(7), 10));
        let mut output = b"+OK\r\n12345rest".to_vec();
        held.fail(&mut output, Protocol::Resp2, "why");
        let line = "-MISCONF the log failed before this was safe, so it may be lost: why\r\n";
        assert_eq!(output, format!("+OK\r\n12345{}", line.repeat(3)).into_bytes());
        assert!(held.is_empty());
    }
}

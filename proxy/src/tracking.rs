//! Client-side caching, as far as one client and one request are concerned.

use slotway_common::resp::Args;
use slotway_common::tracking::Tracking;

use crate::ids::{Seq, SessionId, UpstreamId};

/// A client that is tracked, or was.
#[derive(Debug, Default)]
pub(crate) struct Tracked {
    /// The number that shards know it by.
    pub(crate) token: u64,
    pub(crate) tracking: Tracking,
    /// The connections that it has read over: what becomes of one concerns it.
    pub(crate) routes: Vec<u16>,
    /// The connections over which it was told that it wants to hear of its prefixes.
    pub(crate) told: Vec<UpstreamId>,
    /// The client that is told instead, if it is one of this worker.
    pub(crate) target: SessionId,
    /// It was told to forget everything, and has not asked for anything since: it need not be told again.
    pub(crate) has_nothing: bool,
    /// The connections over which shards have told it so since.
    pub(crate) emptied: Vec<UpstreamId>,
    /// The place of its last request that may read something.
    pub(crate) last_request: Option<Seq>,
}

/// What a shard is told of a client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) token: u64,
    /// The keys that it reads are remembered.
    pub(crate) remembers: bool,
    /// The client does not hear of what it changes itself.
    pub(crate) no_loop: bool,
}

/// Words before a marked request.
pub(crate) const WORDS: usize = 3;
const NAME: &str = "SLOTWAY-TRACK";

impl Mark {
    fn put(self, out: &mut Vec<u8>, arguments: usize) {
        let mut digits = itoa::Buffer::new();
        out.push(b'*');
        out.extend_from_slice(digits.format(arguments + WORDS).as_bytes());
        out.extend_from_slice(b"\r\n");
        self.words(out);
    }

    /// Writes the words before the words of a marked request; its head is written already.
    pub(crate) fn words(self, out: &mut Vec<u8>) {
        let mode = u8::from(self.remembers) | u8::from(self.no_loop) << 1;
        let mut digits = itoa::Buffer::new();
        let token = digits.format(self.token);
        let (name, mode) = (NAME, char::from(b'0' + mode));
        let words = format!("$13\r\n{name}\r\n$1\r\n{mode}\r\n${}\r\n{token}\r\n", token.len());
        out.extend_from_slice(words.as_bytes());
    }

    /// A request as it is sent when it is marked. The second value is how much further back its arguments lie.
    pub(crate) fn wrap(self, frame: &[u8]) -> (Vec<u8>, usize) {
        let (head, words) = head_of(frame);
        let mut out = Vec::with_capacity(frame.len() + 64);
        self.put(&mut out, words);
        let moved = out.len().saturating_sub(head);
        out.extend_from_slice(frame.get(head..).unwrap_or_default());
        (out, moved)
    }
}

/// The word before a request that counts for nothing.
const QUIET: &str = "SLOTWAY-QUIET";

/// Writes the head of a request of so many words that counts for nothing: a part of another one.
pub(crate) fn quiet_head(out: &mut Vec<u8>, words: usize) {
    let mut digits = itoa::Buffer::new();
    out.push(b'*');
    out.extend_from_slice(digits.format(words + 1).as_bytes());
    out.extend_from_slice(b"\r\n$13\r\n");
    out.extend_from_slice(QUIET.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A request as one that counts for nothing.
pub(crate) fn quiet(frame: &[u8]) -> Vec<u8> {
    let (head, words) = head_of(frame);
    let mut out = Vec::with_capacity(frame.len() + 32);
    quiet_head(&mut out, words);
    out.extend_from_slice(frame.get(head..).unwrap_or_default());
    out
}

/// The length of a request's first line, and the number of words that it tells.
fn head_of(frame: &[u8]) -> (usize, usize) {
    let head = frame.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let number = frame.get(1..head.saturating_sub(2)).and_then(|text| std::str::from_utf8(text).ok());
    (head, number.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// A request without its mark, and the mark.
pub(crate) fn unmarked<'a>(args: Args<'a>) -> (Args<'a>, Option<Mark>) {
    let args = if args.is(0, QUIET) { args.rest(1) } else { args };
    if args.len() <= WORDS || !args.is(0, NAME) {
        return (args, None);
    }
    let mode = args.at(1).first().map_or(0, |digit| digit.wrapping_sub(b'0'));
    let token = std::str::from_utf8(args.at(2)).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    (args.rest(WORDS), Some(Mark { token, remembers: mode & 1 != 0, no_loop: mode & 2 != 0 }))
}

#[cfg(test)]
mod tests {
    use slotway_common::resp::request::Parsed;
    use slotway_common::resp::{Limits, Parser};

    use super::*;

    #[test]
    fn a_mark_can_be_taken_off_again_and_moves_the_arguments() {
        let frame = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        let mark = Mark { token: 12345, remembers: true, no_loop: false };
        let (wrapped, moved) = mark.wrap(frame);
        let mut parser = Parser::new();
        let Ok(Parsed::Frame(length)) = parser.parse(&wrapped, &Limits::default()) else { panic!() };
        assert_eq!(length, wrapped.len());
        let (args, found) = unmarked(parser.args(&wrapped));
        assert_eq!((args.at(0), args.at(1), found), (&b"GET"[..], &b"k"[..], Some(mark)));
        let key = frame.iter().position(|byte| *byte == b'k').unwrap();
        assert_eq!(wrapped[key + moved], b'k');
    }
}

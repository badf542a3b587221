//! The ordered reply places of one client.
//!
//! A client gets its replies in the order of its requests, while the shards answer in any order. Every request takes a
//! place; the reply of the first place goes straight to the output buffer, piece by piece as it comes in, the replies
//! of later ones are held until it is their turn. Replies of a few bytes are held inside the place itself, so that a
//! pipeline of small requests over several shards costs no allocation.

use std::collections::VecDeque;

use slotway_common::pubsub::append_push;
use slotway_common::resp::Protocol;

use crate::ids::Seq;
use crate::merge::Gather;

/// Reply bytes held in a place. Up to [`INLINE`] bytes need no allocation: that covers a status, an integer and a
/// string of 32 bytes.
const INLINE: usize = 46;

/// Bytes waiting for their turn.
#[derive(Debug)]
enum Held {
    Inline { length: u8, bytes: [u8; INLINE] },
    Heap(Vec<u8>),
}

impl Held {
    const EMPTY: Self = Self::Inline { length: 0, bytes: [0; INLINE] };

    fn extend(&mut self, more: &[u8]) {
        match self {
            Self::Inline { length, bytes } => {
                let from = usize::from(*length);
                if let Some(room) = bytes.get_mut(from..from + more.len()) {
                    room.copy_from_slice(more);
                    *length += more.len() as u8;
                } else {
                    let mut heap = Vec::with_capacity(from + more.len());
                    heap.extend_from_slice(&bytes[..from]);
                    heap.extend_from_slice(more);
                    *self = Self::Heap(heap);
                }
            }
            Self::Heap(heap) => heap.extend_from_slice(more),
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Self::Heap(heap) => heap,
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Heap(heap) => heap.len(),
        }
    }
}

#[derive(Debug)]
enum Place {
    /// No byte of the reply has come in that was not passed on.
    Waiting,
    /// The reply will be dropped (CLIENT REPLY OFF or SKIP).
    Muted,
    /// A later place whose reply has begun.
    Held { bytes: Held, done: bool },
    /// A reply made of the replies of several shards.
    Gather(Box<Gather>),
}

/// The places of one client, oldest first.
#[derive(Debug, Default)]
pub struct Places {
    queue: VecDeque<Place>,
    first: Seq,
    /// Bytes in places that lie on the heap, and of pushes that wait.
    held: usize,
    /// Pushes must wait for the end of the first place: part of its reply has gone out, or they tell of what it begins.
    closed_to_pushes: bool,
    pushes: Vec<u8>,
    /// What a client is to forget, behind the replies that it may have it from.
    behind: VecDeque<(Seq, Vec<u8>)>,
    /// A place whose reply is being made of what has come in.
    begun: Option<Seq>,
}

/// Queues that have grown past this many places give their memory back when they are empty.
const KEEP: usize = 32;

impl Places {
    /// Places whose reply is not complete, or complete but not at its turn.
    #[inline]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The number of the oldest place that is open, or of the next one.
    pub fn first(&self) -> Seq {
        self.first
    }

    /// The number of the place that is opened next.
    pub fn next(&self) -> Seq {
        self.first.wrapping_add(self.queue.len() as u32)
    }

    /// Whether a place has no complete reply yet, or one that is not at its turn.
    pub fn is_open(&self, seq: Seq) -> bool {
        (seq.wrapping_sub(self.first) as usize) < self.queue.len()
    }

    /// Whether this place is the oldest that is open, and nothing of its reply has come in.
    pub fn is_waiting_for(&self, seq: Seq) -> bool {
        self.first == seq && matches!(self.queue.front(), Some(Place::Waiting)) && !self.closed_to_pushes
    }

    /// Heap bytes of held replies.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        self.held
    }

    /// Takes the next place.
    #[inline]
    pub fn open(&mut self, muted: bool) -> Seq {
        let seq = self.first.wrapping_add(self.queue.len() as u32);
        self.queue.push_back(if muted { Place::Muted } else { Place::Waiting });
        seq
    }

    /// Takes the next place for a reply made of several.
    pub fn open_gather(&mut self, gather: Gather) -> Seq {
        let seq = self.first.wrapping_add(self.queue.len() as u32);
        self.queue.push_back(Place::Gather(Box::new(gather)));
        seq
    }

    /// Takes bytes of the reply of place `seq`; `done` with the last of them. What is in turn goes to `out`. Returns
    /// false for a place that is not open.
    #[inline]
    pub fn deliver(&mut self, seq: Seq, bytes: &[u8], done: bool, out: &mut Vec<u8>) -> bool {
        let index = seq.wrapping_sub(self.first) as usize;
        let Some(place) = self.queue.get_mut(index) else { return false };
        if index == 0 {
            match place {
                Place::Waiting => {
                    out.extend_from_slice(bytes);
                    self.closed_to_pushes |= !done;
                }
                Place::Muted => {}
                // A first place never holds bytes, and a gathered reply comes through `deliver_part`.
                Place::Held { .. } | Place::Gather(_) => return false,
            }
            if done {
                self.pop(out);
                self.advance(out);
            }
            return true;
        }
        match place {
            Place::Waiting => {
                let mut held = Held::EMPTY;
                held.extend(bytes);
                self.held += held.heap_bytes();
                *place = Place::Held { bytes: held, done };
            }
            Place::Muted => {
                if done {
                    *place = Place::Held { bytes: Held::EMPTY, done };
                }
            }
            Place::Held { bytes: held, done: ended } => {
                let before = held.heap_bytes();
                held.extend(bytes);
                self.held += held.heap_bytes() - before;
                *ended = done;
            }
            Place::Gather(_) => return false,
        }
        true
    }

    /// Replaces what has come in of the reply of `seq`, which cannot be completed, by `error`. False when part of it
    /// was passed on already (`begun`) and only closing the client is left.
    pub fn fail(&mut self, seq: Seq, begun: bool, error: &[u8], out: &mut Vec<u8>) -> bool {
        let index = seq.wrapping_sub(self.first) as usize;
        match self.queue.get_mut(index) {
            Some(Place::Waiting) if index == 0 && begun => return false,
            Some(Place::Held { bytes, done: false }) => {
                self.held -= bytes.heap_bytes();
                self.queue[index] = Place::Waiting;
            }
            _ => {}
        }
        self.deliver(seq, error, true, out);
        true
    }

    /// The gathering at place `seq`.
    pub fn gather(&mut self, seq: Seq) -> Option<&mut Gather> {
        match self.queue.get_mut(seq.wrapping_sub(self.first) as usize) {
            Some(Place::Gather(gather)) => Some(gather),
            _ => None,
        }
    }

    /// Takes bytes of the reply to part `part` of place `seq`; with the last bytes of the last part the merged reply
    /// is made.
    pub fn deliver_part(&mut self, seq: Seq, part: u16, bytes: &[u8], done: bool, out: &mut Vec<u8>) -> bool {
        let index = seq.wrapping_sub(self.first) as usize;
        let Some(place) = self.queue.get_mut(index) else { return false };
        let Place::Gather(gather) = place else { return false };
        let before = gather.bytes();
        gather.deliver(part, bytes, done);
        self.held = self.held + gather.bytes() - before;
        self.merge_if_complete(index, out);
        true
    }

    /// Ends part `part` of place `seq` with an error made here; see [`Gather::fail`].
    pub fn fail_part(&mut self, seq: Seq, part: u16, error: &[u8], unknown: bool, out: &mut Vec<u8>) {
        let index = seq.wrapping_sub(self.first) as usize;
        let Some(Place::Gather(gather)) = self.queue.get_mut(index) else { return };
        let before = gather.bytes();
        gather.fail(part, error, unknown);
        self.held = self.held + gather.bytes() - before;
        self.merge_if_complete(index, out);
    }

    fn merge_if_complete(&mut self, index: usize, out: &mut Vec<u8>) {
        let Some(place) = self.queue.get_mut(index) else { return };
        let Place::Gather(gather) = place else { return };
        if !gather.is_complete() {
            return;
        }
        self.held -= gather.bytes();
        if index == 0 {
            gather.merge(out);
            self.pop(out);
            self.advance(out);
        } else {
            let mut merged = Vec::new();
            gather.merge(&mut merged);
            self.held += merged.len();
            *place = Place::Held { bytes: Held::Heap(merged), done: true };
        }
    }

    /// Appends bytes that answer nothing, but not within a reply.
    #[inline]
    pub fn push_as_it_is(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.closed_to_pushes {
            self.pushes.extend_from_slice(bytes);
            self.held += bytes.len();
        } else {
            out.extend_from_slice(bytes);
        }
    }

    /// The reply of this place is made elsewhere, of what comes in from now on.
    pub fn begin(&mut self, seq: Seq) {
        self.begun = Some(seq);
    }

    /// Appends bytes that tell of a change to what replies have told: behind every reply of which something has come in,
    /// even if it has to wait for its turn, and behind that of `own`, whose command has made the change. Other replies of
    /// which nothing is here yet are not waited for. `once`: not if the same stands there already.
    #[cold]
    pub fn push_behind(&mut self, bytes: &[u8], own: Option<Seq>, once: bool, out: &mut Vec<u8>) {
        let is_open = |seq: &Seq| self.is_open(*seq);
        let index = |seq: Seq| seq.wrapping_sub(self.first) as usize;
        let begun = self.begun.filter(is_open).map(index);
        let own = own.filter(is_open).map(index);
        let has_come = |place: &Place| match place {
            Place::Held { .. } => true,
            Place::Gather(gather) => gather.bytes() > 0,
            Place::Waiting | Place::Muted => false,
        };
        // A reply of its own comes before what has come for later places.
        let Some(place) = own.or_else(|| self.queue.iter().rposition(has_come).max(begun)) else {
            return self.push_as_it_is(bytes, out);
        };
        let after = self.behind.partition_point(|(seq, _)| index(*seq) <= place);
        let seq = self.first.wrapping_add(place as u32);
        if once && after.checked_sub(1).and_then(|last| self.behind.get(last)) == Some(&(seq, bytes.to_vec()))
        {
            return;
        }
        self.held += bytes.len();
        self.behind.insert(after, (seq, bytes.to_vec()));
    }

    #[cold]
    fn flush_behind(&mut self, out: &mut Vec<u8>) {
        while let Some((seq, _)) = self.behind.front() {
            // It may be still open.
            if self.is_open(*seq) {
                return;
            }
            let Some((_, bytes)) = self.behind.pop_front() else { return };
            self.held -= bytes.len();
            out.extend_from_slice(&bytes);
        }
    }

    /// The same for a push in RESP3, of which RESP2 makes an array.
    #[inline]
    pub fn push(&mut self, protocol: Protocol, push: &[u8], out: &mut Vec<u8>) {
        if self.closed_to_pushes {
            append_push(&mut self.pushes, protocol, push);
            self.held += push.len();
        } else {
            append_push(out, protocol, push);
        }
    }

    /// Pushes wait for the end of the first place.
    pub fn hold_pushes(&mut self) {
        self.closed_to_pushes = !self.queue.is_empty();
    }

    #[inline]
    fn pop(&mut self, out: &mut Vec<u8>) {
        self.closed_to_pushes = false;
        if !self.pushes.is_empty() {
            self.held -= self.pushes.len();
            out.extend_from_slice(&std::mem::take(&mut self.pushes));
        }
        self.queue.pop_front();
        self.first = self.first.wrapping_add(1);
        if !self.behind.is_empty() {
            self.flush_behind(out);
        }
        if self.queue.is_empty() && self.queue.capacity() > KEEP {
            self.queue = VecDeque::new();
        }
    }

    /// Passes on what is in turn now that a new place is first.
    #[inline]
    fn advance(&mut self, out: &mut Vec<u8>) {
        while let Some(Place::Held { bytes, done }) = self.queue.front() {
            out.extend_from_slice(bytes.as_slice());
            self.held -= bytes.heap_bytes();
            if !*done {
                self.queue[0] = Place::Waiting;
                self.closed_to_pushes = true;
                return;
            }
            self.pop(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Merging;

    #[test]
    fn replies_leave_in_the_order_of_their_requests() {
        let mut places = Places::default();
        let mut out = Vec::new();
        let seqs: Vec<Seq> = (0..4).map(|_| places.open(false)).collect();
        let long = b"x".repeat(200);
        places.deliver(seqs[3], b"d", true, &mut out);
        places.deliver(seqs[1], &long, false, &mut out);
        places.deliver(seqs[2], b"c", true, &mut out);
        assert_eq!((out.len(), places.held_bytes()), (0, 200));
        places.deliver(seqs[0], b"a", false, &mut out);
        places.deliver(seqs[0], b"A", true, &mut out);
        assert_eq!(out.len(), 202, "a later reply is passed on as far as it has come once it is its turn");
        places.deliver(seqs[1], b"!", true, &mut out);
        assert_eq!(&out[202..], b"!cd");
        assert!(places.is_empty() && places.held_bytes() == 0);
        assert!(!places.deliver(seqs[0], b"late", true, &mut out));
    }

    #[test]
    fn a_push_never_comes_within_a_reply() {
        let mut places = Places::default();
        let mut out = Vec::new();
        places.push(Protocol::Resp2, b">1|", &mut out);
        let (first, second) = (places.open(false), places.open(false));
        places.push(Protocol::Resp3, b">2|", &mut out);
        places.deliver(first, b"a", false, &mut out);
        places.deliver(second, b"c", false, &mut out);
        places.push(Protocol::Resp3, b">3|", &mut out);
        places.deliver(first, b"b|", true, &mut out);
        places.push(Protocol::Resp3, b">4|", &mut out);
        assert_eq!(out, b"*1|>2|ab|>3|c");
        assert_eq!(places.held_bytes(), 3);
        places.deliver(second, b"d|", true, &mut out);
        assert_eq!(&out[13..], b"d|>4|");
        let third = places.open(false);
        places.hold_pushes();
        places.push(Protocol::Resp3, b">5|", &mut out);
        places.deliver(third, b"e|", true, &mut out);
        assert_eq!((&out[18..], places.held_bytes()), (&b"e|>5|"[..], 0));
    }

    #[test]
    fn what_is_to_be_forgotten_comes_behind_the_reply_that_told_it() {
        let mut places = Places::default();
        let mut out = Vec::new();
        places.push_behind(b"1|", None, false, &mut out);
        let seqs: Vec<Seq> = (0..4).map(|_| places.open(false)).collect();
        places.push_behind(b"2|", None, false, &mut out);
        assert_eq!(out, b"1|2|", "nothing has come in that it could be about");
        places.deliver(seqs[1], b"b|", true, &mut out);
        places.push_behind(b"3|", None, false, &mut out);
        places.deliver(seqs[2], b"c|", true, &mut out);
        assert_eq!((out.len(), places.held_bytes()), (4, 2));
        places.deliver(seqs[0], b"a", false, &mut out);
        places.push_behind(b"4|", None, false, &mut out);
        places.deliver(seqs[0], b"|", true, &mut out);
        assert_eq!(&out[4..], b"a|b|3|c|4|");
        places.begin(seqs[3]);
        places.push_behind(b"5|", None, false, &mut out);
        places.deliver(seqs[3], b"d|", true, &mut out);
        assert_eq!((&out[14..], places.held_bytes()), (&b"d|5|"[..], 0));
    }

    #[test]
    fn what_a_command_tells_its_own_client_comes_behind_its_reply() {
        let mut places = Places::default();
        let mut out = Vec::new();
        let seqs: Vec<Seq> = (0..3).map(|_| places.open(false)).collect();
        places.deliver(seqs[2], b"c|", true, &mut out);
        places.push_behind(b"3|", None, false, &mut out);
        places.push_behind(b"2|", Some(seqs[1]), true, &mut out);
        places.push_behind(b"2|", Some(seqs[1]), true, &mut out);
        places.push_behind(b"1|", Some(seqs[0]), false, &mut out);
        places.push_behind(b"1|", Some(seqs[0]), false, &mut out);
        places.deliver(seqs[0], b"a|", true, &mut out);
        places.deliver(seqs[1], b"b|", true, &mut out);
        assert_eq!(out, b"a|1|1|b|2|c|3|");
        assert_eq!(places.held_bytes(), 0);
        assert!(!places.is_open(seqs[2]) && !places.is_open(places.next()));
    }

    #[test]
    fn numbers_wrap_around() {
        let mut places = Places { first: u32::MAX, ..Places::default() };
        let mut out = Vec::new();
        let (last, next) = (places.open(false), places.open(false));
        assert_eq!((last, next), (u32::MAX, 0));
        places.deliver(next, b"b", true, &mut out);
        places.deliver(last, b"a", true, &mut out);
        assert_eq!(out, b"ab");
    }

    #[test]
    fn muted_places_keep_the_order_and_say_nothing() {
        let mut places = Places::default();
        let mut out = Vec::new();
        let (first, second, third) = (places.open(false), places.open(true), places.open(false));
        places.deliver(second, b"no", true, &mut out);
        places.deliver(third, b"c", true, &mut out);
        places.deliver(first, b"a", true, &mut out);
        assert_eq!(out, b"ac");
        let fourth = places.open(true);
        places.deliver(fourth, b"no", true, &mut out);
        assert!(out == b"ac" && places.is_empty());
    }

    #[test]
    fn a_broken_reply_becomes_an_error_unless_it_has_begun_to_leave() {
        let mut places = Places::default();
        let mut out = Vec::new();
        let (first, second) = (places.open(false), places.open(false));
        places.deliver(second, b"$100\r\nabc", false, &mut out);
        assert!(places.fail(second, true, b"-E\r\n", &mut out));
        places.deliver(first, b"$3\r\na", false, &mut out);
        assert!(!places.fail(first, true, b"-E\r\n", &mut out));
        places.deliver(first, b"bc\r\n", true, &mut out);
        assert_eq!(out, b"$3\r\nabc\r\n-E\r\n");
        assert_eq!(places.held_bytes(), 0);
    }

    #[test]
    fn a_gathered_reply_waits_for_its_parts_and_its_turn() {
        let mut places = Places::default();
        let mut out = Vec::new();
        let first = places.open(false);
        let second = places.open_gather({
            let mut gather = Gather::new(Merging::Sum, false);
            gather.add_part("a".into(), 1);
            gather.add_part("b".into(), 1);
            gather
        });
        places.deliver_part(second, 0, b":1\r\n", true, &mut out);
        places.deliver_part(second, 1, b":2", false, &mut out);
        places.deliver_part(second, 1, b"\r\n", true, &mut out);
        assert!(out.is_empty());
        places.deliver(first, b"a", true, &mut out);
        assert_eq!(out, b"a:3\r\n");
        assert_eq!(places.held_bytes(), 0);
    }

    #[test]
    fn a_long_queue_gives_its_memory_back() {
        let mut places = Places::default();
        let mut out = Vec::new();
        for seq in (0..1000).map(|_| places.open(false)).collect::<Vec<_>>() {
            places.deliver(seq, b"", true, &mut out);
        }
        assert_eq!(places.queue.capacity(), 0);
    }
}

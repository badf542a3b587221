use proptest::prelude::*;

use super::*;

fn stream(payloads: &[Vec<u8>]) -> (Vec<u8>, Digest) {
    let (mut bytes, mut digest) = (Vec::new(), Digest::default());
    for (number, payload) in payloads.iter().enumerate() {
        let head = (Kind::Values, number % 16, number as u16);
        put_frame(head, number as u64 + 1, payload, &mut digest, &mut bytes);
    }
    (bytes, digest)
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..20),
        cut in 1usize..300,
    ) {
        let (bytes, digest) = stream(&payloads);
        let mut frames = Frames::new();
        let mut found = Vec::new();
        for piece in bytes.chunks(cut) {
            frames.buffer().extend_from_slice(piece);
            while let Some(frame) = frames.take().unwrap() {
                prop_assert_eq!((usize::from(frame.slot), frame.db), (found.len(), found.len() % 16));
                found.push(frame.payload.to_vec());
            }
        }
        prop_assert_eq!(found, payloads);
        prop_assert_eq!(frames.digest(), digest);
    }

    #[test]
    fn no_flipped_bit_goes_unseen(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..4),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let (mut bytes, digest) = stream(&payloads);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let mut frames = Frames::new();
        frames.buffer().extend_from_slice(&bytes);
        let mut count = 0;
        let result = loop {
            match frames.take() {
                Ok(Some(_)) => count += 1,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        prop_assert!(result.is_err());
        prop_assert!(count < payloads.len());
        prop_assert_ne!(frames.digest(), digest);
    }

    #[test]
    fn numbers_and_heads_round_trip(
        number in any::<u64>(),
        key in proptest::collection::vec(any::<u8>(), 0..40),
        expire_at in any::<Option<i64>>(),
        access in any::<u32>(),
        raw in any::<bool>(),
        text in any::<bool>(),
        value in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let head = Head { key: &key, expire_at, access, raw, text };
        let (mut part, mut entries, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        put_part(&head, number, &value, &mut part);
        prop_assert_eq!(Entries::part(&part), Some((number, Entry { head, value: &value })));
        for _ in 0..3 {
            put_entry(&head, &mut entries, &mut scratch, |out| out.extend_from_slice(&value));
        }
        let read: Result<Vec<_>, _> = Entries::new(&entries).collect();
        prop_assert_eq!(read.unwrap(), vec![Entry { head, value: &value }; 3]);
        for end in 0..part.len() {
            prop_assert_eq!(Entries::part(&part[..end]), None);
        }
    }
}

#[test]
fn a_skipped_or_repeated_frame_is_refused() {
    let (bytes, _) = stream(&[vec![1], vec![2]]);
    let first = HEADER + 1;
    let mut skipped = Frames::new();
    skipped.buffer().extend_from_slice(&bytes[first..]);
    assert_eq!(skipped.take(), Err(StreamError::Sequence { sequence: 1, found: 2 }));
    let mut repeated = Frames::new();
    repeated.buffer().extend_from_slice(&bytes[..first]);
    repeated.buffer().extend_from_slice(&bytes[..first]);
    assert!(repeated.take().unwrap().is_some());
    assert_eq!(repeated.take(), Err(StreamError::Sequence { sequence: 2, found: 1 }));
}

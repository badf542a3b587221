//! LZF, the compression of strings in RDB files.
//!
//! A compressed string is a sequence of runs, each begun by a control byte `c`:
//!
//! | control | then | stands for |
//! |---|---|---|
//! | `000nnnnn` | n + 1 bytes | these bytes |
//! | `lllddddd` | a byte `e` | l + 2 bytes that begin d·256 + e + 1 before the end of what was written so far, for l of 1..=6 |
//! | `111ddddd` | a byte `m`, a byte `e` | as above, m + 9 bytes |
//!
//! The bytes that a back reference copies may reach into what it writes. What is compressed here need not be what
//! another compressor makes of the same bytes.

const MOST_LITERALS: usize = 32;
const FARTHEST: usize = 1 << 13;
const SHORTEST: usize = 3;
const LONGEST: usize = 264;
/// A back reference of three bytes writes at most [`LONGEST`].
const MOST_GROWTH: usize = LONGEST / 3;

/// Compresses `input` into `output` and gives the bytes written; None if they do not fit.
pub(super) fn compress(input: &[u8], output: &mut [u8]) -> Option<usize> {
    // Clearing the table is most of the work for a short string.
    match input.len() {
        0..128 => with_table::<128>(input, output),
        128..2048 => with_table::<1024>(input, output),
        _ => with_table::<8192>(input, output),
    }
}

/// `SLOTS`: size of the table of places, a power of two.
fn with_table<const SLOTS: usize>(input: &[u8], output: &mut [u8]) -> Option<usize> {
    let mut places = [0u32; SLOTS];
    let mut runs = Runs { output, at: 0 };
    let (mut at, mut written, mut misses) = (0, 0, 0);
    while let Some(next) = four(input, at) {
        let three = next & 0xFF_FFFF;
        let slot = (three.wrapping_mul(0x9E37_79B1) >> (32 - SLOTS.ilog2())) as usize;
        let candidate = places[slot] as usize;
        places[slot] = at as u32;
        // A place that was never noted is 0, and compared like any other.
        let distance = at.wrapping_sub(candidate);
        if (1..=FARTHEST).contains(&distance)
            && four(input, candidate).is_some_and(|earlier| earlier & 0xFF_FFFF == three)
        {
            let same = input[at..]
                .iter()
                .zip(&input[candidate..])
                .take(LONGEST)
                .skip(SHORTEST)
                .take_while(|(new, old)| new == old)
                .count();
            runs.literals(&input[written..at])?;
            runs.reference(distance, SHORTEST + same)?;
            at += SHORTEST + same;
            written = at;
            misses = 0;
        } else {
            // What does not repeat is passed over faster and faster.
            misses += 1;
            at += 1 + (misses >> 6);
        }
    }
    runs.literals(&input[written..])?;
    Some(runs.at)
}

fn four(input: &[u8], at: usize) -> Option<u32> {
    input.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// Where runs are written.
struct Runs<'a> {
    output: &'a mut [u8],
    at: usize,
}

impl Runs<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.output.get_mut(self.at..self.at + bytes.len())?.copy_from_slice(bytes);
        self.at += bytes.len();
        Some(())
    }

    fn literals(&mut self, bytes: &[u8]) -> Option<()> {
        for run in bytes.chunks(MOST_LITERALS) {
            self.put(&[run.len() as u8 - 1])?;
            self.put(run)?;
        }
        Some(())
    }

    fn reference(&mut self, distance: usize, len: usize) -> Option<()> {
        let [high, low] = ((distance - 1) as u16).to_be_bytes();
        if len < 9 {
            self.put(&[((len - 2) << 5) as u8 | high, low])
        } else {
            self.put(&[7 << 5 | high, (len - 9) as u8, low])
        }
    }
}

/// The `len` bytes that were compressed into `input`; None if it is no LZF or of another length. Allocates no more
/// than `input` can stand for.
pub(super) fn decompress(input: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > input.len().saturating_mul(MOST_GROWTH) {
        return None;
    }
    let mut output = Vec::with_capacity(len);
    let mut rest = input;
    while let Some((&control, after)) = rest.split_first() {
        rest = after;
        if usize::from(control) < MOST_LITERALS {
            let (run, after) = rest.split_at_checked(usize::from(control) + 1)?;
            rest = after;
            if len - output.len() < run.len() {
                return None;
            }
            output.extend_from_slice(run);
            continue;
        }
        let mut left = usize::from(control >> 5) + 2;
        if control >> 5 == 7 {
            let (&more, after) = rest.split_first()?;
            rest = after;
            left += usize::from(more);
        }
        let (&low, after) = rest.split_first()?;
        rest = after;
        let distance = usize::from(control & 0x1F) << 8 | usize::from(low);
        let start = output.len().checked_sub(distance + 1)?;
        if len - output.len() < left {
            return None;
        }
        while left > 0 {
            // As much as there is of the pattern, which doubles each time.
            let chunk = left.min(output.len() - start);
            output.extend_from_within(start..start + chunk);
            left -= chunk;
        }
    }
    (output.len() == len).then_some(output)
}

#[allow(clippy::unwrap_used)]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compressed(input: &[u8]) -> Vec<u8> {
        let mut output = vec![0; input.len() * 2 + 8];
        let len = compress(input, &mut output).unwrap();
        output.truncate(len);
        output
    }

    #[test]
    fn what_repeats_becomes_small() {
        for (input, most) in
            [(vec![b'a'; 21], 8), (vec![0; 100_000], 1200), (b"abcdefgh".repeat(100), 30), (Vec::new(), 0)]
        {
            let output = compressed(&input);
            assert!(output.len() <= most, "{} of {}", output.len(), input.len());
            assert_eq!(decompress(&output, input.len()).unwrap(), input);
        }
    }

    #[test]
    fn a_length_beyond_what_the_bytes_can_stand_for_is_refused_at_once() {
        assert_eq!(decompress(&[0, b'a'], usize::MAX), None);
        assert_eq!(decompress(&[], 1), None);
        assert_eq!(decompress(&[0, b'a'], 2), None);
        assert_eq!(decompress(&[0, b'a', 0x20, 1], 4), None);
    }

    proptest! {
        #[test]
        fn every_string_survives(
            pieces in prop::collection::vec((prop::collection::vec(0..4u8, 0..40), 1..60usize), 0..12),
        ) {
            let input: Vec<u8> = pieces.iter().flat_map(|(piece, times)| piece.repeat(*times)).collect();
            let output = compressed(&input);
            prop_assert_eq!(decompress(&output, input.len()), Some(input));
        }

        #[test]
        fn any_bytes_are_refused_or_decompressed(bytes in prop::collection::vec(any::<u8>(), 0..100), len in 0..2000usize) {
            if let Some(output) = decompress(&bytes, len) {
                prop_assert_eq!(output.len(), len);
            }
        }
    }
}

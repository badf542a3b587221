//! A bounded run of what `tests/fuzz` searches without end. A failure prints the seed and the input.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rand::Rng;
use slotway_tests::fuzzing::{
    Inputs, REPLIES, REQUESTS, requests_do_not_depend_on_pieces, scanner_and_decoder_agree,
};

/// Inputs of one run: a few seconds in a debug build.
const RUNS: usize = 30_000;

/// `SLOTWAY_FUZZ_SEED` repeats a run.
fn search(samples: &'static [&'static [u8]], property: fn(&[u8])) {
    let given = std::env::var("SLOTWAY_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| rand::rng().random());
    let mut inputs = Inputs::new(seed, samples);
    for sample in samples {
        property(sample);
    }
    for _ in 0..RUNS {
        let input = inputs.next_input();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| property(&input))) {
            eprintln!("SLOTWAY_FUZZ_SEED={seed}, input: \"{}\"", input.escape_ascii());
            resume_unwind(panic);
        }
    }
}

#[test]
fn requests_are_read_the_same_however_they_arrive() {
    search(REQUESTS, requests_do_not_depend_on_pieces);
}

#[test]
fn replies_end_where_the_decoder_ends_them() {
    search(REPLIES, scanner_and_decoder_agree);
}

#[test]
fn many_attributes_in_a_row_do_not_overflow_the_stack() {
    let input = [b"|0\r\n".repeat(1 << 20), b"+OK\r\n".to_vec()].concat();
    let found = slotway_common::resp::Value::parse(&input).expect("a reply").expect("a whole reply");
    assert_eq!(found.1, input.len());
}

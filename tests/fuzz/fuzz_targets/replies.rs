//! The frame scanner and the decoder of replies.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slotway_tests::fuzzing::scanner_and_decoder_agree(input));

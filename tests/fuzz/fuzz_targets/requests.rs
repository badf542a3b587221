//! The request parser.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slotway_tests::fuzzing::requests_do_not_depend_on_pieces(input));

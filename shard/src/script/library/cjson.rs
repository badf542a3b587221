//! `cjson`: JSON (kyne.com.au/~mark/software/lua-cjson.php, version 2.1.0).

mod decode;
mod encode;
mod settings;

use crate::script::lua::{Frame, Native, Outcome};
use settings::{DEFAULTS, Setting, choice_setting, number_setting, sparse_array};

const FUNCTIONS: &[(&str, Native)] = &[
    ("encode", encode::encode),
    ("decode", decode::decode),
    ("encode_sparse_array", sparse_array),
    ("encode_max_depth", |frame| number_setting(frame, Setting::EncodeDepth, 1, i32::MAX)),
    ("decode_max_depth", |frame| number_setting(frame, Setting::DecodeDepth, 1, i32::MAX)),
    ("encode_number_precision", |frame| number_setting(frame, Setting::Precision, 1, 14)),
    ("encode_keep_buffer", |frame| choice_setting(frame, Setting::KeepBuffer, &["off", "on"])),
    ("encode_invalid_numbers", |frame| choice_setting(frame, Setting::EncodeInvalid, &["off", "on", "null"])),
    ("decode_invalid_numbers", |frame| choice_setting(frame, Setting::DecodeInvalid, &["off", "on"])),
];

/// Pushes an instance with settings of its own.
pub fn push(frame: &mut Frame<'_>) {
    frame.push_table(DEFAULTS.len(), 0);
    for (number, value) in (1..).zip(DEFAULTS) {
        frame.push_number(f64::from(value));
        frame.set_element(-2, number);
    }
    let settings = frame.absolute(-1);
    frame.push_table(0, FUNCTIONS.len() + 4);
    for &(name, native) in FUNCTIONS.iter().chain(&[("new", new as Native)]) {
        frame.push_copy(settings);
        frame.push_native_with(native);
        frame.set_field(-2, name.as_bytes());
    }
    frame.push_null();
    frame.set_field(-2, b"null");
    for (name, text) in [("_NAME", "cjson"), ("_VERSION", "2.1.0")] {
        frame.push_bytes(text.as_bytes());
        frame.set_field(-2, name.as_bytes());
    }
    frame.remove(settings);
}

fn new(frame: &mut Frame<'_>) -> Outcome {
    push(frame);
    Ok(1)
}

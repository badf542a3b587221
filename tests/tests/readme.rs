//! The lists in the READMEs are those that the tables in the code give.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::path::Path;

use slotway_common::command::{SUPPORT_TABLE_MARKS, support_table};
use slotway_common::settings::{SETTINGS_TABLE_MARKS, settings_table};

/// Compares what stands between two marks. With `SLOTWAY_FIX=1` in the environment (as `make fix` sets it) it is
/// written instead.
fn is_up_to_date(folder: &str, (begin, end): (&str, &str), wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join("README.md");
    let readme = std::fs::read_to_string(&path).expect("the README");
    let start = readme.find(begin).expect("the mark before the list") + begin.len();
    let stop = readme.find(end).expect("the mark after the list");
    let wanted = format!("\n{wanted}");
    if readme[start..stop] == wanted {
        return;
    }
    assert!(
        std::env::var_os("SLOTWAY_FIX").is_some(),
        "what stands after {begin} in {folder}/README.md is not what the code gives; run `make fix`"
    );
    std::fs::write(&path, format!("{}{wanted}{}", &readme[..start], &readme[stop..]))
        .expect("write the README");
}

#[test]
fn lists_that_are_generated_are_up_to_date() {
    is_up_to_date("common/src/command", SUPPORT_TABLE_MARKS, &support_table());
    is_up_to_date("common/src/settings", SETTINGS_TABLE_MARKS, &settings_table());
}

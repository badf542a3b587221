//! What the README says of commands is what the command table says.

use std::path::Path;

use slotway_common::command::{SUPPORT_TABLE_MARKS, support_table};

/// With `SLOTWAY_FIX=1` in the environment (as `make fix` sets it) this writes the table instead of comparing it.
#[test]
fn the_support_table_in_the_readme_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(&path).expect("the README");
    let (begin, end) = SUPPORT_TABLE_MARKS;
    let start = readme.find(begin).expect("the mark before the table") + begin.len();
    let stop = readme.find(end).expect("the mark after the table");
    let wanted = format!("\n{}", support_table());
    if readme[start..stop] == wanted {
        return;
    }
    assert!(
        std::env::var_os("SLOTWAY_FIX").is_some(),
        "the table of commands in README.md is not the one that the command table gives; run `make fix`"
    );
    let fixed = format!("{}{wanted}{}", &readme[..start], &readme[stop..]);
    std::fs::write(&path, fixed).expect("write the README");
}

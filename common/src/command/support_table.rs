//! The table of supported commands in this folder's README, in Markdown.

use super::group::Group;
use super::route::{Merge, Route, Support};
use super::row::Command;
use super::{TABLE, listed};

/// The lines between which the README has the table.
pub const SUPPORT_TABLE_MARKS: (&str, &str) =
    ("<!-- commands: begin (generated from the command table by `make fix`) -->", "<!-- commands: end -->");

/// The table: a line for each family with what is supported, what works across shards, and what is not there yet.
#[must_use]
pub fn support_table() -> String {
    let mut text = String::from("| family | supported | across shards | not yet |\n|---|---|---|---|\n");
    for group in Group::ALL.into_iter().filter(|group| *group != Group::Internal) {
        let rows = || {
            let mut rows: Vec<&Command> = leaves().filter(|row| row.group == group).collect();
            rows.sort_by_key(|row| row.name);
            rows.into_iter()
        };
        let supported: Vec<String> = rows().filter(|row| row.support == Support::Full).map(title).collect();
        let across: Vec<String> = rows()
            .filter_map(|row| across_shards(row).map(|how| format!("{} ({how})", title(row))))
            .collect();
        text.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            group.name(),
            supported.join(", "),
            across.join(", "),
            missing(rows())
        ));
    }
    let full = listed().filter(|row| row.support == Support::Full).count();
    text.push_str(&format!("\n{full} of the {} commands of Redis 7.0.\n", listed().count()));
    text
}

/// Every row but the containers, whose subcommands stand for them, and what clients do not see.
fn leaves() -> impl Iterator<Item = &'static Command> {
    TABLE.iter().filter(|row| {
        row.route != Route::Internal
            && !(row.is_container() && row.arity < -1)
            && !(row.last_name() == "help" && row.container.is_some())
    })
}

fn title(row: &Command) -> String {
    row.name.replace('|', " ").to_ascii_uppercase()
}

fn across_shards(row: &Command) -> Option<&'static str> {
    match (row.route, row.merge) {
        (Route::Split, Merge::AllOk) => Some("atomic"),
        (Route::Split, _) => Some("atomic per shard"),
        (Route::FanOut, Merge::AllOrNothing) => Some("all or nothing"),
        (Route::FanOut, _) => Some("every slot once"),
        _ => None,
    }
}

/// The commands that are not supported, those of one reason together.
fn missing<'a>(rows: impl Iterator<Item = &'a Command>) -> String {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for row in rows {
        let Support::Later(reason) = row.support else { continue };
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(title(row)),
            None => reasons.push((reason, vec![title(row)])),
        }
    }
    reasons
        .iter()
        .map(|(reason, names)| format!("{} ({reason})", names.join(", ")))
        .collect::<Vec<_>>()
        .join("; ")
}

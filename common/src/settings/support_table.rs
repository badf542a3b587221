//! The list of settings in this folder's README, in Markdown.

use super::parameter::{Parameter, Support};
use super::table::TABLE;

/// The lines between which the README has the list.
pub const SETTINGS_TABLE_MARKS: (&str, &str) = (
    "<!-- settings: begin (generated from the table of settings by `make fix`) -->",
    "<!-- settings: end -->",
);

/// What setting each parameter does.
#[must_use]
pub fn settings_table() -> String {
    let names = |of: &dyn Fn(&Parameter) -> bool| {
        let names: Vec<String> = TABLE
            .iter()
            .filter(|parameter| of(parameter))
            .map(|parameter| match parameter.alias {
                Some(alias) => format!("`{}` (`{alias}`)", parameter.name),
                None => format!("`{}`", parameter.name),
            })
            .collect();
        names.join(", ")
    };
    let mut fixed: Vec<&str> = Vec::new();
    for parameter in TABLE {
        if let Support::Fixed(reason) = parameter.support
            && !fixed.contains(&reason)
        {
            fixed.push(reason);
        }
    }
    let mut text = String::from("| CONFIG SET | parameters |\n|---|---|\n");
    let mut line = |what: String, names: String| text.push_str(&format!("| {what} | {names} |\n"));
    line("works at once".to_owned(), names(&|p| p.support == Support::Live));
    line("refused; works in the cluster file".to_owned(), names(&|p| p.support == Support::Start));
    for reason in fixed {
        line(format!("refused: {reason}"), names(&|p| p.support == Support::Fixed(reason)));
    }
    line(
        "refused; can be read".to_owned(),
        names(&|p| matches!(p.support, Support::Constant | Support::Protected)),
    );
    line("accepted, without effect".to_owned(), names(&|p| p.support == Support::Ignored));
    text
}

//! The replies of `… HELP`.

use super::Call;

/// Writes the help of a container command: its subcommands with their arguments, each with what it does.
pub(super) fn write(call: &mut Call<'_>, name: &str, rows: &[(&str, &str)]) {
    call.reply.array(rows.len() * 2 + 3);
    call.reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for (usage, text) in rows.iter().chain(&[("HELP", "Print this help.")]) {
        call.reply.simple(usage);
        call.reply.simple(&format!("    {text}"));
    }
}

//! Flags of the processes, and how they end when something is wrong before they serve.

use std::fmt::Display;

use clap::Parser;
use clap::error::ErrorKind;

/// Exit code for a flag or a file that cannot be used.
pub const BAD_INPUT: i32 = 2;

/// Reads the flags of this process. `--help` and `--version` print and end it; a bad flag ends it with one line.
pub fn parse<A: Parser>() -> A {
    let error = match A::try_parse() {
        Ok(arguments) => return arguments,
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            std::process::exit(BAD_INPUT)
        }
        _ => refuse::<A>(one_line(&error.to_string())),
    }
}

/// Ends the process with exit code 2 and one line, `NAME: reason`.
pub fn refuse<A: Parser>(reason: impl Display) -> ! {
    fail::<A>(BAD_INPUT, reason)
}

/// Ends the process with this exit code and one line, `NAME: reason`.
pub fn fail<A: Parser>(code: i32, reason: impl Display) -> ! {
    use std::io::Write;
    // Not eprintln, which panics if nobody reads standard error any more.
    let _ = writeln!(std::io::stderr(), "{}: {reason}", A::command().get_name());
    std::process::exit(code)
}

/// The first paragraph of clap's message, in one line, and where to find the rest.
fn one_line(message: &str) -> String {
    let paragraph = message.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let reason = words.join(" ");
    format!("{} (see --help)", reason.strip_prefix("error: ").unwrap_or(&reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser)]
    #[command(name = "example")]
    struct Example {
        #[arg(long)]
        cluster: std::path::PathBuf,
        #[arg(long)]
        node: String,
    }

    fn reason(arguments: &[&str]) -> String {
        one_line(&Example::try_parse_from(arguments).err().unwrap().to_string())
    }

    #[test]
    fn bad_flags_are_told_in_one_line() {
        assert_eq!(
            reason(&["example"]),
            "the following required arguments were not provided: --cluster <CLUSTER> --node <NODE> (see --help)"
        );
        assert_eq!(
            reason(&["example", "--cluster", "f", "--nod"]),
            "unexpected argument '--nod' found (see --help)"
        );
    }
}

//! `slotway check`: examines a node's log. The program that writes logs, beside this one, knows how to read them.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::CommandError;

/// Runs `slotway-shard --check` and gives its exit code.
///
/// # Errors
/// When it cannot be started.
pub fn run(directory: &Path, salvage: Option<&Path>) -> Result<ExitCode, CommandError> {
    let program = std::env::current_exe().unwrap_or_default().with_file_name("slotway-shard");
    let mut command = Command::new(&program);
    command.arg("--check").arg(directory);
    if let Some(to) = salvage {
        command.arg("--salvage").arg(to);
    }
    let status =
        command.status().map_err(|error| CommandError::Start { program, reason: error.to_string() })?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

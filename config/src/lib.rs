#![forbid(unsafe_code)]
//! The operator's command: starts the processes of a cluster file and shows what they do.

pub mod abort;
pub mod apply;
pub mod check;
pub mod control;
pub mod drain;
pub mod edit;
mod http;
pub mod plan;
mod processes;
pub mod rebalance;
pub mod reshard;
pub mod status;
mod units;
pub mod up;

use std::path::PathBuf;

use slotway_common::cluster_file::SecretRefusal;
use slotway_common::command_line::BAD_INPUT;

/// Why the command could not do its work. The text is one line.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Secret(#[from] SecretRefusal),
    #[error("{address} ({purpose}) is in use by another process: {reason}")]
    Taken { address: String, purpose: String, reason: String },
    #[error("cannot listen at {address} ({purpose}): {reason}")]
    Unusable { address: String, purpose: String, reason: String },
    #[error("no process of the file has a loopback address: start each one on its own host")]
    NothingLocal,
    #[error("cannot start {}: {reason}", program.display())]
    Start { program: PathBuf, reason: String },
    #[error("{0} ended before the cluster was ready, see its lines above")]
    EndedEarly(String),
    #[error("every process that was started has ended")]
    AllEnded,
    #[error(transparent)]
    Refusal(#[from] plan::Refusal),
    #[error(transparent)]
    Control(#[from] control::ControlError),
    #[error(transparent)]
    Apply(#[from] apply::ApplyError),
    #[error(transparent)]
    Edit(#[from] edit::EditError),
    #[error(transparent)]
    Rebalance(#[from] rebalance::RebalanceError),
    #[error(transparent)]
    Drain(#[from] drain::DrainError),
    #[error(transparent)]
    Abort(#[from] abort::AbortError),
    #[error("nobody can be asked whether to go on, since standard input is no terminal: give --yes")]
    Unattended,
    #[error("no signals can be received: {0}")]
    Signals(std::io::Error),
}

impl CommandError {
    /// 2 for what a file or a flag is to blame for, else 1.
    pub fn exit_code(&self) -> i32 {
        match self {
            CommandError::Secret(_)
            | CommandError::NothingLocal
            | CommandError::Unattended
            | CommandError::Edit(edit::EditError::Read(_) | edit::EditError::Unusual { .. })
            | CommandError::Drain(_) => BAD_INPUT,
            _ => 1,
        }
    }
}

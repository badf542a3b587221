#![forbid(unsafe_code)]
//! `slotway`: the operator's command.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use slotway_common::cluster_file::ClusterFile;
use slotway_common::command_line;
use slotway_config::{status, up};

/// Starts and inspects a Slotway cluster.
#[derive(Parser)]
#[command(name = "slotway", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start every process of a cluster file that runs on this machine, and stop them on Ctrl-C.
    Up {
        #[arg(default_value = "config/cluster.yaml")]
        file: PathBuf,
    },
    /// Show shards, slot ranges, keys, bytes and operations per second.
    Status {
        #[arg(default_value = "config/cluster.yaml")]
        file: PathBuf,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let arguments: Arguments = command_line::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => command_line::fail::<Arguments>(1, error),
    };
    let ended = match arguments.command {
        Command::Up { file: path } => {
            let file = read(&path);
            runtime.block_on(up::run(&path, file))
        }
        Command::Status { file: path, json } => {
            let file = read(&path);
            runtime.block_on(status::run(&file, json))
        }
    };
    match ended {
        Ok(code) => code,
        Err(error) => command_line::fail::<Arguments>(error.exit_code(), error),
    }
}

fn read(path: &std::path::Path) -> ClusterFile {
    ClusterFile::read(path).unwrap_or_else(|error| command_line::refuse::<Arguments>(error))
}

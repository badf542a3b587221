#![forbid(unsafe_code)]
//! `slotway`: the operator's command.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use slotway_common::cluster_file::ClusterFile;
use slotway_common::command_line;
use slotway_config::{abort, check, drain, rebalance, reshard, status, up};

/// Starts and inspects a Slotway cluster.
#[derive(Parser)]
#[command(name = "slotway", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Examine the log of a node that does not run: its files, what they hold, and the first damage with file and offset.
    ///
    /// Changes nothing. Exit codes: 0 sound, 3 damaged, 2 a bad flag or no log there, 1 anything else.
    Check {
        /// The node's directory, or the `log` directory in it.
        directory: PathBuf,
        /// Copy what is sound, up to the first damage, to this new directory.
        #[arg(long, value_name = "DIRECTORY")]
        salvage: Option<PathBuf>,
    },
    /// Start every process of a cluster file that runs on this machine, and stop them on Ctrl-C.
    Up {
        #[arg(default_value = "config/cluster.yaml")]
        file: PathBuf,
    },
    /// Show what has to change so that the cluster is as its file wants it: shards, moves, settings.
    ///
    /// Exit codes: 0 nothing to do, 3 there is something to do, 2 a bad file or flag, 1 the cluster does not answer or
    /// cannot become what the file wants.
    Plan {
        #[arg(default_value = "config/cluster.yaml")]
        file: PathBuf,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Make the cluster as its file wants it: show the plan, ask, move the slots while they are served.
    ///
    /// Safe to repeat: moves that are under way are followed, what is done is not done again.
    /// Exit codes: 0 done (or begun, with --detach), 2 a bad file or flag, or nobody to ask, 130 interrupted (the
    /// moves go on), 1 anything else.
    Apply {
        #[arg(default_value = "config/cluster.yaml")]
        file: PathBuf,
        #[command(flatten)]
        applying: Applying,
    },
    /// End moves where they are: what has moved stays at the target, the rest at the source.
    ///
    /// Exit codes: 0 no such move is under way any more, 2 a bad file or flag, 1 anything else.
    Abort {
        #[arg(default_value = "config/cluster.yaml")]
        file: PathBuf,
        /// The move; all that are under way if it is not given.
        id: Option<String>,
        /// Print the moves as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give each shard its share with the fewest slots moved: write the slots into the file, then apply it.
    ///
    /// The file keeps its comments; `weight` becomes `slots`, but for `--by slots`, which weights do by themselves.
    /// Exit codes: those of apply, and with --dry-run those of plan.
    Rebalance {
        #[arg(default_value = "config/cluster.yaml")]
        file: PathBuf,
        /// What shards get equal parts of, in proportion to their weights.
        #[arg(long)]
        by: rebalance::Measure,
        /// How long operations are counted for `--by load`.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
        seconds: u64,
        /// Show what would be done, and change nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        applying: Applying,
    },
    /// Move everything away from a shard so that it can be removed: write that into the file, then apply it.
    ///
    /// Exit codes: those of apply.
    Drain {
        file: PathBuf,
        /// The shard.
        name: String,
        #[command(flatten)]
        applying: Applying,
    },
    /// Show shards, slot ranges, keys, bytes, operations per second, and moves under way.
    Status {
        #[arg(default_value = "config/cluster.yaml")]
        file: PathBuf,
        /// Show it again every second, until Ctrl-C.
        #[arg(long)]
        watch: bool,
        /// Print JSON instead of a table; with --watch one line each time.
        #[arg(long)]
        json: bool,
    },
}

/// How a command applies what it wants.
#[derive(clap::Args)]
struct Applying {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// End as soon as the moves have begun.
    #[arg(long)]
    detach: bool,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl From<Applying> for reshard::Options {
    fn from(Applying { yes, detach, json }: Applying) -> Self {
        Self { yes, detach, json }
    }
}

fn main() -> ExitCode {
    let arguments: Arguments = command_line::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => command_line::fail::<Arguments>(1, error),
    };
    let ended = match arguments.command {
        Command::Check { directory, salvage } => check::run(&directory, salvage.as_deref()),
        Command::Up { file: path } => {
            let file = read(&path);
            runtime.block_on(up::run(&path, file))
        }
        Command::Plan { file: path, json } => {
            let file = read(&path);
            runtime.block_on(reshard::plan(&file, json))
        }
        Command::Apply { file: path, applying } => {
            let file = read(&path);
            runtime.block_on(reshard::apply(&path, file, applying.into()))
        }
        Command::Abort { file: path, id, json } => {
            let file = read(&path);
            runtime.block_on(abort::run(&file, id.as_deref(), json))
        }
        Command::Rebalance { file: path, by, seconds, dry_run, applying } => {
            let file = read(&path);
            let window = Duration::from_secs(seconds);
            let request = rebalance::Request { by, window, dry_run, options: applying.into() };
            runtime.block_on(rebalance::run(&path, file, request))
        }
        Command::Drain { file: path, name, applying } => {
            let file = read(&path);
            runtime.block_on(drain::run(&path, file, &name, applying.into()))
        }
        Command::Status { file: path, watch, json } => {
            let file = read(&path);
            runtime.block_on(status::run(&file, json, watch))
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

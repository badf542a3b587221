//! `slotway-shard`: one shard node of a cluster.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use slotway_common::admin::{Admin, Health};
use slotway_common::cluster_file::ClusterFile;
use slotway_common::handshake::Identity;
use slotway_common::metrics::Metrics;
use slotway_common::platform::{net, random};
use slotway_common::secret::Secret;
use slotway_common::settings::Name;
use slotway_common::{command_line, logs, shutdown};
use slotway_shard::commands::HANDLERS;
use slotway_shard::control;
use slotway_shard::engine::{Engine, LazyFree};
use slotway_shard::log::{self, Lock};
use slotway_shard::metrics::ShardCells;
use slotway_shard::node::settings::take_effect;
use slotway_shard::node::{Node, Shard};
use slotway_shard::server;
use slotway_shard::settings::NodeSettings;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One shard node of a Slotway cluster.
#[derive(Parser)]
#[command(name = "slotway-shard", version)]
struct Arguments {
    /// The cluster file.
    #[arg(long, value_name = "FILE")]
    cluster: PathBuf,
    /// Which node of the file this is: the shard's name, a dash, and the node's number, for example a-0.
    #[arg(long, value_name = "NODE")]
    node: String,
    /// Stop when standard input is closed.
    #[arg(long)]
    exit_with_stdin: bool,
}

/// Examine a node's log.
#[derive(Parser)]
#[command(name = "slotway-shard")]
struct Check {
    /// The node's directory, or the `log` directory in it.
    #[arg(long)]
    check: PathBuf,
    /// Copy what is sound to this new directory.
    #[arg(long)]
    salvage: Option<PathBuf>,
}

/// Exit code of a log that is damaged.
const DAMAGED: i32 = 3;

fn check() -> ! {
    let Check { check: given, salvage } = command_line::parse();
    let inside = given.join("log");
    let directory = if inside.join("manifest").exists() { inside } else { given };
    let report = log::check::examine(&directory).unwrap_or_else(|error| refuse(error));
    print!("{}", report.text());
    let damage = report.damage();
    if let Some(to) = salvage {
        match report.salvage(&directory, &to) {
            Ok(left_out) => {
                println!("what is sound is in {}", to.display());
                left_out.iter().for_each(|line| println!("left out: {line}"));
            }
            Err(error) => command_line::fail::<Check>(1, error),
        }
    }
    println!("{}", damage.as_deref().unwrap_or("sound"));
    std::process::exit(if damage.is_some() { DAMAGED } else { 0 })
}

fn main() {
    if std::env::args_os().nth(1).is_some_and(|first| first == "--check") {
        check();
    }
    let arguments: Arguments = command_line::parse();
    logs::start();
    // What is freed goes back to the system within seconds, also while nothing runs. Where that is not to be had it stays longer.
    let _ = tikv_jemalloc_ctl::background_thread::write(true);
    let file = ClusterFile::read(&arguments.cluster).unwrap_or_else(|error| refuse(error));
    if file.node(&arguments.node).is_none() {
        refuse(format!("{}: there is no node {}", arguments.cluster.display(), arguments.node));
    }
    let secret = file.secret().unwrap_or_else(|error| refuse(error));
    if let Err(error) = run(&arguments, &file, secret) {
        command_line::fail::<Arguments>(1, format!("{error:#}"));
    }
}

fn refuse(reason: impl std::fmt::Display) -> ! {
    command_line::refuse::<Arguments>(reason)
}

fn run(arguments: &Arguments, file: &ClusterFile, secret: Secret) -> Result<()> {
    let (shard, node) = file.node(&arguments.node).context("no such node")?;
    let _lock = Lock::take(&node.directory).map_err(anyhow::Error::msg)?;
    let metrics = Arc::new(Metrics::new());
    let cells = Arc::new(ShardCells::default());
    metrics.register(&[], cells.clone());
    let health = Health::new();
    let _admin = Admin::start(&node.admin.to_string(), metrics.clone(), health.clone(), Vec::new())
        .with_context(|| format!("admin address {}", node.admin))?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let requests = shutdown::Requests::listen(arguments.exit_with_stdin)?;
        let listener = net::listen(&node.client.to_string(), server::BACKLOG)
            .with_context(|| format!("client address {}", node.client))?;
        let identity = Identity { cluster: file.cluster.clone(), node: node.id.clone() };
        let incarnation = u64::from_le_bytes(random::secret_bytes());
        let (loaded, is_loaded) = tokio::sync::oneshot::channel();
        let (control, _running) = control::start(control::Start {
            identity: identity.clone(),
            secret: secret.clone(),
            file: file.clone(),
            address: node.control.to_string(),
            directory: node.directory.clone(),
            incarnation,
            snapshot_every: control::SNAPSHOT_EVERY,
            pulse: health.watch("control", Duration::from_secs(10)),
            is_loaded,
        })
        .await
        .map_err(anyhow::Error::msg)?;
        let log_directory = node.directory.join("log");
        let opened = log::open(&log_directory, &node.id, control.cluster()).map_err(anyhow::Error::msg)?;
        let mut engine = Engine::new(LazyFree::start()?);
        engine.memory.refresh();
        let mut node_state = Node::new(identity, Some(secret), incarnation, cells.clone(), &HANDLERS);
        node_state.shard.clone_from(&shard.name);
        node_state.address = node.client.to_string();
        metrics.register(&[], node_state.busy_slots.clone());
        node_state.startup_bytes = engine.memory.used();
        node_state.settings = NodeSettings::load(&file.settings).map_err(anyhow::Error::msg)?;
        for (name, text) in [
            (Name::Port, node.client.port().to_string()),
            (Name::Bind, node.client.host().to_owned()),
            (Name::Dir, node.directory.display().to_string()),
            (Name::ClusterEnabled, "yes".to_owned()),
        ] {
            node_state.settings.values.fix(name, &text);
        }
        take_effect(&mut engine, &mut node_state);
        tracing::info!("{} serves {} on {}", node.id, file.cluster, node.client);
        let shard = Shard { engine, node: node_state };
        let data = server::Data { opened, directory: log_directory, loaded };
        server::run(shard, listener, health, requests, control, data).await.map_err(anyhow::Error::msg)?;
        Ok(())
    })
}

#![forbid(unsafe_code)]
//! `slotway-proxy`: the endpoint that clients connect to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use slotway_common::admin::{Admin, Health, Page, discovery_page};
use slotway_common::cluster_file::{ClusterFile, Proxy};
use slotway_common::handshake::Identity;
use slotway_common::metrics::Metrics;
use slotway_common::platform::{net, process, random, threads};
use slotway_common::secret::Secret;
use slotway_common::settings::{Name, Settings};
use slotway_common::{command_line, logs, shutdown};
use slotway_proxy::context::{Context, KnownSettings, Locked};
use slotway_proxy::core::Budgets;
use slotway_proxy::counters::Counters;
use slotway_proxy::fleet::Fleet;
use slotway_proxy::worker::{self, Mailbox, Message, WorkerHandle};
use slotway_proxy::{accept, control};
use tokio::sync::{Notify, oneshot};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Listen queue of the client port.
const BACKLOG: i32 = 511;

/// The routing proxy of a Slotway cluster.
#[derive(Parser)]
#[command(name = "slotway-proxy", version)]
struct Arguments {
    /// The cluster file.
    #[arg(long, value_name = "FILE")]
    cluster: PathBuf,
    /// Which proxy of the file this is, by the address it listens on; the first one if not given.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Threads that serve clients; one for each core if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Stop when standard input is closed.
    #[arg(long)]
    exit_with_stdin: bool,
}

fn main() {
    let arguments: Arguments = command_line::parse();
    logs::start();
    let file = ClusterFile::read(&arguments.cluster).unwrap_or_else(|error| refuse(error));
    let proxy = choose(&arguments, &file).unwrap_or_else(|reason| refuse(reason));
    let secret = file.secret().unwrap_or_else(|error| refuse(error));
    if let Err(error) = run(&arguments, &file, &proxy, secret) {
        command_line::fail::<Arguments>(1, format!("{error:#}"));
    }
}

fn refuse(reason: impl std::fmt::Display) -> ! {
    command_line::refuse::<Arguments>(reason)
}

/// The proxy of the file that this process is.
fn choose(arguments: &Arguments, file: &ClusterFile) -> Result<Proxy, String> {
    let name = arguments.cluster.display();
    match &arguments.listen {
        Some(address) => file
            .proxies
            .iter()
            .find(|proxy| proxy.listen.to_string() == *address)
            .cloned()
            .ok_or_else(|| format!("{name}: there is no proxy at {address}")),
        None => file.proxies.first().cloned().ok_or_else(|| format!("{name}: there is no proxy")),
    }
}

fn run(arguments: &Arguments, file: &ClusterFile, proxy: &Proxy, secret: Secret) -> Result<()> {
    let descriptors = process::raise_descriptor_limit();
    let count = arguments.workers.map_or_else(threads::cores, usize::from);
    let (workers, mailboxes): (Vec<WorkerHandle>, Vec<Mailbox>) =
        (0..count).map(|_| WorkerHandle::new()).unzip();
    let metrics = Arc::new(Metrics::new());
    let counters: Vec<Arc<Counters>> = (0..count).map(|_| Arc::default()).collect();
    for counters in &counters {
        metrics.register(&[], counters.clone());
    }
    let context = Arc::new(Context {
        identity: Identity { cluster: file.cluster.clone(), node: proxy.id.clone() },
        run_id: random::hex_id::<20>(),
        listen: proxy.listen.to_string(),
        secret,
        budgets: Budgets::default(),
        started: worker::process_start(),
        fleet: Fleet::new(workers),
        counters,
        settings: Locked::new(KnownSettings { version: 0, values: settings(file, proxy)?, known: false }),
        changing_settings: tokio::sync::Mutex::new(()),
        refresh: Notify::new(),
        monitors: Notify::new(),
        stop: Notify::new(),
    });

    let health = Health::new();
    let sd = discovery_page(file);
    let discovery =
        Page { path: "/sd", content_type: "application/json", body: Box::new(move || sd.clone()) };
    let _admin = Admin::start(&proxy.admin.to_string(), metrics, Arc::clone(&health), vec![discovery])
        .with_context(|| format!("admin address {}", proxy.admin))?;

    let mut running = Vec::with_capacity(count);
    for (index, mailbox) in mailboxes.into_iter().enumerate() {
        let context = Arc::clone(&context);
        running
            .push(threads::spawn(&format!("worker-{index}"), move || worker::run(index, context, mailbox))?);
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut requests = shutdown::Requests::listen(arguments.exit_with_stdin)?;
        let listener = net::listen(&proxy.listen.to_string(), BACKLOG)
            .with_context(|| format!("client address {}", proxy.listen))?;
        tracing::info!("{} serves {} on {} with {count} workers", proxy.id, file.cluster, proxy.listen);
        let wanted = context.settings.lock().values.number(Name::Maxclients);
        if i64::try_from(descriptors).is_ok_and(|descriptors| descriptors < wanted) {
            tracing::warn!("maxclients is {wanted}, and the system allows {descriptors} open files only");
        }
        let ready = |known: bool| {
            if known {
                health.set_ready();
            }
        };
        let reason = tokio::select! {
            () = accept(listener, Arc::clone(&context)) => return Ok(()),
            () = control::run(Arc::clone(&context), file.topology(), ready) => return Ok(()),
            () = control::watch_for_monitors(Arc::clone(&context)) => return Ok(()),
            reason = requests.next() => reason.to_string(),
            () = context.stop.notified() => "SHUTDOWN".to_owned(),
        };
        tracing::info!("{reason}: finishing what is in flight");
        health.set_not_ready("stopping");
        tokio::select! {
            () = drain(&context) => {}
            _ = requests.next() => {}
            () = tokio::time::sleep(Duration::from_secs(10)) => {}
        }
        Ok(())
    })
}

/// The settings of the cluster file, and what only this process can know.
fn settings(file: &ClusterFile, proxy: &Proxy) -> Result<Settings> {
    let mut settings = Settings::new();
    for (name, value) in &file.settings {
        settings.load(name, value.as_bytes()).map_err(anyhow::Error::msg)?;
    }
    settings.fix(Name::Port, &proxy.listen.port().to_string());
    settings.fix(Name::Bind, proxy.listen.host());
    Ok(settings)
}

/// Waits until every worker has finished what is in flight.
async fn drain(context: &Context) {
    let mut drained = Vec::new();
    for worker in context.fleet.workers() {
        let (sender, receiver) = oneshot::channel();
        worker.send(Message::Drain(sender));
        drained.push(receiver);
    }
    for receiver in drained {
        let _ = receiver.await;
    }
}

#![forbid(unsafe_code)]
//! `slotway-proxy`: the endpoint that clients connect to.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Parser;
use slotway_common::admin::{Admin, Health, Page, discovery_page};
use slotway_common::cluster_file::{ClusterFile, Proxy};
use slotway_common::handshake::Identity;
use slotway_common::metrics::Metrics;
use slotway_common::platform::{net, process, threads};
use slotway_common::secret::Secret;
use slotway_common::settings::{Name, Settings};
use slotway_common::{command_line, logs, shutdown};
use slotway_proxy::core::Budgets;
use slotway_proxy::server::{Server, Start};

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
    /// Bytes of requests and replies held for all clients at most; beyond that the largest client is closed. With a
    /// unit if wanted (kb, mb, gb); half of the machine's memory if not given.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    memory: Option<usize>,
    /// Bytes held for one client at most; beyond that it is closed.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "1gb")]
    client_memory: usize,
    /// Bytes of replies that a client has not read, beyond which its requests are not read.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "256kb")]
    client_pause: usize,
    /// Bytes of requests on their way over one connection to a shard, beyond which its clients wait.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "32mb")]
    upstream_memory: usize,
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

/// Reads a number of bytes with a unit, as `64mb`.
fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1usize << 30,
        _ => return Err("the units are b, kb, mb and gb".to_owned()),
    };
    let number: usize = digits.parse().map_err(|_| "not a number of bytes".to_owned())?;
    number.checked_mul(unit).filter(|bytes| *bytes > 0).ok_or_else(|| "not a number of bytes".to_owned())
}

fn run(arguments: &Arguments, file: &ClusterFile, proxy: &Proxy, secret: Secret) -> Result<()> {
    let descriptors = process::raise_descriptor_limit();
    let workers = arguments.workers.map_or_else(threads::cores, usize::from);
    let half = usize::try_from(process::total_memory_bytes() / 2).ok().filter(|half| *half > 0);
    let memory = arguments.memory.or(half).unwrap_or(4 << 30);
    let health = Health::new();
    let metrics = Arc::new(Metrics::new());
    let server = Server::start(Start {
        identity: Identity { cluster: file.cluster.clone(), node: proxy.id.clone() },
        secret,
        listen: proxy.listen.to_string(),
        topology: file.topology(),
        settings: settings(file, proxy)?,
        workers,
        budgets: Budgets {
            client_pause: arguments.client_pause,
            client: arguments.client_memory,
            upstream: arguments.upstream_memory,
            worker: memory / workers,
            ..Budgets::default()
        },
        health: Arc::clone(&health),
    })?;
    server.context().counters.iter().for_each(|counters| metrics.register(&[], counters.clone()));

    let (file_for_page, context) = (file.clone(), server.context().clone());
    let body = move || discovery_page(&file_for_page, &context.topology.lock());
    let discovery = Page { path: "/sd", content_type: "application/json", body: Box::new(body) };
    let _admin = Admin::start(&proxy.admin.to_string(), metrics, health, vec![discovery])
        .with_context(|| format!("admin address {}", proxy.admin))?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut requests = shutdown::Requests::listen(arguments.exit_with_stdin)?;
        let listener = net::listen(&proxy.listen.to_string(), BACKLOG)
            .with_context(|| format!("client address {}", proxy.listen))?;
        tracing::info!("{} serves {} on {} with {workers} workers", proxy.id, file.cluster, proxy.listen);
        let wanted = server.context().settings.lock().values.number(Name::Maxclients);
        if i64::try_from(descriptors).is_ok_and(|descriptors| descriptors < wanted) {
            tracing::warn!("maxclients is {wanted}, and the system allows {descriptors} open files only");
        }
        let reason = server.serve(listener, async { requests.next().await.to_string() }).await;
        tracing::info!("{reason}: finishing what is in flight");
        tokio::select! {
            () = server.drain() => {}
            _ = requests.next() => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_with_their_units() {
        assert_eq!((bytes("5"), bytes("2kb"), bytes("3MB")), (Ok(5), Ok(2048), Ok(3 << 20)));
        assert!(
            bytes("0").is_err()
                && bytes("kb").is_err()
                && bytes("1tb").is_err()
                && bytes("99999999999gb").is_err()
        );
    }
}

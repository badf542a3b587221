//! The processes that are compared, on free ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use slotway_tests::Client;
use slotway_tests::cluster::{Layout, Plan};
use slotway_tests::folder::Folder;
use slotway_tests::ports::free_ports;
use slotway_tests::programs::binary;
use slotway_tests::wait::wait_until;

/// What to start in place of the default.
#[derive(Clone, Copy)]
pub struct Options {
    pub proxy_workers: Option<u16>,
    pub placebo: bool,
}

/// One process, which ends with this value.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    _folder: Option<Folder>,
}

/// What clients connect to and what stands behind it.
pub struct Side {
    pub name: &'static str,
    pub endpoint: SocketAddr,
    /// The proxy, if there is one.
    pub proxy: Option<Server>,
    pub stores: Vec<Server>,
    /// Their files, while they run.
    _layout: Option<Layout>,
}

impl Server {
    fn start(mut command: Command, address: SocketAddr, folder: Option<Folder>) -> Result<Server> {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let mut server = Server { child, address, _folder: folder };
        let mut ended = None;
        wait_until("a server answers", || {
            ended = server.child.try_wait().ok().flatten();
            ended.is_some() || answers(address)
        });
        match ended {
            Some(status) => bail!("{command:?} ended with {status}"),
            None => Ok(server),
        }
    }

    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    pub fn client(&self) -> Result<Client> {
        Client::connect(self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A GET that is answered without an error: PING is not known to twemproxy, and a proxy answers it alone.
fn answers(address: SocketAddr) -> bool {
    Client::connect(address)
        .and_then(|mut client| client.run("GET bench:ready"))
        .is_ok_and(|reply| !reply.is_error())
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

pub fn redis_server() -> Result<Server> {
    let folder = Folder::new()?;
    let address = at(free_ports(1).first().copied().unwrap_or_default());
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(folder.path());
    Server::start(command, address, Some(folder))
}

fn shard(layout: &Layout, number: usize) -> Result<Server> {
    let node = layout.nodes.get(number).context("a node of the layout")?;
    let mut command = Command::new(binary("slotway-shard"));
    command
        .args(["--cluster", "cluster.yaml", "--node", &node.id, "--exit-with-stdin"])
        .current_dir(layout.directory());
    // A shard of several answers only for its own slots.
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    let server = Server { child, address: node.address, _folder: None };
    wait_until("a shard answers", || {
        Client::connect(node.address)
            .and_then(|mut client| client.run("PING"))
            .is_ok_and(|reply| !reply.is_error())
    });
    Ok(server)
}

fn twemproxy(stores: &[Server], directory: &Path) -> Result<Server> {
    let ports = free_ports(2);
    let (Some(port), Some(statistics)) = (ports.first(), ports.get(1)) else { bail!("no free ports") };
    let mut text = format!(
        "bench:\n  listen: 127.0.0.1:{port}\n  hash: fnv1a_64\n  distribution: ketama\n  redis: true\n  \
         auto_eject_hosts: false\n  servers:\n"
    );
    for store in stores {
        text.push_str(&format!("   - {}:1\n", store.address));
    }
    let file = directory.join("twemproxy.yml");
    std::fs::write(&file, text)?;
    let mut command = Command::new("nutcracker");
    command
        .arg("-c")
        .arg(file)
        .args(["-a", "127.0.0.1", "-s", &statistics.to_string(), "-o"])
        .arg(directory.join("twemproxy.log"))
        .arg("-p")
        .arg(directory.join("twemproxy.pid"));
    Server::start(command, at(*port), None)
}

impl Side {
    /// One redis-server.
    pub fn redis() -> Result<Side> {
        let store = redis_server()?;
        Ok(Side {
            name: "redis-server",
            endpoint: store.address,
            proxy: None,
            stores: vec![store],
            _layout: None,
        })
    }

    /// One shard that owns every slot.
    pub fn shard(options: &Options) -> Result<Side> {
        if options.placebo {
            return Side::redis();
        }
        let layout = Layout::new(&Plan { shards: 1, proxies: 0, ..Plan::without_log() })?;
        let store = shard(&layout, 0)?;
        // It answers PING before it has founded its cluster.
        wait_until("the shard serves its slots", || answers(store.address));
        Ok(Side {
            name: "slotway-shard",
            endpoint: store.address,
            proxy: None,
            stores: vec![store],
            _layout: Some(layout),
        })
    }

    /// twemproxy with three redis-servers.
    pub fn twemproxy() -> Result<Side> {
        let layout = Layout::new(&Plan { shards: 1, proxies: 0, ..Plan::without_log() })?;
        let stores: Vec<Server> = (0..3).map(|_| redis_server()).collect::<Result<_>>()?;
        let proxy = twemproxy(&stores, layout.directory())?;
        Ok(Side {
            name: "twemproxy",
            endpoint: proxy.address,
            proxy: Some(proxy),
            stores,
            _layout: Some(layout),
        })
    }

    /// The proxy with three shards.
    pub fn proxy(options: &Options) -> Result<Side> {
        if options.placebo {
            return Side::twemproxy();
        }
        let layout = Layout::new(&Plan::without_log())?;
        let stores: Vec<Server> = (0..3).map(|number| shard(&layout, number)).collect::<Result<_>>()?;
        let mut command = Command::new(binary("slotway-proxy"));
        command.args(["--cluster", "cluster.yaml", "--exit-with-stdin"]).current_dir(layout.directory());
        if let Some(workers) = options.proxy_workers {
            command.args(["--workers", &workers.to_string()]);
        }
        let address = layout.proxies.first().context("a proxy of the layout")?.address;
        let proxy = Server::start(command, address, None)?;
        Ok(Side {
            name: "slotway-proxy",
            endpoint: address,
            proxy: Some(proxy),
            stores,
            _layout: Some(layout),
        })
    }

    /// Every process of this side.
    pub fn process_ids(&self) -> Vec<u32> {
        self.proxy.iter().chain(&self.stores).map(Server::process_id).collect()
    }

    pub fn client(&self) -> Result<Client> {
        Client::connect(self.endpoint)
    }

    /// Empties all stores.
    pub fn flush(&self) -> Result<()> {
        for store in &self.stores {
            let reply = store.client()?.run("FLUSHALL")?;
            if reply.is_error() {
                bail!("FLUSHALL at {}: {reply}", store.address);
            }
        }
        Ok(())
    }
}

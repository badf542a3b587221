//! A cluster as a user runs it: a cluster file, `slotway up`, real processes.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::client::Client;
use crate::folder::Folder;
use crate::ports::free_ports;
use crate::process;
use crate::programs::binary;
use crate::wait::{wait_for, wait_until};

/// What to start.
#[derive(Clone, Debug)]
pub struct Plan {
    pub shards: usize,
    pub proxies: usize,
    /// CONFIG parameters in the cluster file.
    pub settings: Vec<(String, String)>,
}

impl Default for Plan {
    /// Three shards behind one proxy.
    fn default() -> Plan {
        Plan { shards: 3, proxies: 1, settings: Vec::new() }
    }
}

impl Plan {
    /// Three shards behind one proxy that hold their data in memory only: a shard that restarts is empty.
    #[must_use]
    pub fn without_log() -> Plan {
        Plan { settings: vec![("appendonly".to_owned(), "no".to_owned())], ..Plan::default() }
    }
}

/// A running cluster on free ports, with its data in a directory of its own. Everything ends with this value.
pub struct Cluster {
    up: Up,
    layout: Layout,
}

/// One `slotway up`, which need not be the only one of its file.
pub struct Up {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

/// A cluster file and the directory around it.
pub struct Layout {
    folder: Folder,
    /// Variables that the processes get beside their own.
    pub environment: Vec<(String, String)>,
    /// `a-0` and so on, with their addresses.
    pub nodes: Vec<Process>,
    pub proxies: Vec<Process>,
}

/// One process of a cluster file.
#[derive(Clone, Debug)]
pub struct Process {
    pub id: String,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

impl Layout {
    /// Writes a cluster file with ports that are free now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(plan: &Plan) -> Result<Layout> {
        let folder = Folder::new()?;
        let ports = free_ports(plan.shards * 3 + plan.proxies * 2);
        let mut ports = ports.into_iter();
        let mut port = || ports.next().unwrap_or_default();
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));

        let mut text = String::from("cluster: test\n");
        let mut layout = Layout { folder, environment: Vec::new(), nodes: Vec::new(), proxies: Vec::new() };
        text.push_str(if plan.proxies == 0 { "proxies: []\n" } else { "proxies:\n" });
        for number in 0..plan.proxies {
            let process = Process { id: format!("proxy-{number}"), address: at(port()), admin: at(port()) };
            writeln!(text, "  - {{ listen: {}, admin: {} }}", process.address, process.admin)?;
            layout.proxies.push(process);
        }
        text.push_str("shards:\n");
        for number in 0..plan.shards {
            let (process, line) = shard(&shard_name(number), at(port()), at(port()), port());
            text.push_str(&line);
            layout.nodes.push(process);
        }
        text.push_str(if plan.settings.is_empty() { "settings: {}\n" } else { "settings:\n" });
        for (name, value) in &plan.settings {
            writeln!(text, "  {name}: {value:?}")?;
        }
        std::fs::write(layout.file(), text)?;
        Ok(layout)
    }

    /// Adds a shard to the cluster file, at ports that are free now, and gives its name.
    ///
    /// # Errors
    /// When the file cannot be changed.
    pub fn add_shard(&mut self) -> Result<String> {
        let name = shard_name(self.nodes.len());
        let ports = free_ports(3);
        let at = |number: usize| SocketAddr::from((Ipv4Addr::LOCALHOST, ports[number]));
        let (process, line) = shard(&name, at(0), at(1), ports[2]);
        let text = std::fs::read_to_string(self.file())?;
        std::fs::write(self.file(), text.replace("settings:", &format!("{line}settings:")))?;
        self.nodes.push(process);
        Ok(name)
    }

    /// Takes a shard out of the cluster file.
    ///
    /// # Errors
    /// When the file cannot be changed.
    pub fn remove_shard(&mut self, name: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.file())?;
        let sign = format!("name: {name},");
        let left: Vec<&str> = text.lines().filter(|line| !line.contains(&sign)).collect();
        std::fs::write(self.file(), left.join("\n") + "\n")?;
        self.nodes.retain(|node| node.id != format!("{name}-0"));
        Ok(())
    }

    /// The cluster file. Relative to its directory: `cluster.yaml`.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("cluster.yaml")
    }

    /// Where the processes run, and their `data` directory is.
    pub fn directory(&self) -> &Path {
        self.folder.path()
    }

    /// `slotway` with these arguments, run in the cluster's directory.
    pub fn slotway(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("slotway"));
        command.args(arguments).current_dir(self.directory()).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `slotway` to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.slotway(arguments).output().context("slotway starts")
    }

    /// Starts one more `slotway up` on the file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn up(&self) -> Result<Up> {
        let mut child = self
            .slotway(&["up", "cluster.yaml"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("slotway starts")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        if let Some(stdout) = child.stdout.take() {
            keep_lines(stdout, lines.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            keep_lines(stderr, lines.clone());
        }
        Ok(Up { child, lines })
    }
}

/// A shard of one node, and its line in the cluster file.
fn shard(name: &str, address: SocketAddr, admin: SocketAddr, control: u16) -> (Process, String) {
    let process = Process { id: format!("{name}-0"), address, admin };
    let line = format!(
        "  - {{ name: {name}, nodes: [{{ client: \"{address}\", control: {control}, admin: {} }}] }}\n",
        admin.port()
    );
    (process, line)
}

/// `a`, `b`, …, `z`, `s26`, …
fn shard_name(number: usize) -> String {
    match u8::try_from(number) {
        Ok(letter) if letter < 26 => char::from(b'a' + letter).to_string(),
        _ => format!("s{number}"),
    }
}

fn keep_lines(stream: impl Read + Send + 'static, lines: Arc<Mutex<Vec<String>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}

impl Up {
    /// What it has printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that contains `text`.
    ///
    /// # Panics
    /// When there is none for a long time.
    pub fn wait_for_line(&self, text: &str) -> String {
        wait_for(&format!("a line with {text:?} in {:#?}", self.lines()), || {
            self.lines().into_iter().find(|line| line.contains(text))
        })
    }

    /// Waits until the cluster is ready, or the command ends.
    ///
    /// # Errors
    /// With its lines, when it has ended.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let ended = wait_for("the cluster becomes ready", || match self.child.try_wait() {
            Ok(Some(status)) => Some(Some(status)),
            _ => self.lines().iter().any(|line| line.contains(" is ready at ")).then_some(None),
        });
        match ended {
            // With nothing to start it ends once everything is ready.
            Some(status) if !status.success() => {
                bail!("slotway up ended with {status}: {:#?}", self.lines())
            }
            _ => Ok(()),
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end for a long time.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("slotway up ends", || self.child.try_wait().ok().flatten())
    }

    /// The process that it started last for a node or proxy.
    pub fn started(&self, id: &str) -> Option<u32> {
        let prefix = format!("{id} started as process ");
        self.lines().iter().rev().find_map(|line| line.split_once(&prefix)?.1.parse().ok())
    }

    /// All processes that it started.
    pub fn all_started(&self) -> Vec<u32> {
        let lines = self.lines();
        lines.iter().filter_map(|line| line.split_once(" started as process ")?.1.parse().ok()).collect()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let started = self.all_started();
        if std::thread::panicking() {
            eprintln!("slotway up printed:\n{}", self.lines().join("\n"));
        } else {
            wait_until("the children of a killed slotway up end", || {
                !started.iter().any(|process| process::is_running(*process))
            });
        }
        for process in started {
            process::signal(process, "KILL");
        }
    }
}

impl Cluster {
    /// Starts three shards behind one proxy.
    ///
    /// # Errors
    /// When it does not start, with what it printed.
    pub fn start() -> Result<Cluster> {
        Cluster::start_with(&Plan::default())
    }

    /// Starts what is wanted.
    ///
    /// # Errors
    /// When it does not start, with what it printed.
    pub fn start_with(plan: &Plan) -> Result<Cluster> {
        Cluster::start_under(plan, &[])
    }

    /// Starts what is wanted, with variables in the processes' environment.
    ///
    /// # Errors
    /// When it does not start, with what it printed.
    pub fn start_under(plan: &Plan, environment: &[(String, String)]) -> Result<Cluster> {
        Cluster::start_prepared(plan, environment, |_| Ok(()))
    }

    /// The same; `prepare` sees the cluster file and its addresses before anything is started.
    ///
    /// # Errors
    /// When it does not start, with what it printed.
    pub fn start_prepared(
        plan: &Plan,
        environment: &[(String, String)],
        mut prepare: impl FnMut(&Layout) -> Result<()>,
    ) -> Result<Cluster> {
        let mut last = None;
        // A port can be taken between finding it free and listening at it.
        for _ in 0..5 {
            let mut layout = Layout::new(plan)?;
            layout.environment = environment.to_vec();
            prepare(&layout)?;
            let mut up = layout.up()?;
            match up.wait_until_ready() {
                Ok(()) => return Ok(Cluster { up, layout }),
                Err(error) if error.to_string().contains(" in use") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no free ports")))
    }

    /// Where clients connect.
    ///
    /// # Panics
    /// When the cluster has no proxy.
    pub fn endpoint(&self) -> SocketAddr {
        self.layout.proxies.first().expect("a proxy").address
    }

    /// A connection through the first proxy.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn client(&self) -> Result<Client> {
        Client::connect(self.endpoint())
    }

    /// A connection to a shard itself.
    ///
    /// # Errors
    /// When nobody listens there.
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn shard_client(&self, number: usize) -> Result<Client> {
        Client::connect(self.layout.nodes.get(number).expect("a shard of that number").address)
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// For changes of the cluster file.
    pub fn layout_mut(&mut self) -> &mut Layout {
        &mut self.layout
    }

    pub fn up(&mut self) -> &mut Up {
        &mut self.up
    }

    /// The process id of `a-0`, `proxy-0`, ….
    ///
    /// # Panics
    /// When there is no such process.
    pub fn process_id(&self, id: &str) -> u32 {
        self.up.started(id).unwrap_or_else(|| panic!("no process {id} was started"))
    }

    /// Kills a node or proxy as `kill -9` does, and waits for its end.
    pub fn kill(&self, id: &str) {
        let process = self.process_id(id);
        process::signal(process, "KILL");
        wait_until("a killed process ends", || !process::is_running(process));
    }

    /// Starts what is missing, as the operator would, with a further `slotway up`, and waits until all is ready.
    ///
    /// # Errors
    /// When it does not start, with what it printed.
    pub fn start_missing(&self) -> Result<Up> {
        let mut up = self.layout.up()?;
        up.wait_until_ready()?;
        Ok(up)
    }
}

//! Nodes of a cluster as the command sees them: control and client ports in this process around one committed state.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use slotway_common::cluster_file::ClusterFile;
use slotway_common::cluster_state::{Change, ClusterState, Phase, Proposal, Shard};
use slotway_common::handshake::{Identity, Server};
use slotway_common::platform::random;
use slotway_common::resp::{Protocol, Reply, Value};
use slotway_common::secret::Secret;
use slotway_common::topology::SlotRanges;

/// What the nodes share.
pub struct Cluster {
    pub state: ClusterState,
    /// Slots of every move that arrive each time somebody waits for news.
    pub speed: usize,
    /// Whether nodes that have been added start.
    pub starts: bool,
    /// So many proposals are taken, but the connection closes before they are answered.
    pub lost_answers: usize,
    pub proposals: usize,
}

/// A cluster file in a directory of its own, with nodes that answer.
pub struct Nodes {
    folder: PathBuf,
    cluster: Arc<Mutex<Cluster>>,
    ports: Vec<(String, [u16; 3])>,
}

impl Nodes {
    /// Nodes for these shards; the first `founding` of them are the cluster, the others are free to join.
    pub fn start(names: &[&str], founding: usize) -> Self {
        let folder = std::env::temp_dir().join(format!("slotway-reshard-{}", random::hex_id::<8>()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("secret"), "a secret of the tests").unwrap();
        let cluster = Arc::new(Mutex::new(Cluster {
            state: ClusterState::default(),
            speed: 1000,
            starts: true,
            lost_answers: 0,
            proposals: 0,
        }));
        let mut ports = Vec::new();
        for name in names {
            let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
            ports.push((
                (*name).to_owned(),
                listeners.each_ref().map(|listener| listener.local_addr().unwrap().port()),
            ));
            let [client, control, _] = listeners;
            for listener in [client, control] {
                let node = format!("{name}-0");
                let (cluster, secret) = (cluster.clone(), folder.join("secret"));
                thread::spawn(move || {
                    for stream in listener.incoming() {
                        let (node, cluster, secret) = (node.clone(), cluster.clone(), secret.clone());
                        thread::spawn(move || serve(stream.unwrap(), &node, &cluster, &secret));
                    }
                });
            }
        }
        let nodes = Self { folder, cluster, ports };
        let founders: Vec<(&str, &str)> = names.iter().take(founding).map(|name| (*name, "")).collect();
        nodes.write(&founders);
        let shards = nodes.file().topology().shards.into_iter().map(Shard::from).collect();
        let mut cluster = nodes.cluster();
        cluster.change(Change::Found {
            cluster: "local".to_owned(),
            id: "00ff".to_owned(),
            hash_seed: 1,
            shards,
            settings: [].into(),
        });
        cluster.start_nodes();
        drop(cluster);
        nodes
    }

    /// Writes the cluster file with these shards, each with what stands behind its nodes.
    pub fn write(&self, shards: &[(&str, &str)]) {
        let mut text = "# what the shards are\ncluster: local\nsecret: secret\nshards:\n".to_owned();
        for (name, rest) in shards {
            let (_, [client, control, admin]) = self.ports.iter().find(|(known, _)| known == name).unwrap();
            let comma = if rest.is_empty() { "" } else { ", " };
            text += &format!(
                "  - {{ name: {name}, nodes: [{{ client: 127.0.0.1:{client}, control: {control}, admin: {admin} }}]\
                 {comma}{rest} }}   # {name}\n"
            );
        }
        std::fs::write(self.path(), text).unwrap();
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join("cluster.yaml")
    }

    pub fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    pub fn file(&self) -> ClusterFile {
        ClusterFile::read(&self.path()).unwrap()
    }

    pub fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slotway"));
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// Exit code, standard output and standard error.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap_or(-1), text(stdout), text(stderr))
    }

    pub fn wait_until(&self, what: &str, mut holds: impl FnMut(&Cluster) -> bool) {
        let start = Instant::now();
        while !holds(&self.cluster()) {
            assert!(start.elapsed() < Duration::from_secs(30), "waited in vain until {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Cluster {
    pub fn change(&mut self, change: Change) {
        let proposal = Proposal { request: random::hex_id::<8>(), change };
        self.state.apply(&proposal).into_result().unwrap();
    }

    fn start_nodes(&mut self) {
        let nodes = self.state.shards.iter().flat_map(|shard| &shard.nodes);
        let fresh: Vec<String> =
            nodes.filter(|node| node.incarnation == 0).map(|node| node.id.clone()).collect();
        for node in fresh {
            self.change(Change::NodeStarted { node, incarnation: 5, follows: None });
        }
    }

    fn pass_time(&mut self) {
        if self.starts {
            self.start_nodes();
        }
        for migration in self.state.migrations.clone() {
            let slots: SlotRanges = migration.remaining().slots().take(self.speed).collect();
            if !slots.is_empty() && migration.phase == Phase::Running {
                let (source_epoch, target_epoch) = (migration.source_epoch, migration.target_epoch);
                let id = migration.id;
                let incarnations = None;
                self.change(Change::CommitSlots { id, slots, source_epoch, target_epoch, incarnations });
            }
        }
    }

    /// The answer to a command after `SLOTWAY`; `None` closes the connection.
    fn answer(&mut self, node: &str, words: &[&[u8]]) -> Option<String> {
        match words {
            [b"STATE"] => Some(self.state.to_json()),
            [b"STATE", _] => {
                self.pass_time();
                Some(self.state.to_json())
            }
            [b"PROPOSE", json] => {
                let proposal: Proposal = serde_json::from_slice(json).unwrap();
                let outcome = self.state.apply(&proposal);
                self.proposals += 1;
                if self.lost_answers > 0 {
                    self.lost_answers -= 1;
                    return None;
                }
                Some(serde_json::to_string(&outcome).unwrap())
            }
            // Every tenth slot has ten keys, those of the first thousand a hundred.
            [b"SLOTS"] => {
                let (shard, _) = self.state.node(node)?;
                let slots = shard.slots.slots().filter(|slot| slot % 10 == 0);
                let rows: Vec<[u64; 4]> = slots
                    .map(|slot| {
                        let keys = if slot < 1000 { 100 } else { 10 };
                        [u64::from(slot), keys, keys * 20, 0]
                    })
                    .collect();
                Some(serde_json::json!({ "slots": rows }).to_string())
            }
            _ => Some("{}".to_owned()),
        }
    }
}

/// One connection.
fn serve(mut stream: TcpStream, node: &str, cluster: &Mutex<Cluster>, secret: &Path) {
    let identity = Identity { cluster: "local".to_owned(), node: node.to_owned() };
    let secret = Secret::read(secret).unwrap();
    let (mut received, mut waiting) = (Vec::new(), None);
    loop {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(read) => received.extend_from_slice(&chunk[..read]),
        }
        while let Ok(Some((value, length))) = Value::parse(&received) {
            received.drain(..length);
            let words: Vec<&[u8]> = value.as_array().unwrap().iter().filter_map(Value::as_bytes).collect();
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, Protocol::Resp2);
            match words[1] {
                b"CONNECT" => match Server::connect(&identity, &secret, &words[2..]) {
                    Ok((server, fields)) => {
                        waiting = Some(server);
                        reply.array(fields.len());
                        fields.iter().for_each(|field| reply.bulk(field.as_bytes()));
                    }
                    Err(refusal) => out.extend(format!("-ERR handshake refused: {refusal}\r\n").bytes()),
                },
                b"PROVE" => {
                    waiting.take().unwrap().prove(&words[2..], 16).unwrap();
                    reply.ok();
                }
                _ => match cluster.lock().unwrap_or_else(PoisonError::into_inner).answer(node, &words[1..]) {
                    Some(answer) => reply.bulk(answer.as_bytes()),
                    None => return,
                },
            }
            if stream.write_all(&out).is_err() {
                return;
            }
        }
    }
}

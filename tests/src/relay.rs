//! Relays on the links between the processes of a cluster, which can be cut, and can damage what they carry.
//!
//! Each process that connects to a node goes through a relay of its own (see `fault::detour`), so one link is cut while
//! all others go on, and no rights are needed for it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use slotway_common::cluster_file::ClusterFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::cluster::Layout;
use crate::folder::Folder;

/// What the frames of a slot stream begin with, the bytes of their headers, and the kinds that carry values.
const FRAME: &[u8] = b"SLS1";
const HEADER: usize = 28;
const VALUES: std::ops::RangeInclusive<u8> = 2..=3;

/// How a link is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing gets through, and nobody is told. What was on its way arrives when the link is whole again, as what is sent
    /// again would.
    Silent,
    /// Connections break, and new ones too.
    Broken,
}

/// The relays of a cluster.
pub struct Relays {
    runtime: Runtime,
    folder: Folder,
    /// By who connects and whereto.
    links: BTreeMap<(String, String), Arc<Link>>,
}

/// What all connections of a process to a node go through.
struct Link {
    cut: watch::Sender<Option<Cut>>,
    /// Offset in a frame of the slot stream whose byte is to be changed, once; 0 for none.
    damage: AtomicUsize,
}

impl Relays {
    /// None yet.
    ///
    /// # Errors
    /// When the system has no room for them.
    pub fn new() -> Result<Relays> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Relays { runtime, folder: Folder::new()?, links: BTreeMap::new() })
    }

    /// What processes find their way by, for their environment.
    #[must_use]
    pub fn table(&self) -> PathBuf {
        self.folder.path().join("detours")
    }

    /// Places a relay on every link of a cluster's file.
    ///
    /// # Errors
    /// When the system has no room for them.
    pub fn place(&mut self, layout: &Layout) -> Result<()> {
        let file = ClusterFile::read(&layout.file())?;
        let nodes = layout.nodes.iter().map(|node| (node.id.clone(), node.id.clone()));
        let proxies = layout.proxies.iter().map(|proxy| (proxy.id.clone(), proxy.address.to_string()));
        let operator = [("slotway".to_owned(), "slotway".to_owned())];
        let mut table = String::new();
        self.links.clear();
        for (from, word) in nodes.chain(proxies).chain(operator) {
            for node in layout.nodes.iter().filter(|node| node.id != from) {
                let link = Arc::new(Link { cut: watch::Sender::new(None), damage: AtomicUsize::new(0) });
                let (_, place) = file.node(&node.id).context("a node of the file")?;
                for address in [place.client.to_string(), place.control.to_string()] {
                    let listener = self.runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
                    table += &format!("{word} {address} {}\n", listener.local_addr()?);
                    self.runtime.spawn(accept(listener, address.parse()?, link.clone()));
                }
                self.links.insert((from.clone(), node.id.clone()), link);
            }
        }
        write_whole(&self.table(), &table)
    }

    /// Cuts the link between two processes, whoever of them connects.
    pub fn cut(&self, one: &str, other: &str, cut: Cut) {
        self.each(one, other, |link| _ = link.cut.send_replace(Some(cut)));
    }

    /// Makes it whole again.
    pub fn mend(&self, one: &str, other: &str) {
        self.each(one, other, |link| _ = link.cut.send_replace(None));
    }

    /// Has the byte at this offset of the next frame with values changed that `from` sends to `to`.
    pub fn damage(&self, from: &str, to: &str, offset: usize) {
        if let Some(link) = self.links.get(&(from.to_owned(), to.to_owned())) {
            link.damage.store(offset, Ordering::Relaxed);
        }
    }

    fn each(&self, one: &str, other: &str, change: impl Fn(&Link)) {
        let pairs = [(one.to_owned(), other.to_owned()), (other.to_owned(), one.to_owned())];
        let mut found = false;
        for link in pairs.iter().filter_map(|pair| self.links.get(pair)) {
            change(link);
            found = true;
        }
        assert!(found, "there is no link between {one} and {other}");
    }
}

/// Processes may look at any time.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, text)?;
    Ok(std::fs::rename(unfinished, path)?)
}

async fn accept(listener: TcpListener, to: SocketAddr, link: Arc<Link>) {
    while let Ok((near, _)) = listener.accept().await {
        tokio::spawn(connect(near, to, link.clone()));
    }
}

async fn connect(near: TcpStream, to: SocketAddr, link: Arc<Link>) {
    let mut cut = link.cut.subscribe();
    link.is_passable().await;
    if *cut.borrow_and_update() == Some(Cut::Broken) {
        return;
    }
    let Ok(far) = TcpStream::connect(to).await else { return };
    if near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).is_err() {
        return;
    }
    let (near_reader, near_writer) = near.into_split();
    let (far_reader, far_writer) = far.into_split();
    let both = async {
        tokio::join!(
            carry(near_reader, far_writer, &link, true),
            carry(far_reader, near_writer, &link, false)
        )
    };
    tokio::select! {
        _ = cut.wait_for(|cut| *cut == Some(Cut::Broken)) => {}
        _ = both => {}
    }
}

/// Carries one direction of a connection to its end.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, link: &Link, is_forward: bool) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        link.is_passable().await;
        if read == 0 {
            // The other end may be gone.
            let _ = to.shutdown().await;
            return;
        }
        if is_forward {
            link.change(&mut buffer[..read]);
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

impl Link {
    /// Waits while the link is cut silently.
    async fn is_passable(&self) {
        // The sender is this link's own.
        let _ = self.cut.subscribe().wait_for(|cut| *cut != Some(Cut::Silent)).await;
    }

    /// Changes the byte that is to be changed, if it is here.
    fn change(&self, bytes: &mut [u8]) {
        let offset = self.damage.load(Ordering::Relaxed);
        if offset == 0 {
            return;
        }
        let starts = (0..bytes.len().saturating_sub(HEADER.max(offset)))
            .find(|at| bytes[*at..].starts_with(FRAME) && VALUES.contains(&bytes[at + FRAME.len()]));
        if let Some(byte) = starts.and_then(|at| bytes.get_mut(at + offset)) {
            *byte ^= 0x10;
            self.damage.store(0, Ordering::Relaxed);
        }
    }
}

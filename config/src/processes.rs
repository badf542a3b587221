//! The processes that a cluster file describes.

use std::ffi::OsString;
use std::path::Path;

use slotway_common::cluster_file::{ADMIN_OFFSET, Address, CONTROL_OFFSET, ClusterFile};
use slotway_common::platform::net;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Shard,
    Proxy,
}

/// One process: what it is, where it listens and how it is started.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) role: Role,
    /// `a-0`, `proxy-0`.
    pub(crate) id: String,
    /// Where it takes clients and internal connections.
    pub(crate) address: Address,
    pub(crate) control: Option<Address>,
    pub(crate) admin: Address,
}

impl Process {
    /// All of a file: shard nodes first, since proxies need them.
    pub(crate) fn all(file: &ClusterFile) -> Vec<Process> {
        let nodes = file.shards.iter().flat_map(|shard| &shard.nodes).map(|node| Process {
            role: Role::Shard,
            id: node.id.clone(),
            address: node.client.clone(),
            control: Some(node.control.clone()),
            admin: node.admin.clone(),
        });
        let proxies = file.proxies.iter().map(|proxy| Process {
            role: Role::Proxy,
            id: proxy.id.clone(),
            address: proxy.listen.clone(),
            control: None,
            admin: proxy.admin.clone(),
        });
        nodes.chain(proxies).collect()
    }

    /// Whether it belongs on this machine.
    pub(crate) fn is_local(&self) -> bool {
        // A proxy that listens at every address is one for clients of other hosts, but runs here like the others.
        self.address.is_loopback() || (self.role == Role::Proxy && self.address.is_wildcard())
    }

    pub(crate) fn program(&self) -> &'static str {
        match self.role {
            Role::Shard => "slotway-shard",
            Role::Proxy => "slotway-proxy",
        }
    }

    pub(crate) fn arguments(&self, file: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--cluster".into(), file.into()];
        match self.role {
            Role::Shard => arguments.extend(["--node".into(), self.id.clone().into()]),
            Role::Proxy => arguments.extend(["--listen".into(), self.address.to_string().into()]),
        }
        arguments.push("--exit-with-stdin".into());
        arguments
    }

    /// The ports that were derived from the address for clients and that any outgoing connection of this machine may have,
    /// with what for.
    pub(crate) fn derived_outgoing(&self) -> Vec<(u16, &'static str)> {
        let outgoing = net::outgoing_ports();
        let derived = |place: &Address, offset: u16| {
            self.address.port().checked_add(offset) == Some(place.port()) && outgoing.contains(&place.port())
        };
        let control = self.control.as_ref().filter(|place| derived(place, CONTROL_OFFSET));
        let admin = Some(&self.admin).filter(|place| derived(place, ADMIN_OFFSET));
        let named = |name| move |place: &Address| (place.port(), name);
        control.map(named("control")).into_iter().chain(admin.map(named("admin"))).collect()
    }

    /// Every address that it listens at, with what for.
    pub(crate) fn listens(&self) -> Vec<(&Address, String)> {
        let mut listens = vec![(&self.address, format!("clients of {}", self.id))];
        listens.extend(self.control.as_ref().map(|control| (control, format!("control of {}", self.id))));
        listens.push((&self.admin, format!("admin of {}", self.id)));
        listens
    }
}

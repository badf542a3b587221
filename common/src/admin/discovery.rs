//! Prometheus's HTTP service discovery: the processes of the cluster as scrape targets.

use serde::Serialize;

use crate::cluster_file::ClusterFile;
use crate::topology::Topology;

/// One process to scrape, in the form of Prometheus's `http_sd_config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// `host:port` of the process's admin server.
    pub targets: [String; 1],
    pub labels: Labels,
}

/// Labels that every series of the process gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Labels {
    pub cluster: String,
    /// `proxy` or `shard`.
    pub role: &'static str,
    /// `a-0`, `proxy-0`.
    pub node: String,
    /// Only a shard's nodes have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
}

/// The page that a proxy serves at `/sd`: the proxies of the file, and the shards as the proxy knows them.
pub fn discovery_page(file: &ClusterFile, topology: &Topology) -> String {
    let target = |admin: String, role, node: &str, shard| Target {
        targets: [admin],
        labels: Labels { cluster: file.cluster.clone(), role, node: node.to_owned(), shard },
    };
    let proxies = file.proxies.iter().map(|proxy| target(proxy.admin.to_string(), "proxy", &proxy.id, None));
    let nodes = topology.shards.iter().flat_map(|shard| {
        shard.nodes.iter().map(|node| target(node.admin.clone(), "shard", &node.id, Some(shard.name.clone())))
    });
    let targets: Vec<Target> = proxies.chain(nodes).collect();
    serde_json::to_string(&targets).unwrap_or_default()
}

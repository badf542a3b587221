//! What must hold between the values of a cluster file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::lines::Lines;
use super::raw::{self, Place, Slots};
use super::{ADMIN_OFFSET, Address, CONTROL_OFFSET, ClusterFile, Node, Placement, Problem, Proxy, Shard};
use crate::slot::SLOTS;
use crate::topology::{RangeError, SlotMap, SlotRange, SlotRanges};

/// Longer names make long lines in logs, and paths that not every file system takes.
const LONGEST_NAME: usize = 64;

pub(super) fn check(raw: &raw::File, lines: &Lines) -> Result<ClusterFile, Problem> {
    let at = |path: &str, reason: String| Problem { line: lines.of_path(path), reason };
    check_name("cluster name", &raw.cluster).map_err(|reason| at("cluster", reason))?;
    if raw.shards.is_empty() {
        return Err(at("shards", "a cluster has at least one shard".to_owned()));
    }
    let mut taken = Taken { lines, addresses: Vec::new(), directories: BTreeMap::new() };

    let mut proxies = Vec::new();
    for (index, proxy) in raw.proxies.iter().enumerate() {
        proxies.push(check_proxy(proxy, index, &mut taken)?);
    }
    let mut shards = Vec::new();
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, shard) in raw.shards.iter().enumerate() {
        let path = format!("shards[{index}]");
        let name_path = format!("{path}.name");
        check_name("shard name", &shard.name).map_err(|reason| at(&name_path, reason))?;
        if let Some(first) = names.insert(&shard.name, lines.of_path(&name_path)) {
            let reason = format!("shard name `{}` is used twice, first in line {first}", shard.name);
            return Err(at(&name_path, reason));
        }
        if shard.nodes.is_empty() {
            let reason = format!("shard `{}` has no nodes", shard.name);
            return Err(at(&format!("{path}.nodes"), reason));
        }
        let mut nodes = Vec::new();
        for (position, node) in shard.nodes.iter().enumerate() {
            let id = format!("{}-{position}", shard.name);
            let node_path = format!("{path}.nodes[{position}]");
            nodes.push(check_node(node, id, &raw.cluster, &node_path, &mut taken)?);
        }
        shards.push((shard.name.clone(), nodes));
    }

    let placements = check_placements(&raw.shards, lines)?;
    let shards = shards.into_iter().zip(placements);
    let mut settings = BTreeMap::new();
    let mut in_order: Vec<_> = raw.settings.iter().flatten().collect();
    in_order.sort_by_key(|(name, _)| lines.of_path(&format!("settings.{name}")));
    for (name, value) in in_order {
        crate::settings::check(name, &value.0).map_err(|reason| at(&format!("settings.{name}"), reason))?;
        let name_in_lower_case = name.to_ascii_lowercase();
        if settings.insert(name_in_lower_case, value.0.clone()).is_some() {
            return Err(at(&format!("settings.{name}"), format!("setting `{name}` is given twice")));
        }
    }
    let secret_path = match &raw.secret {
        Some(path) if path.is_empty() => return Err(at("secret", "`secret` is an empty path".to_owned())),
        Some(path) => PathBuf::from(path),
        None => ["data", &raw.cluster, "secret"].iter().collect(),
    };
    Ok(ClusterFile {
        cluster: raw.cluster.clone(),
        proxies,
        shards: shards.map(|((name, nodes), placement)| Shard { name, placement, nodes }).collect(),
        settings,
        secret_path,
    })
}

/// Names go into paths, logs, metric labels and handshakes.
fn check_name(what: &str, name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(allowed) || name.starts_with('-') {
        return Err(format!(
            "{what} `{}` is not 1 to {LONGEST_NAME} letters, digits, `-` and `_`, not beginning with `-`",
            name.escape_debug()
        ));
    }
    Ok(())
}

/// What processes of the file use already.
struct Taken<'a> {
    lines: &'a Lines,
    addresses: Vec<(Address, String, usize)>,
    directories: BTreeMap<(String, PathBuf), String>,
}

impl Taken<'_> {
    fn problem(&self, path: &str, reason: String) -> Problem {
        Problem { line: self.lines.of_path(path), reason }
    }

    fn listen(&mut self, address: &Address, whose: String, path: &str) -> Result<(), Problem> {
        let line = self.lines.of_path(path);
        if let Some((other, other_whose, other_line)) =
            self.addresses.iter().find(|(other, ..)| other.clashes(address))
        {
            let reason = format!(
                "{address} for {whose} is taken by {other_whose} in line {other_line}{}",
                if other == address { String::new() } else { format!(", which listens at {other}") }
            );
            return Err(Problem { line, reason });
        }
        self.addresses.push((address.clone(), whose, line));
        Ok(())
    }
}

fn check_proxy(raw: &raw::Proxy, index: usize, taken: &mut Taken<'_>) -> Result<Proxy, Problem> {
    let id = format!("proxy-{index}");
    let path = format!("proxies[{index}]");
    let listen_path = format!("{path}.listen");
    let listen: Address = raw.listen.parse().map_err(|reason| taken.problem(&listen_path, reason))?;
    let admin_path = format!("{path}.admin");
    let admin = place(raw.admin.as_ref(), &listen, Derived { id: &id, port: "admin", offset: ADMIN_OFFSET })
        .map_err(|reason| taken.problem(&admin_path, reason))?;
    taken.listen(&listen, format!("clients of {id}"), &listen_path)?;
    taken.listen(&admin, format!("admin of {id}"), &admin_path)?;
    Ok(Proxy { id, listen, admin })
}

fn check_node(
    raw: &raw::Node,
    id: String,
    cluster: &str,
    path: &str,
    taken: &mut Taken<'_>,
) -> Result<Node, Problem> {
    let key = |key: &str| if raw.is_map { format!("{path}.{key}") } else { path.to_owned() };
    let client: Address = raw.client.parse().map_err(|reason| taken.problem(&key("client"), reason))?;
    if client.is_wildcard() {
        let reason = format!("nobody can connect to {client}, give node {id} the address that others use");
        return Err(taken.problem(&key("client"), reason));
    }
    let control =
        place(raw.control.as_ref(), &client, Derived { id: &id, port: "control", offset: CONTROL_OFFSET })
            .map_err(|reason| taken.problem(&key("control"), reason))?;
    let admin = place(raw.admin.as_ref(), &client, Derived { id: &id, port: "admin", offset: ADMIN_OFFSET })
        .map_err(|reason| taken.problem(&key("admin"), reason))?;
    taken.listen(&client, format!("clients of {id}"), &key("client"))?;
    taken.listen(&control, format!("control of {id}"), &key("control"))?;
    taken.listen(&admin, format!("admin of {id}"), &key("admin"))?;

    let directory = match &raw.directory {
        Some(directory) if directory.is_empty() => {
            return Err(taken.problem(&key("directory"), format!("the directory of {id} is an empty path")));
        }
        Some(directory) => PathBuf::from(directory),
        None => ["data", cluster, &id].iter().collect(),
    };
    // Two machines may well use the same path; only nodes of one host can collide.
    let place = (client.host().to_owned(), directory.clone());
    if let Some(first) = taken.directories.insert(place, id.clone()) {
        let reason = format!("nodes {first} and {id} have the same directory {}", directory.display());
        return Err(taken.problem(&key("directory"), reason));
    }
    Ok(Node { id, client, control, admin, directory })
}

/// A port that is the client port plus an offset, if it is not set.
struct Derived<'a> {
    id: &'a str,
    port: &'static str,
    offset: u16,
}

fn place(raw: Option<&Place>, client: &Address, derived: Derived<'_>) -> Result<Address, String> {
    let Derived { id, port: name, offset } = derived;
    match raw {
        Some(Place::Address(address)) => address.parse(),
        Some(Place::Port(port)) => match u16::try_from(*port) {
            Ok(port) if port > 0 => Ok(client.with_port(port)),
            _ => Err(format!("{name} port {port} of {id} does not exist, ports are 1 to 65535")),
        },
        None => client.port().checked_add(offset).map(|port| client.with_port(port)).ok_or_else(|| {
            format!(
                "{name} port of {id} would be {} + {offset} = {}, above 65535: set `{name}`, or use a port up to {}",
                client.port(),
                u32::from(client.port()) + u32::from(offset),
                u16::MAX - ADMIN_OFFSET,
            )
        }),
    }
}

fn check_placements(shards: &[raw::Shard], lines: &Lines) -> Result<Vec<Placement>, Problem> {
    let with_slots = shards.iter().position(|shard| shard.slots.is_some());
    let mut placements = Vec::new();
    for (index, shard) in shards.iter().enumerate() {
        let path = format!("shards[{index}]");
        let problem = |path: &str, reason: String| Problem { line: lines.of_path(path), reason };
        match (&shard.slots, shard.weight) {
            (Some(_), Some(_)) => {
                let reason = format!("shard `{}` has both `slots` and `weight`", shard.name);
                return Err(problem(&format!("{path}.weight"), reason));
            }
            (Some(slots), None) => {
                placements.push(Placement::Slots(parse_slots(slots, &format!("{path}.slots"), lines)?));
            }
            (None, weight) => {
                if let Some((first, other)) = with_slots.and_then(|first| Some((first, shards.get(first)?))) {
                    let reason = format!(
                        "shard `{}` has no `slots`, but shard `{}` in line {} has: give every shard `slots`, or none",
                        shard.name,
                        other.name,
                        lines.of_path(&format!("shards[{first}].slots"))
                    );
                    return Err(problem(&format!("{path}.weight"), reason));
                }
                placements.push(Placement::Weight(weight.unwrap_or(1)));
            }
        }
    }
    if with_slots.is_some() {
        check_coverage(shards, &placements, lines)?;
    } else if placements.iter().all(|placement| *placement == Placement::Weight(0)) {
        return Err(Problem {
            line: lines.of_path("shards"),
            reason: "every shard has weight 0, so nobody would own the slots".to_owned(),
        });
    }
    Ok(placements)
}

fn parse_slots(raw: &Slots, path: &str, lines: &Lines) -> Result<SlotRanges, Problem> {
    let problem = |path: &str, error: RangeError| Problem {
        line: lines.of_path(path),
        reason: error.to_string().escape_debug().to_string(),
    };
    match raw {
        Slots::One(text) => text
            .parse::<SlotRange>()
            .and_then(|range| SlotRanges::from_ranges([range]))
            .map_err(|error| problem(path, error)),
        Slots::Many(texts) => {
            let mut ranges: Vec<SlotRange> = Vec::new();
            for (index, text) in texts.iter().enumerate() {
                let path = format!("{path}[{index}]");
                let range: SlotRange = text.parse().map_err(|error| problem(&path, error))?;
                if let Some(twice) =
                    range.slots().find(|slot| ranges.iter().any(|other| other.contains(*slot)))
                {
                    return Err(problem(&path, RangeError::Twice(twice)));
                }
                ranges.push(range);
            }
            SlotRanges::from_ranges(ranges).map_err(|error| problem(path, error))
        }
    }
}

/// Every slot has exactly one owner.
fn check_coverage(shards: &[raw::Shard], placements: &[Placement], lines: &Lines) -> Result<(), Problem> {
    let mut owners = SlotMap::unassigned();
    for (index, placement) in placements.iter().enumerate() {
        let Placement::Slots(slots) = placement else { continue };
        let owned: Vec<u16> = slots.slots().filter(|slot| owners.shard_of(*slot).is_some()).collect();
        if let Some(first) = owned.first().and_then(|slot| owners.shard_of(*slot)) {
            let both: SlotRanges =
                owned.into_iter().filter(|slot| owners.shard_of(*slot) == Some(first)).collect();
            let name = |index: usize| shards.get(index).map_or("", |shard| shard.name.as_str());
            return Err(Problem {
                line: lines.of_path(&format!("shards[{index}].slots")),
                reason: format!(
                    "shard `{}` owns slots {both}, which shard `{}` in line {} owns too",
                    name(index),
                    name(first),
                    lines.of_path(&format!("shards[{first}].slots"))
                ),
            });
        }
        for slot in slots.slots() {
            owners.assign(slot, index);
        }
    }
    let missing: SlotRanges = (0..SLOTS).filter(|slot| owners.shard_of(*slot).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Problem { line: lines.of_path("shards"), reason: format!("no shard owns slots {missing}") })
}

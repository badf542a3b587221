//! The file as serde_yaml reads it, before any check across values.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with `cluster`, `proxies` and `shards`")]
pub(super) struct File {
    pub(super) cluster: String,
    #[serde(default)]
    pub(super) proxies: Vec<Proxy>,
    pub(super) shards: Vec<Shard>,
    #[serde(default)]
    pub(super) settings: Option<BTreeMap<String, Setting>>,
    pub(super) secret: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with `listen` and `admin`")]
pub(super) struct Proxy {
    pub(super) listen: String,
    pub(super) admin: Option<Place>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with `name` and `nodes`")]
pub(super) struct Shard {
    pub(super) name: String,
    pub(super) slots: Option<Slots>,
    pub(super) weight: Option<u32>,
    pub(super) nodes: Vec<Node>,
}

/// `host:port`, or a map.
pub(super) struct Node {
    pub(super) client: String,
    pub(super) control: Option<Place>,
    pub(super) admin: Option<Place>,
    pub(super) directory: Option<String>,
    /// Written as a map, so that its lines are those of the map's keys.
    pub(super) is_map: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an address such as 127.0.0.1:7001, or a map with `client`")]
struct NodeMap {
    client: String,
    control: Option<Place>,
    admin: Option<Place>,
    directory: Option<String>,
}

/// A port on the host of the client address, or an address.
pub(super) enum Place {
    Port(u64),
    Address(String),
}

/// Each element is a slot or a range.
pub(super) enum Slots {
    One(String),
    Many(Vec<String>),
}

/// A setting's value as CONFIG SET would take it.
pub(super) struct Setting(pub(super) String);

impl File {
    pub(super) fn parse(text: &str) -> Result<File, Problem> {
        serde_yaml::from_str(text).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            let mut reason = error.to_string();
            // The place goes in front of the reason. A reason's own quotations are cut at their line end, so
            // that it stays one line.
            if let Some(place) = reason.find(" at line ") {
                reason.truncate(place);
            }
            let reason = reason.lines().next().unwrap_or_default();
            // Serde names Rust's type.
            Problem {
                line,
                reason: reason.replace("expected u32", "expected a whole number up to 4294967295"),
            }
        })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        struct NodeVisitor;
        impl<'de> Visitor<'de> for NodeVisitor {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as 127.0.0.1:7001, or a map with `client`")
            }

            fn visit_str<E: Error>(self, client: &str) -> Result<Node, E> {
                Ok(Node {
                    client: client.to_owned(),
                    control: None,
                    admin: None,
                    directory: None,
                    is_map: false,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Node, A::Error> {
                let NodeMap { client, control, admin, directory } =
                    NodeMap::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Node { client, control, admin, directory, is_map: true })
            }
        }
        deserializer.deserialize_any(NodeVisitor)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Place, D::Error> {
        struct PlaceVisitor;
        impl Visitor<'_> for PlaceVisitor {
            type Value = Place;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port, or an address such as 127.0.0.1:7001")
            }

            fn visit_u64<E: Error>(self, port: u64) -> Result<Place, E> {
                Ok(Place::Port(port))
            }

            fn visit_str<E: Error>(self, address: &str) -> Result<Place, E> {
                Ok(Place::Address(address.to_owned()))
            }
        }
        deserializer.deserialize_any(PlaceVisitor)
    }
}

impl<'de> Deserialize<'de> for Slots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Slots, D::Error> {
        struct SlotsVisitor;
        impl<'de> Visitor<'de> for SlotsVisitor {
            type Value = Slots;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a slot range such as 0-5460, or a list of ranges")
            }

            fn visit_str<E: Error>(self, range: &str) -> Result<Slots, E> {
                Ok(Slots::One(range.to_owned()))
            }

            fn visit_u64<E: Error>(self, slot: u64) -> Result<Slots, E> {
                Ok(Slots::One(slot.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Slots, A::Error> {
                let mut ranges = Vec::new();
                while let Some(range) = list.next_element::<Range>()? {
                    ranges.push(range.0);
                }
                Ok(Slots::Many(ranges))
            }
        }
        deserializer.deserialize_any(SlotsVisitor)
    }
}

struct Range(String);

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Range, D::Error> {
        struct RangeVisitor;
        impl Visitor<'_> for RangeVisitor {
            type Value = Range;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a slot or a range such as 0-5460")
            }

            fn visit_str<E: Error>(self, range: &str) -> Result<Range, E> {
                Ok(Range(range.to_owned()))
            }

            fn visit_u64<E: Error>(self, slot: u64) -> Result<Range, E> {
                Ok(Range(slot.to_string()))
            }
        }
        deserializer.deserialize_any(RangeVisitor)
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Setting, D::Error> {
        struct SettingVisitor;
        impl Visitor<'_> for SettingVisitor {
            type Value = Setting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, yes or no")
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Setting, E> {
                Ok(Setting(value.to_owned()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Setting, E> {
                Ok(Setting(value.to_string()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Setting, E> {
                Ok(Setting(value.to_string()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Setting, E> {
                Ok(Setting(value.to_string()))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Setting, E> {
                Ok(Setting(if value { "yes" } else { "no" }.to_owned()))
            }
        }
        deserializer.deserialize_any(SettingVisitor)
    }
}

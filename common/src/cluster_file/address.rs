//! `host:port` as the cluster file writes it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A host, which may be a name, and a port from 1 to 65535.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The name or the IP address; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same host with another port.
    pub(super) fn with_port(&self, port: u16) -> Address {
        Address { host: self.host.clone(), port }
    }

    /// Whether only processes of this machine can connect to it.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// Whether it means every address of the machine, which one can listen at but not connect to from elsewhere.
    pub fn is_wildcard(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
    }

    /// The same port at this machine's loopback address, where a process that listens everywhere can be reached.
    pub fn on_loopback(&self) -> Address {
        let host = if self.host.contains(':') { "::1" } else { "127.0.0.1" };
        Address { host: host.to_owned(), port: self.port }
    }

    /// Whether two processes cannot both listen at them.
    pub(super) fn clashes(&self, other: &Address) -> bool {
        let local = |address: &Address| address.is_loopback() || address.is_wildcard();
        let same_host = self.host.eq_ignore_ascii_case(&other.host)
            || (self.is_wildcard() && local(other))
            || (other.is_wildcard() && local(self))
            || (self.is_default_loopback() && other.is_default_loopback());
        self.port == other.port && same_host
    }

    fn is_default_loopback(&self) -> bool {
        matches!(self.host.as_str(), "127.0.0.1" | "::1") || self.host.eq_ignore_ascii_case("localhost")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    /// The reason, which quotes the text.
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let bad = || format!("`{}` is not an address such as 127.0.0.1:7001", text.escape_debug());
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => inner.parse::<Ipv6Addr>().map_err(|_| bad())?.to_string(),
            None if is_host(host) => host.to_owned(),
            None => return Err(bad()),
        };
        if port.is_empty() || port.len() > 9 || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad());
        }
        match port.parse::<u32>().map(u16::try_from) {
            Ok(Ok(port)) if port > 0 => Ok(Address { host, port }),
            _ => Err(format!("port {port} of `{text}` does not exist, ports are 1 to 65535")),
        }
    }
}

/// An IPv4 address or a host name (RFC 1123, and the underscore that container networks use).
fn is_host(text: &str) -> bool {
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if numeric {
        return text.parse::<std::net::Ipv4Addr>().is_ok();
    }
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_may_be_names_and_both_kinds_of_addresses() {
        for text in ["127.0.0.1:7001", "localhost:1", "shard-a.example.com:65535", "[::1]:7001", "node_1:80"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_addresses_say_what_is_expected() {
        for text in [
            "",
            ":7001",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:x",
            "127.0.0:7001",
            "256.0.0.1:1",
            "::1:7001",
            "[::1:7001",
            "a b:1",
            "-a:1",
            "a..b:1",
            "a:+1",
            "a:1 ",
            "a\n:1",
        ] {
            let reason = text.parse::<Address>().unwrap_err();
            assert!(reason.ends_with("is not an address such as 127.0.0.1:7001"), "{reason}");
            assert!(!reason.contains('\n'), "{reason}");
        }
        assert_eq!(
            "a:65536".parse::<Address>().unwrap_err(),
            "port 65536 of `a:65536` does not exist, ports are 1 to 65535"
        );
        assert!("a:0".parse::<Address>().is_err());
    }

    #[test]
    fn addresses_that_cannot_both_be_listened_at_clash() {
        let clash = |one: &str, two: &str| {
            let (one, two): (Address, Address) = (one.parse().unwrap(), two.parse().unwrap());
            assert_eq!(one.clashes(&two), two.clashes(&one));
            one.clashes(&two)
        };
        assert!(clash("127.0.0.1:1", "localhost:1"));
        assert!(clash("0.0.0.0:1", "127.0.0.1:1"));
        assert!(clash("Example:1", "example:1"));
        assert!(!clash("127.0.0.1:1", "127.0.0.2:1"));
        assert!(!clash("127.0.0.1:1", "127.0.0.1:2"));
        assert!(!clash("10.0.0.1:1", "10.0.0.2:1"));
    }
}

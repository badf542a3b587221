//! The names of transactions across shards.

use std::fmt;
use std::str::FromStr;

/// A transaction across shards: the proxy process that leads it, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId {
    /// Random, new at every start of a proxy.
    pub proxy: u64,
    pub number: u64,
}

impl fmt::Display for TransactionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}-{}", self.proxy, self.number)
    }
}

/// A text that names no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a transaction")]
pub struct BadTransactionId;

impl FromStr for TransactionId {
    type Err = BadTransactionId;

    fn from_str(text: &str) -> Result<Self, BadTransactionId> {
        let (proxy, number) = text.split_once('-').ok_or(BadTransactionId)?;
        let proxy = u64::from_str_radix(proxy, 16).map_err(|_| BadTransactionId)?;
        Ok(Self { proxy, number: number.parse().map_err(|_| BadTransactionId)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let id = TransactionId { proxy: 0x00ab_cdef_0000_0001, number: 77 };
        assert_eq!(id.to_string(), "00abcdef00000001-77");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "-", "1", "x-1", "1-", "1-x", "1-1-1"] {
            assert_eq!(bad.parse::<TransactionId>(), Err(BadTransactionId), "{bad}");
        }
    }
}

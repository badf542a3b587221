//! Rules as ACL SETUSER takes them.

use crate::error::Error;

use super::text;

/// What is wrong with a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RuleError {
    Syntax,
    /// No such command or category.
    Unknown,
    KeysAfterAll,
    ChannelsAfterAll,
    NoSuchPassword,
    BadHash,
    /// A first argument of a subcommand.
    FirstArgument,
}

impl RuleError {
    fn text(self) -> &'static str {
        match self {
            Self::Syntax => "Syntax error",
            Self::Unknown => "Unknown command or category name in ACL",
            Self::KeysAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any \
                 effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::ChannelsAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Self::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            Self::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Self::FirstArgument => "Allowing first-arg of a subcommand is not supported",
        }
    }

    /// The error of ACL SETUSER.
    pub fn of_rule(self, rule: &[u8]) -> Error {
        let reason = self.text().as_bytes();
        Error::Bytes([&b"Error in ACL SETUSER modifier '"[..], text(rule), b"': ", reason].concat())
    }
}

/// Puts selectors together that stand in several arguments, from the one that begins with a parenthesis to the one that
/// ends with one.
pub(super) fn merged<'a>(rules: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, Error> {
    let mut merged: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for rule in rules {
        let ends = rule.last() == Some(&b')');
        if rule.first() == Some(&b'(') && !ends {
            open = Some((rule, rule.to_vec()));
        } else if let Some((start, mut selector)) = open.take() {
            selector.push(b' ');
            selector.extend_from_slice(text(rule));
            if ends {
                merged.push(selector);
            } else {
                open = Some((start, selector));
            }
        } else {
            merged.push(rule.to_vec());
        }
    }
    match open {
        None => Ok(merged),
        Some((start, _)) => Err(Error::Bytes(
            [&b"Unmatched parenthesis in acl selector starting at '"[..], text(start), b"'."].concat(),
        )),
    }
}

//! Whether a user may run a call.

use super::selector::Selector;
use super::user::User;
use crate::command::{self, Command, Flags, KeyFlags, Keys};
use crate::error::Error;
use crate::glob;
use crate::number::parse_i64;
use crate::resp::Args;

/// Why a call is not allowed; in the order in which what one selector says counts more than what another does. The numbers
/// are those of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    Command,
    Key(usize),
    Channel(usize),
}

impl Denied {
    /// What a client is told that sent the call.
    #[must_use]
    pub fn error(self, command: &Command) -> Error {
        Error::NoPerm(match self {
            Self::Command => {
                format!("this user has no permissions to run the '{}' command", command.name).into()
            }
            Self::Key(_) => "this user has no permissions to access one of the keys used as arguments".into(),
            Self::Channel(_) => {
                "this user has no permissions to access one of the channels used as arguments".into()
            }
        })
    }

    /// What stands in the place of the reply in a transaction that was queued when it was still allowed.
    #[must_use]
    pub fn error_in_exec(self) -> Error {
        let reason = match self {
            Self::Command => "no permission to execute the command or subcommand",
            Self::Key(_) => "no permission to touch the specified keys",
            Self::Channel(_) => "no permission to access one of the channels used as argument to the command",
        };
        Error::NoPerm(
            format!(
                "ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
                 command is no longer allowed for the following reason: {reason}"
            )
            .into(),
        )
    }

    /// What a script is told that made the call.
    #[must_use]
    pub fn error_in_script(self) -> Error {
        Error::err(match self {
            Self::Command => "The user executing the script can't run this command or subcommand",
            Self::Key(_) => {
                "The user executing the script can't access at least one of the keys mentioned in the command \
                 arguments"
            }
            Self::Channel(_) => {
                "The user executing the script can't publish to the channel mentioned in the command"
            }
        })
    }

    /// What it was about: the command, the key or the channel.
    #[must_use]
    pub fn object<'a>(self, command: &'a Command, args: &Args<'a>) -> &'a [u8] {
        match self {
            Self::Command => command.name.as_bytes(),
            Self::Key(index) | Self::Channel(index) => args.at(index),
        }
    }
}

/// What is done with a key.
#[derive(Clone, Copy)]
struct Use {
    read: bool,
    write: bool,
}

impl From<KeyFlags> for Use {
    fn from(flags: KeyFlags) -> Self {
        let writes = KeyFlags::INSERT.with(KeyFlags::DELETE).with(KeyFlags::UPDATE);
        Self { read: flags.contains(KeyFlags::ACCESS), write: flags.intersects(writes) }
    }
}

impl Selector {
    fn allows_command(&self, command: &Command, args: &Args<'_>) -> bool {
        self.all_commands
            || command.flags.contains(Flags::NO_AUTH)
            || self.commands.contains(command)
            || self.first_args.get(&command.id).is_some_and(|allowed| {
                args.get(1).is_some_and(|first| allowed.iter().any(|known| known.eq_ignore_ascii_case(first)))
            })
    }

    fn allows_key(&self, key: &[u8], wanted: Use) -> bool {
        self.all_keys
            || self.keys.iter().any(|known| {
                (known.read || !wanted.read)
                    && (known.write || !wanted.write)
                    && glob::matches(&known.pattern, key)
            })
    }

    fn reads_all_keys(&self) -> bool {
        self.all_keys || self.keys.iter().any(|known| known.read && known.pattern == b"*")
    }

    pub(super) fn allows_channel(&self, channel: &[u8], literally: bool) -> bool {
        self.all_channels
            || self
                .channels
                .iter()
                .any(|pattern| if literally { pattern == channel } else { glob::matches(pattern, channel) })
    }

    fn check(&self, command: &Command, args: &Args<'_>, keys: &mut Option<Keys>) -> Result<(), Denied> {
        if !self.allows_command(command, args) {
            return Err(Denied::Command);
        }
        if !self.all_keys && command.has_keys() {
            if keys.is_none() {
                // A call whose keys cannot be found fails in its own function.
                *keys = command::keys(command, args).ok();
            }
            for (position, flags) in keys.iter().flat_map(Keys::with_flags) {
                if !self.allows_key(args.at(position), flags.into()) {
                    return Err(Denied::Key(position));
                }
            }
        }
        if !self.all_channels
            && let Some((positions, literally)) = channels(command, args)
        {
            for position in positions {
                if !self.allows_channel(args.at(position), literally) {
                    return Err(Denied::Channel(position));
                }
            }
        }
        Ok(())
    }
}

/// The channels that a call publishes or subscribes to, and whether they are patterns, which must be allowed as they are.
fn channels(command: &Command, args: &Args<'_>) -> Option<(std::ops::Range<usize>, bool)> {
    match command.name {
        "publish" | "spublish" => Some((1..2, false)),
        "subscribe" | "ssubscribe" => Some((1..args.len(), false)),
        "psubscribe" => Some((1..args.len(), true)),
        _ => None,
    }
}

impl User {
    /// Whether it may run a call.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, command: &Command, args: &Args<'_>) -> Result<(), Denied> {
        if self.unrestricted {
            return Ok(());
        }
        let mut keys = None;
        let mut reason = Denied::Command;
        for selector in self.all_selectors() {
            match selector.check(command, args, &mut keys) {
                Ok(()) => return Ok(()),
                Err(denied) => reason = reason.max(denied),
            }
        }
        Err(reason)
    }

    /// Refuses what SORT reads besides its key to who may not read all keys. Only what comes before any other mistake in the
    /// arguments is looked at.
    ///
    /// # Errors
    /// The error reply.
    pub fn check_sort(&self, command: &Command, args: &Args<'_>) -> Result<(), Error> {
        if self.unrestricted || !matches!(command.name, "sort" | "sort_ro") {
            return Ok(());
        }
        let reads_all = self
            .all_selectors()
            .any(|selector| selector.reads_all_keys() && selector.check(command, args, &mut None).is_ok());
        if reads_all {
            return Ok(());
        }
        let denied = |option: &str| {
            Err(Error::err(format!("{option} option of SORT denied due to insufficient ACL permissions.")))
        };
        let mut index = 2;
        while index < args.len() {
            let left = args.len() - index - 1;
            let is = |name: &str| args.is(index, name);
            index += if is("ASC") || is("DESC") || is("ALPHA") {
                1
            } else if is("LIMIT") && left >= 2 {
                if [1, 2].iter().any(|next| parse_i64(args.at(index + next)).is_none()) {
                    return Ok(());
                }
                3
            } else if is("STORE") && left >= 1 && command.name == "sort" {
                2
            } else if is("BY") && left >= 1 {
                if args.at(index + 1).contains(&b'*') {
                    return denied("BY");
                }
                2
            } else if is("GET") && left >= 1 {
                return denied("GET");
            } else {
                return Ok(());
            };
        }
        Ok(())
    }

    /// Whether a client may go on listening to a channel, or to a pattern.
    #[must_use]
    pub fn may_listen(&self, name: &[u8], is_pattern: bool) -> bool {
        self.all_selectors().any(|selector| selector.allows_channel(name, is_pattern))
    }
}

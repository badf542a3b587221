//! Lines of MONITOR.

use slotway_common::command::Command;
use slotway_common::monitor;
use slotway_common::platform::clock;
use slotway_common::resp::Args;

use crate::session::Session;

/// The line that shows a command: time, database, the client's address, and the arguments quoted as Redis does it.
pub(crate) fn line(session: &Session, command: &Command, args: &Args<'_>) -> Vec<u8> {
    let now = clock::now_us();
    let mut line =
        format!("+{}.{:06} [{} {}]", now / 1_000_000, now % 1_000_000, session.database, session.peer)
            .into_bytes();
    monitor::end_line(command, args, &mut line);
    line
}

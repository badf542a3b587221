//! `slotway status --watch`: the status again every second, until Ctrl-C.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use slotway_common::cluster_file::ClusterFile;
use slotway_common::secret::Secret;
use slotway_common::shutdown;
use tokio::time::sleep;

use super::moves::Paces;
use crate::CommandError;

const EVERY: Duration = Duration::from_secs(1);

/// Cursor to the first place, and everything behind it cleared: steadier than clearing first.
const HOME: &str = "\x1b[H";
const CLEAR_REST: &str = "\x1b[J";
const CLEAR_LINE_END: &str = "\x1b[K\n";

/// On a terminal the same screen, else text after text with an empty line between, or one line of JSON each time.
pub(super) async fn run(file: &ClusterFile, secret: &Secret, json: bool) -> Result<ExitCode, CommandError> {
    let mut requests = shutdown::Requests::listen(false).map_err(CommandError::Signals)?;
    let is_screen = io::stdout().is_terminal() && !json;
    let mut paces = Paces::default();
    loop {
        let status = tokio::select! {
            status = super::collect(file, secret, &mut paces) => status,
            _ = requests.next() => return Ok(ExitCode::SUCCESS),
        };
        let text = if json {
            serde_json::to_string(&status).unwrap_or_default() + "\n"
        } else if is_screen {
            let text = super::table::render(&status).replace('\n', CLEAR_LINE_END);
            format!("{HOME}{text}{CLEAR_REST}")
        } else {
            super::table::render(&status) + "\n"
        };
        let mut out = io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            // Nobody reads any more.
            return Ok(ExitCode::SUCCESS);
        }
        drop(out);
        tokio::select! {
            () = sleep(EVERY) => {}
            _ = requests.next() => return Ok(ExitCode::SUCCESS),
        }
    }
}

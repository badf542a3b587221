//! One process that was started here.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};

use super::output::Output;
use crate::CommandError;
use crate::processes::{Process, Role};

/// A longer line is shown in pieces.
const LONGEST_LINE: u64 = 16 << 10;

/// A child that has not ended.
pub(super) struct Child {
    pub(super) id: String,
    pub(super) role: Role,
    pub(super) process_id: u32,
    /// The child stops when this is closed.
    stdin: Option<ChildStdin>,
    kill: Option<oneshot::Sender<()>>,
}

/// A child that has ended, and all of whose lines are shown.
pub(super) struct Ended {
    pub(super) id: String,
    pub(super) role: Role,
    /// For example `exit status: 1`.
    pub(super) status: String,
}

impl Child {
    /// Starts the program that stands beside this one. Its end is told on `ended`.
    pub(super) fn start(
        process: &Process,
        file: &Path,
        output: &Arc<Output>,
        ended: mpsc::UnboundedSender<Ended>,
    ) -> Result<Child, CommandError> {
        let own = std::env::current_exe().unwrap_or_default();
        let program = own.with_file_name(process.program());
        let mut child = Command::new(&program)
            .args(process.arguments(file))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C in a terminal reaches this process only, which stops them in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| CommandError::Start { program, reason: error.to_string() })?;
        let process_id = child.id().unwrap_or_default();
        let stdin = child.stdin.take();
        let (kill, killed) = oneshot::channel();

        let lines = [
            child.stdout.take().map(|stream| tokio::spawn(show(stream, process.id.clone(), output.clone()))),
            child.stderr.take().map(|stream| tokio::spawn(show(stream, process.id.clone(), output.clone()))),
        ];
        let (id, role) = (process.id.clone(), process.role);
        let mut report = Ended { id: id.clone(), role, status: String::new() };
        tokio::spawn(async move {
            let status = tokio::select! {
                status = child.wait() => status,
                Ok(()) = killed => {
                    let _ = child.start_kill();
                    child.wait().await
                }
            };
            for shown in lines.into_iter().flatten() {
                let _ = shown.await;
            }
            report.status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            let _ = ended.send(report);
        });
        Ok(Child { id, role, process_id, stdin, kill: Some(kill) })
    }

    /// Closes its standard input.
    pub(super) fn ask_to_stop(&mut self) {
        self.stdin = None;
    }

    pub(super) fn kill(&mut self) {
        if let Some(kill) = self.kill.take() {
            let _ = kill.send(());
        }
    }
}

/// Shows every line of a stream until it ends.
async fn show(stream: impl AsyncRead + Unpin, id: String, output: Arc<Output>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut stream).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => output.line(&id, String::from_utf8_lossy(line.trim_ascii_end()).as_ref()),
        }
    }
}

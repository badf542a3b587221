//! Accepts clients and hands them to the workers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use slotway_common::platform::net::{self, Listener};
use slotway_common::settings::Name;

use crate::context::Context;

/// Accepts clients until the task is dropped.
pub async fn accept(listener: Listener, context: Arc<Context>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let settings = &context.settings.lock().values;
                let keepalive = Duration::from_secs(settings.size(Name::TcpKeepalive) as u64);
                if context.fleet.clients() >= settings.size(Name::Maxclients) {
                    context.fleet.count_rejected();
                    // What does not fit into an empty socket buffer need not be told.
                    let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
                    continue;
                }
                if net::tune(&stream, (!keepalive.is_zero()).then_some(keepalive)).is_err() {
                    continue;
                }
                match stream.into_std() {
                    Ok(stream) => context.fleet.assign(stream, peer),
                    Err(error) => tracing::warn!(%error, "client not accepted"),
                }
            }
            Err(error) => {
                // Out of file descriptors, most likely: the listener stays readable, so do not spin.
                tracing::warn!(%error, "client not accepted");
                tokio::time::sleep(pause_after(&error)).await;
            }
        }
    }
}

fn pause_after(error: &io::Error) -> Duration {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => Duration::ZERO,
        _ => Duration::from_millis(50),
    }
}

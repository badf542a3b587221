//! Takes connections, and serves each until it ends.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use slotway_common::acl::Login;
use slotway_common::platform::clock;
use slotway_common::platform::net::{self, Listener, Stream};

use super::connection::Connection;
use super::import;
use super::state::Server;
use crate::client::Client;

/// Runs until the listening socket breaks.
pub(super) async fn run(server: &Rc<Server>, listener: &Listener) -> io::Result<()> {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: the listener stays readable, so do not spin.
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let shard = &mut *server.shard.borrow_mut();
        if shard.node.clients.len() >= shard.node.hot.max_clients {
            shard.node.clients.rejected += 1;
            // Best effort: the client is told if its socket takes the line at once.
            let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
            continue;
        }
        if net::tune(&stream, shard.node.hot.keepalive).is_err() {
            continue;
        }
        let local = stream.local_addr().map_or_else(|_| String::new(), |address| address.to_string());
        let client = shard.node.clients.add(peer.to_string(), local, clock::now_ms());
        client.descriptor.set(std::os::fd::AsRawFd::as_raw_fd(&stream));
        client.set_login(Login::new(&shard.node.users));
        tokio::task::spawn_local(serve(server.clone(), stream, client));
    }
}

/// Serves a connection until it ends.
async fn serve(server: Rc<Server>, stream: Stream, client: Rc<Client>) {
    let mut connection = Connection::new(server, stream, client);
    poll_fn(|context| connection.poll(context)).await;
    if let Some(id) = connection.session.import.take() {
        import::serve(&mut connection, &id).await;
    }
}

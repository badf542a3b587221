//! A client's connection through the proxy, made anew when it breaks.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::client::Client;

/// Between two attempts while nobody listens.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Connection {
    endpoint: SocketAddr,
    database: u8,
    resp3: bool,
    client: Option<Client>,
}

impl Connection {
    pub(super) fn new(endpoint: SocketAddr, database: u8, resp3: bool) -> Connection {
        Connection { endpoint, database, resp3, client: None }
    }

    /// The open connection; `None` when it is time to stop before there is one.
    pub(super) fn open(&mut self, stop: &AtomicBool) -> Option<&mut Client> {
        while self.client.is_none() {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            match self.connect() {
                Ok(client) => self.client = Some(client),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
        self.client.as_mut()
    }

    fn connect(&self) -> Result<Client> {
        let mut client =
            if self.resp3 { Client::connect_resp3(self.endpoint)? } else { Client::connect(self.endpoint)? };
        let selected = client.run(&format!("SELECT {}", self.database))?;
        if selected.is_error() {
            bail!("{selected}");
        }
        Ok(client)
    }

    /// The connection is of no more use.
    pub(super) fn broken(&mut self) {
        self.client = None;
    }
}

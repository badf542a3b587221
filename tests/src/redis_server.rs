//! A real redis-server, for comparison.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::Client;

/// A redis-server with an empty data set that persists nothing; it ends with this value.
pub struct RedisServer {
    process: Child,
    address: SocketAddr,
}

impl RedisServer {
    /// Starts one on a free port of the loopback interface.
    ///
    /// # Errors
    /// When redis-server is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one with further arguments.
    ///
    /// # Errors
    /// When redis-server is not installed or does not start.
    pub fn start_with(arguments: &[&str]) -> Result<Self> {
        // Between finding a free port and its use another process can take it; then there is another one.
        for _ in 0..10 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            if let Some(server) = Self::launch(port, arguments)? {
                return Ok(server);
            }
        }
        bail!("redis-server does not start")
    }

    /// Starts one on this port.
    ///
    /// # Errors
    /// When redis-server is not installed or does not start.
    pub fn start_on(port: u16) -> Result<Self> {
        Self::launch(port, &[])?.with_context(|| format!("redis-server does not start on port {port}"))
    }

    fn launch(port: u16, arguments: &[&str]) -> Result<Option<Self>> {
        let mut process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .args(["--dir", &std::env::temp_dir().to_string_lossy()])
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server is needed for this test")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let give_up = Instant::now() + Duration::from_secs(20);
        while process.try_wait()?.is_none() && Instant::now() < give_up {
            if Client::connect(address).is_ok_and(|mut client| client.run("PING").is_ok()) {
                return Ok(Some(Self { process, address }));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = process.kill();
        process.wait()?;
        Ok(None)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new RESP2 connection.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn client(&self) -> Result<Client> {
        Client::connect(self.address)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! A RESP client for tests: blocking, one request at a time or pipelined, replies as decoded values or as raw bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};
use slotway_common::resp::Value;

use crate::wait::PATIENCE;

/// One connection.
pub struct Client {
    stream: TcpStream,
    /// What was read and not yet taken.
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens at `address`.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Connects and speaks RESP3 from then on.
    ///
    /// # Errors
    /// When nobody listens, or HELLO 3 is refused.
    pub fn connect_resp3(address: SocketAddr) -> Result<Self> {
        let mut client = Self::connect(address)?;
        if client.call(&["HELLO", "3"])?.is_error() {
            bail!("{address} refuses RESP3");
        }
        Ok(client)
    }

    /// Connects, with RESP3 if that is wanted.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub fn connect_with(address: SocketAddr, resp3: bool) -> Result<Self> {
        if resp3 { Self::connect_resp3(address) } else { Self::connect(address) }
    }

    /// Sends one command and returns its reply. An error reply is a value, too.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Value> {
        self.send(args)?;
        self.receive()
    }

    /// Like [`Self::call`], for words separated by single spaces.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn run(&mut self, line: &str) -> Result<Value> {
        self.call(&line.split(' ').collect::<Vec<_>>())
    }

    /// Sends one command and returns the bytes of its reply.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn call_raw<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Vec<u8>> {
        self.send(args)?;
        let (_, length) = self.next()?;
        Ok(self.buffer.drain(..length).collect())
    }

    /// Sends one command without waiting for its reply.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<()> {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            let arg = arg.as_ref();
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.send_raw(&request)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Waits for the next reply or push.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn receive(&mut self) -> Result<Value> {
        let (value, length) = self.next()?;
        self.buffer.drain(..length);
        Ok(value)
    }

    /// Whether a reply or push is here, without waiting for one.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn has_reply(&mut self) -> Result<bool> {
        self.stream.set_nonblocking(true)?;
        let mut chunk = [0; 64 * 1024];
        let read = self.stream.read(&mut chunk);
        self.stream.set_nonblocking(false)?;
        match read {
            Ok(0) => bail!("the server closed the connection"),
            Ok(length) => self.buffer.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Value::parse(&self.buffer)?.is_some())
    }

    /// Waits until the server closes the connection and returns what came before, undecoded.
    ///
    /// # Errors
    /// When it stays open.
    pub fn receive_to_end(&mut self) -> Result<Vec<u8>> {
        self.stream.read_to_end(&mut self.buffer)?;
        Ok(std::mem::take(&mut self.buffer))
    }

    fn next(&mut self) -> Result<(Value, usize)> {
        loop {
            if let Some(found) = Value::parse(&self.buffer)? {
                return Ok(found);
            }
            let mut chunk = [0; 64 * 1024];
            let read = match self.stream.read(&mut chunk) {
                // Of a process that stood still for a while.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            match read {
                0 => bail!("the server closed the connection"),
                length => self.buffer.extend_from_slice(&chunk[..length]),
            }
        }
    }
}

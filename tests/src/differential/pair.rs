//! One client's connections to the two servers that are compared.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use slotway_common::resp::Value;

use super::Plan;
use crate::client::Client;

/// A connection to each of the two.
pub(super) struct Pair {
    pub(super) oracle: Client,
    pub(super) subject: Client,
}

impl Pair {
    pub(super) fn connect(plan: &Plan, oracle: SocketAddr, subject: SocketAddr) -> Result<Self> {
        let connect = |address| Client::connect_with(address, plan.resp3);
        Ok(Self { oracle: connect(oracle).context("redis")?, subject: connect(subject).context("slotway")? })
    }

    /// What redis-server and Slotway reply.
    pub(super) fn call(&mut self, words: &[Vec<u8>]) -> Result<(Value, Value)> {
        self.call_and(words, Client::receive)
    }

    /// The same, where the reply is not simply what comes next.
    pub(super) fn call_and(
        &mut self,
        words: &[Vec<u8>],
        receive: impl Fn(&mut Client) -> Result<Value>,
    ) -> Result<(Value, Value)> {
        let told = |who| move || format!("{who}: {}", words.join(&b' ').escape_ascii());
        self.oracle.send(words).with_context(told("redis"))?;
        self.subject.send(words).with_context(told("slotway"))?;
        let expected = receive(&mut self.oracle).with_context(told("redis"))?;
        Ok((expected, receive(&mut self.subject).with_context(told("slotway"))?))
    }
}

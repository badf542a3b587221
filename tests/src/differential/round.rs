//! Rounds of a comparison: what each client sends, and how the replies differ.

use std::fmt::Write as _;

use anyhow::Result;
use slotway_common::resp::Value;

use super::compare::{self, Verdict};
use super::generate::Request;
use super::pair::Pair;

/// What one round has done, to be told if something differs.
#[derive(Default)]
pub(super) struct Round {
    pub(super) log: String,
    pub(super) differs: bool,
}

impl Round {
    /// Runs a request, whose replies are compared by the rules of its command.
    pub(super) fn run(&mut self, who: &str, pair: &mut Pair, request: &Request) -> Result<Value> {
        let (expected, given) = pair.call(&request.args)?;
        let same = compare::verdict(request, &expected, &given) != Verdict::Different;
        self.note(who, request, same, &expected, &given)?;
        Ok(expected)
    }

    /// Runs words that are no data command.
    pub(super) fn say(&mut self, who: &str, pair: &mut Pair, words: &[&[u8]]) -> Result<(Value, Value)> {
        let request = Request { args: words.iter().map(|word| word.to_vec()).collect(), command: None };
        let (expected, given) = pair.call(&request.args)?;
        self.note(who, &request, expected == given, &expected, &given)?;
        Ok((expected, given))
    }

    fn note(
        &mut self,
        who: &str,
        request: &Request,
        same: bool,
        expected: &Value,
        given: &Value,
    ) -> Result<()> {
        writeln!(self.log, "  {who}: {request}")?;
        if !same {
            self.differs = true;
            writeln!(self.log, "    redis:   {expected}\n    slotway: {given}")?;
        }
        Ok(())
    }

    /// EXEC: each reply is compared by the rules of its command.
    pub(super) fn exec(&mut self, who: &str, pair: &mut Pair, queued: &[Request]) -> Result<()> {
        let exec = Request { args: vec![b"EXEC".to_vec()], command: None };
        let (expected, given) = pair.call(&exec.args)?;
        match (&expected, &given) {
            (Value::Array(redis), Value::Array(ours))
                if redis.len() == queued.len() && ours.len() == queued.len() =>
            {
                self.note(who, &exec, true, &expected, &given)?;
                for ((request, redis), ours) in queued.iter().zip(redis).zip(ours) {
                    let same = compare::verdict(request, redis, ours) != Verdict::Different;
                    self.note(&format!("{who} (in EXEC)"), request, same, redis, ours)?;
                }
            }
            _ => self.note(who, &exec, expected == given, &expected, &given)?,
        }
        Ok(())
    }
}

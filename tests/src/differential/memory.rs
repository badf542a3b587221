//! Limits of memory: the limit is switched at random moments between one that everything is over and one that nothing is, and
//! what needs memory is refused then, in transactions, scripts and functions as alone.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::generate::{Generator, Request};
use super::pair::Pair;
use super::round::Round;
use super::{Plan, contents, reset};

/// Nothing is over these, everything is over the last one.
const LIMITS: [&[u8]; 3] = [b"0", b"1000gb", b"1"];

const LIBRARY: &[u8] =
    b"#!lua name=l\nredis.register_function('f',function(k) return redis.call('set',k[1],1) end)\n\
    redis.register_function{function_name='fr',callback=function() return 1 end,flags={'no-writes'}}\n\
    redis.register_function{function_name='fo',callback=function(k) return redis.call('set',k[1],1) end,\
    flags={'allow-oom'}}";

/// Scripts that EVALSHA calls, and their digests.
const SCRIPTS: [(&[u8], &[u8]); 2] = [
    (b"#!lua\nreturn 1", b"cb70127618f0b0be70c53cf6bfcfa54a29d9b0c0"),
    (b"#!lua flags=no-writes\nreturn 1", b"77f21361171213377cb083e2ffc2ae24ffdff8fb"),
];

/// Calls that the generator of data commands does not make.
const CALLS: &[&[&[u8]]] = &[
    &[b"EVAL", b"return redis.call('set',KEYS[1],1)", b"1", b"{0}s"],
    &[b"EVAL", b"return redis.pcall('lpush',KEYS[1],1)", b"1", b"{0}l"],
    &[b"EVAL", b"return redis.call('del',KEYS[1])", b"1", b"{0}s"],
    &[b"EVAL", b"redis.call('del',KEYS[1]) return redis.call('set',KEYS[1],1)", b"1", b"{0}s"],
    &[b"EVAL", b"redis.call('get',KEYS[1]) return redis.call('append',KEYS[1],1)", b"1", b"{0}s"],
    &[
        b"EVAL",
        b"local e=redis.pcall('set',KEYS[1],1) redis.call('del',KEYS[1]) return {e,redis.call('set',KEYS[1],2)}",
        b"1",
        b"{0}s",
    ],
    &[b"EVAL", b"#!lua\nreturn redis.call('set',KEYS[1],1)", b"1", b"{0}s"],
    &[b"EVAL", b"#!lua flags=allow-oom\nreturn redis.call('set',KEYS[1],1)", b"1", b"{0}s"],
    &[b"EVAL", b"#!lua flags=no-writes\nreturn 1", b"0"],
    &[b"EVAL", b"#!lua flags=none\nreturn 1", b"0"],
    &[b"EVAL", b"no Lua", b"0"],
    &[b"EVAL_RO", b"#!lua\nreturn 1", b"0"],
    &[b"EVAL_RO", b"return redis.call('set',KEYS[1],1)", b"1", b"{0}s"],
    &[b"EVALSHA", SCRIPTS[0].1, b"0"],
    &[b"EVALSHA", SCRIPTS[1].1, b"0"],
    &[b"EVALSHA_RO", SCRIPTS[0].1, b"0"],
    &[b"EVALSHA", b"0000000000000000000000000000000000000000", b"0"],
    &[b"FCALL", b"f", b"1", b"{0}s"],
    &[b"FCALL", b"fr", b"1", b"{0}s"],
    &[b"FCALL", b"fo", b"1", b"{0}s"],
    &[b"FCALL", b"none", b"0"],
    &[b"FCALL_RO", b"f", b"1", b"{0}s"],
    &[b"FCALL_RO", b"fr", b"1", b"{0}s"],
    &[b"FUNCTION", b"LOAD", b"REPLACE", LIBRARY],
    &[b"FUNCTION", b"LOAD", LIBRARY],
    &[b"FUNCTION", b"RESTORE", b"x"],
    &[b"FUNCTION", b"DELETE", b"none"],
    &[b"FUNCTION", b"LIST", b"LIBRARYNAME", b"none"],
    &[b"SCRIPT", b"LOAD", SCRIPTS[0].0],
    &[b"SCRIPT", b"EXISTS", SCRIPTS[0].1],
    &[b"BLPOP", b"{0}none", b"0.001"],
    &[b"BLMOVE", b"{0}none", b"{0}l", b"LEFT", b"RIGHT", b"0.001"],
    &[b"BRPOPLPUSH", b"{0}l", b"{0}none", b"0.001"],
    &[b"BZPOPMIN", b"{0}none", b"0.001"],
    &[b"PUBLISH", b"c", b"m"],
    &[b"SPUBLISH", b"c", b"m"],
    &[b"PING"],
    &[b"PING", b"too", b"many"],
    &[b"SET", b"{0}s"],
    &[b"NONE", b"x"],
    &[b"TIME", b"x"],
    &[b"UNWATCH"],
    &[b"MULTI"],
    &[b"CONFIG", b"GET", b"maxmemory"],
    &[b"CLIENT", b"GETNAME"],
    &[b"CLIENT", b"SETNAME", b"x"],
];

/// The clients of both servers.
struct Stage {
    client: Pair,
    /// Sets the limit.
    operator: Pair,
    generator: Generator,
    /// Requests whose keys lie in one slot.
    within_slot: Generator,
    /// Transactions may call scripts by their digests, and functions: a proxy does not know whether these need memory.
    calls_by_name: bool,
}

/// Runs rounds until about `plan.commands` commands were sent.
///
/// # Errors
/// When a connection breaks, or with what a round did in which something differed.
pub fn run(plan: &Plan, oracle: SocketAddr, subject: SocketAddr) -> Result<()> {
    let generator = |seed| Generator::new(StdRng::seed_from_u64(seed), plan.through_proxy, &plan.families);
    let mut stage = Stage {
        client: Pair::connect(plan, oracle, subject)?,
        operator: Pair::connect(plan, oracle, subject)?,
        generator: generator(plan.seed),
        within_slot: generator(plan.seed.wrapping_add(1)),
        calls_by_name: !plan.through_proxy,
    };
    stage.within_slot.share_one_slot();
    stage.prepare()?;
    let (mut sent, mut rounds) = (0, 0);
    while sent < plan.commands {
        let mut round = Round::default();
        let played = stage.play(&mut round);
        rounds += 1;
        sent += played
            .with_context(|| format!("round {rounds} with SLOTWAY_SEED={}:\n{}", plan.seed, round.log))?;
        if round.differs {
            bail!("round {rounds} with SLOTWAY_SEED={} differs:\n{}", plan.seed, round.log);
        }
        if rounds % 100 == 0 {
            stage.settle().with_context(|| format!("after round {rounds}, SLOTWAY_SEED={}", plan.seed))?;
        }
    }
    Ok(())
}

impl Stage {
    fn prepare(&mut self) -> Result<()> {
        reset(&mut self.client.oracle, &mut self.client.subject)?;
        let mut round = Round::default();
        for (script, _) in SCRIPTS {
            round.say("operator", &mut self.operator, &[b"SCRIPT", b"LOAD", script])?;
        }
        round.say("operator", &mut self.operator, &[b"FUNCTION", b"LOAD", LIBRARY])?;
        if round.differs {
            bail!("{}", round.log);
        }
        Ok(())
    }

    /// Compares what both hold, and empties them.
    fn settle(&mut self) -> Result<()> {
        if let Some(difference) = contents::difference(&mut self.client.oracle, &mut self.client.subject)? {
            bail!("contents: {difference}");
        }
        reset(&mut self.client.oracle, &mut self.client.subject)?;
        self.generator.reset();
        self.within_slot.reset();
        Ok(())
    }

    /// One round; gives the number of commands.
    fn play(&mut self, round: &mut Round) -> Result<usize> {
        let mut sent = 0;
        for _ in 0..self.generator.below(5) {
            self.switch_once_in(round, 4)?;
            if self.generator.once_in(2) {
                let call = CALLS[self.generator.below(CALLS.len())];
                if call != [b"MULTI"] {
                    round.say("client", &mut self.client, call)?;
                }
            } else {
                for request in self.generator.batch(1) {
                    round.run("client", &mut self.client, &request)?;
                    sent += 1;
                }
            }
        }
        if self.generator.once_in(2) {
            sent += self.transaction(round)?;
        }
        Ok(sent + 1)
    }

    fn transaction(&mut self, round: &mut Round) -> Result<usize> {
        round.say("client", &mut self.client, &[b"MULTI"])?;
        let mut queued = Vec::new();
        for _ in 0..self.generator.below(5) {
            self.switch_once_in(round, 6)?;
            let requests = if self.generator.once_in(3) {
                let call = CALLS[self.generator.below(CALLS.len())];
                if !self.calls_by_name
                    && matches!(call[0], b"EVALSHA" | b"FCALL" | b"FCALL_RO" | b"EVALSHA_RO")
                {
                    continue;
                }
                vec![Request { args: call.iter().map(|word| word.to_vec()).collect(), command: None }]
            } else {
                self.within_slot.batch(1)
            };
            for request in requests {
                let words: Vec<&[u8]> = request.args.iter().map(Vec::as_slice).collect();
                let (reply, _) = round.say("client", &mut self.client, &words)?;
                if !reply.is_error() {
                    queued.push(request);
                }
            }
        }
        self.switch_once_in(round, 3)?;
        if self.generator.once_in(8) {
            round.say("client", &mut self.client, &[b"DISCARD"])?;
        } else {
            round.exec("client", &mut self.client, &queued)?;
        }
        Ok(queued.len() + 2)
    }

    fn switch_once_in(&mut self, round: &mut Round, times: u32) -> Result<()> {
        if self.generator.once_in(times) {
            let limit = LIMITS[self.generator.below(3)];
            round.say("operator", &mut self.operator, &[b"CONFIG", b"SET", b"maxmemory", limit])?;
        }
        Ok(())
    }
}

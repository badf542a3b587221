//! Random transactions with watched keys, and a second client whose commands come in between, sent to a real redis-server
//! and to Slotway, their replies compared.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::generate::Generator;
use super::pair::Pair;
use super::round::Round;
use super::{Plan, contents, reset};

/// Runs rounds until about `plan.commands` commands were sent.
///
/// # Errors
/// When a connection breaks, or with what a round did in which something differed.
pub fn run(plan: &Plan, oracle: SocketAddr, subject: SocketAddr) -> Result<()> {
    let mut a = Pair::connect(plan, oracle, subject)?;
    let mut b = Pair::connect(plan, oracle, subject)?;
    let mut generator = Generator::new(StdRng::seed_from_u64(plan.seed), false, &plan.families);
    reset(&mut a.oracle, &mut a.subject)?;
    let mut sent = 0;
    let mut rounds = 0;
    while sent < plan.commands {
        let mut round = Round::default();
        sent += play(&mut round, &mut generator, &mut a, &mut b)?;
        rounds += 1;
        if round.differs {
            let left = contents::difference(&mut a.oracle, &mut a.subject);
            let left = left.ok().flatten().unwrap_or_else(|| "the same contents".to_owned());
            bail!("round {rounds} with SLOTWAY_SEED={} differs:\n{}it left {left}", plan.seed, round.log);
        }
        if rounds % 500 == 0 {
            if let Some(difference) = contents::difference(&mut a.oracle, &mut a.subject)? {
                bail!("contents after {rounds} rounds with SLOTWAY_SEED={}: {difference}", plan.seed);
            }
            for pair in [&mut a, &mut b] {
                reset(&mut pair.oracle, &mut pair.subject)?;
            }
            generator.reset();
        }
    }
    Ok(())
}

/// One round; gives the number of commands.
fn play(round: &mut Round, generator: &mut Generator, a: &mut Pair, b: &mut Pair) -> Result<usize> {
    let mut sent = 2;
    sent += interfere(round, generator, "B", b)?;
    if generator.once_in(2) {
        let mut words = vec![b"WATCH".to_vec()];
        words.extend((0..=generator.below(3)).map(|_| generator.any_key()));
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        round.say("A", a, &words)?;
        sent += interfere(round, generator, "B", b)?;
        if generator.once_in(10) {
            sent += interfere(round, generator, "A", a)?;
        }
        if generator.once_in(10) {
            round.say("A", a, &[b"UNWATCH"])?;
        }
        if generator.once_in(4) {
            // Without MULTI they are refused, and what is watched stays watched.
            let stray: &[u8] = if generator.once_in(2) { b"EXEC" } else { b"DISCARD" };
            round.say("A", a, &[stray])?;
        }
    }
    round.say("A", a, &[b"MULTI"])?;
    let mut queued = Vec::new();
    for _ in 0..generator.below(6) {
        for request in generator.batch(1) {
            let args: Vec<&[u8]> = request.args.iter().map(Vec::as_slice).collect();
            let (reply, _) = round.say("A", a, &args)?;
            if !reply.is_error() {
                queued.push(request);
            }
            sent += 1;
        }
        if generator.once_in(8) {
            sent += interfere(round, generator, "B", b)?;
        }
    }
    if generator.once_in(10) {
        round.say("A", a, &[b"DISCARD"])?;
    } else {
        round.exec("A", a, &queued)?;
    }
    Ok(sent)
}

/// Runs up to two requests at once; gives their number.
fn interfere(round: &mut Round, generator: &mut Generator, who: &str, pair: &mut Pair) -> Result<usize> {
    let mut sent = 0;
    for _ in 0..generator.below(3) {
        for request in generator.batch(1) {
            round.run(who, pair, &request)?;
            sent += 1;
        }
    }
    Ok(sent)
}

//! Many seeds, each in a process of its own.

use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::Arguments;

/// Runs seeds until one goes wrong, or there are no more, or the time is over. With a planted bug, one must go wrong.
pub fn run(arguments: &Arguments) -> ExitCode {
    let from = arguments.from.unwrap_or_else(|| rand::random::<u64>() >> 32);
    let seeds = from..from.saturating_add(arguments.count);
    let began = Instant::now();
    let limit = Duration::from_secs(arguments.seconds);
    let (mut done, mut wrong) = (0_u64, Vec::new());
    let mut running: Vec<(u64, Child)> = Vec::new();
    let mut next = seeds.clone();
    loop {
        while running.len() < arguments.jobs.max(1)
            && wrong.is_empty()
            && (began.elapsed() < limit || done == 0)
        {
            let Some(seed) = next.next() else { break };
            match start(arguments, seed) {
                Ok(child) => running.push((seed, child)),
                Err(error) => {
                    println!("seed {seed} cannot be simulated: {error}");
                    return ExitCode::from(2);
                }
            }
        }
        if running.is_empty() {
            break;
        }
        let (seed, child) = running.remove(0);
        match child.wait_with_output() {
            Ok(output) if output.status.success() => done += 1,
            Ok(output) => {
                done += 1;
                println!(
                    "{}{}",
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                );
                println!("seed {seed} went wrong: simulate --seed {seed} --trace shows what happened");
                wrong.push(seed);
            }
            Err(error) => {
                println!("seed {seed}: {error}");
                return ExitCode::from(2);
            }
        }
    }
    println!("{done} simulations from seed {from}, {} went wrong", wrong.len());
    match (&arguments.planted, wrong.is_empty()) {
        (None, true) | (Some(_), false) => ExitCode::SUCCESS,
        (Some(bug), true) => {
            println!("{bug} was not found");
            ExitCode::from(1)
        }
        (None, false) => ExitCode::from(1),
    }
}

fn start(arguments: &Arguments, seed: u64) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--seed", &seed.to_string()]).env_remove("SLOTWAY_PLANTED");
    if let Some(bug) = &arguments.planted {
        command.env("SLOTWAY_PLANTED", bug);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

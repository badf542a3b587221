//! `math.random`: Redis's generator, so that a process gives the same numbers from its start as redis-server does.

use super::drand48::Random;
use crate::script::lua::{Frame, Native, Outcome, Raise};

pub const FUNCTIONS: &[(&str, Native)] = &[("random", random), ("randomseed", seed)];

fn random(frame: &mut Frame<'_>) -> Outcome {
    let mut state = frame.context().random.get();
    let number = state.next();
    frame.context().random.set(state);
    let empty = |argument| Raise::Argument(argument, b"interval is empty".to_vec());
    let result = match frame.top() {
        0 => number,
        1 => {
            let upper = frame.check_integer(1)? as i32;
            if upper < 1 {
                return Err(empty(1));
            }
            (number * f64::from(upper)).floor() + 1.0
        }
        2 => {
            let (lower, upper) = (frame.check_integer(1)? as i32, frame.check_integer(2)? as i32);
            if lower > upper {
                return Err(empty(2));
            }
            let width = upper.wrapping_sub(lower).wrapping_add(1);
            (number * f64::from(width)).floor() + f64::from(lower)
        }
        _ => return Err(Raise::text("wrong number of arguments")),
    };
    frame.push_number(result);
    Ok(1)
}

fn seed(frame: &mut Frame<'_>) -> Outcome {
    let seed = frame.check_integer(1)? as i32;
    frame.context().random.set(Random::seeded(seed));
    Ok(0)
}

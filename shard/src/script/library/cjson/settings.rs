//! What can be set of an instance, and the functions that set it.

use crate::script::lua::{Frame, Kind, Outcome, Raise};

/// What can be set of an instance. They are kept in a table that its functions share, by these numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Setting {
    SparseConvert = 1,
    SparseRatio,
    SparseSafe,
    EncodeDepth,
    DecodeDepth,
    Precision,
    KeepBuffer,
    EncodeInvalid,
    DecodeInvalid,
}

/// What is set at first, by number.
pub(super) const DEFAULTS: [i32; 9] = [0, 2, 10, 1000, 1000, 14, 1, 0, 1];

/// The value of a setting of the running function's instance.
pub(super) fn setting(frame: &mut Frame<'_>, setting: Setting) -> i32 {
    frame.push_own();
    frame.push_element(-1, setting as i32);
    let value = frame.number(-1).unwrap_or(0.0) as i32;
    frame.pop(2);
    value
}

fn set(frame: &mut Frame<'_>, setting: Setting, value: i32) {
    frame.push_own();
    frame.push_number(f64::from(value));
    frame.set_element(-2, setting as i32);
    frame.pop(1);
}

/// Fills the arguments up to so many, of which there may not be more.
fn arguments(frame: &mut Frame<'_>, count: usize) -> Result<(), Raise> {
    if frame.top() > count {
        return Err(Raise::Argument(count + 1, b"found too many arguments".to_vec()));
    }
    frame.fill(count);
    Ok(())
}

/// Sets a number if one is given as this argument, and pushes what it is.
fn number_option(
    frame: &mut Frame<'_>,
    argument: usize,
    which: Setting,
    low: i32,
    high: i32,
) -> Result<(), Raise> {
    if frame.kind(argument as i32) != Kind::Nil {
        let value = frame.check_integer(argument)? as i32;
        if !(low..=high).contains(&value) {
            let text = format!("expected integer between {low} and {high}");
            return Err(Raise::Argument(1, text.into_bytes()));
        }
        set(frame, which, value);
    }
    let value = setting(frame, which);
    frame.push_number(f64::from(value));
    Ok(())
}

/// Sets one of a few choices if one is given as this argument, and pushes what it is.
fn choice_option(
    frame: &mut Frame<'_>,
    argument: usize,
    which: Setting,
    choices: &[&str],
) -> Result<(), Raise> {
    match frame.kind(argument as i32) {
        Kind::Nil => {}
        Kind::Boolean => {
            let value = i32::from(frame.truth(argument as i32));
            set(frame, which, value);
        }
        _ => {
            let name = frame.check_bytes(argument)?;
            let Some(value) = choices.iter().position(|choice| choice.as_bytes() == name) else {
                let text = [b"invalid option '", name, b"'"].concat();
                return Err(Raise::Argument(argument, text));
            };
            set(frame, which, value as i32);
        }
    }
    match setting(frame, which) {
        value @ 0..=1 => frame.push_boolean(value == 1),
        value => {
            let name = usize::try_from(value).ok().and_then(|value| choices.get(value)).unwrap_or(&"");
            frame.push_bytes(name.as_bytes());
        }
    }
    Ok(())
}

pub(super) fn number_setting(frame: &mut Frame<'_>, which: Setting, low: i32, high: i32) -> Outcome {
    arguments(frame, 1)?;
    number_option(frame, 1, which, low, high)?;
    Ok(1)
}

pub(super) fn choice_setting(frame: &mut Frame<'_>, which: Setting, choices: &[&str]) -> Outcome {
    arguments(frame, 1)?;
    choice_option(frame, 1, which, choices)?;
    Ok(1)
}

pub(super) fn sparse_array(frame: &mut Frame<'_>) -> Outcome {
    arguments(frame, 3)?;
    choice_option(frame, 1, Setting::SparseConvert, &["off", "on"])?;
    number_option(frame, 2, Setting::SparseRatio, 0, i32::MAX)?;
    number_option(frame, 3, Setting::SparseSafe, 0, i32::MAX)?;
    Ok(3)
}

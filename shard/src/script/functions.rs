//! Libraries of functions.

use slotway_common::script::{BAD_NAME, ScriptFlags, is_name};

use super::convert::push_error;
pub use super::draft::{Draft, Function};
use super::lua::{Frame, Kind, Outcome, Raise};

/// What `redis.register_function` was given.
#[derive(Default)]
struct Given {
    name: Option<Vec<u8>>,
    callback: Option<i32>,
    description: Option<Vec<u8>>,
    flags: ScriptFlags,
}

/// `redis.register_function`
pub fn register(frame: &mut Frame<'_>) -> Outcome {
    if frame.context().library.borrow().is_none() {
        push_error(frame, b"redis.register_function can only be called on FUNCTION LOAD command");
        return Err(Raise::Top);
    }
    match add(frame) {
        Ok(()) => Ok(0),
        Err(text) => {
            push_error(frame, text.as_bytes());
            Err(Raise::Top)
        }
    }
}

fn add(frame: &mut Frame<'_>) -> Result<(), &'static str> {
    let given = match frame.top() {
        1 if frame.kind(1) == Kind::Table => named(frame)?,
        1 => {
            return Err(
                "calling redis.register_function with a single argument is only applicable to Lua table \
                        (representing named arguments).",
            );
        }
        2 => positional(frame)?,
        _ => return Err("wrong number of arguments to redis.register_function"),
    };
    let name = given.name.ok_or("redis.register_function must get a function name argument")?;
    let callback = given.callback.ok_or("redis.register_function must get a callback argument")?;
    if !is_name(&name) {
        return Err(BAD_NAME);
    }
    let is_known =
        frame.context().library.borrow().as_ref().is_some_and(|draft| draft.functions.contains_key(&name));
    if is_known {
        return Err("Function already exists in the library");
    }
    frame.push_copy(callback);
    let function = Function { callback: frame.keep(), description: given.description, flags: given.flags };
    if let Some(draft) = frame.context().library.borrow_mut().as_mut() {
        draft.functions.insert(name, function);
    }
    Ok(())
}

/// A string, or a number as one.
fn text(frame: &mut Frame<'_>, index: i32) -> Option<Vec<u8>> {
    frame.push_copy(index);
    let text = frame.bytes(-1).map(<[u8]>::to_vec);
    frame.pop(1);
    text
}

/// The part before the first null byte, which is all that redis-server reads of the names of options and flags.
fn c_string(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn positional(frame: &mut Frame<'_>) -> Result<Given, &'static str> {
    let name = text(frame, 1).ok_or("first argument to redis.register_function must be a string")?;
    if frame.kind(2) != Kind::Function {
        return Err("second argument to redis.register_function must be a function");
    }
    Ok(Given { name: Some(name), callback: Some(2), ..Given::default() })
}

fn named(frame: &mut Frame<'_>) -> Result<Given, &'static str> {
    let mut given = Given::default();
    // The callback is kept here, above the table.
    frame.push_nil();
    frame.traverse(1, |frame| {
        let key =
            text(frame, -2).ok_or("named argument key given to redis.register_function is not a string")?;
        match c_string(&key).to_ascii_lowercase().as_slice() {
            b"function_name" => {
                let name = text(frame, -1);
                given.name = Some(
                    name.ok_or("function_name argument given to redis.register_function must be a string")?,
                );
            }
            b"description" => {
                let description = text(frame, -1);
                given.description = Some(
                    description
                        .ok_or("description argument given to redis.register_function must be a string")?,
                );
            }
            b"callback" => {
                if frame.kind(-1) != Kind::Function {
                    return Err("callback argument given to redis.register_function must be a function");
                }
                frame.push_copy(-1);
                frame.replace(2);
                given.callback = Some(2);
            }
            b"flags" => given.flags = flags(frame)?,
            _ => return Err("unknown argument given to redis.register_function"),
        }
        Ok(())
    })?;
    Ok(given)
}

/// The flags that the table at the top names.
fn flags(frame: &mut Frame<'_>) -> Result<ScriptFlags, &'static str> {
    if frame.kind(-1) != Kind::Table {
        return Err("flags argument to redis.register_function must be a table representing function flags");
    }
    let mut flags = ScriptFlags::default();
    for number in 1.. {
        if frame.push_element(-1, number) == Kind::Nil {
            break;
        }
        // In the first line of a script the case of a flag matters, here it does not.
        let flag = c_string(frame.bytes(-1).unwrap_or_default()).to_ascii_lowercase();
        if !flags.add(&flag) {
            return Err("unknown flag given");
        }
        frame.pop(1);
    }
    frame.pop(1);
    Ok(flags)
}

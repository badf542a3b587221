//! DEBUG, for tests: allowed where `enable-debug-command` says so.

use std::net::SocketAddr;
use std::time::Duration;

use slotway_common::command::bad_subcommand_call;
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::settings::Name;

use crate::node::{NodeCall, NodeHandler};

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[("debug", debug)];

/// The longest sleep, so that a typing error does not end the shard.
const LONGEST_SLEEP: f64 = 3600.0;

fn debug(call: &mut NodeCall<'_>) -> Result<(), Error> {
    if !allowed(call) {
        return Err(Error::err(
            "DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
        ));
    }
    let args = call.args;
    match (args.at(1).to_ascii_lowercase().as_slice(), args.len()) {
        (b"sleep", 3) => sleep(call),
        (b"object", 3) => object(call)?,
        (b"protocol", 3) => protocol(call)?,
        (b"error", 3) => {
            // Sent as it is, as Redis does: this is for tests of clients.
            let mut line = b"-".to_vec();
            line.extend(
                args.at(2).iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }),
            );
            line.extend_from_slice(b"\r\n");
            call.reply.raw(&line);
        }
        (b"set-active-expire", 3) => {
            call.node.active_expire = parse_i64(args.at(2)).unwrap_or(0) != 0;
            call.reply.ok();
        }
        (b"help", 2) => help(call),
        _ => return Err(bad_subcommand_call(&args)),
    }
    Ok(())
}

fn allowed(call: &NodeCall<'_>) -> bool {
    match call.node.settings.values.choice(Name::EnableDebugCommand) {
        "yes" => true,
        "local" => {
            let address = call.session.client.address.parse::<SocketAddr>();
            address.is_ok_and(|address| address.ip().is_loopback())
        }
        _ => false,
    }
}

/// Stops the whole data thread, which is the purpose.
fn sleep(call: &mut NodeCall<'_>) {
    let text = std::str::from_utf8(call.args.at(2)).unwrap_or_default();
    let seconds: f64 = text.parse().unwrap_or(0.0);
    if seconds > 0.0 {
        std::thread::sleep(Duration::from_secs_f64(seconds.min(LONGEST_SLEEP)));
    }
    call.reply.ok();
}

fn object(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let (key, clock) = (call.key(2), call.engine.clock);
    let record = call.engine.peek_record(call.session.db, &key).ok_or(Error::NoSuchKey)?;
    let text = format!(
        "Value at:{:#x} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        std::ptr::from_ref(record) as usize,
        record.encoding(),
        record.heap_bytes(),
        record.access(),
        clock.idle_seconds(record),
    );
    call.reply.simple(&text);
    Ok(())
}

/// A reply of every type of the protocol.
#[allow(clippy::approx_constant, reason = "3.141 is what Redis sends")]
fn protocol(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let (kind, reply) = (call.args.at(2).to_ascii_lowercase(), &mut call.reply);
    match kind.as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.int(12345),
        b"double" => reply.double(3.141),
        b"null" => reply.null(),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|number| reply.int(number));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|number| reply.int(number));
        }
        b"map" => {
            reply.map(3);
            for number in 0..3 {
                reply.int(number);
                reply.boolean(number == 1);
            }
        }
        b"attrib" => {
            if reply.is_resp3() {
                reply.attribute(1);
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.int(90);
            }
            // What the attribute is about.
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if !reply.is_resp3() => return Err(Error::err("RESP2 is not supported by this command")),
        b"push" => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
            reply.bulk(b"Some real reply following the push reply");
        }
        _ => {
            return Err(Error::err(
                "Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

fn help(call: &mut NodeCall<'_>) {
    const LINES: [(&str, &str); 6] = [
        ("ERROR <string>", "Reply with this error."),
        ("OBJECT <key>", "Tell how the value of a key is stored."),
        ("PROTOCOL <type>", "Reply with a value of this type of the protocol."),
        ("SET-ACTIVE-EXPIRE <0|1>", "Switch the removal of keys that nobody asks for."),
        ("SLEEP <seconds>", "Do nothing for so long, which may be a fraction."),
        ("HELP", "Lists the subcommands."),
    ];
    call.reply.array(1 + 2 * LINES.len());
    call.reply.simple("DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    for (usage, text) in LINES {
        call.reply.simple(usage);
        call.reply.simple(&format!("    {text}"));
    }
}

//! Lines of MONITOR.

use slotway_common::acl::is_secret;
use slotway_common::command::Command;
use slotway_common::platform::clock;
use slotway_common::resp::Args;

use crate::session::Session;

/// The line that shows a command: time, database, the client's address, and the arguments quoted as Redis does it.
pub(crate) fn line(session: &Session, command: &Command, args: &Args<'_>) -> Vec<u8> {
    let now = clock::now_us();
    let mut line =
        format!("+{}.{:06} [{} {}]", now / 1_000_000, now % 1_000_000, session.database, session.peer)
            .into_bytes();
    for (index, arg) in args.iter().enumerate() {
        line.push(b' ');
        if is_secret(command, args, index) {
            quote(b"(redacted)", &mut line);
        } else {
            quote(arg, &mut line);
        }
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// Appends `text` in double quotes, every byte that is not printable escaped.
pub(crate) fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(byte),
            other => out.extend_from_slice(format!("\\x{other:02x}").as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_as_redis_does_it() {
        let mut out = Vec::new();
        quote(b"a\"\\\n\r\t\x07\x08\x00\xff ~", &mut out);
        assert_eq!(out, br#""a\"\\\n\r\t\a\b\x00\xff ~""#);
    }
}

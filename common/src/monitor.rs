//! The arguments of a command, as a line of MONITOR shows them.

use crate::acl::is_secret;
use crate::command::Command;
use crate::resp::Args;

/// Appends the arguments, each behind a space and quoted as redis-server does it, and the end of the line. Secrets are left out.
pub fn end_line(command: &Command, args: &Args<'_>, line: &mut Vec<u8>) {
    for (index, arg) in args.iter().enumerate() {
        line.push(b' ');
        quote(if is_secret(command, args, index) { b"(redacted)" } else { arg }, line);
    }
    line.extend_from_slice(b"\r\n");
}

/// Appends `text` in double quotes, every byte that is not printable escaped as redis-cli reads it.
fn quote(text: &[u8], out: &mut Vec<u8>) {
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
            _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_so_that_a_line_stays_a_line() {
        let mut out = Vec::new();
        quote(b"a\"\\\n\r\t\x07\x08\x00\xff ~", &mut out);
        assert_eq!(out, br#""a\"\\\n\r\t\a\b\x00\xff ~""#);
    }
}

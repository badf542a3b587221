//! The first line of a script or library, which begins with `#!`.

use crate::error::Error;

use super::flags::ScriptFlags;

/// What the first line of a script says.
#[derive(Debug, PartialEq, Eq)]
pub struct ScriptHead<'a> {
    /// `None` without such a line: then the script may do what scripts always could.
    pub flags: Option<ScriptFlags>,
    /// The rest, from the end of that line on.
    pub body: &'a [u8],
}

/// What the first line of a library says.
#[derive(Debug, PartialEq, Eq)]
pub struct LibraryHead<'a> {
    pub name: Vec<u8>,
    pub body: &'a [u8],
}

fn text(start: &str, rest: &[u8]) -> Error {
    Error::Bytes([start.as_bytes(), rest].concat())
}

/// The text up to the end of its first line, and from there on.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text
        .iter()
        .position(|byte| matches!(byte, b'\n' | 0))
        .filter(|end| text.get(*end) == Some(&b'\n'))?;
    text.split_at_checked(end)
}

/// Reads the first line of a script.
///
/// # Errors
/// It is none that Redis knows.
pub fn of_script(source: &[u8]) -> Result<ScriptHead<'_>, Error> {
    if !source.starts_with(b"#!") {
        return Ok(ScriptHead { flags: None, body: source });
    }
    let (line, body) = split_line(source).ok_or(Error::err("Invalid script shebang"))?;
    let words = words(line).filter(|words| !words.is_empty());
    let mut words = words.ok_or(Error::err("Invalid engine in script shebang"))?.into_iter();
    let engine = words.next().unwrap_or_default();
    if engine != b"#!lua" {
        return Err(text("Unexpected engine in script shebang: ", &engine));
    }
    let mut flags = ScriptFlags::default();
    for word in words {
        let Some(names) = word.strip_prefix(b"flags=") else {
            return Err(text("Unknown lua shebang option: ", &word));
        };
        if names.is_empty() {
            continue;
        }
        for name in names.split(|&byte| byte == b',') {
            if !flags.add(name) {
                return Err(text("Unexpected flag in script shebang: ", name));
            }
        }
    }
    Ok(ScriptHead { flags: Some(flags), body })
}

/// Whether a library or function can be called so.
#[must_use]
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// What is wrong with another name.
pub const BAD_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// Reads the first line of a library.
///
/// # Errors
/// It is none that Redis knows.
pub fn of_library(source: &[u8]) -> Result<LibraryHead<'_>, Error> {
    if !source.starts_with(b"#!") {
        return Err(Error::err("Missing library metadata"));
    }
    let (line, body) = split_line(source).ok_or(Error::err("Invalid library metadata"))?;
    let words = words(line).filter(|words| !words.is_empty());
    let mut words = words.ok_or(Error::err("Invalid library metadata"))?.into_iter();
    let engine = words.next().unwrap_or_default();
    let mut name: Option<Vec<u8>> = None;
    for word in words {
        if !word.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"name=")) {
            return Err(text("Invalid metadata value given: ", &word));
        }
        if name.is_some() {
            return Err(Error::err("Invalid metadata value, name argument was given multiple times"));
        }
        name = Some(word.get(5..).unwrap_or_default().to_vec());
    }
    let name = name.ok_or(Error::err("Library name was not given"))?;
    if !is_name(&name) {
        return Err(Error::err(BAD_NAME));
    }
    let engine = engine.get(2..).unwrap_or_default();
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(Error::Bytes([b"Engine '", engine, b"' not found"].concat()));
    }
    Ok(LibraryHead { name, body })
}

/// The words of a line, which may be in quotes as in an inline request; `None` where a quote does not end.
fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut bytes = line.iter().copied().peekable();
    loop {
        while bytes.next_if(|byte| byte.is_ascii_whitespace() || *byte == 0x0B).is_some() {}
        if bytes.peek().is_none() {
            return Some(words);
        }
        let mut word = Vec::new();
        while let Some(byte) = bytes.next_if(|byte| !(byte.is_ascii_whitespace() || *byte == 0x0B)) {
            match byte {
                b'"' => loop {
                    match bytes.next()? {
                        b'"' => break,
                        b'\\' => match bytes.next()? {
                            b'n' => word.push(b'\n'),
                            b'r' => word.push(b'\r'),
                            b't' => word.push(b'\t'),
                            b'b' => word.push(0x08),
                            b'a' => word.push(0x07),
                            other => word.push(other),
                        },
                        other => word.push(other),
                    }
                },
                b'\'' => loop {
                    match bytes.next()? {
                        b'\'' => break,
                        other => word.push(other),
                    }
                },
                other => {
                    word.push(other);
                    continue;
                }
            }
            if bytes.peek().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                return None;
            }
            break;
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_script_names_its_flags() {
        let head = of_script(b"#!lua flags=no-writes,allow-oom\nreturn 1").unwrap();
        assert_eq!(head.flags.unwrap().names().collect::<Vec<_>>(), ["no-writes", "allow-oom"]);
        assert_eq!(head.body, b"\nreturn 1");
        assert_eq!(of_script(b"return 1").unwrap(), ScriptHead { flags: None, body: b"return 1" });
        for bad in ["#!lua", "#!js\n", "#!lua flags=x\n", "#!lua x\n", "#!\n"] {
            assert!(of_script(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_line_of_a_library_names_it() {
        assert_eq!(of_library(b"#!LUA \"name=x\" \nbody").unwrap().name, b"x");
        for bad in
            ["", "#!lua name=x", "#!lua\n", "#!lua name=a name=b\n", "#!lua name=a-b\n", "#!js name=x\n"]
        {
            assert!(of_library(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

//! `cjson.decode`.

use super::settings::{Setting, setting};
use crate::script::library::json_number;
use crate::script::lua::{Frame, Outcome, Raise};

struct Decoder<'a> {
    text: &'a [u8],
    at: usize,
    depth: i32,
    max_depth: i32,
    /// Numbers that are none of JSON are read.
    invalid_numbers: bool,
}

/// What comes next in the text.
#[derive(Debug)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Comma,
    Colon,
    End,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    /// It is none; why.
    Bad(&'static str),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::Comma => "T_COMMA",
            Self::Colon => "T_COLON",
            Self::End => "T_END",
            Self::String(_) => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Bad(reason) => reason,
        }
    }
}

pub fn decode(frame: &mut Frame<'_>) -> Outcome {
    if frame.top() != 1 {
        return Err(Raise::Argument(1, b"expected 1 argument".to_vec()));
    }
    let text = frame.check_bytes(1)?.to_vec();
    if matches!(text.as_slice(), [0, _, ..] | [_, 0, ..]) {
        return Err(Raise::text("JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut decoder = Decoder {
        text: &text,
        at: 0,
        depth: 0,
        max_depth: setting(frame, Setting::DecodeDepth),
        invalid_numbers: setting(frame, Setting::DecodeInvalid) != 0,
    };
    let (token, at) = decoder.next();
    decoder.value(frame, token, at)?;
    match decoder.next() {
        (Token::End, _) => Ok(1),
        (token, at) => Err(unexpected("the end", &token, at)),
    }
}

fn unexpected(wanted: &str, found: &Token, at: usize) -> Raise {
    Raise::text(format!("Expected {wanted} but found {} at character {}", found.name(), at + 1))
}

impl Decoder<'_> {
    /// The byte there; the text ends with a null byte.
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next token, and where it is or what is wrong with it.
    fn next(&mut self) -> (Token, usize) {
        while matches!(self.byte(self.at), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let at = self.at;
        let single = match self.byte(at) {
            0 => return (Token::End, at),
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' if !self.invalid_numbers && self.is_invalid_number() => {
                return (Token::Bad("invalid number"), at);
            }
            b'-' | b'0'..=b'9' => return (self.number(), at),
            b't' if self.rest().starts_with(b"true") => return (self.word(4, Token::Boolean(true)), at),
            b'f' if self.rest().starts_with(b"false") => return (self.word(5, Token::Boolean(false)), at),
            b'n' if self.rest().starts_with(b"null") => return (self.word(4, Token::Null), at),
            b'+' | b'i' | b'I' | b'n' | b'N' if self.invalid_numbers && self.is_invalid_number() => {
                return (self.number(), at);
            }
            _ => return (Token::Bad("invalid token"), at),
        };
        self.at += 1;
        (single, at)
    }

    fn word(&mut self, length: usize, token: Token) -> Token {
        self.at += length;
        token
    }

    fn number(&mut self) -> Token {
        match json_number::read(self.rest()) {
            Some((number, length)) => {
                self.at += length;
                Token::Number(number)
            }
            None => Token::Bad("invalid number"),
        }
    }

    /// A number that C would read but JSON does not have.
    fn is_invalid_number(&self) -> bool {
        if self.byte(self.at) == b'+' {
            return true;
        }
        let at = self.at + usize::from(self.byte(self.at) == b'-');
        let rest = self.text.get(at..).unwrap_or_default();
        match self.byte(at) {
            b'0' => matches!(self.byte(at + 1), b'x' | b'X' | b'0'..=b'9'),
            byte if byte <= b'9' => false,
            _ => rest
                .get(..3)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")),
        }
    }

    fn string(&mut self) -> (Token, usize) {
        let start = self.at;
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let special = self.rest().iter().position(|byte| matches!(byte, b'"' | b'\\' | 0));
            let length = special.unwrap_or(self.rest().len());
            out.extend_from_slice(self.rest().get(..length).unwrap_or_default());
            self.at += length;
            match self.byte(self.at) {
                b'"' => {
                    self.at += 1;
                    return (Token::String(out), start);
                }
                b'\\' => {}
                _ => return (Token::Bad("unexpected end of string"), self.at),
            }
            let byte = match self.byte(self.at + 1) {
                byte @ (b'"' | b'\\' | b'/') => byte,
                b'b' => 0x08,
                b'f' => 0x0C,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'u' => match self.unicode() {
                    Some((character, length)) => {
                        let mut buffer = [0; 4];
                        out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
                        self.at += length;
                        continue;
                    }
                    None => return (Token::Bad("invalid unicode escape code"), self.at),
                },
                _ => return (Token::Bad("invalid escape code"), self.at),
            };
            out.push(byte);
            self.at += 2;
        }
    }

    /// The character of a `\u` escape, or of two that stand for one, and their length.
    fn unicode(&self) -> Option<(char, usize)> {
        let first = self.unit(self.at)?;
        if first & 0xF800 != 0xD800 {
            return Some((char::from_u32(first)?, 6));
        }
        let second = self.unit(self.at + 6)?;
        if first & 0x400 != 0 || second & 0xFC00 != 0xDC00 {
            return None;
        }
        let code = ((first & 0x3FF) << 10 | second & 0x3FF) + 0x1_0000;
        Some((char::from_u32(code)?, 12))
    }

    fn unit(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        let digits = std::str::from_utf8(digits).ok()?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        u32::from_str_radix(digits, 16).ok()
    }

    /// Pushes the value that a token is or begins.
    fn value(&mut self, frame: &mut Frame<'_>, token: Token, at: usize) -> Result<(), Raise> {
        match token {
            Token::String(text) => frame.push_bytes(&text),
            Token::Number(number) => frame.push_number(number),
            Token::Boolean(value) => frame.push_boolean(value),
            Token::Null => frame.push_null(),
            Token::ObjectBegin => self.object(frame)?,
            Token::ArrayBegin => self.array(frame)?,
            other => return Err(unexpected("value", &other, at)),
        }
        Ok(())
    }

    fn descend(&mut self, frame: &mut Frame<'_>) -> Result<(), Raise> {
        self.depth = self.depth.saturating_add(1);
        if self.depth <= self.max_depth && frame.has_room(8) {
            return Ok(());
        }
        Err(Raise::text(format!(
            "Found too many nested data structures ({}) at character {}",
            self.depth, self.at
        )))
    }

    fn object(&mut self, frame: &mut Frame<'_>) -> Result<(), Raise> {
        self.descend(frame)?;
        frame.push_table(0, 0);
        let (mut token, mut at) = self.next();
        if matches!(token, Token::ObjectEnd) {
            self.depth -= 1;
            return Ok(());
        }
        loop {
            match token {
                Token::String(name) => frame.push_bytes(&name),
                other => return Err(unexpected("object key string", &other, at)),
            }
            match self.next() {
                (Token::Colon, _) => {}
                (other, at) => return Err(unexpected("colon", &other, at)),
            }
            let (value, place) = self.next();
            self.value(frame, value, place)?;
            frame.set(-3);
            match self.next() {
                (Token::ObjectEnd, _) => {
                    self.depth -= 1;
                    return Ok(());
                }
                (Token::Comma, _) => {}
                (other, at) => return Err(unexpected("comma or object end", &other, at)),
            }
            (token, at) = self.next();
        }
    }

    fn array(&mut self, frame: &mut Frame<'_>) -> Result<(), Raise> {
        self.descend(frame)?;
        frame.push_table(0, 0);
        let (mut token, mut at) = self.next();
        if matches!(token, Token::ArrayEnd) {
            self.depth -= 1;
            return Ok(());
        }
        for number in 1.. {
            self.value(frame, token, at)?;
            frame.set_element(-2, number);
            match self.next() {
                (Token::ArrayEnd, _) => break,
                (Token::Comma, _) => {}
                (other, at) => return Err(unexpected("comma or array end", &other, at)),
            }
            (token, at) = self.next();
        }
        self.depth -= 1;
        Ok(())
    }
}

//! The number at the start of a text, as C's `strtod` finds it.

use slotway_common::number::parse_f64;

/// The number and its length; `None` when there is none.
pub fn read(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let body = text.get(sign..).unwrap_or_default();
    let (magnitude, length) = special(body).or_else(|| hexadecimal(body)).or_else(|| decimal(body))?;
    Some((if negative { -magnitude } else { magnitude }, sign + length))
}

fn starts_with(text: &[u8], word: &str) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
}

fn special(text: &[u8]) -> Option<(f64, usize)> {
    for (word, value) in [("infinity", f64::INFINITY), ("inf", f64::INFINITY)] {
        if starts_with(text, word) {
            return Some((value, word.len()));
        }
    }
    if !starts_with(text, "nan") {
        return None;
    }
    let rest = text.get(3..).unwrap_or_default();
    let named = rest.first().filter(|byte| **byte == b'(').and_then(|_| {
        let end = rest.iter().skip(1).position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))?;
        (rest.get(end + 1) == Some(&b')')).then_some(end + 2)
    });
    Some((f64::NAN, 3 + named.unwrap_or(0)))
}

/// The number of bytes from the start of which this holds.
fn run(text: &[u8], holds: impl Fn(&u8) -> bool) -> usize {
    text.iter().take_while(|byte| holds(byte)).count()
}

/// Digits with a point among them: their length, and whether there is a digit.
fn digits(text: &[u8], is_digit: impl Fn(&u8) -> bool + Copy) -> (usize, bool) {
    let whole = run(text, is_digit);
    match text.get(whole) {
        Some(b'.') => {
            let part = run(text.get(whole + 1..).unwrap_or_default(), is_digit);
            (whole + 1 + part, whole + part > 0)
        }
        _ => (whole, whole > 0),
    }
}

/// The length of an exponent behind one of these letters; 0 if there is none.
fn exponent(text: &[u8], letters: [u8; 2]) -> usize {
    if !text.first().is_some_and(|byte| letters.contains(byte)) {
        return 0;
    }
    let sign = usize::from(matches!(text.get(1), Some(b'-' | b'+')));
    match run(text.get(1 + sign..).unwrap_or_default(), u8::is_ascii_digit) {
        0 => 0,
        count => 1 + sign + count,
    }
}

fn hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    let rest = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X"))?;
    let (length, any) = digits(rest, u8::is_ascii_hexdigit);
    if !any {
        return None;
    }
    let length = length + exponent(rest.get(length..).unwrap_or_default(), [b'p', b'P']);
    let number = parse_f64(text.get(..2 + length)?)?;
    Some((number, 2 + length))
}

fn decimal(text: &[u8]) -> Option<(f64, usize)> {
    let (length, any) = digits(text, u8::is_ascii_digit);
    if !any {
        return None;
    }
    let length = length + exponent(text.get(length..).unwrap_or_default(), [b'e', b'E']);
    let number = std::str::from_utf8(text.get(..length)?).ok()?.parse().ok()?;
    Some((number, length))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_longest_number_at_the_start_is_read() {
        for (text, number, length) in [
            ("1", 1.0, 1),
            ("-1.5e3,", -1500.0, 6),
            ("1e", 1.0, 1),
            ("1e+x", 1.0, 1),
            ("1.", 1.0, 2),
            (".5x", 0.5, 2),
            ("0x1Ag", 26.0, 4),
            ("0x", 0.0, 1),
            ("1e999", f64::INFINITY, 5),
            ("-Infinite", f64::NEG_INFINITY, 4),
        ] {
            assert_eq!(read(text.as_bytes()), Some((number, length)), "{text}");
        }
        for text in ["", "-", ".", "e5", "x", "--1"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert!(matches!(read(b"nan(x)y"), Some((number, 6)) if number.is_nan()));
    }
}

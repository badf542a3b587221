//! Numbers as Redis reads and writes them.

pub mod extended;

pub use extended::Extended;

/// Reads a signed 64-bit integer in its one canonical form: no blanks, no `+`, no leading zeros, no `-0`.
#[must_use]
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] => return (!negative).then_some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut magnitude: u64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Nineteen digits always fit in 64 unsigned bits.
        magnitude = magnitude * 10 + u64::from(digit - b'0');
    }
    if negative {
        (magnitude <= i64::MIN.unsigned_abs()).then(|| (magnitude as i64).wrapping_neg())
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// Reads a double as C's `strtod` would read the whole text (decimal, hexadecimal, `inf`,
/// `infinity`); no leading blanks, no NaN, and no number too large or too small for a double.
#[must_use]
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let (negative, body) = match text {
        [b'-', body @ ..] => (true, body),
        [b'+', body @ ..] => (false, body),
        body => (false, body),
    };
    let first = *body.first()?;
    let magnitude = if first.is_ascii_digit() || first == b'.' {
        if let [b'0', b'x' | b'X', hex @ ..] = body {
            extended::parse_hex(hex)?.to_f64()
        } else {
            let parsed: f64 = std::str::from_utf8(body).ok()?.parse().ok()?;
            let zero_digits =
                body.iter().take_while(|b| !matches!(b, b'e' | b'E')).all(|b| !matches!(b, b'1'..=b'9'));
            // strtod reports a range error (ERANGE) for overflow and for underflow to zero.
            if parsed.is_infinite() || (parsed == 0.0 && !zero_digits) {
                return None;
            }
            parsed
        }
    } else if body.eq_ignore_ascii_case(b"inf") || body.eq_ignore_ascii_case(b"infinity") {
        f64::INFINITY
    } else {
        return None;
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// Writes a double as C's `%.17g`: up to 17 significant digits, no trailing zeros.
#[must_use]
pub fn format_f64(number: f64) -> String {
    if number.fract() == 0.0 && number != 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        let mut digits = itoa::Buffer::new();
        return digits.format(number as i64).to_owned();
    }
    format_general(number, 17)
}

/// Writes a double as C's `%g` with a precision of so many (at least one) significant digits.
#[must_use]
pub fn format_general(number: f64, precision: usize) -> String {
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan".into() } else { "nan".into() };
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0".into() } else { "0".into() };
    }
    let precision = precision.max(1);
    let scientific = format!("{number:.*e}", precision - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    if exponent >= -4 && exponent < i32::try_from(precision).unwrap_or(i32::MAX) {
        format!("{sign}{}", fixed(digits, exponent))
    } else {
        let (head, tail) = digits.split_at(1);
        let point = if tail.is_empty() { "" } else { "." };
        let mark = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{head}{point}{tail}e{mark}{:02}", exponent.abs())
    }
}

/// `digits` (first digit not zero) times ten to `exponent` minus their count, without an exponent.
fn fixed(digits: &str, exponent: i32) -> String {
    if exponent < 0 {
        return format!("0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        format!("{digits}{}", "0".repeat(whole - digits.len()))
    } else {
        format!("{}.{}", &digits[..whole], &digits[whole..])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_canonical_integers_are_read() {
        for text in
            ["", "-", "+1", "01", "-0", " 1", "1 ", "9223372036854775808", "-9223372036854775809", "1a"]
        {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
        for number in [0, 1, -1, 10, i64::MAX, i64::MIN] {
            assert_eq!(parse_i64(number.to_string().as_bytes()), Some(number));
        }
    }

    #[test]
    fn doubles_are_written_with_seventeen_digits() {
        for (number, text) in [
            (3.2, "3.2000000000000002"),
            (0.1, "0.10000000000000001"),
            (1.5, "1.5"),
            (-2.0, "-2"),
            (1e17, "1e+17"),
            (1e16, "10000000000000000"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (5e-324, "4.9406564584124654e-324"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (-0.0, "-0"),
        ] {
            assert_eq!(format_f64(number), text);
        }
    }

    #[test]
    fn doubles_are_written_with_any_precision() {
        for (number, precision, text) in [
            (1.0 / 3.0, 14, "0.33333333333333"),
            (123456789012345.0, 14, "1.2345678901234e+14"),
            (99999999999999.5, 14, "1e+14"),
            (12345.0, 3, "1.23e+04"),
            (0.00001234, 2, "1.2e-05"),
            (100.0, 3, "100"),
            (100.0, 2, "1e+02"),
        ] {
            assert_eq!(format_general(number, precision), text);
        }
    }

    #[test]
    fn doubles_are_read_as_strtod_does() {
        assert_eq!(parse_f64(b"+1.5"), Some(1.5));
        assert_eq!(parse_f64(b".5"), Some(0.5));
        assert_eq!(parse_f64(b"5."), Some(5.0));
        assert_eq!(parse_f64(b"0x10"), Some(16.0));
        assert_eq!(parse_f64(b"-Inf"), Some(f64::NEG_INFINITY));
        for text in ["", " 1", "1 ", "nan", "1e400", "1e-400", "--1", "e5", "0x", "1_0", "infin"] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_double_survives_its_text(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            prop_assert_eq!(format_f64(number).parse::<f64>().unwrap().to_bits(), bits);
        }
    }
}

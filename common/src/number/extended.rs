//! 80-bit extended floats (x87 `long double`), in which Redis computes INCRBYFLOAT and HINCRBYFLOAT:
//! a 64-bit mantissa, so that 0.1 + 0.2 gives 0.3. Rounding is to nearest, ties to even.

use num_bigint::BigUint;

/// Bits of the mantissa.
const PRECISION: u64 = 64;
/// Largest exponent of the leading bit.
const MAX_EXPONENT: i64 = 16_383;
/// Exponent of the lowest bit of a subnormal number.
const MIN_EXPONENT: i64 = -16_445;

/// A finite or infinite extended float: `sign · mantissa · 2^exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    mantissa: u64,
    exponent: i64,
    infinite: bool,
}

impl Extended {
    pub const ZERO: Self = Self { negative: false, mantissa: 0, exponent: 0, infinite: false };

    /// Reads the whole text as `strtold` would; no blanks, no NaN, nothing out of range.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, body) = match text {
            [b'-', body @ ..] => (true, body),
            [b'+', body @ ..] => (false, body),
            body => (false, body),
        };
        let magnitude = match body {
            [b'0', b'x' | b'X', hex @ ..] => parse_hex(hex)?,
            _ if body.eq_ignore_ascii_case(b"inf") || body.eq_ignore_ascii_case(b"infinity") => {
                Self { infinite: true, ..Self::ZERO }
            }
            _ => parse_decimal(body)?,
        };
        Some(Self { negative, ..magnitude })
    }

    /// A thousand times the number, rounded up to a whole one; `None` where that is too large.
    #[must_use]
    pub fn thousandfold_rounded_up(self) -> Option<i64> {
        if self.infinite {
            return None;
        }
        let product = round(&(BigUint::from(self.mantissa) * 1000u32), self.exponent, false);
        let mantissa = i128::from(product.mantissa);
        let whole = match product.exponent {
            _ if mantissa == 0 => 0,
            0.. => mantissa.checked_shl(u32::try_from(product.exponent).ok().filter(|shift| *shift < 63)?)?,
            exponent => {
                let dropped = u32::try_from(-exponent).unwrap_or(u32::MAX).min(127);
                let whole = mantissa >> dropped;
                let is_more = mantissa != whole << dropped;
                whole + i128::from(is_more && !self.negative)
            }
        };
        i64::try_from(if self.negative { -whole } else { whole }).ok()
    }

    #[must_use]
    pub fn is_infinite(self) -> bool {
        self.infinite
    }

    /// The sum, rounded; `None` for infinity minus infinity (not a number).
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        match (self.infinite, other.infinite) {
            (true, true) => return (self.negative == other.negative).then_some(self),
            (true, false) => return Some(self),
            (false, true) => return Some(other),
            (false, false) => {}
        }
        if self.mantissa == 0 {
            return Some(if other.mantissa == 0 && !(self.negative && other.negative) {
                Self::ZERO
            } else {
                other
            });
        }
        if other.mantissa == 0 {
            return Some(self);
        }
        let (high, low) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        let shift = (high.exponent - low.exponent).unsigned_abs();
        // Far apart, the smaller number only matters as "a little more or less": cap the shift.
        let (shift, low) = if shift > 200 { (200, Self { mantissa: 1, ..low }) } else { (shift, low) };
        let exponent = high.exponent - shift as i64;
        let (a, b) = (BigUint::from(high.mantissa) << shift, BigUint::from(low.mantissa));
        let (negative, sum) = if high.negative == low.negative {
            (high.negative, a + b)
        } else if a >= b {
            (high.negative, a - b)
        } else {
            (low.negative, b - a)
        };
        if sum.bits() == 0 {
            return Some(Self::ZERO);
        }
        let rounded = round(&sum, exponent, false);
        Some(Self { negative, ..rounded })
    }

    /// The text of C's `%.17Lf` without trailing zeros, and `0` for `-0`: how Redis writes the result.
    #[must_use]
    pub fn to_text(self) -> String {
        if self.infinite {
            return if self.negative { "-inf".into() } else { "inf".into() };
        }
        let scaled = BigUint::from(self.mantissa) * BigUint::from(10u64).pow(17);
        let units = if self.exponent >= 0 {
            scaled << self.exponent.unsigned_abs()
        } else {
            shift_right_to_even(&scaled, self.exponent.unsigned_abs(), false)
        };
        let digits = format!("{units:0>18}");
        let (whole, fraction) = digits.split_at(digits.len() - 17);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        let text = format!("{whole}{point}{fraction}");
        if self.negative && text != "0" { format!("-{text}") } else { text }
    }

    /// The nearest double; infinite when too large.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        if self.infinite {
            return if self.negative { f64::NEG_INFINITY } else { f64::INFINITY };
        }
        let magnitude = if self.exponent < -1074 {
            let drop = (-1074 - self.exponent).unsigned_abs();
            let bits = shift_right_to_even(&BigUint::from(self.mantissa), drop, false);
            bits.to_string().parse::<f64>().unwrap_or(0.0) * f64::from_bits(1)
        } else {
            // One rounding: 64 bits to 53, then an exact power of two.
            let mut value = self.mantissa as f64;
            let mut left = self.exponent;
            while left > 0 {
                let step = left.min(1000);
                value *= 2f64.powi(step as i32);
                left -= step;
            }
            while left < 0 {
                let step = (-left).min(500);
                value /= 2f64.powi(step as i32);
                left += step;
            }
            value
        };
        if self.negative { -magnitude } else { magnitude }
    }
}

/// `number · 2^exponent` rounded to the format; `sticky` tells that some value below it was cut off.
fn round(number: &BigUint, exponent: i64, sticky: bool) -> Extended {
    let bits = number.bits();
    if bits == 0 {
        return Extended::ZERO;
    }
    let lowest = (exponent + bits as i64 - PRECISION as i64).max(MIN_EXPONENT);
    let (mantissa, exponent) = if lowest > exponent {
        (shift_right_to_even(number, (lowest - exponent).unsigned_abs(), sticky), lowest)
    } else {
        (number.clone(), exponent)
    };
    let (mantissa, exponent) =
        if mantissa.bits() > PRECISION { (mantissa >> 1u32, exponent + 1) } else { (mantissa, exponent) };
    if exponent + mantissa.bits() as i64 - 1 > MAX_EXPONENT {
        return Extended { infinite: true, ..Extended::ZERO };
    }
    Extended { mantissa: u64::try_from(&mantissa).unwrap_or(u64::MAX), exponent, ..Extended::ZERO }
}

fn shift_right_to_even(number: &BigUint, shift: u64, sticky: bool) -> BigUint {
    if shift == 0 {
        return number.clone();
    }
    let quotient: BigUint = number >> shift;
    let half = number.bit(shift - 1);
    let below = sticky || number.trailing_zeros().is_some_and(|zeros| zeros < shift - 1);
    if half && (below || quotient.bit(0)) { quotient + 1u32 } else { quotient }
}

/// Digits and an optional fraction, then an optional exponent behind `mark` (in either case).
struct Literal {
    digits: Vec<u8>,
    /// Digits behind the point.
    fraction: i64,
    exponent: i64,
}

fn literal(body: &[u8], is_digit: fn(u8) -> bool, mark: u8) -> Option<Literal> {
    let mut digits = Vec::with_capacity(body.len());
    let mut fraction = 0;
    let mut point = false;
    let mut index = 0;
    while let Some(&byte) = body.get(index) {
        if is_digit(byte) {
            digits.push(byte);
            fraction += i64::from(point);
        } else if byte == b'.' && !point {
            point = true;
        } else {
            break;
        }
        index += 1;
    }
    if digits.is_empty() {
        return None;
    }
    let exponent = match body.get(index..)? {
        [] => 0,
        [first, rest @ ..] if first.eq_ignore_ascii_case(&mark) => {
            let (negative, rest) = match rest {
                [b'-', rest @ ..] => (true, rest),
                [b'+', rest @ ..] => (false, rest),
                rest => (false, rest),
            };
            if rest.is_empty() || !rest.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let magnitude =
                rest.iter().fold(0i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(1_000_000));
            if negative { -magnitude } else { magnitude }
        }
        _ => return None,
    };
    Some(Literal { digits, fraction, exponent })
}

fn parse_decimal(body: &[u8]) -> Option<Extended> {
    let Literal { digits, fraction, exponent } = literal(body, |byte| byte.is_ascii_digit(), b'e')?;
    let number = BigUint::parse_bytes(&digits, 10)?;
    if number.bits() == 0 {
        return Some(Extended::ZERO);
    }
    let power = exponent - fraction;
    if power > 10_000 || power + (digits.len() as i64) < -10_000 {
        return None;
    }
    let ten = BigUint::from(10u64);
    let result = if power >= 0 {
        round(&(number * ten.pow(power.unsigned_abs() as u32)), 0, false)
    } else {
        let divisor = ten.pow(power.unsigned_abs() as u32);
        // Enough bits that the quotient has more than the mantissa's 64.
        let shift = (divisor.bits() + 66).saturating_sub(number.bits().min(divisor.bits()));
        let scaled = number << shift;
        let quotient = &scaled / &divisor;
        let sticky = &quotient * &divisor != scaled;
        round(&((quotient << 1u32) + u32::from(sticky)), -(shift as i64) - 1, false)
    };
    in_range(result)
}

/// Reads what follows `0x`: hexadecimal digits, a point, a binary exponent behind `p`.
pub(super) fn parse_hex(body: &[u8]) -> Option<Extended> {
    let Literal { digits, fraction, exponent } = literal(body, |byte| byte.is_ascii_hexdigit(), b'p')?;
    let number = BigUint::parse_bytes(&digits, 16)?;
    if number.bits() == 0 {
        return Some(Extended::ZERO);
    }
    in_range(round(&number, exponent - 4 * fraction, false))
}

/// Overflow, and underflow to zero, are range errors.
fn in_range(result: Extended) -> Option<Extended> {
    (!result.infinite && result.mantissa != 0).then_some(result)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(a: &str, b: &str) -> String {
        Extended::parse(a.as_bytes()).unwrap().plus(Extended::parse(b.as_bytes()).unwrap()).unwrap().to_text()
    }

    #[test]
    fn sums_are_those_of_a_long_double() {
        // Seen on redis-server 7.0.15 (x86-64).
        assert_eq!(sum("0.1", "0.2"), "0.3");
        assert_eq!(sum("10.50", "0.1"), "10.6");
        assert_eq!(sum("5.0e3", "2.0e2"), "5200");
        assert_eq!(sum("3", "1.1"), "4.1");
        assert_eq!(sum("1", "-1"), "0");
        assert_eq!(sum("-0.0", "-0.0"), "0");
        assert_eq!(sum("18446744073709551615", "1"), "18446744073709551616");
        assert_eq!(sum("18446744073709551616", "1"), "18446744073709551616");
    }

    #[test]
    fn out_of_range_and_malformed_texts_are_refused() {
        for text in ["", "abc", "1e5000", "1e-5000", "1e", "nan", " 1", "1 ", "0x", "1.2.3"] {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn doubles_pass_through_unchanged(number in -1e15f64..1e15) {
            let text = format!("{number:e}");
            let read = Extended::parse(text.as_bytes()).unwrap();
            // Rounding to 64 bits first and to 53 after can differ from rounding once, by one unit.
            prop_assert!((read.to_f64() - number).abs() <= number.abs() * f64::EPSILON);
        }
    }
}

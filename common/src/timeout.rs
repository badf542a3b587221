//! Timeouts of commands that wait, as clients give them.

use crate::error::Error;
use crate::number::Extended;

/// The milliseconds of a timeout in seconds: what Redis makes of it, which reads a `long double`, rounds up, and takes what is too
/// large for a negative number.
///
/// # Errors
/// It is no number, or negative.
pub fn from_seconds(text: &[u8]) -> Result<u64, Error> {
    let seconds = Extended::parse(text).ok_or(Error::err("timeout is not a float or out of range"))?;
    not_negative(seconds.thousandfold_rounded_up().unwrap_or(-1))
}

/// The same of milliseconds.
///
/// # Errors
/// It is no number, or negative.
pub fn from_milliseconds(text: &[u8]) -> Result<u64, Error> {
    let milliseconds = crate::number::parse_i64(text);
    not_negative(milliseconds.ok_or(Error::err("timeout is not an integer or out of range"))?)
}

fn not_negative(milliseconds: i64) -> Result<u64, Error> {
    u64::try_from(milliseconds).map_err(|_| Error::err("timeout is negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_milliseconds_as_in_redis() {
        let told = |text: &str| from_seconds(text.as_bytes()).map_err(|error| error.to_string());
        for (text, milliseconds) in [
            ("0", 0),
            ("-0", 0),
            ("0.001", 1),
            ("0.1", 100),
            ("1.0001", 1001),
            ("250.5", 250_500),
            ("0x10", 16_000),
            ("1e-400", 1),
            ("-1e-400", 0),
            ("9223372036854775", 9_223_372_036_854_775_000),
        ] {
            assert_eq!(told(text), Ok(milliseconds), "{text}");
        }
        for text in ["-1", "1e400", "-1e400", "inf", "-inf", "9223372036854776", "1e300"] {
            assert_eq!(told(text), Err("ERR timeout is negative".to_owned()), "{text}");
        }
        for text in ["", "x", "nan", "1e5000", "1e-5000", " 1", "1 "] {
            assert_eq!(told(text), Err("ERR timeout is not a float or out of range".to_owned()), "{text}");
        }
    }
}

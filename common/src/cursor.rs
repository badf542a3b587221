//! Cursors of SCAN and its like, as clients give them.

use crate::error::Error;

/// The number of a cursor: what `strtoul` makes of the text up to its first NUL. A negative one is counted from the end, and none at
/// all is 0.
///
/// # Errors
/// It is no number, or too large.
pub fn parse_cursor(text: &[u8]) -> Result<u64, Error> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let (negative, digits) = match text {
        [] => return Ok(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let number = digits.first().filter(|first| first.is_ascii_digit()).and(std::str::from_utf8(digits).ok());
    let number: u64 = number.and_then(|text| text.parse().ok()).ok_or(Error::err("invalid cursor"))?;
    Ok(if negative { number.wrapping_neg() } else { number })
}

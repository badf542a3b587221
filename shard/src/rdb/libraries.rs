//! The codes of libraries of functions, as FUNCTION DUMP gives them.

use super::read::{Corrupt, Reader};
use super::write::{Compression, string};
use crate::types::item::IntText;

/// The type byte of a library of functions in a dump of them.
const LIBRARY: u8 = 245;

/// Writes the codes of libraries.
pub fn encode_libraries<'a>(codes: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for code in codes {
        out.push(LIBRARY);
        string(out, code, Compression::Lzf);
    }
}

/// Reads what [`encode_libraries`] wrote.
///
/// # Errors
/// Bytes that are something else.
pub fn decode_libraries(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Corrupt> {
    let mut reader = Reader::new(bytes);
    let mut codes = Vec::new();
    while reader.left() > 0 {
        if reader.byte()? != LIBRARY {
            return Err(Corrupt);
        }
        let mut room = IntText::new();
        codes.push(reader.string()?.bytes(&mut room).to_vec());
    }
    Ok(codes)
}

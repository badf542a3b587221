//! Keys that a transaction needs, as lists in which shards are asked for them and ask for more.
//!
//! A list is a sequence of keys: the database (LEB128), the key with its length, and the [`Window`].

use super::window::Window;
use crate::fields::{Fields, put_bytes, put_number};

/// A key and its database.
pub type DbKey = (u32, Vec<u8>);

/// A key, and how much of what it holds is needed.
pub type Need = (DbKey, Window);

/// Appends a key to a list.
pub fn put_need(database: u32, key: &[u8], window: &Window, out: &mut Vec<u8>) {
    put_number(u64::from(database), out);
    put_bytes(key, out);
    window.put(out);
}

/// The keys of a list; `None` when it cannot be read.
#[must_use]
pub fn read_needs(list: &[u8]) -> Option<Vec<Need>> {
    let mut fields = Fields::new(list);
    let mut needs = Vec::new();
    while !fields.is_empty() {
        let database = u32::try_from(fields.number()?).ok()?;
        let key = fields.bytes()?.to_vec();
        needs.push(((database, key), Window::read(&mut fields)?));
    }
    Some(needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_are_read_as_they_were_written() {
        let needs: Vec<Need> = vec![
            ((0, b"a".to_vec()), Window::Whole),
            ((15, Vec::new()), Window::Head(3)),
            ((1, b"b".to_vec()), Window::Members(vec![b"m".to_vec(), Vec::new()])),
            ((0, b"c".to_vec()), Window::Replaced),
        ];
        let mut list = Vec::new();
        for ((database, key), window) in &needs {
            put_need(*database, key, window, &mut list);
        }
        assert_eq!(read_needs(&list), Some(needs));
        assert!((1..list.len()).any(|length| read_needs(&list[..length]).is_none()));
        assert_eq!(read_needs(b"\xff"), None);
    }
}

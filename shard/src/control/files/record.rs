//! Records: how everything in the directory is framed.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `SWR1` |
//! | 1 | kind |
//! | 3 | zero |
//! | 8 | mark: so many bytes of the file were on disk when this was written |
//! | 4 | length of the payload |
//! | 4 | CRC32C of the 20 bytes before |
//! | n | payload, JSON |
//! | 4 | CRC32C of the payload |
//!
//! Numbers have their lowest byte first.

const MAGIC: [u8; 4] = *b"SWR1";
const HEADER: usize = 24;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first of a log.
    Head = b'H' as isize,
    /// One entry of the log.
    Entry = b'E' as isize,
    Vote = b'V' as isize,
    /// Which cluster and node the directory belongs to.
    Owner = b'O' as isize,
    /// What a snapshot covers, then its state.
    Meta = b'M' as isize,
    State = b'S' as isize,
    /// Of the log of the data.
    Manifest = b'L' as isize,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Head, Self::Entry, Self::Vote, Self::Owner, Self::Meta, Self::State, Self::Manifest]
            .into_iter()
            .find(|kind| *kind as isize == isize::from(byte))
    }
}

/// A record in a file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: usize,
    pub kind: Kind,
    mark: u64,
    pub payload: &'a [u8],
}

impl Record<'_> {
    /// Bytes from the start of the file to the record's end.
    pub fn end(&self) -> usize {
        self.offset + HEADER + self.payload.len() + 4
    }
}

/// Where a file is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub offset: usize,
    pub what: &'static str,
}

/// Appends a record to `out`.
pub fn encode(kind: Kind, mark: u64, payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend(MAGIC);
    out.extend([kind as isize as u8, 0, 0, 0]);
    out.extend(mark.to_le_bytes());
    // Nothing here comes near 4 GiB: requests and replies between nodes are bounded far below.
    out.extend((payload.len() as u32).to_le_bytes());
    let header = crc32c::crc32c(out.get(start..).unwrap_or_default());
    out.extend(header.to_le_bytes());
    out.extend(payload);
    out.extend(crc32c::crc32c(payload).to_le_bytes());
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The record at `offset`, or what is wrong there.
fn read(bytes: &[u8], offset: usize) -> Result<Record<'_>, &'static str> {
    let rest = bytes.get(offset..).unwrap_or_default();
    let header = rest.get(..HEADER).ok_or("it ends within a record")?;
    if header.get(..4) != Some(&MAGIC) || number(header, 20) != Some(crc32c::crc32c(&header[..20])) {
        return Err("the header of a record is damaged");
    }
    let kind = header.get(4).copied().and_then(Kind::of).ok_or("a record has an unknown kind")?;
    let mark = u64::from(number(header, 8).unwrap_or(0)) | u64::from(number(header, 12).unwrap_or(0)) << 32;
    let length = number(header, 16).unwrap_or(0) as usize;
    let payload = rest.get(HEADER..HEADER + length).ok_or("it ends within a record")?;
    let sum = number(rest, HEADER + length).ok_or("it ends within a record")?;
    if sum != crc32c::crc32c(payload) {
        return Err("the content of a record is damaged");
    }
    Ok(Record { offset, kind, mark, payload })
}

/// The records of a file that is only ever replaced as a whole.
pub fn scan_whole(bytes: &[u8]) -> Result<Vec<Record<'_>>, Damage> {
    let mut records: Vec<Record<'_>> = Vec::new();
    while records.last().map_or(0, Record::end) < bytes.len() || records.is_empty() {
        let offset = records.last().map_or(0, Record::end);
        records.push(read(bytes, offset).map_err(|what| Damage { offset, what })?);
    }
    Ok(records)
}

/// The records of a file that is appended to, which may end with zeros that entries were to be written over. Where it ends
/// neither with them nor with a whole record, that is a torn tail, whose start comes back too, unless a later record says
/// that it had been on disk: then it is damage.
pub fn scan_appended(bytes: &[u8]) -> Result<(Vec<Record<'_>>, Option<usize>), Damage> {
    let mut records: Vec<Record<'_>> = Vec::new();
    loop {
        let offset = records.last().map_or(0, Record::end);
        if offset > 0 && bytes.get(offset..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0)) {
            return Ok((records, None));
        }
        match read(bytes, offset) {
            Ok(record) => records.push(record),
            // The first record is written together with the file's name.
            Err(what) if offset == 0 || was_on_disk(bytes, offset) => return Err(Damage { offset, what }),
            Err(_) => return Ok((records, Some(offset))),
        }
    }
}

/// Whether a whole record behind `offset` was written after what stands there had reached the disk.
fn was_on_disk(bytes: &[u8], offset: usize) -> bool {
    let behind = bytes.get(offset + 1..).unwrap_or_default();
    memchr::memmem::find_iter(behind, &MAGIC)
        .filter_map(|at| read(bytes, offset + 1 + at).ok())
        .any(|record| record.mark > offset as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three records, of which the second and third were written in one go.
    fn log() -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(Kind::Head, 0, b"{}", &mut bytes);
        let mark = bytes.len() as u64;
        encode(Kind::Entry, mark, b"\"first\"", &mut bytes);
        encode(Kind::Entry, mark, b"\"second\"", &mut bytes);
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = log();
        let (records, torn) = scan_appended(&bytes).unwrap();
        assert_eq!(torn, None);
        assert_eq!(
            records.iter().map(|record| record.kind).collect::<Vec<_>>(),
            [Kind::Head, Kind::Entry, Kind::Entry]
        );
        assert_eq!(records[2].payload, b"\"second\"");
        assert_eq!(scan_whole(&bytes).unwrap(), records);
    }

    #[test]
    fn a_file_cut_anywhere_behind_its_first_record_has_a_torn_tail() {
        let bytes = log();
        let (records, _) = scan_appended(&bytes).unwrap();
        let ends: Vec<usize> = records.iter().map(Record::end).collect();
        for length in ends[0] + 1..bytes.len() {
            let (kept, torn) = scan_appended(&bytes[..length]).unwrap();
            let last = ends.iter().copied().filter(|end| *end <= length).max().unwrap();
            assert_eq!(kept.last().map(Record::end), Some(last));
            assert_eq!(torn, (last < length).then_some(last));
            // The same where the file goes on with the zeros that were there before.
            let mut in_room = bytes[..length].to_vec();
            in_room.resize(bytes.len() + 100, 0);
            if !in_room.starts_with(&bytes) {
                let (kept, torn) = scan_appended(&in_room).unwrap();
                assert_eq!(kept.last().map(Record::end), Some(last));
                assert_eq!(torn, (last < length).then_some(last));
            }
        }
        for length in 0..ends[0] {
            assert_eq!(scan_appended(&bytes[..length]).unwrap_err().offset, 0);
        }
    }

    #[test]
    fn a_byte_changed_before_a_mark_is_damage_and_behind_the_last_mark_a_torn_tail() {
        let mut bytes = log();
        let mark = bytes.len() as u64;
        encode(Kind::Entry, mark, b"\"third\"", &mut bytes);
        let ends: Vec<usize> = scan_appended(&bytes).unwrap().0.iter().map(Record::end).collect();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x40;
            let start = ends.iter().copied().filter(|end| *end <= at).max().unwrap_or(0);
            match scan_appended(&changed) {
                Err(damage) => assert!(start < ends[2] && damage.offset == start, "{at}: {damage:?}"),
                Ok((kept, torn)) => {
                    assert_eq!((kept.len(), torn), (3, Some(ends[2])), "{at}");
                }
            }
        }
    }
}

//! Files that were cut or changed: read as far as is right, or refused; never silently shortened.

mod kept;

use super::file::{self, Ending, Head, Next, Reader};
use super::*;
use crate::changes::frame;
use crate::stream::Kind;
use slotway_common::slot::SLOTS;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = slotway_common::platform::random::hex_id::<8>();
        let path = std::env::temp_dir().join(format!("slotway-log-{name}"));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const NAME: &str = "increment.00000001";

/// A file with three commands, the second of two frames, and a mark that has the first two on disk.
fn increment() -> (Vec<u8>, Vec<usize>, usize) {
    let head = Head::new("a-0", "c", NAME);
    let mut bytes = head.encode(0);
    let mut ends = vec![bytes.len()];
    let put = |sequence: u64, goes_on: bool, bytes: &mut Vec<u8>| {
        let start = bytes.len();
        let payload = format!("frame {sequence}");
        frame::put(Kind::Deleted, 0, 1, sequence, payload.as_bytes(), bytes);
        if goes_on {
            frame::set_goes_on(start, bytes);
        }
        frame::seal(&mut bytes[start..]);
    };
    put(1, false, &mut bytes);
    ends.push(bytes.len());
    put(2, true, &mut bytes);
    put(3, false, &mut bytes);
    ends.push(bytes.len());
    let on_disk = bytes.len();
    bytes.extend(file::mark(head.nonce, on_disk as u64, 3));
    ends.push(bytes.len());
    put(4, false, &mut bytes);
    ends.push(bytes.len());
    (bytes, ends, on_disk)
}

/// Where what was read ends, and whether a torn tail follows.
fn read(folder: &Folder, bytes: &[u8], ending: Ending) -> Result<(usize, bool), OpenError> {
    std::fs::write(folder.0.join(NAME), bytes).unwrap();
    let mut reader = Reader::open(&folder.0, NAME, ending)?;
    let mut end = reader.head.encode(0).len();
    loop {
        match reader.next()? {
            Next::Frames(frames, offset) => end = offset as usize + frames.len(),
            Next::End { torn_at } => {
                assert!(torn_at.is_none_or(|at| at as usize == end), "{torn_at:?} {end}");
                return Ok((end, torn_at.is_some()));
            }
        }
    }
}

#[test]
fn an_open_file_cut_anywhere_has_its_whole_commands_and_a_torn_tail_that_is_told() {
    let folder = Folder::new();
    let (bytes, ends, _) = increment();
    for length in 0..=bytes.len() {
        let found = read(&folder, &bytes[..length], Ending::Open);
        match ends.iter().rev().find(|end| **end <= length) {
            None => assert!(matches!(found, Err(OpenError::Damaged { offset: 0, .. })), "{length}"),
            Some(end) => assert_eq!(found.unwrap(), (*end, *end < length), "{length}"),
        }
    }
}

#[test]
fn a_complete_file_cut_anywhere_is_refused() {
    let folder = Folder::new();
    let (bytes, ends, _) = increment();
    let ending = Ending::Complete(bytes.len() as u64);
    assert_eq!(read(&folder, &bytes, ending).unwrap(), (*ends.last().unwrap(), false));
    for length in 0..bytes.len() {
        assert!(read(&folder, &bytes[..length], ending).is_err(), "{length}");
    }
}

#[test]
fn every_flipped_bit_is_damage_before_a_mark_and_cuts_what_no_mark_vouches_for() {
    let folder = Folder::new();
    let (bytes, ends, on_disk) = increment();
    for bit in 0..bytes.len() * 8 {
        let (at, mut changed) = (bit / 8, bytes.clone());
        changed[at] ^= 1 << (bit % 8);
        let start = ends.iter().copied().filter(|end| *end <= at).max().unwrap_or(0);
        match read(&folder, &changed, Ending::Open) {
            Err(OpenError::Damaged { offset, .. }) => {
                assert!(at < on_disk && offset as usize >= start && offset as usize <= at, "{at}: {offset}");
            }
            Err(OpenError::Version { .. }) => panic!("the head is checked before its version is read"),
            Err(error) => panic!("{at}: {error}"),
            Ok(found) => assert_eq!((found, at >= on_disk), ((start, true), true), "{at}"),
        }
        assert!(read(&folder, &changed, Ending::Complete(bytes.len() as u64)).is_err(), "{at}");
    }
}

#[test]
fn a_value_that_looks_like_a_mark_does_not_make_a_torn_tail_damage() {
    let folder = Folder::new();
    let (mut bytes, ends, _) = increment();
    let end = *ends.last().unwrap();
    bytes.extend_from_slice(b"torn");
    bytes.extend(file::mark(1, u64::MAX, 9));
    assert_eq!(read(&folder, &bytes, Ending::Open).unwrap(), (end, true));
}

#[test]
fn a_frame_that_is_missing_is_seen() {
    let folder = Folder::new();
    let (bytes, ends, _) = increment();
    let mut without = bytes[..ends[0]].to_vec();
    without.extend_from_slice(&bytes[ends[1]..]);
    let found = read(&folder, &without, Ending::Complete(without.len() as u64));
    assert!(matches!(found, Err(OpenError::Damaged { .. })));
}

#[test]
fn a_directory_is_used_by_one_process_and_its_own_node() {
    let folder = Folder::new();
    let lock = Lock::take(&folder.0).unwrap();
    assert!(matches!(Lock::take(&folder.0), Err(OpenError::InUse { .. })));
    drop(lock);
    drop(Lock::take(&folder.0).unwrap());

    let log = folder.0.join("log");
    assert!(open(&log, "a-0", "").unwrap().is_none());
    std::fs::create_dir_all(&log).unwrap();
    let manifest = Manifest {
        version: VERSION,
        node: "a-0".to_owned(),
        cluster: "c".to_owned(),
        complete: true,
        ..Manifest::default()
    };
    manifest.write(&log).unwrap();
    assert!(open(&log, "a-0", "c").unwrap().is_some());
    assert!(open(&log, "a-0", "").unwrap().is_some());
    assert!(matches!(open(&log, "b-0", "c"), Err(OpenError::Other { .. })));
    assert!(matches!(open(&log, "a-0", "d"), Err(OpenError::Other { .. })));
    Manifest { version: 2, ..manifest.clone() }.write(&log).unwrap();
    assert!(matches!(open(&log, "a-0", "c"), Err(OpenError::Version { version: 2, .. })));
    std::fs::remove_file(log.join(manifest::NAME)).unwrap();
    std::fs::write(log.join("base.00000001"), [0; 2000]).unwrap();
    assert!(matches!(open(&log, "a-0", "c"), Err(OpenError::NoManifest { .. })));

    directory::mark(&log).unwrap();
    assert!(matches!(open(&log, "a-0", "c"), Err(OpenError::NoManifest { .. })));
    std::fs::remove_file(log.join("base.00000001")).unwrap();
    assert!(matches!(open(&log, "a-0", "c"), Err(OpenError::Lost { .. })));
    std::fs::remove_dir(&log).unwrap();
    assert!(matches!(open(&log, "a-0", "c"), Err(OpenError::Lost { .. })));
    directory::unmark(&log).unwrap();
    directory::unmark(&log).unwrap();
    assert!(open(&log, "a-0", "c").unwrap().is_none());
}

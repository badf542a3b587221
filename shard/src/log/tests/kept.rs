//! Logs that this and earlier versions have written: `tests/data/log-<version>`, a base and an increment with all types of
//! values and kinds of frames, slots that came and went, and a torn tail.

use std::cell::RefCell;
use std::fmt::Write as _;

use super::*;
use crate::migration::tests as nodes;

#[test]
fn the_log_of_every_version_is_read() {
    for version in 1..=VERSION {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/log-{version}"));
        let folder = Folder::new();
        for entry in std::fs::read_dir(&kept).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.0.join(path.file_name().unwrap())).unwrap();
        }
        let opened = open(&folder.0, "a-0", "").unwrap().expect("a log that counts");
        let shard = RefCell::new(nodes::shard());
        shard.borrow_mut().engine.keep_expired();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut loader = load::Loader::start(opened, 0, &crate::commands::HANDLERS.data).unwrap();
            loop {
                let piece = loader.next().await.unwrap();
                if !loader.apply(piece, &mut shard.borrow_mut().loaded()).unwrap() {
                    break;
                }
            }
        });
        let mut text = String::new();
        for (db, key, expires, value) in nodes::contents_of(&shard.borrow().engine, 0..SLOTS) {
            let (sum, key) = (crc32c::crc32c(&value), key.escape_ascii());
            writeln!(text, "{db} {key} {} {} {sum:08x}", expires.unwrap_or(-1), value.len()).unwrap();
        }
        // What every later version must find there, too.
        let expected = kept.join("contents");
        if std::env::var_os("SLOTWAY_FIX").is_some() && !expected.exists() {
            std::fs::write(&expected, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(expected).unwrap(), "version {version}");
        let node = &mut shard.borrow_mut().node;
        node.log.close(&mut node.changes);
        let again = check::examine(&folder.0).unwrap();
        assert_eq!(again.damage(), None);
    }
}

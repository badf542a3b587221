//! Scripts that were seen before, compiled.

use std::collections::VecDeque;
use std::rc::Rc;

use hashbrown::HashTable;
use slotway_common::script::ScriptFlags;

use super::lua::Reference;
use crate::engine::hash_bytes;

/// Bytes of text above which the oldest scripts go that came with EVAL.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// What a compiled script takes beside its text, roughly.
const OVERHEAD: usize = 1024;

/// A script that has been compiled.
#[derive(Debug)]
pub struct Script {
    /// SHA-1 of the text, in lower-case hexadecimal.
    pub digest: Rc<str>,
    pub text: Box<[u8]>,
    pub function: Reference,
    /// What its first line says; `None` without one.
    pub flags: Option<ScriptFlags>,
}

/// Scripts by their texts and digests.
#[derive(Default)]
pub struct Cache {
    by_text: HashTable<Rc<Script>>,
    by_digest: HashTable<Rc<Script>>,
    /// Those that came with EVAL, oldest first. SCRIPT LOAD keeps what it loads.
    passing: VecDeque<Rc<str>>,
    bytes: usize,
}

impl Cache {
    #[must_use]
    pub fn by_text(&self, text: &[u8]) -> Option<&Rc<Script>> {
        self.by_text.find(hash_bytes(text), |script| *script.text == *text)
    }

    /// `digest` is in lower case.
    #[must_use]
    pub fn by_digest(&self, digest: &[u8]) -> Option<&Rc<Script>> {
        self.by_digest.find(hash_bytes(digest), |script| script.digest.as_bytes() == digest)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.by_text.len()
    }

    /// Bytes that the texts take, and what belongs to them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a script that is not there yet. Gives those that had to go, so that they can be forgotten.
    pub fn add(&mut self, script: Rc<Script>, stays: bool) -> Vec<Rc<Script>> {
        if !stays {
            self.passing.push_back(script.digest.clone());
        }
        self.bytes += script.text.len() + OVERHEAD;
        let of_text = |script: &Rc<Script>| hash_bytes(&script.text);
        let of_digest = |script: &Rc<Script>| hash_bytes(script.digest.as_bytes());
        self.by_text.insert_unique(of_text(&script), script.clone(), of_text);
        self.by_digest.insert_unique(of_digest(&script), script, of_digest);
        let mut gone = Vec::new();
        while self.bytes > MOST_BYTES && self.passing.len() > 1 {
            gone.extend(self.passing.pop_front().and_then(|digest| self.remove(&digest)));
        }
        gone
    }

    /// Has a script stay.
    pub fn keep(&mut self, digest: &str) {
        self.passing.retain(|passing| **passing != *digest);
    }

    fn remove(&mut self, digest: &str) -> Option<Rc<Script>> {
        let bytes = digest.as_bytes();
        let entry =
            self.by_digest.find_entry(hash_bytes(bytes), |script| script.digest.as_bytes() == bytes).ok()?;
        let (script, _) = entry.remove();
        if let Ok(entry) =
            self.by_text.find_entry(hash_bytes(&script.text), |other| Rc::ptr_eq(other, &script))
        {
            entry.remove();
        }
        self.bytes -= script.text.len() + OVERHEAD;
        Some(script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(number: usize, length: usize) -> Rc<Script> {
        let mut text = number.to_string().into_bytes();
        text.resize(length, b' ');
        let digest = super::super::redis_api::digest(&text).into();
        Rc::new(Script { digest, text: text.into(), function: Reference::NONE, flags: None })
    }

    #[test]
    fn the_oldest_scripts_that_were_not_loaded_go_when_there_are_too_many() {
        let mut cache = Cache::default();
        let length = MOST_BYTES / 8;
        let loaded = script(0, length);
        assert!(cache.add(loaded.clone(), true).is_empty());
        let mut gone = Vec::new();
        for number in 1..20 {
            gone.extend(cache.add(script(number, length), false));
        }
        assert!(cache.bytes() <= MOST_BYTES);
        assert_eq!(gone.len() + cache.len(), 20);
        assert!(cache.by_text(&loaded.text).is_some() && cache.by_digest(loaded.digest.as_bytes()).is_some());
        for script in gone {
            assert!(cache.by_text(&script.text).is_none());
            assert!(cache.by_digest(script.digest.as_bytes()).is_none());
        }
    }
}

//! The libraries of functions that this node has.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use slotway_common::cluster_state::ClusterState;
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::script::of_library;

use super::convert::error_of;
use super::functions::{Draft, Function};
use super::lua::{Progress, Verdict};
use super::run::MEMORY;
use super::sandbox::Sandbox;

const LIBRARY_NAME: &std::ffi::CStr = c"@user_function";
/// A library that takes longer to load is refused.
const LOAD_TIMEOUT: Duration = Duration::from_millis(500);

/// A library.
#[derive(Clone, Debug)]
pub struct Library {
    pub code: Rc<[u8]>,
    pub functions: BTreeMap<Vec<u8>, Function>,
}

/// What RESTORE does with libraries that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Append,
    Replace,
    Flush,
}

/// A change of the libraries.
#[derive(Clone, Debug)]
pub enum Change<'a> {
    Load { code: &'a [u8], replace: bool },
    Delete { name: &'a [u8] },
    Flush,
    Restore { codes: Vec<Vec<u8>>, policy: Policy },
}

/// Libraries by their names, in which case matters.
type ByName = BTreeMap<Vec<u8>, Library>;

/// A function as FCALL finds it.
#[derive(Clone, Debug)]
pub struct Registered {
    /// As it was registered.
    pub name: Rc<str>,
    pub function: Function,
}

/// All libraries, and the machine that they are loaded on.
#[derive(Default)]
pub struct Libraries {
    /// None before the first library, and while a function runs.
    pub(super) machine: Option<Box<Sandbox>>,
    by_name: ByName,
    /// The functions of all libraries by their names in lower case: FCALL does not tell cases apart.
    callable: HashMap<Vec<u8>, Registered>,
    /// The state's version that was followed last.
    version: u64,
}

impl Libraries {
    pub fn iter(&self) -> impl Iterator<Item = (&Vec<u8>, &Library)> {
        self.by_name.iter()
    }

    /// The function of that name, in whichever case.
    #[must_use]
    pub fn function(&self, name: &[u8]) -> Option<&Registered> {
        self.callable.get(&name.to_ascii_lowercase())
    }

    /// Finds the functions anew. Of those in one library whose names differ in their case only, one can be called.
    fn index(&mut self) {
        self.callable.clear();
        for (name, function) in self.by_name.values().flat_map(|library| &library.functions) {
            self.callable.entry(name.to_ascii_lowercase()).or_insert_with(|| Registered {
                name: String::from_utf8_lossy(name).into(),
                function: function.clone(),
            });
        }
    }

    /// How many libraries there are, and functions in them.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.by_name.len(), self.by_name.values().map(|library| library.functions.len()).sum())
    }

    /// Makes a change, the whole of it or nothing. Gives the name of a library that was loaded.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub fn change(&mut self, change: &Change<'_>) -> Result<Vec<u8>, Error> {
        let before = self.by_name.clone();
        let result = self.make(change);
        let (kept, dropped) = match &result {
            Ok(_) => (self.by_name.clone(), before),
            Err(_) => (before.clone(), std::mem::replace(&mut self.by_name, before)),
        };
        self.forget(&dropped, &kept);
        self.index();
        result
    }

    /// What a change would come to: the codes of libraries that it would set, nothing for those that would go.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub fn plan(
        &mut self,
        change: &Change<'_>,
    ) -> Result<(Vec<u8>, BTreeMap<Vec<u8>, Option<Rc<[u8]>>>), Error> {
        let before = self.by_name.clone();
        let result = self.make(change);
        let after = std::mem::replace(&mut self.by_name, before.clone());
        self.forget(&after, &before);
        let name = result?;
        let set = after
            .iter()
            .filter(|(name, library)| before.get(*name).is_none_or(|known| known.code != library.code));
        let set = set.map(|(name, library)| (name.clone(), Some(library.code.clone())));
        let gone = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), None));
        Ok((name, set.chain(gone).collect()))
    }

    fn make(&mut self, change: &Change<'_>) -> Result<Vec<u8>, Error> {
        match change {
            Change::Load { code, replace } => self.load(code, *replace),
            Change::Delete { name } => match self.by_name.remove(*name) {
                Some(_) => Ok(Vec::new()),
                None => Err(Error::err("Library not found")),
            },
            Change::Flush => {
                self.by_name.clear();
                Ok(Vec::new())
            }
            Change::Restore { codes, policy } => self.restore(codes, *policy),
        }
    }

    /// Loads libraries that were dumped, and joins them with those that are there.
    fn restore(&mut self, codes: &[Vec<u8>], policy: Policy) -> Result<Vec<u8>, Error> {
        // What was loaded until an error came stays in the place of all others, for the caller to forget it.
        let mut known = std::mem::take(&mut self.by_name);
        for code in codes {
            self.load(code, false)?;
        }
        match policy {
            Policy::Flush => known.clear(),
            Policy::Replace => known.retain(|name, _| !self.by_name.contains_key(name)),
            Policy::Append => {
                if let Some(name) = self.by_name.keys().find(|name| known.contains_key(*name)) {
                    return Err(Error::Bytes([b"Library ", &**name, b" already exists"].concat()));
                }
            }
        }
        let mut restored = self.by_name.values().flat_map(|library| library.functions.keys());
        if let Some(name) = restored.find(|name| have_function(known.values(), name)) {
            return Err(function_exists(name));
        }
        self.by_name.append(&mut known);
        Ok(Vec::new())
    }

    /// Lets Lua forget the functions of libraries but for those that others still have.
    fn forget(&mut self, dropped: &ByName, kept: &ByName) {
        let functions = |libraries: &ByName| {
            libraries
                .values()
                .flat_map(|library| library.functions.values())
                .map(|one| one.callback)
                .collect::<Vec<_>>()
        };
        let kept = functions(kept);
        let Some(mut frame) = self.machine.as_deref_mut().and_then(|machine| machine.interpreter.frame())
        else {
            return;
        };
        for callback in functions(dropped) {
            if !kept.contains(&callback) {
                frame.forget(callback);
            }
        }
    }

    fn load(&mut self, code: &[u8], replace: bool) -> Result<Vec<u8>, Error> {
        let head = of_library(code)?;
        if self.by_name.contains_key(&head.name) && !replace {
            return Err(Error::Bytes([b"Library '", &*head.name, b"' already exists"].concat()));
        }
        let draft = self.run(head.body)?;
        if draft.functions.is_empty() {
            return Err(Error::err("No functions registered"));
        }
        let others =
            || self.by_name.iter().filter(|(name, _)| **name != head.name).map(|(_, library)| library);
        let clash = draft.functions.keys().find(|name| have_function(others(), name)).cloned();
        let loaded = Library { code: code.into(), functions: draft.functions };
        if let Some(name) = clash {
            self.forget(&ByName::from([(head.name, loaded)]), &ByName::new());
            return Err(function_exists(&name));
        }
        self.by_name.insert(head.name.clone(), loaded);
        Ok(head.name)
    }

    /// Runs the code of a library, which registers its functions.
    fn run(&mut self, body: &[u8]) -> Result<Draft, Error> {
        if self.machine.is_none() {
            let made = Sandbox::new(false);
            let made = made.map_err(|error| Error::err(format!("no stack for functions: {error}")))?;
            self.machine = Some(Box::new(made));
        }
        let Some(machine) = self.machine.as_deref_mut() else {
            return Err(Error::err("a function is running"));
        };
        let handler = machine.error_handler;
        if let Some(mut frame) = machine.interpreter.frame() {
            frame.truncate(0);
            frame.push_kept(handler);
            if !frame.compile(body, LIBRARY_NAME) {
                let reason = frame.bytes(-1).unwrap_or_default();
                let error = Error::Bytes([b"Error compiling function: ", reason].concat());
                frame.truncate(0);
                return Err(error);
            }
        }
        machine.show_loading(true);
        let context = machine.interpreter.context();
        context.killed_by.set("ERR FUNCTION LOAD timeout");
        context.slow_at.set(clock::monotonic().checked_add(LOAD_TIMEOUT));
        context.library.replace(Some(Draft::default()));
        let mut progress = machine.interpreter.start(0, MEMORY);
        let outcome = loop {
            match progress {
                Some(Progress::Ended(outcome)) => break outcome,
                Some(Progress::Slow) => progress = Some(machine.interpreter.resume(Verdict::Kill)),
                Some(Progress::Call) => progress = Some(machine.interpreter.resume(Verdict::GoOn)),
                None => break Ok(()),
            }
        };
        machine.show_loading(false);
        let draft = machine.interpreter.context().library.take().unwrap_or_default();
        let result = match machine.interpreter.frame() {
            Some(mut frame) => {
                let result = match outcome {
                    Ok(()) => Ok(()),
                    Err(_) => {
                        Err(Error::Bytes([b"Error registering functions: ", &*error_of(&mut frame)].concat()))
                    }
                };
                if result.is_err() {
                    draft.functions.values().for_each(|function| frame.forget(function.callback));
                }
                frame.truncate(0);
                result
            }
            None => Err(Error::err("a function is running")),
        };
        machine.interpreter.machine().tidy(result.is_err());
        result.map(|()| draft)
    }

    /// Has the libraries be those of the cluster if it has changed them.
    pub fn follow(&mut self, state: &ClusterState) {
        if state.functions_version == self.version {
            return;
        }
        self.version = state.functions_version;
        let wanted: BTreeMap<Vec<u8>, Vec<u8>> = state
            .functions
            .iter()
            .map(|(name, code)| (name.clone().into_bytes(), code.bytes().into_owned()))
            .collect();
        let before = self.by_name.clone();
        self.by_name.retain(|name, library| wanted.get(name).is_some_and(|code| **code == *library.code));
        for (name, code) in &wanted {
            if !self.by_name.contains_key(name)
                && let Err(error) = self.load(code, true)
            {
                // It was loaded before it was committed; a node of another version may see it otherwise.
                tracing::error!("a library of the cluster is not here: {error}");
            }
        }
        let kept = self.by_name.clone();
        self.forget(&before, &kept);
        self.index();
    }
}

/// Whether one of the libraries has a function of this name, in whichever case.
fn have_function<'a>(libraries: impl IntoIterator<Item = &'a Library>, name: &[u8]) -> bool {
    let mut functions = libraries.into_iter().flat_map(|library| library.functions.keys());
    functions.any(|known| known.eq_ignore_ascii_case(name))
}

fn function_exists(name: &[u8]) -> Error {
    Error::Bytes([b"Function ", name, b" already exists"].concat())
}

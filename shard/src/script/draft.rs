//! A library of functions while it is being loaded.

use std::collections::BTreeMap;

use slotway_common::script::ScriptFlags;

use super::lua::reference::Reference;

/// A library as the code that is being loaded describes it.
#[derive(Debug, Default)]
pub struct Draft {
    pub functions: BTreeMap<Vec<u8>, Function>,
}

/// A function of a library.
#[derive(Clone, Debug)]
pub struct Function {
    pub callback: Reference,
    pub description: Option<Vec<u8>>,
    pub flags: ScriptFlags,
}

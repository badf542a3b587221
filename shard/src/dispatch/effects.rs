//! What a call may do, where that depends on the script that it runs.

use slotway_common::command::{Command, Effects};
use slotway_common::resp::Args;
use slotway_common::script::Source;

use crate::node::Node;

/// What a call may do, by its row or by what its script says of itself.
#[must_use]
pub fn effects(node: &Node, command: &Command, args: &Args<'_>) -> Effects {
    Effects::of_call(command, args, |source| match source {
        Source::Text(_) => None,
        Source::Digest(digest) => node.scripts.of_digest(digest).and_then(|script| script.flags),
        Source::Function(name) => node.scripts.libraries.function(name).map(|found| found.function.flags),
    })
}

//! ACL, as far as it needs nobody else.

use std::sync::Arc;

use slotway_common::error::Error;
use slotway_common::{acl, command};

use super::call::{Answer, Call};

pub(super) fn answer(name: &str) -> Option<Answer> {
    name.starts_with("acl|").then_some(look)
}

fn look(call: &mut Call<'_>) -> Result<(), Error> {
    let users = Arc::clone(&call.core.users);
    let own = Arc::clone(call.session()?.login.user());
    if acl::answer(call.command, &users, own.name(), &call.args, &mut call.reply)? {
        return Ok(());
    }
    Err(command::unsupported(call.command))
}

//! MULTI and what ends it without running anything.

use slotway_common::error::Error;

use super::call::{Answer, Call};
use crate::transaction::{NESTED, Transaction};

pub(super) fn answer(name: &str) -> Option<Answer> {
    Some(match name {
        "multi" => multi,
        "discard" => discard,
        "unwatch" => unwatch,
        _ => return None,
    })
}

fn multi(call: &mut Call<'_>) -> Result<(), Error> {
    let session = call.session()?;
    if session.transaction.is_some() {
        return Err(NESTED);
    }
    session.transaction = Some(Box::new(Transaction::new(session.database)));
    call.reply.ok();
    Ok(())
}

fn discard(call: &mut Call<'_>) -> Result<(), Error> {
    if call.session()?.transaction.is_none() {
        return Err(Error::err("DISCARD without MULTI"));
    }
    call.core.end_transaction(call.id);
    call.reply.ok();
    Ok(())
}

fn unwatch(call: &mut Call<'_>) -> Result<(), Error> {
    call.core.end_watch(call.id);
    call.reply.ok();
    Ok(())
}

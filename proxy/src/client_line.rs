//! The line of CLIENT LIST and CLIENT INFO.

use slotway_common::command::TABLE;
use slotway_common::pubsub::Kind;

use crate::session::Session;

/// Describes a client at time `now` of the worker's clock; `asks` are the bytes of the arguments of what it runs now.
pub(crate) fn describe(session: &Session, now: u64, asks: usize) -> Vec<u8> {
    let mut flags = String::new();
    flags.extend(session.monitor.then_some('O'));
    flags.extend(session.subscriptions.is_some().then_some('P'));
    flags.extend(session.transaction.is_some().then_some('x'));
    flags.extend(session.waits().then_some('b'));
    let tracking = session.tracked.as_ref().map(|tracked| &tracked.tracking);
    flags.push_str(tracking.map_or("", |tracking| tracking.letters()));
    let redirect = tracking.map_or(-1, |tracking| tracking.told_redirect());
    flags.extend(session.details.no_evict.then_some('e'));
    if flags.is_empty() {
        flags.push('N');
    }
    let seconds = |since: u64| now.saturating_sub(since) / 1_000_000;
    let (input, output) = (session.input_bytes(), session.output_bytes());
    let (queued, buffer) = (session.queued_bytes(), session.output_capacity());
    let subscriptions = session.subscriptions.as_ref();
    let count = |kind| subscriptions.map_or(0, |subscriptions| subscriptions.names(kind).len());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut line = format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db={} sub={} psub={} ssub={} \
         multi={} qbuf={input} qbuf-free=0 argv-mem={asks} multi-mem={queued} rbs={buffer} rbp={buffer} obl={output} oll={} omem={output} \
         tot-mem={} events={} cmd={} user={} redir={redirect} resp={}",
        session.client,
        session.peer,
        session.local,
        session.descriptor,
        text(&session.details.name),
        seconds(session.connected),
        seconds(session.last_active),
        session.database,
        count(Kind::Channel),
        count(Kind::Pattern),
        count(Kind::Shard),
        session.transaction.as_ref().map_or(-1, |transaction| transaction.len() as i64),
        session.places.len(),
        size_of::<Session>() + input + output.max(buffer) + queued + asks + session.subscribed_bytes(),
        if output > 0 { "rw" } else { "r" },
        TABLE.get(usize::from(session.last_command)).map_or("NULL", |command| command.name),
        text(session.login.user().name()),
        session.protocol.number(),
    );
    let details = &session.details;
    for (field, value) in [("lib-name", &details.library_name), ("lib-ver", &details.library_version)] {
        if !value.is_empty() {
            line.push_str(&format!(" {field}={}", text(value)));
        }
    }
    line.push('\n');
    line.into_bytes()
}

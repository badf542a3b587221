//! Commands that the proxy answers itself, or that ask several shards.
//!
//! What needs no waiting is answered at once, in a function of [`Call`]. Everything else is a [`Job`]: its client waits
//! until the replies of its earlier commands are there, then the job runs by itself and ends with
//! [`Core::finish`](crate::core::Core::finish).

mod acl;
mod call;
pub(crate) mod connection;
mod transactions;

use std::sync::LazyLock;
use std::time::Duration;

use slotway_common::alone;
use slotway_common::command::{self, Blocks, COUNT, Command, Group, Route, TABLE};
use slotway_common::error::Error;
use slotway_common::platform::clock;
use slotway_common::pubsub::subscription;
use slotway_common::resp::{Args, Reply};

use crate::budgets::Budgets;
use crate::core::{Core, Flow, Job, Request, SessionId, Work};
use crate::counters::Source;
use crate::session::Stall;

use call::{Answer, Call};

#[derive(Clone, Copy)]
enum Handler {
    AtOnce(Answer),
    /// It is sent to a shard in another form, and may have to wait for that.
    Sent(Send),
    Job,
}

type Send = fn(&mut Core, SessionId, &'static Command, &Request<'_>) -> Flow;

static HANDLERS: LazyLock<Vec<Handler>> = LazyLock::new(|| {
    let handler = |command: &Command| match command.name {
        "exec" => Handler::Sent(Core::exec),
        "watch" => Handler::Sent(Core::watch),
        "reset" => Handler::Sent(reset),
        _ if command.blocks == Some(Blocks::Streams) => Handler::Sent(read_stream),
        _ if command.publishes() => Handler::Sent(Core::publish_message),
        _ if subscription(command).is_some() => Handler::Sent(Core::subscribe),
        _ if command.route != Route::Proxy => Handler::Job,
        _ => answer(command).map_or(Handler::Job, Handler::AtOnce),
    };
    let handlers: Vec<Handler> = TABLE.iter().map(handler).collect();
    debug_assert_eq!(handlers.len(), COUNT);
    handlers
});

fn answer(command: &Command) -> Option<Answer> {
    if command.last_name() == "help" && command.container.is_some() {
        return Some(help);
    }
    if command.group == Group::Cluster {
        return Some(no_cluster);
    }
    if command.name == "command" || command.name.starts_with("command|") {
        return Some(describe);
    }
    acl::answer(command.name)
        .or_else(|| connection::answer(command.name))
        .or_else(|| transactions::answer(command.name))
}

impl Core {
    /// A core that knows no shard yet, and the commands that the proxy answers itself.
    pub fn new(budgets: Budgets) -> Self {
        Self::with_commands(budgets, begin)
    }
}

/// Begins a command of the proxy.
fn begin(core: &mut Core, id: SessionId, command: &'static Command, request: &Request<'_>) -> Flow {
    match HANDLERS.get(usize::from(command.id)) {
        Some(Handler::AtOnce(answer)) => answer_now(core, id, command, request, *answer),
        Some(Handler::Sent(send)) => send(core, id, command, request),
        _ => core.begin_job(id, command, request, Work::Run),
    }
}

fn answer_now(
    core: &mut Core,
    id: SessionId,
    command: &'static Command,
    request: &Request<'_>,
    answer: Answer,
) -> Flow {
    let Some(session) = core.sessions.get_mut(id) else { return Flow::Next };
    let protocol = session.protocol;
    let mut buffer = core.take_reply_buffer();
    let reply = Reply::new(&mut buffer, protocol);
    let started = clock::monotonic();
    let mut call = Call { core, id, command, args: request.args, reply };
    if let Err(error) = answer(&mut call) {
        core.counters.error(Source::Client);
        buffer.clear();
        Reply::new(&mut buffer, protocol).error(&error);
    }
    core.ran(id, command, &request.args, clock::since(started), &buffer);
    core.reply(id, &buffer);
    core.counters.requests.at(command.group as usize).inc();
    core.give_back_reply_buffer(buffer);
    Flow::Next
}

/// RESET, which for a client that has subscriptions waits until shards know that they have ended.
fn reset(core: &mut Core, id: SessionId, command: &'static Command, request: &Request<'_>) -> Flow {
    let Some(session) = core.sessions.get(id) else { return Flow::Next };
    if session.subscriptions.is_none() {
        return answer_now(core, id, command, request, connection::reset);
    }
    if !session.places.is_empty() {
        return Flow::Wait(Stall::Replies);
    }
    let mut line = Vec::new();
    let reply = Reply::new(&mut line, session.protocol);
    let mut call = Call { core, id, command, args: request.args, reply };
    if let Err(error) = connection::reset(&mut call) {
        core.fail(id, command, &request.args, &error);
        return Flow::Next;
    }
    core.ran(id, command, &request.args, Duration::ZERO, b"");
    core.counters.requests.at(command.group as usize).inc();
    core.reset_subscriptions(id, line);
    Flow::Next
}

/// XREAD and XREADGROUP are like any command on keys unless they may wait.
fn read_stream(core: &mut Core, id: SessionId, command: &'static Command, request: &Request<'_>) -> Flow {
    if may_wait(&request.args) {
        core.begin_job(id, command, request, Work::Run)
    } else {
        core.forward(id, command, request)
    }
}

/// Whether a call of XREAD or XREADGROUP may wait.
fn may_wait(args: &Args<'_>) -> bool {
    let options = (1..args.len()).take_while(|index| !args.is(*index, "STREAMS"));
    options.into_iter().any(|index| args.is(index, "BLOCK"))
}

/// Answers a command of a transaction if that takes one step; false if it takes more.
pub(crate) fn answer_into(core: &mut Core, job: &Job, out: &mut Vec<u8>) -> bool {
    let Some(Handler::AtOnce(answer)) = HANDLERS.get(usize::from(job.command.id)) else { return false };
    let reply = Reply::new(out, job.protocol);
    let mut call = Call { core, id: job.session, command: job.command, args: job.args.args(), reply };
    if let Err(error) = answer(&mut call) {
        out.clear();
        Reply::new(out, job.protocol).error(&error);
    }
    true
}

fn help(call: &mut Call<'_>) -> Result<(), Error> {
    command::help(call.command, &mut call.reply);
    Ok(())
}

fn describe(call: &mut Call<'_>) -> Result<(), Error> {
    command::answer(call.command, &call.args, &mut call.reply)
}

/// To its clients the proxy is one Redis that is no cluster.
fn no_cluster(_: &mut Call<'_>) -> Result<(), Error> {
    Err(alone::no_cluster())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_proxy_answers_itself_has_an_answer() {
        // A container by itself is refused before.
        for row in TABLE.iter().filter(|row| row.route == Route::Proxy && !row.is_container()) {
            let is_job = matches!(HANDLERS[usize::from(row.id)], Handler::Job);
            assert!(!is_job, "{}", row.name);
        }
    }
}

//! Channels: SUBSCRIBE, PUBLISH and what belongs to them.

use slotway_common::command::Command;
use slotway_common::error::Error;
use slotway_common::number::parse_i64;
use slotway_common::pubsub::{Kind, is_everywhere, matches, subscription};
use slotway_common::slot::slot_of;

use crate::dispatch;
use crate::node::{NodeCall, NodeHandler};
use crate::pubsub::Publisher;

pub(super) const HANDLERS: &[(&str, NodeHandler)] = &[
    ("subscribe", subscribe),
    ("psubscribe", subscribe),
    ("ssubscribe", subscribe),
    ("unsubscribe", unsubscribe),
    ("punsubscribe", unsubscribe),
    ("sunsubscribe", unsubscribe),
    ("publish", |call| publish(call, Kind::Channel)),
    ("spublish", |call| publish(call, Kind::Shard)),
    ("pubsub|channels", |call| channels(call, Kind::Channel)),
    ("pubsub|shardchannels", |call| channels(call, Kind::Shard)),
    ("pubsub|numsub", |call| numsub(call, Kind::Channel)),
    ("pubsub|shardnumsub", |call| numsub(call, Kind::Shard)),
    ("pubsub|numpat", numpat),
    ("slotway-subscribe", subscribe_for_proxy),
];

fn kind_of(command: &Command) -> Kind {
    subscription(command).map_or(Kind::Channel, |(kind, _)| kind)
}

fn subscribe(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let kind = kind_of(call.command);
    if kind == Kind::Shard && !call.session.may_wait {
        return Err(Error::err("SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    for name in call.args.rest(1).iter().filter(|name| !is_everywhere(kind, name)) {
        check_owner(call, name)?;
    }
    change(call, kind, true);
    Ok(())
}

fn unsubscribe(call: &mut NodeCall<'_>) -> Result<(), Error> {
    change(call, kind_of(call.command), false);
    Ok(())
}

/// Confirmations are no replies: CLIENT REPLY does not concern them.
fn change(call: &mut NodeCall<'_>, kind: Kind, begins: bool) {
    let client = call.session.client.clone();
    let names = call.args.rest(1);
    let muted = call.session.reply_mode.is_muted();
    let out = if muted { &mut call.session.pushes } else { call.reply.buffer() };
    call.node.pubsub.change(&client, kind, begins, names.iter(), out);
}

/// Messages to a channel come here only while its slot is here.
fn check_owner(call: &mut NodeCall<'_>, name: &[u8]) -> Result<(), Error> {
    let slot = slot_of(name);
    if call.node.owns(slot) {
        return Ok(());
    }
    call.node.check_serving(call.session.internal.is_some())?;
    let address = call.node.owner_address(slot).map(str::to_owned);
    let address = address.ok_or_else(|| Error::ClusterDown("Hash slot not served".into()))?;
    Err(Error::Moved { slot, address })
}

fn publish(call: &mut NodeCall<'_>, kind: Kind) -> Result<(), Error> {
    let (channel, payload) = (call.args.at(1), call.args.at(2));
    if let Some(borrowed) = &mut call.session.borrowed
        && call.node.has_channel(slot_of(channel))
    {
        borrowed.messages.push((kind, channel.to_vec(), payload.to_vec()));
        let clients = call.node.pubsub.clients(kind, channel);
        call.reply.int(i64::try_from(clients).unwrap_or(i64::MAX));
        return Ok(());
    }
    if call.session.internal.is_some() {
        dispatch::check_slot(call.node, call.session, slot_of(channel), call.command, &call.args)?;
    } else {
        check_owner(call, channel)?;
    }
    let most = call.node.hot.pubsub_output.budget();
    let client = call.session.client.clone();
    let mut push = Vec::new();
    // A script's reply is not its client's.
    let (in_script, muted) = (call.session.in_script, call.session.reply_mode.is_muted());
    let replies = !muted && !in_script;
    let out = if replies { call.reply.buffer() } else { &mut push };
    let mut publisher = Publisher { client: &client, out };
    let sent = call.node.pubsub.publish(kind, channel, payload, most, Some(&mut publisher));
    if in_script && !push.is_empty() {
        client.push(&push);
    } else {
        call.session.pushes.append(&mut push);
    }
    call.node.stats.closed_for_output += sent.closed;
    call.node.stats.messages += sent.clients;
    call.reply.int(i64::try_from(sent.clients).unwrap_or(i64::MAX));
    Ok(())
}

fn channels(call: &mut NodeCall<'_>, kind: Kind) -> Result<(), Error> {
    let pattern = call.args.get(2);
    if call.args.len() > 3 {
        return Err(slotway_common::command::bad_subcommand_call(&call.args));
    }
    let at = call.reply.begin();
    let mut count = 0;
    for name in call.node.pubsub.names(kind) {
        if pattern.is_none_or(|pattern| matches(pattern, name)) {
            call.reply.bulk(name);
            count += 1;
        }
    }
    call.reply.finish_array(at, count);
    Ok(())
}

fn numsub(call: &mut NodeCall<'_>, kind: Kind) -> Result<(), Error> {
    let names = call.args.rest(2);
    call.reply.array(names.len() * 2);
    for name in names.iter() {
        call.reply.bulk(name);
        call.reply.int(i64::try_from(call.node.pubsub.clients(kind, name)).unwrap_or(i64::MAX));
    }
    Ok(())
}

fn numpat(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let count = call.node.pubsub.names(Kind::Pattern).len();
    call.reply.len(count);
    Ok(())
}

/// `SLOTWAY-SUBSCRIBE <kind> <name> <clients> …`: so many clients of the proxy at the other end listen. All channels have to
/// be this shard's, or nothing is taken note of.
fn subscribe_for_proxy(call: &mut NodeCall<'_>) -> Result<(), Error> {
    let kind = Kind::of_word(call.args.at(1)).ok_or(Error::Syntax)?;
    let items = call.args.rest(2);
    if !items.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    let mut weights = Vec::with_capacity(items.len() / 2);
    for item in 0..items.len() / 2 {
        let (name, number) = (items.at(item * 2), items.at(item * 2 + 1));
        let weight = parse_i64(number).and_then(|number| u64::try_from(number).ok());
        let weight = weight.ok_or(Error::NotInteger)?;
        if weight > 0 && !is_everywhere(kind, name) {
            check_owner(call, name)?;
        }
        weights.push((name, weight));
    }
    if weights.iter().any(|(_, weight)| *weight > 0) {
        call.node.check_serving(true)?;
    }
    let client = call.session.client.clone();
    for (name, weight) in weights {
        call.node.pubsub.set_weight(&client, kind, name, weight);
    }
    call.reply.ok();
    Ok(())
}

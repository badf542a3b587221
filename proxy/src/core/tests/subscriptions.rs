//! Clients listen to channels of three shards.

use super::*;

/// What a shard is told on its connection for subscriptions, which then says that it knows.
fn know(stage: &mut Stage, shard: usize) -> String {
    let id = stage.listening(shard);
    let told = stage.sent_on(id);
    let count = if told.is_empty() { 0 } else { told.split('|').count() };
    stage.answer_on(id, &"+OK|".repeat(count));
    told
}

fn message(channel: &str, text: &str) -> String {
    format!(">3|$7|message|${}|{channel}|${}|{text}|", channel.len(), text.len())
}

fn array(channel: &str, text: &str) -> String {
    message(channel, text).replacen('>', "*", 1)
}

fn confirmed(what: &str, name: &str, count: usize) -> String {
    format!("*3|${}|{what}|${}|{name}|:{count}|", what.len(), name.len())
}

#[test]
fn a_shard_is_told_how_many_listen_and_sends_once() {
    let mut stage = Stage::new();
    let (one, two) = (stage.client(), stage.client());
    let channel = key(1, 0);
    stage.send(one, &format!("SUBSCRIBE {channel}"));
    assert_eq!(stage.got(one), "", "not before the shard knows");
    assert_eq!(know(&mut stage, 1), format!("SLOTWAY-SUBSCRIBE channel {channel} 1"));
    assert_eq!(stage.got(one), confirmed("subscribe", &channel, 1));
    stage.send(two, &format!("HELLO 3|SUBSCRIBE {channel}"));
    stage.got(two);
    let link = stage.listening(1);
    stage.sent_on(link);
    stage.answer_on(link, &message(&channel, "early"));
    stage.answer_on(link, "+OK|");
    stage.answer_on(link, &message(&channel, "late"));
    let early_and_late = array(&channel, "early") + &array(&channel, "late");
    assert_eq!(stage.got(one), early_and_late);
    let confirmed = confirmed("subscribe", &channel, 1).replacen('*', ">", 1);
    assert_eq!(stage.got(two), confirmed + &message(&channel, "late"));
    assert_eq!(stage.sent(1), "", "nothing of it goes over the connection for requests");
}

#[test]
fn a_client_that_leaves_or_closes_is_not_counted_any_more() {
    let mut stage = Stage::new();
    let (one, two) = (stage.client(), stage.client());
    let channel = key(0, 0);
    for client in [one, two] {
        stage.send(client, &format!("SUBSCRIBE {channel}"));
        know(&mut stage, 0);
        stage.got(client);
    }
    stage.send(one, "UNSUBSCRIBE");
    let link = stage.listening(0);
    assert_eq!(stage.sent_on(link), format!("SLOTWAY-SUBSCRIBE channel {channel} 1"));
    stage.answer_on(link, &message(&channel, "last"));
    assert_eq!(stage.got(one), array(&channel, "last"), "it is counted until the shard knows");
    stage.answer_on(link, "+OK|");
    stage.answer_on(link, &message(&channel, "x"));
    assert_eq!(stage.got(one), confirmed("unsubscribe", &channel, 0));
    stage.core.close_session(two);
    assert_eq!(know(&mut stage, 0), format!("SLOTWAY-SUBSCRIBE channel {channel} 0"));
    assert_eq!(stage.core.topics.len(), 0);
}

#[test]
fn messages_wait_for_the_confirmation_that_they_follow() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (a, b) = (key(0, 0), key(1, 0));
    stage.send(client, &format!("SUBSCRIBE {a} {b}"));
    know(&mut stage, 1);
    let link = stage.listening(1);
    stage.answer_on(link, &message(&b, "hi"));
    assert_eq!(stage.got(client), "");
    know(&mut stage, 0);
    let confirmed = confirmed("subscribe", &a, 1) + &confirmed("subscribe", &b, 2);
    assert_eq!(stage.got(client), confirmed + &array(&b, "hi"));
}

#[test]
fn patterns_are_told_to_all_shards() {
    let mut stage = Stage::new();
    let client = stage.client();
    stage.send(client, "PSUBSCRIBE n*");
    for shard in 0..3 {
        assert_eq!(stage.got(client), "");
        assert_eq!(know(&mut stage, shard), "SLOTWAY-SUBSCRIBE pattern n* 1");
    }
    assert_eq!(stage.got(client), confirmed("psubscribe", "n*", 1));
    let link = stage.listening(2);
    stage.answer_on(link, ">4|$8|pmessage|$2|n*|$1|n|$2|hi|");
    assert_eq!(stage.got(client), "*4|$8|pmessage|$2|n*|$1|n|$2|hi|");
    stage.send(client, "PUNSUBSCRIBE");
    for shard in 0..3 {
        assert_eq!(know(&mut stage, shard), "SLOTWAY-SUBSCRIBE pattern n* 0");
    }
    assert_eq!(stage.got(client), confirmed("punsubscribe", "n*", 0));
    assert_eq!(stage.core.topics.len(), 0);
}

#[test]
fn a_shard_whose_connection_broke_is_told_all_again() {
    let mut stage = Stage::new();
    let client = stage.client();
    let channel = key(2, 0);
    stage.send(client, &format!("SUBSCRIBE {channel}"));
    know(&mut stage, 2);
    stage.send(client, "PSUBSCRIBE *");
    (0..3).for_each(|shard| drop(know(&mut stage, shard)));
    stage.got(client);
    let link = stage.listening(2);
    stage.core.upstream_lost(link, "reset");
    stage.core.upstream_failed(link, "connection refused");
    stage.core.upstream_opened(link);
    let told = know(&mut stage, 2);
    assert_eq!(told, format!("SLOTWAY-SUBSCRIBE channel {channel} 1|SLOTWAY-SUBSCRIBE pattern * 1"));
    assert_eq!(stage.core.counters.subscription_gaps.get(), 2);
    stage.answer_on(link, &message(&channel, "again"));
    assert_eq!(stage.got(client), array(&channel, "again"));
}

#[test]
fn nothing_is_subscribed_to_that_a_shard_cannot_take_note_of() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (a, b) = (key(0, 0), key(1, 0));
    stage.send(client, &format!("SUBSCRIBE {a}"));
    know(&mut stage, 0);
    stage.got(client);
    let link = stage.listening(0);
    stage.core.upstream_lost(link, "reset");
    stage.core.upstream_failed(link, "connection refused");
    stage.send(client, &format!("SUBSCRIBE {b} {a}2{{{a}}}"));
    assert_eq!(stage.got(client), "-CLUSTERDOWN shard 'a' at h:1 is down: connection refused|");
    stage.send(client, &format!("SUBSCRIBE {b}"));
    know(&mut stage, 1);
    assert_eq!(stage.got(client), confirmed("subscribe", &b, 2));
}

#[test]
fn channels_follow_their_slot_and_new_messages_do_not_overtake_old_ones() {
    let mut stage = Stage::new();
    let client = stage.client();
    let channel = key(0, 0);
    stage.send(client, &format!("SUBSCRIBE {channel}"));
    know(&mut stage, 0);
    stage.got(client);
    stage.core.apply_topology(&topology(2, &[("a", "h:1", ""), ("b", "h:2", "0-10922"), SHARDS[2]]));
    assert_eq!(know(&mut stage, 1), format!("SLOTWAY-SUBSCRIBE channel {channel} 1"));
    let (old, new) = (stage.listening(0), stage.listening(1));
    stage.answer_on(new, &message(&channel, "second"));
    stage.answer_on(old, &message(&channel, "first"));
    assert_eq!(stage.got(client), array(&channel, "first"));
    assert_eq!(know(&mut stage, 0), format!("SLOTWAY-SUBSCRIBE channel {channel} 0"));
    assert_eq!(stage.got(client), array(&channel, "second"));
    assert_eq!(stage.core.counters.subscription_gaps.get(), 1);
}

#[test]
fn a_shard_that_has_lost_the_slot_says_who_is_to_be_told() {
    let mut stage = Stage::new();
    let client = stage.client();
    let channel = key(0, 0);
    let slot = slot_of(channel.as_bytes());
    stage.send(client, &format!("SUBSCRIBE {channel}"));
    let link = stage.listening(0);
    stage.sent_on(link);
    stage.answer_on(link, &format!("-MOVED {slot} h:2|"));
    assert_eq!(stage.got(client), "");
    assert!(know(&mut stage, 1).contains(&format!("SLOTWAY-SUBSCRIBE channel {channel} 1")));
    assert_eq!(stage.got(client), confirmed("subscribe", &channel, 1));
}

#[test]
fn a_shard_that_does_not_serve_yet_is_told_again_later() {
    let mut stage = Stage::new();
    let client = stage.client();
    let channel = key(0, 0);
    stage.send(client, &format!("SUBSCRIBE {channel}"));
    let link = stage.listening(0);
    stage.sent_on(link);
    stage.answer_on(link, "-CLUSTERDOWN not yet|");
    assert_eq!((stage.got(client), stage.sent_on(link)), (String::new(), String::new()));
    stage.core.tick();
    assert_eq!(know(&mut stage, 0), format!("SLOTWAY-SUBSCRIBE channel {channel} 1"));
    assert_eq!(stage.got(client), confirmed("subscribe", &channel, 1));
}

#[test]
fn in_resp2_a_subscriber_may_do_little_else() {
    let mut stage = Stage::new();
    let client = stage.client();
    let channel = key(0, 0);
    stage.send(client, &format!("SUBSCRIBE {channel}|GET x|PING|PING hi|RESET|PING"));
    know(&mut stage, 0);
    let refused = "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed \
                   in this context|";
    let pongs = "*2|$4|pong|$0||*2|$4|pong|$2|hi|";
    assert_eq!(stage.got(client), confirmed("subscribe", &channel, 1) + refused + pongs);
    assert_eq!(know(&mut stage, 0), format!("SLOTWAY-SUBSCRIBE channel {channel} 0"));
    assert_eq!(stage.got(client), "+RESET|+PONG|");
}

#[test]
fn a_subscriber_s_own_messages_come_before_the_reply_to_its_publish() {
    let mut stage = Stage::new();
    let client = stage.client();
    let channel = key(0, 0);
    stage.send(client, &format!("HELLO 3|PUBLISH {channel} 0"));
    let link = stage.core.upstreams.iter().map(|(id, _)| id).last().expect("a connection");
    assert_eq!(stage.sent_on(link), format!("PUBLISH {channel} 0"));
    stage.answer_on(link, ":0|");
    stage.send(client, &format!("SUBSCRIBE {channel}|PUBLISH {channel} 1"));
    know(&mut stage, 0);
    stage.got(client);
    let link = stage.listening(0);
    assert_eq!(stage.sent_on(link), format!("PUBLISH {channel} 1"));
    stage.answer_on(link, &(message(&channel, "1") + ":1|"));
    assert_eq!(stage.got(client), message(&channel, "1") + ":1|");
}

#[test]
fn a_subscriber_that_does_not_read_is_closed_and_the_others_are_not() {
    let mut stage = Stage::new();
    let policy = Policy { known: true, ..Policy::default() };
    let hard = policy.pubsub_output.hard as usize;
    let (slow, quick) = (stage.client(), stage.client());
    let channel = key(0, 0);
    for client in [slow, quick] {
        stage.send(client, &format!("SUBSCRIBE {channel}"));
        know(&mut stage, 0);
        stage.got(client);
    }
    let link = stage.listening(0);
    let text = "x".repeat(1 << 20);
    for _ in 0..hard / text.len() + 1 {
        stage.answer_on(link, &message(&channel, &text));
        stage.got(quick);
    }
    assert!(stage.closed(slow) && !stage.closed(quick));
    assert_eq!(know(&mut stage, 0), format!("SLOTWAY-SUBSCRIBE channel {channel} 1"));
}

#[test]
fn a_publish_of_a_transaction_is_part_of_its_batch_only_on_its_shard() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (a, other, b) = (key(0, 0), key(0, 1), key(1, 0));
    stage.send(client, &format!("MULTI|SET {a} 1|PUBLISH {other} hi|EXEC"));
    assert!(stage.sent(0).starts_with("SLOTWAY-EXEC"), "one batch");
    stage.got(client);
    let client = stage.client();
    stage.send(client, &format!("MULTI|SET {a} 1|PUBLISH {b} hi|EXEC"));
    let job = stage.actions.iter().any(|action| matches!(action, Action::Run(_)));
    assert!(job, "a step of its own");
}

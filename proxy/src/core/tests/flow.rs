//! Requests, replies and their order.

use slotway_common::acl::Users;

use super::super::Work;
use super::*;

#[test]
fn a_request_is_forwarded_as_it_came_and_answered() {
    let mut stage = Stage::new();
    let client = stage.client();
    let key = key(1, 0);
    stage.core.received(client, format!("*2\r\n$3\r\ngEt\r\n${}\r\n{key}\r\n", key.len()).as_bytes());
    assert_eq!(stage.sent(1), format!("gEt {key}"));
    stage.answer(1, "$1|x|");
    assert_eq!(stage.got(client), "$1|x|");
}

#[test]
fn requests_split_anywhere_are_framed_once_whole() {
    let key = key(0, 0);
    let request = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\nPING\r\n", key.len()).into_bytes();
    for cut in 0..request.len() {
        let mut stage = Stage::new();
        let client = stage.client();
        stage.core.received(client, &request[..cut]);
        stage.turn();
        stage.core.received(client, &request[cut..]);
        assert_eq!(stage.sent(0), format!("GET {key}"));
        stage.answer(0, "$-1|");
        assert_eq!(stage.got(client), "$-1|+PONG|");
        assert!(stage.core.sessions.get(client).unwrap().partial.is_none());
    }
}

#[test]
fn replies_keep_the_order_of_a_pipeline_over_shards() {
    let mut stage = Stage::new();
    let client = stage.client();
    stage.send(client, &format!("GET {}|PING|GET {}|ECHO x|GET {}", key(0, 0), key(1, 0), key(2, 0)));
    for shard in 0..3 {
        stage.sent(shard);
    }
    stage.answer(2, "$1|c|");
    stage.answer(1, "$1|b");
    assert_eq!(stage.got(client), "");
    stage.answer(0, "$1|a|");
    assert_eq!(stage.got(client), "$1|a|+PONG|$1|b");
    stage.answer(1, "|");
    assert_eq!(stage.got(client), "|$1|x|$1|c|");
}

#[test]
fn replies_of_a_client_that_left_are_dropped() {
    let mut stage = Stage::new();
    let (first, second) = (stage.client(), stage.client());
    stage.send(first, &format!("GET {}", key(0, 0)));
    stage.send(second, &format!("GET {}", key(0, 1)));
    stage.sent(0);
    stage.core.close_session(first);
    let third = stage.client();
    stage.answer(0, "$1|a|$1|b|");
    assert_eq!((stage.got(third), stage.got(second)), (String::new(), "$1|b|".to_owned()));
}

#[test]
fn a_client_that_half_closes_gets_its_replies() {
    let mut stage = Stage::new();
    let client = stage.client();
    stage.send(client, &format!("GET {}", key(0, 0)));
    stage.core.input_ended(client);
    stage.sent(0);
    assert!(!stage.closed(client));
    stage.answer(0, "$1|a|");
    assert_eq!(stage.got(client), "$1|a|");
    assert!(stage.closed(client));
}

#[test]
fn many_keys_are_split_by_shard_and_merged() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (a, b, c) = (key(0, 0), key(1, 0), key(2, 0));
    let a2 = key(0, 1);
    stage.send(client, &format!("MGET {a} {b} {a2} {c} {a}"));
    assert_eq!(stage.sent(0), format!("MGET {a} {a2} {a}"));
    assert_eq!(stage.sent(1), format!("SLOTWAY-QUIET MGET {b}"), "only the first part counts");
    stage.answer(2, "*1|$1|c|");
    stage.answer(0, "*3|$1|a|$-1|$1|a|");
    stage.answer(1, "*1|$1|b|");
    assert_eq!(stage.got(client), "*5|$1|a|$1|b|$-1|$1|c|$1|a|");

    stage.send(client, &format!("DEL {a} {b} {c}"));
    stage.sent(0);
    stage.sent(1);
    stage.sent(2);
    for shard in 0..3 {
        stage.answer(shard, ":1|");
    }
    assert_eq!(stage.got(client), ":3|");
}

#[test]
fn many_keys_of_one_shard_pass_as_they_came() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (first, second) = (key(0, 0), key(0, 1));
    stage.send(client, &format!("mget {first} {second}|DEL {first}"));
    assert_eq!(stage.sent(0), format!("mget {first} {second}|DEL {first}"));
}

#[test]
fn an_inline_request_is_sent_as_multibulk() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (a, b) = (key(0, 0), key(1, 0));
    stage.core.received(client, format!("get {a}\r\nmget {a} {b}\r\n").as_bytes());
    assert_eq!(stage.sent(0), format!("get {a}|mget {a}"));
    assert_eq!(stage.sent(1), format!("SLOTWAY-QUIET mget {b}"));
}

#[test]
fn commands_on_several_slots_that_are_not_split_become_transactions_once_their_client_waits_for_nothing() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (a, b) = (key(0, 0), key(1, 0));
    let runs = |stage: &Stage| {
        stage.actions.iter().any(|action| matches!(action, Action::Run(job) if job.command.name == "rename"))
    };
    stage.send(client, &format!("GET {a}|RENAME {a} {b}"));
    assert_eq!(stage.sent(0), format!("GET {a}"));
    assert!(!runs(&stage));
    stage.answer(0, "$1|1|");
    assert_eq!(stage.got(client), "$1|1|");
    assert!(runs(&stage));
}

#[test]
fn another_database_waits_for_the_replies_in_flight() {
    let mut stage = Stage::new();
    let client = stage.client();
    let key = key(0, 0);
    stage.send(client, &format!("SET {key} 1|SELECT 3|GET {key}|GET {key}"));
    assert_eq!(stage.sent(0), format!("SET {key} 1"));
    assert!(!stage.core.upstreams.iter().any(|(_, upstream)| upstream.database == 3));
    stage.answer(0, "+OK|");
    let other = stage.upstream_of(0, 3);
    assert_eq!(stage.sent_on(other), format!("GET {key}|GET {key}"));
    stage.answer_on(other, "$-1|$-1|");
    assert_eq!(stage.got(client), "+OK|+OK|$-1|$-1|");
}

#[test]
fn another_protocol_uses_another_connection() {
    let mut stage = Stage::new();
    let client = stage.client();
    stage.send(client, &format!("HELLO 3|GET {}", key(0, 0)));
    assert!(stage.got(client).starts_with("%7|"));
    let protocols: Vec<u8> =
        stage.core.upstreams.iter().map(|(_, upstream)| upstream.protocol.number()).collect();
    assert_eq!(protocols, [2, 2, 2, 3], "one for each shard from the start, others when they are needed");
}

#[test]
fn malformed_frames_get_redis_s_text_and_end_the_connection() {
    for (input, error) in [
        ("*x|", "-ERR Protocol error: invalid multibulk length|"),
        ("*1|:3|", "-ERR Protocol error: expected '$', got ':'|"),
        ("PING|*1|$-3|", "+PONG|-ERR Protocol error: invalid bulk length|"),
        ("\"|", "-ERR Protocol error: unbalanced quotes in request|"),
    ] {
        let mut stage = Stage::new();
        let client = stage.client();
        stage.core.received(client, input.replace('|', "\r\n").as_bytes());
        assert_eq!(stage.got(client), error);
        assert!(stage.closed(client));
    }
}

#[test]
fn a_protocol_error_waits_for_earlier_replies() {
    let mut stage = Stage::new();
    let client = stage.client();
    stage.send(client, &format!("GET {}", key(0, 0)));
    stage.core.received(client, b"*x\r\nPING\r\n");
    stage.sent(0);
    assert!(!stage.closed(client));
    stage.answer(0, "$1|a|");
    assert_eq!(stage.got(client), "$1|a|-ERR Protocol error: invalid multibulk length|");
    assert!(stage.closed(client));
}

#[test]
fn quit_is_the_last_reply() {
    let mut stage = Stage::new();
    let client = stage.client();
    stage.send(client, "PING|QUIT|PING");
    assert_eq!(stage.got(client), "+PONG|+OK|");
    assert!(stage.closed(client));
}

#[test]
fn replies_can_be_switched_off_and_skipped() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (a, b) = (key(0, 0), key(1, 0));
    stage.send(
        client,
        &format!("CLIENT REPLY SKIP|GET {a}|PING|CLIENT REPLY OFF|GET {a}|MGET {a} {b}|ECHO x"),
    );
    stage.send(client, "CLIENT REPLY ON|PING");
    stage.sent(0);
    stage.sent(1);
    stage.answer(0, "$1|x|$1|x|*1|$1|x|");
    stage.answer(1, "*1|$1|x|");
    assert_eq!(stage.got(client), "+PONG|+OK|+PONG|");
}

#[test]
fn nobody_is_served_without_a_password_that_is_asked_for() {
    let mut stage = Stage::new();
    let earlier = stage.client();
    stage.core.apply_users(&Arc::new(Users::new(&[], 1, b"secret")));
    let client = stage.client();
    stage.send(client, "PING|GET x|AUTH wrong|AUTH secret|PING");
    assert_eq!(
        stage.got(client),
        "-NOAUTH Authentication required.|-NOAUTH Authentication required.|-WRONGPASS invalid username-password pair \
         or user is disabled.|+OK|+PONG|"
    );
    stage.send(earlier, "PING");
    assert_eq!(stage.got(earlier), "+PONG|", "who was let in before stays");
}

#[test]
fn a_pipeline_deeper_than_the_places_goes_on_as_replies_come() {
    let mut stage = Stage::with_budgets(Budgets { places: 4, ..Budgets::default() });
    let client = stage.client();
    let key = key(0, 0);
    let pipeline: Vec<String> = (0..20).map(|_| format!("INCR {key}")).collect();
    stage.send(client, &pipeline.join("|"));
    let mut replies = String::new();
    let mut sent = 0;
    while sent < 20 {
        let now = stage.sent(0).split('|').filter(|request| !request.is_empty()).count();
        assert!(now > 0 && now <= 4);
        for _ in 0..now {
            sent += 1;
            stage.answer(0, &format!(":{sent}|"));
        }
        replies += &stage.got(client);
    }
    assert_eq!(replies, (1..=20).map(|n| format!(":{n}|")).collect::<String>());
}

#[test]
fn a_client_that_never_reads_is_not_read_and_then_closed() {
    let budgets = Budgets { client_pause: 1000, client: 10_000, ..Budgets::default() };
    let mut stage = Stage::with_budgets(budgets);
    let client = stage.client();
    let key = key(0, 0);
    stage.send(client, &format!("GET {key}"));
    stage.sent(0);
    stage.answer(0, &format!("$2000|{}|", "x".repeat(2000)));
    stage.send(client, &format!("GET {key}"));
    assert_eq!(stage.sent(0), "", "its requests are not begun");
    stage.got(client);
    assert_eq!(stage.sent(0), format!("GET {key}"), "until it has read");
    stage.answer(0, &format!("$2000|{}|", "x".repeat(2000)));
    stage.send(client, "PING");
    stage.core.received(client, &vec![b'x'; 70_000]);
    stage.turn();
    assert!(stage.closed(client));

    let other = stage.client();
    stage.send(other, &format!("GET {key}"));
    stage.sent(0);
    stage.answer(0, "$1|x|");
    assert_eq!(stage.got(other), "$1|x|");
}

#[test]
fn a_reply_over_the_client_s_budget_closes_that_client_alone() {
    let mut stage = Stage::with_budgets(Budgets { client: 1000, ..Budgets::default() });
    let (client, other) = (stage.client(), stage.client());
    stage.send(client, &format!("GET {}", key(0, 0)));
    stage.send(other, &format!("GET {}", key(0, 1)));
    stage.sent(0);
    stage.answer(0, &format!("$3000|{}", "x".repeat(2000)));
    assert!(stage.closed(client));
    stage.answer(0, &format!("{}|$1|y|", "x".repeat(1000)));
    assert_eq!(stage.got(other), "$1|y|");
    assert_eq!(stage.core.held_for_clients(), 0);
}

#[test]
fn the_largest_client_goes_when_the_worker_s_budget_is_used_up() {
    let mut stage = Stage::with_budgets(Budgets { worker: 5000, ..Budgets::default() });
    let (small, large) = (stage.client(), stage.client());
    stage.core.received(small, b"*1\r\n$1000\r\nxx");
    stage.core.received(large, &[&b"*1\r\n$9000\r\n"[..], &[b'x'; 4000]].concat());
    stage.core.received(large, &[b'x'; 2000]);
    stage.turn();
    assert_eq!(stage.got(large), "-ERR the proxy's memory budget for this client is used up|");
    assert!(stage.closed(large) && !stage.closed(small));
}

#[test]
fn a_full_upstream_makes_its_clients_wait() {
    let mut stage = Stage::with_budgets(Budgets { upstream: 100, ..Budgets::default() });
    let client = stage.client();
    let key = key(0, 0);
    let value = "x".repeat(60);
    stage.send(client, &format!("SET {key} {value}|SET {key} {value}|SET {key} {value}"));
    assert_eq!(stage.sent(0).split('|').count(), 2);
    stage.answer(0, "+OK|");
    assert_eq!(stage.sent(0), "");
    stage.answer(0, "+OK|");
    assert_eq!(stage.sent(0).split('|').count(), 1);
}

#[test]
fn a_reply_that_was_written_in_part_is_written_on() {
    let mut stage = Stage::new();
    let client = stage.client();
    stage.send(client, "ECHO hello");
    stage.turn();
    let (id, session) = stage.core.next_session().expect("bytes to write");
    assert_eq!((id, session.unsent()), (client, &b"$5\r\nhello\r\n"[..]));
    stage.core.session_wrote(client, 4, false);
    let (_, session) = stage.core.next_session().expect("the rest");
    assert_eq!(session.unsent(), b"hello\r\n");
    stage.core.session_wrote(client, 0, true);
    assert!(stage.core.next_session().is_none(), "the socket's own task goes on");
}

/// A client that was refused within a request once left the place where that stood to the next client of the worker.
#[test]
fn a_refused_request_is_nothing_to_the_next_client() {
    for malformed in
        [&b"*2\r\n$4\r\nECHO\r\n$x\r\n"[..], b"*3\r\n:1\r\n", b"*2\r\n$3\r\nGET\r\n$999999999999\r\n"]
    {
        let mut stage = Stage::new();
        let (one, other) = (stage.client(), stage.client());
        stage.core.received(one, malformed);
        stage.core.received(other, b"\"\r\n");
        assert!(stage.got(one).starts_with("-ERR Protocol error: "));
        assert_eq!(stage.got(other), "-ERR Protocol error: unbalanced quotes in request|");
        let third = stage.client();
        stage.send(third, "PING");
        assert_eq!(stage.got(third), "+PONG|");
    }
}

#[test]
fn what_was_queued_is_answered_together_with_exec_but_never_waits_long() {
    let mut stage = Stage::new();
    let client = stage.client();
    let a = key(0, 0);
    let is_written = |stage: &mut Stage| {
        stage.turn();
        stage.core.next_session().is_some()
    };
    stage.send(client, &format!("MULTI|GET {a}|EXEC"));
    assert!(!is_written(&mut stage));
    stage.answer(0, "*1|$1|v|");
    assert!(is_written(&mut stage));
    assert_eq!(stage.got(client), "+OK|+QUEUED|*1|$1|v|");
    // A shard that takes long holds back nothing that is there.
    stage.send(client, &format!("MULTI|GET {a}|EXEC"));
    assert!(!is_written(&mut stage));
    stage.core.tick();
    assert!(is_written(&mut stage));
    assert_eq!(stage.got(client), "+OK|+QUEUED|");
    stage.answer(0, "*1|$1|");
    assert!(is_written(&mut stage), "a reply that has begun");
    stage.answer(0, "v|");
    assert_eq!(stage.got(client), "*1|$1|v|");
}

#[test]
fn mset_is_a_transaction_only_where_its_keys_are_on_several_shards() {
    let mut stage = Stage::new();
    let client = stage.client();
    let (a, other, b) = (key(0, 0), key(0, 1), key(1, 0));
    stage.send(client, &format!("MSET {a} 1 {other} 2"));
    assert_eq!(stage.sent(0), format!("MSET {a} 1 {other} 2"));
    stage.answer(0, "+OK|");
    stage.got(client);
    stage.send(client, &format!("MSET {a} 1 {b} 2"));
    assert_eq!((stage.sent(0), stage.sent(1)), (String::new(), String::new()));
    assert!(
        stage.actions.iter().any(|action| matches!(action, Action::Run(job) if job.command.name == "mset"))
    );
}

/// Whether a client's EXEC has become a job.
fn takes_steps(stage: &mut Stage) -> bool {
    stage.turn();
    let runs = |action: Action| matches!(action, Action::Run(job) if matches!(job.work, Work::Exec(..)));
    stage.actions.drain(..).any(runs)
}

#[test]
fn exec_takes_steps_only_where_its_slots_are_on_several_shards() {
    let mut stage = Stage::new();
    let (a, other, b) = (key(0, 0), key(0, 1), key(1, 0));
    let client = stage.client();
    stage.send(client, &format!("WATCH {a}|MULTI|GET {other}|GET {a}|EXEC"));
    assert!(!takes_steps(&mut stage));
    let sent = stage.sent(0);
    assert!(sent.starts_with("SLOTWAY-WATCH ") && sent.contains("|SLOTWAY-EXEC "), "{sent}");
    stage.answer(0, "+OK|*2|$-1|$-1|");
    stage.got(client);

    stage.send(client, &format!("MULTI|GET {a}|GET {b}|EXEC"));
    assert!(takes_steps(&mut stage));
    assert_eq!((stage.sent(0), stage.sent(1)), (String::new(), String::new()));

    // What is watched counts too, on one shard after the other.
    let client = stage.client();
    stage.send(client, &format!("WATCH {a}|WATCH {b}"));
    assert!(
        stage.sent(0).ends_with(&format!(" WATCH {a}")) && stage.sent(1).ends_with(&format!(" WATCH {b}"))
    );
    stage.answer(0, "+OK|");
    stage.answer(1, "+OK|");
    assert_eq!(stage.got(client), "+OK|+OK|");
    stage.send(client, &format!("MULTI|GET {a}|EXEC"));
    assert!(takes_steps(&mut stage));
}

#[test]
fn shards_forget_what_a_client_has_watched() {
    let mut stage = Stage::new();
    let (a, b) = (key(0, 0), key(1, 0));
    let client = stage.client();
    stage.send(client, &format!("WATCH {a}|WATCH {b}"));
    let tokens: Vec<String> =
        (0..2).map(|shard| stage.sent(shard).split(' ').nth(1).unwrap().to_owned()).collect();
    assert_ne!(tokens[0], tokens[1]);
    stage.answer(0, "+OK|");
    stage.answer(1, "+OK|");
    stage.send(client, "UNWATCH");
    for (shard, token) in tokens.iter().enumerate() {
        assert_eq!(stage.sent(shard), format!("SLOTWAY-UNWATCH {token}"));
    }
}

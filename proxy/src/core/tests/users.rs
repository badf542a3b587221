//! What users may not do reaches no shard, and what only a shard can see is asked there in their name.

use slotway_common::acl::{self, StoredUser, UserChange, Users};
use slotway_common::resp::Args;

use super::*;

/// The users of these lines, each a name with its rules.
fn users(version: u64, lines: &[&str]) -> Arc<Users> {
    let stored = lines.iter().map(|line| {
        let (mut buffer, mut spans) = (Vec::new(), Vec::new());
        for word in line.split(' ') {
            spans.push((buffer.len() as u32, word.len() as u32));
            buffer.extend_from_slice(word.as_bytes());
        }
        match acl::set(&Users::default(), &Args::new(&buffer, &spans), false).unwrap().pop() {
            Some(UserChange::Set(user)) => user,
            other => panic!("{line}: {other:?}"),
        }
    });
    let stored: Vec<StoredUser> = stored.collect();
    Arc::new(Users::new(&stored, version, b""))
}

fn log_in(stage: &mut Stage, name: &str) -> SessionId {
    let client = stage.client();
    stage.send(client, &format!("AUTH {name} x"));
    assert_eq!(stage.got(client), "+OK|");
    client
}

const KEYS: &str = "-NOPERM this user has no permissions to access one of the keys used as arguments|";

#[test]
fn what_a_user_may_not_do_reaches_no_shard() {
    let mut stage = Stage::new();
    let (mine, other) = (key(0, 0), key(0, 1));
    stage.core.apply_users(&users(1, &[&format!("u on nopass +@all -del ~{mine} &c")]));
    let client = log_in(&mut stage, "u");
    stage.send(
        client,
        &format!("GET {other}|MGET {mine} {other}|DEL {mine}|PUBLISH d x|EVAL x 1 {other}|GET {mine}"),
    );
    assert_eq!(stage.sent(0), format!("GET {mine}"));
    stage.answer(0, "$-1|");
    let denied = "-NOPERM this user has no permissions to run the 'del' command|-NOPERM this user has no permissions \
                  to access one of the channels used as arguments|";
    let got = stage.got(client);
    assert!(got.starts_with(&format!("{KEYS}{KEYS}{denied}{KEYS}")), "{got}");
    assert_eq!(stage.core.counters.denied.at(1).get(), 3);
}

#[test]
fn scripts_and_transactions_of_a_restricted_user_are_sent_in_its_name() {
    let mut stage = Stage::new();
    let mine = key(1, 0);
    stage.core.apply_users(&users(1, &[&format!("u on nopass +@all ~{mine}"), "all on nopass +@all ~* &*"]));
    let client = log_in(&mut stage, "u");
    stage.send(client, &format!("EVAL script 1 {mine}"));
    let sent = stage.sent(1);
    assert!(sent.starts_with("SLOTWAY-AS u 0 id=7 ") && sent.ends_with(&format!(" {mine}")), "{sent}");
    assert!(sent.contains(" user=u ") && sent.contains("EVAL"), "{sent}");
    stage.answer(1, ":1|");
    assert_eq!(stage.got(client), ":1|");
    stage.send(client, &format!("MULTI|GET {mine}|EXEC"));
    let sent = stage.sent(1);
    assert!(sent.starts_with("SLOTWAY-AS u 0 id=7 ") && sent.contains("SLOTWAY-EXEC"), "{sent}");
    stage.answer(1, "*1|:1|");
    assert_eq!(stage.got(client), "+OK|+QUEUED|*1|:1|");

    let free = log_in(&mut stage, "all");
    stage.send(free, &format!("EVAL script 1 {mine}|GET {mine}"));
    assert_eq!(stage.sent(1), format!("EVAL script 1 {mine}|GET {mine}"));
}

#[test]
fn who_is_deleted_is_closed_and_whose_rules_change_is_asked_by_the_new_ones() {
    let mut stage = Stage::new();
    let mine = key(0, 0);
    stage.core.apply_users(&users(1, &["u on nopass +get ~*", "v on nopass +get ~*"]));
    let (u, v, other) = (log_in(&mut stage, "u"), log_in(&mut stage, "v"), stage.client());
    stage.core.apply_users(&users(2, &["v on nopass +set ~*"]));
    stage.turn();
    assert!(stage.closed(u) && !stage.closed(other));
    stage.send(v, &format!("GET {mine}"));
    assert_eq!(stage.got(v), "-NOPERM this user has no permissions to run the 'get' command|");
    stage.send(other, "PING");
    assert_eq!(stage.got(other), "+PONG|");
}

#[test]
fn nobody_is_served_before_the_users_are_known() {
    let mut core = Core::new(Budgets::default());
    core.apply_topology(&topology(1, &SHARDS));
    core.apply_policy(Arc::new(Policy { known: true, ..Policy::default() }));
    let mut stage = Stage { core, actions: Vec::new() };
    let client = stage.client();
    stage.send(client, &format!("GET {}", key(0, 0)));
    assert!(stage.got(client).starts_with("-CLUSTERDOWN no shard has told this proxy"));
    stage.core.apply_users(&users(1, &["default off"]));
    stage.send(client, &format!("GET {}", key(0, 0)));
    assert_eq!(stage.got(client), "-NOAUTH Authentication required.|");
}

#[test]
fn of_a_transaction_that_begins_before_the_proxy_serves_nothing_runs() {
    let mut core = Core::new(Budgets::default());
    core.apply_topology(&topology(1, &SHARDS));
    core.apply_policy(Arc::new(Policy { known: true, ..Policy::default() }));
    let mut stage = Stage { core, actions: Vec::new() };
    let client = stage.client();
    stage.send(client, "MULTI");
    stage.send(client, &format!("DECR {}", key(0, 0)));
    stage.core.apply_users(&users(1, &["default on nopass ~* +@all"]));
    stage.send(client, &format!("INCR {}", key(0, 0)));
    stage.send(client, "EXEC");
    let got = stage.got(client);
    assert!(got.starts_with("+OK|-CLUSTERDOWN no shard has told this proxy"), "{got}");
    assert!(got.ends_with("|+QUEUED|-EXECABORT Transaction discarded because of previous errors.|"), "{got}");
}

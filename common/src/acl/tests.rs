//! What rules come to, that nothing is lost when users are kept, and that memory is bounded.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::cluster_state::{Change, ClusterState, Outcome, Proposal};
use crate::resp::{Protocol, Reply};

fn with_args<T>(words: &[&[u8]], check: impl FnOnce(&Args<'_>) -> T) -> T {
    let mut buffer = Vec::new();
    let mut spans = Vec::new();
    for word in words {
        spans.push((buffer.len() as u32, word.len() as u32));
        buffer.extend_from_slice(word);
    }
    check(&Args::new(&buffer, &spans))
}

fn words(line: &str) -> Vec<&[u8]> {
    line.split_whitespace().map(str::as_bytes).collect()
}

/// The cluster's state after ACL SETUSER or DELUSER through a process that follows it.
struct Cluster {
    state: ClusterState,
    requests: u64,
}

impl Cluster {
    fn new() -> Self {
        let mut cluster = Self { state: ClusterState::default(), requests: 0 };
        cluster.propose(Change::Found {
            cluster: "test".to_owned(),
            id: "1".to_owned(),
            hash_seed: 7,
            shards: Vec::new(),
            settings: std::collections::BTreeMap::new(),
        });
        cluster
    }

    fn propose(&mut self, change: Change) -> Outcome {
        self.requests += 1;
        self.state.apply(&Proposal { request: self.requests.to_string(), change })
    }

    fn users(&self) -> Users {
        let password = self.state.settings.get("requirepass");
        let password = password.map(crate::settings::StoredText::bytes).unwrap_or_default();
        Users::new(&self.state.users, self.state.users_version, &password)
    }

    fn set(&mut self, line: &[&[u8]]) -> Result<(), String> {
        let users = self.users();
        let planned = with_args(line, |args| set(&users, args, false)).map_err(|error| error.to_string())?;
        self.propose(Change::SetUsers { users: planned, expected: users.version() }).into_result().map(drop)
    }

    fn delete(&mut self, line: &str) {
        let users = self.users();
        let planned = with_args(&words(line), |args| delete(&users, args)).unwrap();
        self.propose(Change::SetUsers { users: planned, expected: users.version() }).into_result().unwrap();
    }

    fn require(&mut self, password: Option<&str>) {
        let value = password.map(|password| crate::settings::StoredText::new(password.as_bytes()));
        self.propose(Change::Set { values: [("requirepass".to_owned(), value)].into() });
    }

    fn line(&self, name: &str) -> String {
        String::from_utf8(self.users().get(name.as_bytes()).unwrap().line()).unwrap()
    }
}

fn checked(users: &Users, name: &str, call: &str) -> Result<(), Denied> {
    with_args(&words(call), |args| {
        let command = crate::command::find(args).unwrap();
        users.get(name.as_bytes()).unwrap().check(command, args)
    })
}

#[test]
fn the_last_key_or_channel_that_no_selector_allows_is_the_reason() {
    let mut cluster = Cluster::new();
    cluster.set(&words("u +@all -get ~a* &c (+get +mget ~b*) (+mset ~x ~y)")).unwrap();
    let users = cluster.users();
    let check = |call: &str| checked(&users, "u", call);
    assert_eq!(check("set a1 x"), Ok(()));
    assert_eq!(check("get a1"), Err(Denied::Key(1)));
    assert_eq!(check("get b1"), Ok(()));
    assert_eq!(check("mget a1 b1"), Err(Denied::Key(2)));
    assert_eq!(check("publish d x"), Err(Denied::Channel(1)));
    assert_eq!(check("psubscribe c*"), Err(Denied::Channel(1)), "a pattern must be allowed as it is");
    assert_eq!(check("subscribe c"), Ok(()));
    assert_eq!(check("subscribe c d"), Err(Denied::Channel(2)));
    assert_eq!(check("unsubscribe d"), Ok(()));
    assert!(!users.get(b"u").unwrap().is_unrestricted());
}

#[test]
fn keys_are_allowed_for_what_is_done_with_them() {
    let mut cluster = Cluster::new();
    cluster.set(&words("u +@all %R~r %W~w %RW~b")).unwrap();
    let users = cluster.users();
    for (call, allowed) in [
        ("get r", true),
        ("get w", false),
        ("set w x", true),
        ("set w x get", false),
        ("set r x", false),
        ("set b x get", true),
        ("copy r w", true),
        ("copy w r", false),
        ("sort r by nosort store w", true),
        ("sort r by nosort store r", false),
        ("bitfield r get u8 0", true),
        ("bitfield r set u8 0 1", false),
        ("eval x 1 r", false),
        ("eval x 1 b", true),
        ("eval_ro x 1 r", true),
        ("georadius r 1 1 1 m store w", true),
        ("georadius r 1 1 1 m storedist r", false),
        ("zunionstore w 2 r b", true),
        ("zunionstore w 2 r w", false),
        ("xread streams r b 0 0", true),
        ("xread streams r w 0 0", false),
        ("lmpop 2 b r left", false),
        ("object encoding w", true),
        ("strlen w", true),
    ] {
        assert_eq!(checked(&users, "u", call).is_ok(), allowed, "{call}");
    }
}

#[test]
fn a_user_that_is_made_anew_is_another_one() {
    let mut cluster = Cluster::new();
    cluster.set(&words("u on nopass +@all ~*")).unwrap();
    let mut login = Login::new(&cluster.users());
    assert!(login.log_in(&cluster.users(), b"u", b"any"));
    assert!(!login.is_free(), "channels are not allowed");
    cluster.set(&words("u &*")).unwrap();
    assert!(login.follow(&cluster.users()) && login.is_free());
    cluster.delete("u");
    cluster.set(&words("u on nopass +@all ~* &*")).unwrap();
    assert!(!login.follow(&cluster.users()));
    assert!(!login.is_free() || cluster.users().are_open());
}

#[test]
fn the_password_that_is_set_is_that_of_the_default_user_whichever_came_last() {
    let mut cluster = Cluster::new();
    let takes = |cluster: &Cluster, password: &str| {
        cluster.users().authenticate(b"default", password.as_bytes()).is_some()
    };
    assert!(takes(&cluster, "x") && cluster.users().are_open());
    cluster.require(Some("one"));
    assert!(takes(&cluster, "one") && !takes(&cluster, "x") && !cluster.users().are_open());
    cluster.set(&words("default >two")).unwrap();
    assert!(takes(&cluster, "one") && takes(&cluster, "two"));
    cluster.require(Some("three"));
    assert!(takes(&cluster, "three") && !takes(&cluster, "one") && !takes(&cluster, "two"));
    cluster.set(&words("default nopass")).unwrap();
    assert!(cluster.users().are_open());
    cluster.require(None);
    assert!(cluster.users().are_open());
    cluster.set(&words("default off")).unwrap();
    assert!(!takes(&cluster, "x") && !cluster.users().are_open());
}

#[test]
fn changes_of_an_earlier_version_are_refused() {
    let mut cluster = Cluster::new();
    let old = cluster.users();
    cluster.set(&words("a on")).unwrap();
    let planned = with_args(&words("b on"), |args| set(&old, args, false)).unwrap();
    let outcome = cluster.propose(Change::SetUsers { users: planned, expected: old.version() });
    assert_eq!(outcome, Outcome::Refused("the users have changed meanwhile".to_owned()));
    assert!(cluster.users().get(b"b").is_none());
}

/// A rule that is mostly right.
fn rule(random: &mut SmallRng) -> Vec<u8> {
    let rows: Vec<_> = bits::rows().collect();
    let row = rows[random.random_range(0..rows.len())].name;
    let category = crate::command::Categories::MEMBERS[random.random_range(0..21)].1;
    let sign = if random.random_bool(0.6) { '+' } else { '-' };
    let name = ["a", "b*", "{x}", "[a-c]?", "", "*"][random.random_range(0..6)];
    let text = match random.random_range(0..24) {
        0..6 => format!("{sign}{row}"),
        6..11 => format!("{sign}@{category}"),
        11 => format!("{sign}@all"),
        12 => format!("+{row}|{name}"),
        13 => format!("~{name}"),
        14 => format!("%R~{name}"),
        15 => format!("%w~{name}"),
        16 => format!("&{name}"),
        17 => ["allkeys", "resetkeys", "allchannels", "RESETCHANNELS"][random.random_range(0..4)].to_owned(),
        18 => ["on", "off", "nopass", "resetpass", "sanitize-payload"][random.random_range(0..5)].to_owned(),
        19 => format!(">{name}"),
        20 => format!("({sign}{row} ~{name} {sign}@{category} &{name})"),
        21 => ["clearselectors", "reset"][random.random_range(0..2)].to_owned(),
        _ => {
            let bytes: Vec<u8> = (0..random.random_range(0..6))
                .map(|_| b"+-@~%&()|<>#! \0\nRWa\xff"[random.random_range(0..20)])
                .collect();
            return bytes;
        }
    };
    text.into_bytes()
}

#[test]
fn users_are_kept_as_they_are_and_described_as_they_can_be_set() {
    for seed in 0..300 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let mut cluster = Cluster::new();
        for _ in 0..30 {
            let rules: Vec<Vec<u8>> = (0..random.random_range(1..6)).map(|_| rule(random)).collect();
            let mut line: Vec<&[u8]> = vec![b"u"];
            line.extend(rules.iter().map(Vec::as_slice));
            let before = cluster.users().get(b"u").cloned();
            let direct = {
                let mut user =
                    before.as_ref().map_or_else(|| User::new(b"u", false), |user| User::clone(user));
                let merged = rules::merged(rules.iter().map(Vec::as_slice));
                merged
                    .is_ok_and(|rules| rules.iter().all(|rule| user.apply(rule, false).is_ok()))
                    .then_some(user)
            };
            let set = cluster.set(&line);
            assert_eq!(set.is_ok(), direct.is_some(), "{rules:?}");
            let Some(direct) = direct else {
                assert_eq!(cluster.users().get(b"u"), before.as_ref(), "a mistake changes nothing");
                continue;
            };
            let kept = cluster.users().get(b"u").cloned().unwrap();
            assert_eq!(kept.line(), direct.line());
            // Of commands that were taken away and given back one by one it shows later that they are all.
            assert!(kept.is_unrestricted() || !direct.is_unrestricted());
            for (kept, direct) in kept.all_selectors().zip(direct.all_selectors()) {
                assert!(kept.commands.agrees(&direct.commands));
                assert_eq!(kept.commands.future, direct.commands.future);
                assert_eq!((kept.all_keys, &kept.keys), (direct.all_keys, &direct.keys));
                assert_eq!((kept.all_channels, &kept.channels), (direct.all_channels, &direct.channels));
            }
            let json = serde_json::to_string(&cluster.state).unwrap();
            assert_eq!(ClusterState::from_json(json.as_bytes()).unwrap(), cluster.state);
        }
    }
}

#[test]
fn neither_users_nor_rules_nor_what_was_denied_grow_without_bounds() {
    let mut cluster = Cluster::new();
    let long = "~".to_owned() + &"k".repeat(1024 * 1024);
    let mut refused = 0;
    for number in 0..6 {
        refused += usize::from(cluster.set(&[format!("u{number}").as_bytes(), long.as_bytes()]).is_err());
    }
    assert!((1..=3).contains(&refused), "{refused} of 6");

    let mut log = AclLog::default();
    for number in 0..20_000 {
        let key = [format!("{number}").as_bytes(), &vec![b'x'; 100_000]].concat();
        log.add(Entry::new(Reason::Key, Context::TopLevel, &key, b"u", number, b""), usize::MAX);
    }
    let bytes: usize = log.iter().len() * 4096;
    assert!(bytes < 20 * 1024 * 1024 && log.iter().len() > 1000, "{bytes}");
    for number in 0..100 {
        log.add(Entry::new(Reason::Auth, Context::TopLevel, b"auth", b"u", 30_000_000 + number, b""), 3);
    }
    assert_eq!(log.iter().len(), 3);
    let mut out = Vec::new();
    write_log(&log, 1, 31_000_099, &mut Reply::new(&mut out, Protocol::Resp2));
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("*1\r\n*14\r\n$5\r\ncount\r\n:100\r\n"), "{text}");
    assert!(text.contains("age-seconds\r\n$1\r\n1\r\n"), "{text}");
}

#[test]
fn names_and_lines_are_redis_s() {
    let mut cluster = Cluster::new();
    cluster.set(&words("x +@ALL -@Admin (~k* +GET) (  %rw~f  +Config|Get ) +select|0")).unwrap();
    assert_eq!(
        cluster.line("x"),
        "user x off resetchannels +@all -@admin (~k* resetchannels -@all +get) (~f resetchannels -@all +config|get)"
    );
    cluster.set(&words("x -select +select|0 +select|A +select|a")).unwrap();
    assert!(
        cluster.line("x").contains("+@all -@admin -select +select|0 +select|A ("),
        "{}",
        cluster.line("x")
    );
}

#[test]
fn passwords_are_not_shown() {
    for (line, shown) in [
        ("AUTH s", "AUTH *"),
        ("AUTH u s", "AUTH * *"),
        ("HELLO 3 AUTH u s", "HELLO 3 AUTH * *"),
        ("HELLO 2 SETNAME x auth u s", "HELLO 2 SETNAME x auth * *"),
        ("HELLO 2 AUTH u", "HELLO 2 AUTH u"),
        ("ACL SETUSER bob >s on", "ACL SETUSER * * *"),
        ("CONFIG SET requirepass s", "CONFIG SET requirepass *"),
        ("CONFIG SET MASTERAUTH s", "CONFIG SET MASTERAUTH *"),
        ("CONFIG SET masteruser s", "CONFIG SET masteruser *"),
        ("CONFIG SET maxmemory 0 masterauth s", "CONFIG SET maxmemory 0 masterauth *"),
        ("CONFIG SET none 0 tls-key-file-pass s", "CONFIG SET none 0 tls-key-file-pass *"),
        ("CONFIG SET maxmemory masterauth", "CONFIG SET maxmemory masterauth"),
        ("MIGRATE h 1 k 0 10 AUTH s", "MIGRATE h 1 k 0 10 AUTH *"),
        ("MIGRATE h 1 k 0 10 COPY REPLACE auth2 u s", "MIGRATE h 1 k 0 10 COPY REPLACE auth2 * *"),
        ("MIGRATE h 1 k 0 10 AUTH a AUTH2 b c COPY", "MIGRATE h 1 k 0 10 AUTH * AUTH2 * * COPY"),
        ("MIGRATE h 1 k 0 10 AUTH s KEYS a AUTH c", "MIGRATE h 1 k 0 10 AUTH * KEYS a AUTH c"),
        ("MIGRATE h 1 AUTH 0 10 KEYS AUTH c", "MIGRATE h 1 AUTH 0 10 KEYS AUTH c"),
        ("SET auth s", "SET auth s"),
    ] {
        let found = with_args(&words(line), |args| {
            let command = crate::command::find(args).unwrap();
            let shown = |(at, word): (usize, &[u8])| match is_secret(command, args, at) {
                true => "*".to_owned(),
                false => String::from_utf8_lossy(word).into_owned(),
            };
            args.iter().enumerate().map(shown).collect::<Vec<_>>().join(" ")
        });
        assert_eq!(found, shown);
    }
}

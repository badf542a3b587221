//! Clients of the proxy, and some that speak to shards directly; all keep what they do and see.

use std::rc::Rc;
use std::time::Duration;

use rand::Rng;
use slotway_common::platform::{net, random};
use slotway_common::resp::{Value, request};
use slotway_tests::history::{Commands, LAST, Operation, Outcome, database_of, tag_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use crate::proxy::{Client, Proxy};
use crate::shared::{Common, now};

/// Clients of the proxy that wait for each reply, those that send several commands first, and how many.
const WAITING: u32 = 4;
const PIPELINED: u32 = 5;
const DEPTH: usize = 12;
/// Clients that speak to shards themselves.
const DIRECT: u32 = 2;
/// For a shard to answer them.
const PATIENCE: Duration = Duration::from_secs(3);
/// Milliseconds between two commands at most.
const PACE: u64 = 12;
/// When a command has ended of which nothing is known.
const NEVER: u64 = u64::MAX;
/// Keys that only make slots large, so that copying one takes a while: so many a slot, and so many at once.
const FILLERS: u32 = 1500;
const FILLED_AT_ONCE: u32 = 150;

/// The proxy's host: the proxy, and its clients.
pub async fn run(common: Common) -> turmoil::Result {
    let proxy = Proxy::start(&common);
    for client in 0..WAITING + PIPELINED {
        let depth = if client < WAITING { 1 } else { DEPTH };
        spawn_local(work(Rc::clone(&common), Rc::clone(&proxy), client, depth));
    }
    spawn_local(fill(Rc::clone(&common), Rc::clone(&proxy)));
    while !common.last_reads.get() {
        sleep(Duration::from_millis(5)).await;
    }
    read_all(&common, &proxy).await;
    common.done.set(true);
    std::future::pending().await
}

/// The host of the clients that speak to shards themselves.
pub async fn run_direct(common: Common) -> turmoil::Result {
    for client in 100..100 + DIRECT {
        spawn_local(work_directly(Rc::clone(&common), client));
    }
    std::future::pending().await
}

fn operation(common: &Common, client: u32, database: u8, words: Vec<String>) -> Operation {
    Operation {
        client,
        number: common.number(client),
        database,
        words,
        invoked: now(),
        returned: NEVER,
        outcome: Outcome::Unknown("it was never answered".to_owned()),
    }
}

/// Keeps a command that is being sent; gives its place.
fn begun(common: &Common, operation: Operation) -> usize {
    let operations = &mut common.history.borrow_mut().operations;
    operations.push(operation);
    operations.len() - 1
}

/// Keeps what came of it.
fn ended(common: &Common, place: usize, outcome: Outcome) {
    let mut history = common.history.borrow_mut();
    let operation = &mut history.operations[place];
    // What is not known to have been done may be on its way still.
    if !matches!(outcome, Outcome::Unknown(_)) {
        operation.returned = now();
    }
    operation.outcome = outcome;
    let line = format!("{} {:?} {:?}", operation.client, operation.words, operation.outcome);
    drop(history);
    common.note(line);
}

async fn work(common: Common, proxy: Rc<Proxy>, client: u32, depth: usize) {
    let mut random = random::generator();
    let database = database_of(client);
    common.working.borrow_mut().insert(client);
    'connection: while !common.stop.get() {
        let connection = proxy.open();
        connection.send(&[vec!["SELECT".to_owned(), database.to_string()]]);
        if connection.receive().await.is_none_or(|reply| reply.is_error()) {
            sleep(Duration::from_millis(PACE)).await;
            continue;
        }
        while !common.stop.get() {
            sleep(Duration::from_millis(random.random_range(0..PACE))).await;
            // Whether all of them meet on one key, where their order shows.
            let list = random.random_bool(0.7).then(|| random.random_range(0..100)).filter(|_| depth > 1);
            let mut places = Vec::new();
            for _ in 0..depth {
                let words = draw(&common, client, list);
                places.push(begun(&common, operation(&common, client, database, words.clone())));
                connection.send(&[words]);
                if depth > 1 && random.random_bool(0.5) {
                    sleep(Duration::from_millis(random.random_range(0..4))).await;
                }
            }
            for place in places {
                match connection.receive().await {
                    Some(reply) => ended(&common, place, Outcome::of(reply)),
                    None => continue 'connection,
                }
            }
        }
    }
    common.working.borrow_mut().remove(&client);
}

/// The next of a client's commands, which outlive its host: any, or one that appends to that list.
fn draw(common: &Common, client: u32, list: Option<usize>) -> Vec<String> {
    let mut all = common.commands.borrow_mut();
    let commands = all.entry(client).or_insert_with(|| {
        let seed = random::generator().random();
        Commands::new(common.keys.clone(), client, seed)
    });
    match list {
        Some(list) => commands.append(list),
        None => commands.draw(),
    }
}

/// Makes slots large.
async fn fill(common: Common, proxy: Rc<Proxy>) {
    let mut random = random::generator();
    while !common.stop.get() {
        let connection = proxy.open();
        loop {
            sleep(Duration::from_millis(random.random_range(10..50))).await;
            if common.stop.get() {
                return;
            }
            let slot = common.slots[random.random_range(0..common.slots.len())];
            let tag = tag_of(slot);
            let first = random.random_range(0..FILLERS);
            let words = match random.random_range(0..20) {
                0 => vec!["DEL".to_owned(), format!("large:{{{tag}}}")],
                1..5 => {
                    let mut words = vec!["RPUSH".to_owned(), format!("large:{{{tag}}}")];
                    words.resize(22, "x".repeat(1000));
                    words
                }
                _ => {
                    let keys =
                        (first..first + FILLED_AT_ONCE).map(|number| format!("filler:{number}:{{{tag}}}"));
                    let pairs = keys.flat_map(|key| [key, "x".repeat(60)]);
                    std::iter::once("MSET".to_owned()).chain(pairs).collect()
                }
            };
            if call(&connection, &words).await.is_none() {
                break;
            }
        }
    }
}

/// Speaks to any shard, and takes no redirect.
async fn work_directly(common: Common, client: u32) {
    let mut random = random::generator();
    let database = database_of(client);
    let addresses: Vec<String> = {
        let nodes = common.file.shards.iter().flat_map(|shard| &shard.nodes);
        nodes.map(|node| node.client.to_string()).collect()
    };
    common.working.borrow_mut().insert(client);
    while !common.stop.get() {
        sleep(Duration::from_millis(random.random_range(0..PACE))).await;
        let address = &addresses[random.random_range(0..addresses.len())];
        let Ok(Ok(mut stream)) = timeout(PATIENCE, net::connect(address)).await else { continue };
        let select = vec!["SELECT".to_owned(), database.to_string()];
        let Ok(Some(Value::Simple(_))) = timeout(PATIENCE, exchange(&mut stream, &select)).await else {
            continue;
        };
        for _ in 0..random.random_range(1..20) {
            if common.stop.get() {
                break;
            }
            let words = draw(&common, client, None);
            let place = begun(&common, operation(&common, client, database, words.clone()));
            let Ok(Some(reply)) = timeout(PATIENCE, exchange(&mut stream, &words)).await else { break };
            let outcome = match &reply {
                Value::Error(text) if text.starts_with(b"MOVED ") => {
                    Outcome::Refused(String::from_utf8_lossy(text).into_owned())
                }
                _ => Outcome::of(reply),
            };
            ended(&common, place, outcome);
            sleep(Duration::from_millis(random.random_range(0..PACE))).await;
        }
    }
    common.working.borrow_mut().remove(&client);
}

/// Sends a command and waits for its reply; `None` when the connection has broken.
async fn exchange(stream: &mut net::Stream, words: &[String]) -> Option<Value> {
    let mut bytes = Vec::new();
    request::encode(words.iter().map(String::as_bytes), &mut bytes);
    stream.write_all(&bytes).await.ok()?;
    let mut received = Vec::new();
    loop {
        if let Some((value, _)) = Value::parse(&received).ok()? {
            return Some(value);
        }
        if stream.read_buf(&mut received).await.ok()? == 0 {
            return None;
        }
    }
}

/// Reads all keys, when nothing writes them any more.
async fn read_all(common: &Common, proxy: &Rc<Proxy>) {
    let connection = proxy.open();
    let mut selected = None;
    for (database, words) in common.keys.last_reads() {
        if selected != Some(database) {
            call(&connection, &["SELECT".to_owned(), database.to_string()]).await;
            selected = Some(database);
        }
        loop {
            let mut read = operation(common, LAST, database, words.clone());
            match call(&connection, &words).await.map(Outcome::of) {
                Some(outcome @ Outcome::Reply(_)) => {
                    read.outcome = outcome;
                    read.returned = now();
                    begun(common, read);
                    break;
                }
                _ => sleep(Duration::from_millis(PACE)).await,
            }
        }
    }
}

async fn call(connection: &Client, words: &[String]) -> Option<Value> {
    connection.send(&[words.to_vec()]);
    connection.receive().await
}

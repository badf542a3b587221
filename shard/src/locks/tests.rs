use std::sync::{Arc, Mutex};
use std::task::Wake;

use slotway_common::command::lookup;
use slotway_common::resp::request::{Parsed, encode};
use slotway_common::resp::{Limits, Parser};

use super::*;
use crate::dispatch::{self, Prepared};
use crate::engine::LazyFree;
use crate::node::Shard;
use crate::session::Session;

/// Notes who was woken.
struct Bell(u64, Arc<Mutex<Vec<u64>>>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

/// Three clients, and the list of those that were woken.
fn clients() -> ([Rc<Client>; 3], Arc<Mutex<Vec<u64>>>) {
    let woken = Arc::new(Mutex::new(Vec::new()));
    let client = |id| {
        let client = Rc::new(Client::new(id, String::new(), String::new(), 0));
        *client.waker.borrow_mut() = Some(Arc::new(Bell(id, woken.clone())).into());
        client
    };
    ([client(1), client(2), client(3)], woken)
}

fn engine() -> Engine {
    Engine::new(LazyFree::default())
}

#[test]
fn who_waits_for_a_slot_is_woken_with_it_in_the_order_of_coming_and_nobody_else() {
    let (mut locks, mut engine, now) = (Locks::default(), engine(), Instant::now());
    let ([a, b, c], woken) = clients();
    locks.hold(&mut engine, 7, Holder::Leaving);
    locks.hold(&mut engine, 8, Holder::Leaving);
    locks.wait(7, &b, now);
    locks.wait(8, &c, now);
    locks.wait(7, &a, now);
    // It keeps its place.
    locks.wait(7, &b, now);
    locks.release(&mut engine, 7, now);
    assert_eq!(*woken.lock().unwrap(), [2, 1]);
    assert_eq!((locks.holder(7), locks.holder(8)), (None, Some(Holder::Leaving)));
    locks.forget(3, now);
    locks.release(&mut engine, 8, now);
    assert_eq!(*woken.lock().unwrap(), [2, 1]);
    assert!(!locks.is_any_held() && locks.waiting() == 0);
}

#[test]
fn nobody_waits_for_ever() {
    let (mut locks, mut engine, now) = (Locks::default(), engine(), Instant::now());
    let ([a, b, _], woken) = clients();
    locks.hold(&mut engine, 7, Holder::Leaving);
    locks.wait(7, &a, now);
    locks.wait(7, &b, now + MAX_WAIT / 2);
    locks.time_out(now + MAX_WAIT);
    assert_eq!(*woken.lock().unwrap(), [1]);
    assert!(a.gave_up.get() && !b.gave_up.get());
    assert_eq!(locks.waiting(), 1);
}

#[test]
fn nothing_expires_in_a_slot_that_is_held() {
    let (mut locks, mut engine) = (Locks::default(), engine());
    let key = crate::engine::Key::new(b"k");
    engine.set_now(1000);
    engine.put_raw(0, &key, crate::engine::Record::string(b"k", b"v", Some(1500)));
    locks.hold(&mut engine, key.slot, Holder::Leaving);
    engine.set_now(2000);
    engine.sweep_expired(Duration::from_secs(1));
    assert_eq!(engine.totals(0).keys(), 1);
    locks.release(&mut engine, key.slot, Instant::now());
    engine.sweep_expired(Duration::from_secs(1));
    assert_eq!(engine.totals(0).keys(), 0);
}

#[test]
fn commands_wait_for_their_keys_and_what_writes_everywhere_for_any_slot_that_leaves() {
    let (mut locks, mut engine) = (Locks::default(), engine());
    locks.hold(&mut engine, slot_of(b"k"), Holder::Leaving);
    let held = |locks: &Locks, words: &[&str]| {
        let mut bytes = Vec::new();
        encode(words.iter().map(|word| word.as_bytes()), &mut bytes);
        let mut parser = Parser::new();
        let limits = Limits { max_bulk: usize::MAX, authenticated: true };
        assert!(matches!(parser.parse(&bytes, &limits), Ok(Parsed::Frame(_))));
        locks.held_of(lookup(words[0].as_bytes()), &parser.args(&bytes))
    };
    let slot = Some(slot_of(b"k"));
    assert_eq!(held(&locks, &["get", "k"]), slot);
    assert_eq!(held(&locks, &["mget", "other", "k"]), slot);
    assert_eq!(held(&locks, &["get", "other"]), None);
    assert_eq!(held(&locks, &["flushall"]), slot);
    assert_eq!(held(&locks, &["dbsize"]), None);
    assert_eq!(locks.held_among(&[1, slot_of(b"k")]), slot);
    locks.hold(&mut engine, slot_of(b"k"), Holder::Arriving);
    assert_eq!((held(&locks, &["get", "k"]), held(&locks, &["flushall"])), (slot, None));
}

/// What a client of the shard is told once it has waited: nothing of it is written, and it is not sent where it is already.
#[test]
fn who_has_waited_for_too_long_is_refused_and_changes_nothing() {
    let mut shard = crate::migration::tests::shard();
    let mut session = Session::new(clients().0[0].clone());
    let mut said = |shard: &mut Shard, words: &[&str]| {
        let mut bytes = Vec::new();
        encode(words.iter().map(|word| word.as_bytes()), &mut bytes);
        let mut parser = Parser::new();
        let limits = Limits { max_bulk: usize::MAX, authenticated: true };
        assert!(matches!(parser.parse(&bytes, &limits), Ok(Parsed::Frame(_))));
        let args = parser.args(&bytes);
        let mut out = Vec::new();
        dispatch::execute(shard, &mut session, &Prepared::new(&args, false), args, &mut out, Instant::now());
        String::from_utf8(out).unwrap()
    };
    assert_eq!(said(&mut shard, &["set", "k", "1"]), "+OK\r\n");
    assert_eq!(said(&mut shard, &["multi"]), "+OK\r\n");
    assert_eq!(said(&mut shard, &["incr", "k"]), "+QUEUED\r\n");
    let Shard { engine, node } = &mut shard;
    node.locks.hold(engine, slot_of(b"k"), Holder::Leaving);
    let refused = format!("-TRYAGAIN slot {} has been held for 10 s\r\n", slot_of(b"k"));
    for words in [&["exec"][..], &["get", "k"], &["flushall"], &["swapdb", "0", "1"]] {
        assert_eq!(said(&mut shard, words), refused, "{words:?}");
    }
    assert_eq!(said(&mut shard, &["get", "other"]), "$-1\r\n");
    let Shard { engine, node } = &mut shard;
    node.locks.release(engine, slot_of(b"k"), Instant::now());
    assert_eq!(said(&mut shard, &["get", "k"]), "$1\r\n1\r\n");
}

const FIRST: TransactionId = TransactionId { proxy: 1, number: 1 };
const SECOND: TransactionId = TransactionId { proxy: 1, number: 2 };

#[test]
fn parts_get_a_slot_in_the_order_of_coming_and_hold_what_they_have() {
    let (mut locks, mut engine, now) = (Locks::default(), engine(), Instant::now());
    let (mut first, mut second) = (0, 0);
    assert!(locks.take(&mut engine, FIRST, &[7, 9], &mut first, now));
    assert!(!locks.take(&mut engine, SECOND, &[5, 9, 11], &mut second, now));
    assert_eq!((second, locks.holder(5)), (1, Some(Holder::Transaction(SECOND))));
    assert_eq!(locks.turns(now), (vec![], None));
    // No place is taken twice, and a move's end frees nothing of it.
    assert!(!locks.take(&mut engine, SECOND, &[5, 9, 11], &mut second, now));
    locks.release(&mut engine, 9, now);
    assert_eq!((locks.waiting(), locks.holder(9)), (1, Some(Holder::Transaction(FIRST))));
    locks.release_part(&mut engine, FIRST, 9, now);
    assert_eq!(locks.turns(now), (vec![SECOND], None));
    // One that comes later is behind it though the slot is free.
    let mut third = 0;
    let last = TransactionId { proxy: 0, number: 1 };
    assert!(!locks.take(&mut engine, last, &[9], &mut third, now));
    assert!(locks.take(&mut engine, SECOND, &[5, 9, 11], &mut second, now));
    locks.leave(last, 9, now);
    [5, 9, 11].iter().for_each(|slot| locks.release_part(&mut engine, SECOND, *slot, now));
    locks.release_part(&mut engine, FIRST, 7, now);
    assert!(!locks.is_any_held() && locks.waiting() == 0);
}

#[test]
fn a_slot_is_left_to_those_who_were_refused_before_the_next_transaction_gets_it() {
    let (mut locks, mut engine, now) = (Locks::default(), engine(), Instant::now());
    let ([client, ..], woken) = clients();
    assert!(locks.take(&mut engine, FIRST, &[7, 8], &mut 0, now));
    let mut taken = 0;
    assert!(!locks.take(&mut engine, SECOND, &[7], &mut taken, now));
    locks.note_refusal(7);
    locks.wait(8, &client, now);
    [7, 8].iter().for_each(|slot| locks.release_part(&mut engine, FIRST, *slot, now));
    assert_eq!(*woken.lock().unwrap(), [1]);
    assert_eq!(locks.turns(now), (vec![], Some(now + TURN)));
    assert!(!locks.take(&mut engine, SECOND, &[7], &mut taken, now));
    assert_eq!(locks.turns(now + TURN), (vec![SECOND], None));
    assert!(locks.take(&mut engine, SECOND, &[7], &mut taken, now + TURN));
}

#[test]
fn transactions_keep_off_what_a_move_waits_for() {
    let (mut locks, mut engine, now) = (Locks::default(), engine(), Instant::now());
    assert!(locks.take(&mut engine, FIRST, &[7], &mut 0, now));
    assert!(!locks.reserve(&[7, 8]));
    let mut taken = 0;
    assert!(!locks.take(&mut engine, SECOND, &[8], &mut taken, now));
    locks.release_part(&mut engine, FIRST, 7, now);
    assert!(locks.reserve(&[7, 8]));
    assert_eq!(locks.turns(now), (vec![], None));
    locks.unreserve(&[7, 8]);
    assert_eq!(locks.turns(now), (vec![SECOND], None));
    assert!(locks.take(&mut engine, SECOND, &[8], &mut taken, now));
}

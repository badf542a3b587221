use super::*;
use crate::engine::{Engine, LazyFree};

struct Place {
    engine: Engine,
    trackers: Trackers,
    clients: Clients,
    hot: HotSettings,
}

impl Place {
    fn new() -> Self {
        Self {
            engine: Engine::new(LazyFree::default()),
            trackers: Trackers::default(),
            clients: Clients::default(),
            hot: HotSettings::default(),
        }
    }

    fn client(&mut self, protocol: Protocol) -> Rc<Client> {
        let client = self.clients.add(String::new(), String::new(), 0);
        client.protocol.set(protocol);
        client
    }

    fn track(&mut self, client: &Rc<Client>, tracking: Tracking) -> TrackerId {
        self.trackers.enable(&mut self.engine, client, Tracking { on: true, ..tracking });
        TrackerId::Client(client.id)
    }

    fn read(&mut self, id: TrackerId, key: &str) {
        let around = Around { clients: &self.clients, hot: &self.hot };
        self.trackers.remember(&mut self.engine, &around, id, key.as_bytes());
    }

    fn write(&mut self, key: &str, writer: Option<TrackerId>) {
        let writer = Writer { id: writer, in_script: false };
        let around = Around { clients: &self.clients, hot: &self.hot };
        self.trackers.changed(&mut self.engine, &around, key.as_bytes(), writer);
    }

    fn broadcast(&mut self) {
        self.trackers.send_broadcasts(&Around { clients: &self.clients, hot: &self.hot });
    }
}

fn told(client: &Client) -> String {
    String::from_utf8(client.pushed.take()).unwrap().replace("\r\n", " ")
}

#[test]
fn who_has_read_a_key_is_told_once_of_its_change() {
    let mut place = Place::new();
    let (a, b) = (place.client(Protocol::Resp3), place.client(Protocol::Resp3));
    let (first, second) = (place.track(&a, Tracking::default()), place.track(&b, Tracking::default()));
    place.read(first, "k");
    place.read(first, "k");
    place.read(second, "k");
    assert_eq!(place.trackers.totals(), (1, 2, 0));
    place.write("other", None);
    place.write("k", None);
    place.write("k", None);
    assert_eq!(told(&a), ">2 $10 invalidate *1 $1 k ");
    assert_eq!(told(&b), ">2 $10 invalidate *1 $1 k ");
    assert_eq!(place.trackers.totals(), (0, 0, 0));
}

#[test]
fn a_writer_that_does_not_want_to_is_not_told_of_its_own_changes() {
    let mut place = Place::new();
    let a = place.client(Protocol::Resp3);
    let id = place.track(&a, Tracking { no_loop: true, ..Tracking::default() });
    place.read(id, "k");
    place.write("k", Some(id));
    assert_eq!(told(&a), "");
    place.read(id, "k");
    place.write("k", Some(TrackerId::Token(a.id)));
    assert_eq!(told(&a), ">2 $10 invalidate *1 $1 k ");
}

#[test]
fn prefixes_are_told_of_all_keys_at_once_in_their_order() {
    let mut place = Place::new();
    let a = place.client(Protocol::Resp3);
    let prefixes = [Box::from(&b"p:"[..])].into();
    let id = place.track(&a, Tracking { broadcast: true, no_loop: true, prefixes, ..Tracking::default() });
    for (key, writer) in [("p:2", None), ("q:1", None), ("p:1", None), ("p:2", None), ("p:3", Some(id))] {
        place.write(key, writer);
    }
    place.broadcast();
    assert_eq!(told(&a), ">2 $10 invalidate *2 $3 p:1 $3 p:2 ");
    place.broadcast();
    assert_eq!(told(&a), "");
    place.trackers.disable(&mut place.engine, &a);
    assert_eq!(place.trackers.totals(), (0, 0, 0));
}

#[test]
fn a_client_of_a_proxy_is_told_over_the_connection_it_last_read_over() {
    let mut place = Place::new();
    let (one, two) = (place.client(Protocol::Resp2), place.client(Protocol::Resp2));
    place.trackers.meet(&one, 77, false);
    place.read(TrackerId::Token(77), "k");
    place.trackers.meet(&two, 77, false);
    place.write("k", None);
    assert_eq!((told(&one), told(&two)), (String::new(), ">3 $10 invalidate $2 77 *1 $1 k ".to_owned()));
    place.trackers.forget(&mut place.engine, &one);
    assert_eq!(place.trackers.len(), 1);
    place.trackers.forget(&mut place.engine, &two);
    assert_eq!((place.trackers.len(), place.trackers.tokens.len()), (0, 0));
}

#[test]
fn no_more_keys_are_remembered_than_may_be_and_who_loses_one_is_told() {
    let mut place = Place::new();
    let a = place.client(Protocol::Resp3);
    let id = place.track(&a, Tracking::default());
    place.trackers.most = 3;
    for number in 0..10 {
        place.read(id, &format!("k{number}"));
    }
    assert_eq!(place.trackers.totals(), (3, 3, 0));
    assert_eq!(told(&a).matches("invalidate").count(), 7);
    assert_eq!(place.trackers.slots.values().sum::<usize>(), 3);
    place.trackers.most = 1;
    let hot = HotSettings::default();
    place.trackers.keep_to_limit(&mut place.engine, &Around { clients: &place.clients, hot: &hot });
    assert_eq!(told(&a).matches("invalidate").count(), 2, "a limit that is lowered holds at once");
    assert_eq!(place.trackers.totals(), (1, 1, 0));
}

#[test]
fn a_redirection_that_leads_nowhere_is_told_of() {
    let mut place = Place::new();
    let (a, b) = (place.client(Protocol::Resp3), place.client(Protocol::Resp2));
    let id = place.track(&a, Tracking { redirect: Some(b.id), ..Tracking::default() });
    place.read(id, "k");
    place.write("k", None);
    assert_eq!((told(&a), told(&b)), (String::new(), String::new()), "it listens to nothing");
    b.listens.set(true);
    place.read(id, "k");
    place.write("k", None);
    assert_eq!(told(&b), "*3 $7 message $20 __redis__:invalidate *1 $1 k ");
    place.clients.remove(b.id);
    place.read(id, "k");
    place.write("k", None);
    assert_eq!(told(&a), ">2 $21 tracking-redir-broken :2 ");
    assert!(a.tracking.borrow().as_ref().unwrap().broken);
}

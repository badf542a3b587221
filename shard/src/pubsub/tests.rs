use super::*;

fn client(id: u64, protocol: Protocol) -> Rc<Client> {
    let client = Client::new(id, format!("c{id}"), String::new(), 0);
    client.protocol.set(protocol);
    Rc::new(client)
}

fn proxy(id: u64) -> Rc<Client> {
    let client = client(id, Protocol::Resp2);
    *client.internal.borrow_mut() = Some(Rc::from("proxy"));
    client
}

fn subscribe(pubsub: &mut PubSub, client: &Rc<Client>, kind: Kind, names: &[&str]) {
    let names = names.iter().map(|name| name.as_bytes());
    pubsub.change(client, kind, true, names, &mut Vec::new());
}

fn publish(pubsub: &mut PubSub, kind: Kind, channel: &str, from: &Client) -> (Sent, String) {
    let mut out = Vec::new();
    let mut publisher = Publisher { client: from, out: &mut out };
    let sent = pubsub.publish(kind, channel.as_bytes(), b"hi", 1000, Some(&mut publisher));
    (sent, text(&out))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap().replace("\r\n", " ")
}

fn pushed(client: &Client) -> String {
    text(&client.pushed.take())
}

#[test]
fn a_client_gets_a_message_once_for_each_subscription_that_matches() {
    let mut pubsub = PubSub::default();
    let (a, b) = (client(1, Protocol::Resp2), client(2, Protocol::Resp3));
    subscribe(&mut pubsub, &a, Kind::Channel, &["news", "other"]);
    subscribe(&mut pubsub, &b, Kind::Channel, &["news"]);
    subscribe(&mut pubsub, &b, Kind::Pattern, &["n*", "x*"]);
    subscribe(&mut pubsub, &a, Kind::Shard, &["news"]);
    let (sent, _) = publish(&mut pubsub, Kind::Channel, "news", &client(9, Protocol::Resp2));
    assert_eq!(sent, Sent { clients: 3, closed: 0 });
    assert_eq!(pushed(&a), "*3 $7 message $4 news $2 hi ");
    assert_eq!(pushed(&b), ">3 $7 message $4 news $2 hi >4 $8 pmessage $2 n* $4 news $2 hi ");
    let (sent, _) = publish(&mut pubsub, Kind::Shard, "news", &client(9, Protocol::Resp2));
    assert_eq!((sent.clients, pushed(&a).as_str()), (1, "*3 $8 smessage $4 news $2 hi "));
}

#[test]
fn what_a_client_sends_itself_comes_before_its_reply() {
    let mut pubsub = PubSub::default();
    let me = client(1, Protocol::Resp3);
    subscribe(&mut pubsub, &me, Kind::Channel, &["c"]);
    let (sent, out) = publish(&mut pubsub, Kind::Channel, "c", &me);
    assert_eq!((sent.clients, out.as_str()), (1, ">3 $7 message $1 c $2 hi "));
    assert_eq!(pushed(&me), "");
}

#[test]
fn a_proxy_counts_as_its_clients_and_gets_one_message() {
    let mut pubsub = PubSub::default();
    let (one, two) = (proxy(1), proxy(2));
    pubsub.set_weight(&one, Kind::Channel, b"c", 5);
    pubsub.set_weight(&one, Kind::Channel, b"c", 7);
    pubsub.set_weight(&two, Kind::Channel, b"c", 1);
    pubsub.set_weight(&two, Kind::Pattern, b"*", 2);
    assert_eq!(pubsub.clients(Kind::Channel, b"c"), 8);
    let (sent, _) = publish(&mut pubsub, Kind::Channel, "c", &client(9, Protocol::Resp2));
    assert_eq!((sent.clients, pushed(&one).as_str()), (10, ">3 $7 message $1 c $2 hi "));
    pubsub.set_weight(&one, Kind::Channel, b"c", 0);
    pubsub.forget(&two);
    assert_eq!((pubsub.names(Kind::Channel).len(), pubsub.names(Kind::Pattern).len()), (0, 0));
    assert!(!one.listens.get() && !two.listens.get());
}

#[test]
fn one_that_does_not_read_is_closed_and_the_others_are_not() {
    let mut pubsub = PubSub::default();
    let (slow, quick) = (client(1, Protocol::Resp2), client(2, Protocol::Resp2));
    subscribe(&mut pubsub, &slow, Kind::Channel, &["c"]);
    subscribe(&mut pubsub, &quick, Kind::Channel, &["c"]);
    let publisher = client(9, Protocol::Resp2);
    let closed: u64 = (0..100)
        .map(|_| {
            let (sent, _) = publish(&mut pubsub, Kind::Channel, "c", &publisher);
            pushed(&quick);
            sent.closed
        })
        .sum();
    assert_eq!((closed, slow.killed.get(), quick.killed.get()), (1, true, false));
    assert!(slow.pushed.borrow().len() <= 1000);
}

#[test]
fn channels_of_a_slot_that_has_left_are_ended_and_clients_told() {
    let mut pubsub = PubSub::default();
    let (direct, proxy) = (client(1, Protocol::Resp3), proxy(2));
    subscribe(&mut pubsub, &direct, Kind::Channel, &["a", "b"]);
    subscribe(&mut pubsub, &direct, Kind::Shard, &["a"]);
    subscribe(&mut pubsub, &direct, Kind::Pattern, &["*"]);
    pubsub.set_weight(&proxy, Kind::Channel, b"a", 3);
    pubsub.let_go(|slot| slot == slot_of(b"b"));
    assert_eq!(pushed(&direct), ">3 $11 unsubscribe $1 a :2 >3 $12 sunsubscribe $1 a :0 ");
    assert_eq!(pushed(&proxy), "");
    assert_eq!(pubsub.names(Kind::Channel).collect::<Vec<_>>(), [b"b"]);
    assert_eq!((pubsub.names(Kind::Pattern).len(), pubsub.names(Kind::Shard).len()), (1, 0));
}

use super::*;

const SECRET: &[u8] = b"an example secret of some length";

fn identity(node: &str) -> Identity {
    Identity { cluster: "local".to_owned(), node: node.to_owned() }
}

fn client() -> Client {
    Client::with_nonce(identity("proxy-0"), Secret::from_bytes(SECRET), Nonce::from_bytes([1; 32]))
}

fn fields(words: &[String]) -> Vec<&[u8]> {
    words.iter().map(|word| word.as_bytes()).collect()
}

fn answer(connect: &[String]) -> (Server, [String; 5]) {
    Server::connect_with_nonce(
        &identity("a-0"),
        &Secret::from_bytes(SECRET),
        &fields(connect)[2..],
        Nonce::from_bytes([2; 32]),
    )
    .unwrap()
}

#[test]
fn both_ends_learn_who_the_other_is() {
    let client = client();
    let (server, answer) = answer(&client.connect());
    let connected = client.connected(&fields(&answer), Some("a-0")).unwrap();
    assert_eq!(connected.server_node, "a-0");
    let prove = connected.prove(Mode { resp: 3, database: 9 });
    let proven = server.prove(&fields(&prove)[2..], 16).unwrap();
    assert_eq!(proven, Proven { client_node: "proxy-0".to_owned(), mode: Mode { resp: 3, database: 9 } });
}

/// Fails when the bytes that proofs are made over change without a new protocol version.
#[test]
fn proofs_are_stable() {
    let (_, answer) = answer(&client().connect());
    // Made with Python's hmac module over the fields that the module documentation lists.
    assert_eq!(answer[4], "f92d3779aaa2041d78a158432b2773d9e1c505d13513c62e7c17530a5208148c");
}

#[test]
fn another_secret_is_refused_by_either_end() {
    let stranger =
        Client::with_nonce(identity("proxy-0"), Secret::from_bytes(b"another"), Nonce::from_bytes([1; 32]));
    let (server, answer) = answer(&stranger.connect());
    assert_eq!(stranger.connected(&fields(&answer), None), Err(HandshakeError::Proof));

    let forged = [hex(&[7; 32]), "2".to_owned(), "0".to_owned()];
    assert_eq!(server.prove(&fields(&forged), 16), Err(HandshakeError::Proof));
}

#[test]
fn server_proof_does_not_serve_as_client_proof() {
    let (server, answer) = answer(&client().connect());
    let reflected = [answer[4].clone(), "2".to_owned(), "0".to_owned()];
    assert_eq!(server.prove(&fields(&reflected), 16), Err(HandshakeError::Proof));
}

#[test]
fn recorded_proof_does_not_open_another_connection() {
    let client = client();
    let (_, answer) = answer(&client.connect());
    let recorded = client.connected(&fields(&answer), None).unwrap().prove(Mode { resp: 2, database: 0 });
    let connect = self::client().connect();
    let (server, _) =
        Server::connect(&identity("a-0"), &Secret::from_bytes(SECRET), &fields(&connect)[2..]).unwrap();
    assert_eq!(server.prove(&fields(&recorded)[2..], 16), Err(HandshakeError::Proof));
}

#[test]
fn mismatches_are_told_in_one_line() {
    let refusal = |cluster: &str, version: &str| {
        let nonce = Nonce::from_bytes([3; 32]).hex();
        let words = [version.to_owned(), cluster.to_owned(), "proxy-0".to_owned(), nonce];
        match Server::connect(&identity("a-0"), &Secret::from_bytes(SECRET), &fields(&words)) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(refusal("other", "3"), "a process of cluster `other` met one of cluster `local`");
    assert_eq!(refusal("local", "2"), "version 2 of the internal protocol met version 3");
    assert_eq!(refusal("local", "x"), "the handshake is malformed: a protocol version is a number");
    assert_eq!(
        refusal("lo cal\n", "3"),
        "the handshake is malformed: a name is 1 to 128 visible ASCII characters"
    );

    let client = client();
    let (_, answer) = answer(&client.connect());
    assert_eq!(
        client.connected(&fields(&answer), Some("b-0")).unwrap_err().to_string(),
        "node `a-0` is there, not `b-0`"
    );
}

#[test]
fn malformed_fields_are_refused() {
    let server = || answer(&client().connect()).0;
    for arguments in [&[][..], &[b"".as_slice()], &[b"00", b"2", b"0"], &[b"zz", b"2", b"0", b"0"]] {
        assert!(matches!(server().prove(arguments, 16), Err(HandshakeError::Malformed(_))));
    }
    let client = client();
    let (_, answer) = answer(&client.connect());
    let connected = client.connected(&fields(&answer), None).unwrap();
    for (resp, database) in [("4", "0"), ("", "0"), ("2", "16"), ("2", "-1"), ("2", "")] {
        let mut prove = connected.prove(Mode { resp: 2, database: 0 });
        prove[3] = resp.to_owned();
        prove[4] = database.to_owned();
        assert!(matches!(server().prove(&fields(&prove)[2..], 16), Err(HandshakeError::Malformed(_))));
    }
    assert!(matches!(self::client().connected(&[], None), Err(HandshakeError::Malformed(_))));
}

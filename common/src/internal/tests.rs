use std::future::Future;

use super::*;
use crate::handshake::Server;
use crate::resp::{Protocol, Reply};

const PATIENCE: Duration = Duration::from_secs(20);

fn identity(cluster: &str, node: &str) -> Identity {
    Identity { cluster: cluster.to_owned(), node: node.to_owned() }
}

fn secret() -> Secret {
    Secret::from_bytes(b"an example secret")
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// Something that answers each received chunk, and the connection to it.
async fn open(mut answer: impl FnMut(Vec<Vec<u8>>) -> Vec<u8> + 'static) -> Result<Connection, CallError> {
    let listener = net::listen("127.0.0.1:0", 8).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut chunk = [0; 4096];
        loop {
            let read = stream.read(&mut chunk).await.unwrap();
            if read == 0 {
                std::future::pending::<()>().await;
            }
            let words = match Value::parse(&chunk[..read]) {
                Ok(Some((value, _))) => value.as_array().unwrap().to_vec(),
                other => panic!("{other:?}"),
            };
            let reply = answer(words.iter().map(|word| word.as_bytes().unwrap().to_vec()).collect());
            if reply.is_empty() {
                return;
            }
            stream.write_all(&reply).await.unwrap();
        }
    };
    let ours = identity("local", "slotway");
    let secret = secret();
    let connect = async {
        let mut connection = Connection::open(&address, &ours, &secret, Some("a-0"), PATIENCE).await?;
        connection.call(&["SLOTWAY", "PING"]).await.map(|_| connection)
    };
    tokio::select! {
        result = connect => result,
        () = serve => Err(CallError::Lost(io::ErrorKind::UnexpectedEof.into())),
    }
}

fn shard(cluster: &'static str) -> impl FnMut(Vec<Vec<u8>>) -> Vec<u8> {
    let mut waiting = None;
    move |words| {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, Protocol::Resp2);
        match words[1] {
            b"CONNECT" => match Server::connect(&identity(cluster, "a-0"), &secret(), &words[2..]) {
                Ok((server, fields)) => {
                    waiting = Some(server);
                    reply.array(fields.len());
                    fields.iter().for_each(|field| reply.bulk(field.as_bytes()));
                }
                Err(refusal) => out.extend(format!("-{REFUSAL}{refusal}\r\n").bytes()),
            },
            b"PROVE" => {
                waiting.take().unwrap().prove(&words[2..], 16).unwrap();
                reply.ok();
            }
            _ => reply.simple("PONG"),
        }
        out
    }
}

#[test]
fn member_is_asked_after_both_proofs() {
    let connection = run(open(shard("local"))).unwrap();
    assert_eq!(connection.node, "a-0");
}

#[test]
fn process_of_another_cluster_says_who_it_is() {
    let error = run(open(shard("other"))).err().unwrap().to_string();
    assert_eq!(error, "ERR handshake refused: a process of cluster `local` met one of cluster `other`");
}

#[test]
fn foreign_process_is_told_with_its_answer() {
    let error = run(open(|_| b"-ERR unknown command 'SLOTWAY'\r\n".to_vec())).err().unwrap();
    assert_eq!(error.to_string(), "not a Slotway process: it answered `ERR unknown command 'SLOTWAY'`");
    let error = run(open(|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())).err().unwrap();
    assert_eq!(error.to_string(), "not a Slotway process: it answered `HTTP/1.1 400 Bad Request`");
}

#[test]
fn closed_connection_is_an_error() {
    assert!(matches!(run(open(|_| Vec::new())), Err(CallError::Lost(_))));
}

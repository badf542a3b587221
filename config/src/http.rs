//! Asks a process's admin server one question.

use std::time::Duration;

use slotway_common::cluster_file::Address;
use slotway_common::platform::net;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// A page that is longer is not one of ours.
const LONGEST_PAGE: u64 = 1 << 20;

/// `GET path`: whether the status is 200, and the body's first line. The error says why there is no answer.
pub(crate) async fn get(address: &Address, path: &str, patience: Duration) -> Result<(bool, String), String> {
    let exchange = async {
        let mut stream = net::connect(&address.to_string()).await?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(LONGEST_PAGE).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = match timeout(patience, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no answer within {} ms", patience.as_millis())),
    };
    let status = answer.split(' ').nth(1).unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status == "200", body.lines().next().unwrap_or_default().to_owned()))
}

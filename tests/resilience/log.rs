//! A log that nobody takes: the server serves without it.

use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use testkit::plain::Plain;
use testkit::process::Server;
use testkit::tokens::{SECRET, now_seconds, token_with};
use testkit::wait::soon;

/// A server that checks tokens, whose log goes there.
async fn logging(level: &str, to: Stdio) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let flags = ["--auth.jwt-secret-file", secret.to_str().unwrap()];
    (Server::start_logging(level, to, &flags).await, folder)
}

/// A request that is refused and warned of.
async fn refused(server: &Server, origin: &str) {
    let request = format!(
        "GET /healthz HTTP/1.1\r\nhost: {}\r\norigin: {origin}\r\nconnection: close\r\n\r\n",
        server.address
    );
    let mut tcp = TcpStream::connect(&server.address).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("the refusal", tcp.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

/// Its warnings have come and gone when the token ends: whoever holds the times is still there, and
/// sends everybody away at the end.
async fn assert_served_to_the_end(mut server: Server) {
    refused(&server, "http://evil.example").await;
    let ends = now_seconds() + 3.0;
    let token = token_with("u", "o", json!({ "exp": ends }));
    let mut expires = Plain::connect(&server, &format!("?token={token}")).await;
    assert_eq!(expires.next().await["event"], "authenticated");
    let token = token_with("v", "o", json!({}));
    let mut stays = Plain::connect(&server, &format!("?token={token}")).await;
    assert_eq!(stays.next().await["event"], "authenticated");

    assert_eq!(expires.close_code().await, 1008);
    assert!(now_seconds() >= ends);
    assert_eq!(server.get("/readyz").await["status"], "ready");
    let pong = stays.ask("client:ping", json!({ "n": 1 })).await;
    assert_eq!(pong["data"]["data"]["n"], 1);
    let (code, close) = tokio::join!(server.signal("TERM"), stays.close_code());
    assert_eq!((code, close), (Some(0), 1001));
}

#[tokio::test]
async fn a_closed_pipe() {
    let (mut server, _folder) = logging("warn", Stdio::piped()).await;
    drop(server.child.stderr.take());
    assert_served_to_the_end(server).await;
}

#[tokio::test]
async fn a_full_disk() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let (server, _folder) = logging("warn", full.into()).await;
    assert_served_to_the_end(server).await;
}

#[tokio::test]
async fn a_pipe_whose_reader_has_stopped() {
    let (mut server, _folder) = logging("debug", Stdio::piped()).await;
    let pipe = server.child.stderr.take();
    // More lines than a pipe holds.
    for _ in 0..1000 {
        refused(&server, "http://evil.example").await;
    }
    assert_served_to_the_end(server).await;
    drop(pipe);
}

//! One limit on messages at every door, and a small one on headers.

use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use testkit::http::post;
use testkit::in_process::here;
use testkit::polling::Polling;
use testkit::process::stats;
use testkit::wait::within;
use testkit::websocket::{Got, Ws, connect_packet};

const LIMIT: usize = 4096;

/// `start`, `end` and so much between them that all is of this length.
fn padded(start: &str, end: &str, length: usize) -> String {
    format!(
        "{start}{}{end}",
        "x".repeat(length - start.len() - end.len())
    )
}

/// The status line of the answer to a request as it stands here.
async fn answer(address: SocketAddr, request: String) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let exchange = async {
        // Who is refused at once may not get to send all of it.
        let _ = tcp.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = within("an answer", exchange).await;
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_message_may_be_as_long_as_the_limit_and_not_a_byte_longer_at_every_door() {
    let server = here(|config| config.max_message_size_bytes = LIMIT).await;
    let address = server.address;
    let expected = Got::Close(1009, "Message too large".into());

    let mut plain = Ws::member(address, "a", "u").await;
    let ping = |length| padded(r#"{"event":"ping","data":""#, "\"}", length);
    plain.send(&ping(LIMIT)).await;
    assert!(plain.text().await.contains("pong"));
    plain.send(&ping(LIMIT + 1)).await;
    assert!(plain.text().await.contains("MESSAGE_TOO_LARGE"));
    assert_eq!(plain.close().await, expected);

    let mut engine = Ws::socket_io(address, "a", "u").await;
    let ping = |length| padded(r#"421["client:ping",""#, "\"]", length);
    engine.send(&ping(LIMIT)).await;
    engine.until("431[").await;
    engine.send(&ping(LIMIT + 1)).await;
    let error = engine.until("42[\"error\"").await;
    assert!(error.contains("MESSAGE_TOO_LARGE"), "{error}");
    assert_eq!(engine.close().await, expected);
    let closed = &stats(address).await["closed_by_reason"];
    assert_eq!(closed["message_too_large"], 2, "{closed}");

    let polling = Polling::open(address).await.unwrap();
    polling.post(&[&connect_packet("a", "u")]).await;
    polling.until("42[\"authenticated\"").await;
    assert_eq!(polling.post(&[&ping(LIMIT)]).await.status, 200);
    polling.until("431[").await;
    assert_eq!(polling.post(&[&ping(LIMIT + 1)]).await.status, 413);

    let target = json!({ "organization_id": "a" });
    let start = format!("{{\"event\":\"kpi:update\",\"target\":{target},\"data\":\"");
    let event = |length| padded(&start, "\"}", length);
    let path = "/api/ws/broadcast";
    assert_eq!(post(address, path, &event(LIMIT)).await.status, 200);
    let refused = post(address, path, &event(LIMIT + 1)).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (413, "MESSAGE_TOO_LARGE")
    );
}

#[tokio::test]
async fn a_body_without_a_length_is_held_to_the_limit_as_well() {
    let server = here(|config| config.max_message_size_bytes = LIMIT).await;
    let address = server.address;
    let polling = Polling::open(address).await.unwrap();
    for path in [polling.path(), "/api/ws/broadcast".to_owned()] {
        let chunk = format!("{:x}\r\n{}\r\n", 1024, "x".repeat(1024));
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
            chunk.repeat(5)
        );
        let answer = answer(address, request).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn headers_are_few_and_short() {
    let server = here(|_| {}).await;
    let address = server.address;
    let request = |headers: &str| {
        format!("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")
    };
    let lines = |count: usize| "X-Line: x\r\n".repeat(count);
    let long = |length: usize| format!("X-Long: {}\r\n", "x".repeat(length));
    for (headers, status) in [
        (lines(98), "200"),
        (lines(99), "431"),
        (long(12 * 1024), "200"),
        (long(16 * 1024), "431"),
    ] {
        let answer = answer(address, request(&headers)).await;
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{}: {answer}", headers.len());
    }
}

//! Many who each hold a part of something unfinished.

use std::net::SocketAddr;

use orgcast::server::Running;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use testkit::http::{Answer, broadcast, get};
use testkit::in_process::here;
use testkit::polling::Polling;
use testkit::process::Server;
use testkit::wait::within;
use testkit::websocket::{Got, Ws};

const MIB: usize = 1 << 20;
const BUDGET: usize = 16 * MIB;
/// Of the budget, for those who have not authenticated.
const ANONYMOUS: usize = BUDGET / 8;

async fn server() -> Running {
    here(|config| {
        config.max_buffered_bytes = BUDGET;
        config.auth_timeout_ms = 600_000;
        config.body_timeout_ms = 600_000;
        config.max_connections_per_address = 0;
        config.handshakes_per_second = 0;
        config.handshakes_per_second_per_address = 0;
    })
    .await
}

async fn buffered(address: SocketAddr) -> usize {
    let answer = get(address, "/api/ws/stats").await;
    let bytes = answer.json()["bufferedBytes"].as_u64().unwrap();
    usize::try_from(bytes).unwrap()
}

/// Waits until the server holds so much that it is wanted.
async fn until_buffered(address: SocketAddr, what: &str, is_wanted: impl Fn(usize) -> bool) {
    within(what, async {
        while !is_wanted(buffered(address).await) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
}

async fn closed(address: SocketAddr) -> u64 {
    let stats = testkit::process::stats(address).await;
    stats["closed_by_reason"]["overloaded"]
        .as_u64()
        .unwrap_or(0)
}

/// Sends all of a message but its last byte. The server may close meanwhile.
async fn half_a_message(ws: &mut Ws, length: usize) {
    let mut frame = vec![0x81, 0x80 | 127];
    frame.extend((length as u64).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(vec![b' '; length - 1]);
    let _ = ws.tcp.write_all(&frame).await;
}

/// Skips texts until one has this in it.
async fn until(ws: &mut Ws, what: &str) -> String {
    loop {
        let text = ws.text().await;
        if text.contains(what) {
            return text;
        }
    }
}

/// Somebody who hears what is published all along.
struct Listener {
    ws: Ws,
    heard: u64,
}

impl Listener {
    async fn new(address: SocketAddr) -> Self {
        let mut ws = Ws::member(address, "a", "listener").await;
        ws.send(r#"{"event":"subscribe","data":{"channels":["kpi"]}}"#)
            .await;
        until(&mut ws, "subscri").await;
        Self { ws, heard: 0 }
    }

    async fn hears(&mut self, address: SocketAddr) {
        let n = self.heard;
        let event = json!({"event":"kpi:update","target":{"organization_id":"a"},"data":{"n":n}});
        let answer = broadcast(address, &event).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let text = until(&mut self.ws, "kpi:update").await;
        assert!(text.contains(&format!(r#""n":{n}"#)), "{text}");
        self.heard += 1;
    }
}

#[tokio::test]
async fn who_has_not_authenticated_holds_a_share_together_and_those_who_hold_most_go_first() {
    let server = server().await;
    let address = server.address;
    let mut listener = Listener::new(address).await;

    // A few hold little, and stay; many hold as much as they may.
    let mut small = Vec::new();
    for _ in 0..10 {
        let mut ws = Ws::plain(address, "").await;
        half_a_message(&mut ws, 20_000).await;
        small.push(ws);
    }
    let mut large = Vec::new();
    for _ in 0..150 {
        let mut ws = Ws::plain(address, "").await;
        half_a_message(&mut ws, 31_000).await;
        large.push(ws);
        if large.len() % 30 == 0 {
            listener.hears(address).await;
        }
    }
    until_buffered(address, "the share to hold", |held| held <= ANONYMOUS).await;
    let gone = closed(address).await;
    assert!((80..150).contains(&gone), "{gone} were given up");
    let mut told = 0;
    for ws in &mut large {
        let next = tokio::time::timeout(std::time::Duration::from_millis(20), ws.close()).await;
        match next {
            Ok(Got::Close(1013, reason)) => {
                assert!(reason.contains("short of memory"), "{reason}");
                told += 1;
            }
            // Its message was on its way, so that the socket was reset.
            Ok(Got::End) => told += 1,
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
    }
    assert_eq!(told, gone);
    // Those who held little are answered.
    for ws in &mut small {
        ws.tcp.write_all(b" ").await.unwrap();
        assert!(ws.text().await.contains("INVALID_MESSAGE"));
    }
    listener.hears(address).await;
    drop((small, large));
    until_buffered(address, "all to be given back", |held| held == 0).await;
}

#[tokio::test]
async fn whoever_has_authenticated_is_closed_only_when_all_hold_too_much() {
    let server = server().await;
    let address = server.address;
    let mut listener = Listener::new(address).await;
    let mut quiet = Ws::member(address, "a", "quiet").await;
    let mut all = Vec::new();
    for number in 0..40 {
        let mut ws = Ws::member(address, "a", &format!("user_{number}")).await;
        half_a_message(&mut ws, 900_000).await;
        all.push(ws);
        if number == 14 {
            // 13.5 MB of 16.
            until_buffered(address, "all of it to come", |held| held > 13_000_000).await;
            assert_eq!(closed(address).await, 0);
        }
        listener.hears(address).await;
    }
    until_buffered(address, "the budget to hold", |held| held <= BUDGET).await;
    let gone = closed(address).await;
    assert!((20..40).contains(&gone), "{gone} were given up");
    quiet.send(r#"{"event":"ping"}"#).await;
    assert!(quiet.text().await.contains("pong"));
    listener.hears(address).await;
    drop(all);
    until_buffered(address, "all to be given back", |held| held == 0).await;
    // There is room again.
    let mut again = Ws::member(address, "a", "again").await;
    half_a_message(&mut again, 900_000).await;
    again.tcp.write_all(b" ").await.unwrap();
    assert!(again.text().await.contains("INVALID_MESSAGE"));
}

#[tokio::test]
async fn bodies_have_half_of_the_budget_and_are_told_to_come_again() {
    let server = server().await;
    let address = server.address;
    let mut listener = Listener::new(address).await;
    let mut answers = Vec::new();
    let mut waiting = Vec::new();
    for _ in 0..30 {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let head = "POST /api/ws/broadcast HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                    Content-Type: application/json\r\nContent-Length: 900000\r\n\r\n";
        tcp.write_all(head.as_bytes()).await.unwrap();
        let sent = tcp.write_all(&vec![b' '; 899_999]).await;
        waiting.push((tcp, sent.is_ok()));
        listener.hears(address).await;
    }
    until_buffered(address, "the share to hold", |held| held <= BUDGET / 2).await;
    for (mut tcp, _) in waiting {
        let mut answer = Vec::new();
        let read = tcp.read_to_end(&mut answer);
        if tokio::time::timeout(std::time::Duration::from_millis(50), read)
            .await
            .is_ok()
            && !answer.is_empty()
        {
            answers.push(Answer::parse(&String::from_utf8_lossy(&answer)));
        }
    }
    assert!(answers.len() > 15, "{} were refused", answers.len());
    for answer in &answers {
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (503, "CONNECTION_LIMIT")
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(
            answer.body.contains("max_buffered_bytes"),
            "{}",
            answer.body
        );
    }
    listener.hears(address).await;
    until_buffered(address, "all to be given back", |held| held == 0).await;
}

/// Bodies of nobody known don't stand in the way of a backend's.
#[tokio::test]
async fn bodies_of_clients_that_have_not_authenticated_leave_those_of_backends_their_share() {
    let server = server().await;
    let address = server.address;
    let mut listener = Listener::new(address).await;
    let mut waiting = Vec::new();
    for _ in 0..30 {
        let polling = Polling::open(address).await.unwrap();
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 900000\r\n\r\n",
            polling.path()
        );
        tcp.write_all(head.as_bytes()).await.unwrap();
        let _ = tcp.write_all(&vec![b'4'; 899_999]).await;
        waiting.push(tcp);
        listener.hears(address).await;
    }
    until_buffered(address, "the share to hold", |held| held <= ANONYMOUS).await;
    let long = "x".repeat(900_000);
    let event = json!({"event":"kpi:update","target":{"organization_id":"a"},"data":{"long":long}});
    let answer = broadcast(address, &event).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    drop(waiting);
    until_buffered(address, "all to be given back", |held| held == 0).await;
}

#[tokio::test]
async fn answers_that_nobody_reads_are_counted_and_an_event_for_many_only_once() {
    let server = server().await;
    let address = server.address;
    let mut listener = Listener::new(address).await;
    // They read nothing; what the system takes is not the server's.
    let mut stalled = Vec::new();
    for number in 0..20 {
        let mut ws = Ws::member(address, "a", &format!("stalled_{number}")).await;
        ws.send(r#"{"event":"subscribe","data":{"channels":["kpi"]}}"#)
            .await;
        until(&mut ws, "subscri").await;
        stalled.push(ws);
    }
    // 6 MB for each of twenty, more than the budget if it were counted for each.
    let long = "x".repeat(200_000);
    for _ in 0..30 {
        let event =
            json!({"event":"kpi:update","target":{"organization_id":"a"},"data":{"long":long}});
        assert_eq!(broadcast(address, &event).await.status, 200);
        until(&mut listener.ws, "kpi:update").await;
    }
    let held = buffered(address).await;
    assert!((200_000..7_000_000).contains(&held), "{held} bytes");
    assert_eq!(closed(address).await, 0);
    drop(stalled);
    until_buffered(address, "all to be given back", |held| held == 0).await;
}

/// A body that comes byte by byte takes about its length, not a buffer for each byte.
#[tokio::test]
async fn a_body_in_tiny_pieces_takes_what_it_is_long() {
    const PIECES: usize = 300;
    let server = Server::start_with(&[("body-timeout-ms", "60000")]).await;
    let address = server.address;
    let head = "POST /api/ws/broadcast HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut senders = Vec::new();
    for _ in 0..10 {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.write_all(head.as_bytes()).await.unwrap();
        senders.push(tcp);
    }
    let before = server.resident();
    for piece in 1..=PIECES {
        for tcp in &mut senders {
            tcp.write_all(b"1\r\n \r\n").await.unwrap();
        }
        // Each is read by itself.
        let counted = piece * senders.len();
        until_buffered(address, "the pieces to come", |held| held > counted * 50).await;
    }
    let grown = server.resident() - before;
    // The buffers that they were read into are 8 KiB each.
    assert!(grown < 6 * 1024, "{grown} KiB for {PIECES} bytes of ten");
}

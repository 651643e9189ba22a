//! Peers that are slow on purpose, against a server with few file descriptors: a healthy client
//! gets in all the same.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::MACHINE;
use testkit::http::get;
use testkit::process::{Server, wait_for_stats};
use testkit::wait::within;
use testkit::websocket::Ws;

const DESCRIPTORS: u32 = 120;
const SLOW: usize = 300;
const TIMEOUT: &str = "1000";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Headers, a byte at a time.
    Headers,
    /// A body, a byte at a time.
    Body,
    /// Nothing at all.
    Silence,
    /// One request after which nothing comes.
    Idle,
}

/// Goes on until the server ends it.
async fn be_slow(address: SocketAddr, form: Form) -> io::Result<()> {
    let mut tcp = TcpStream::connect(address).await?;
    let first: &[u8] = match form {
        Form::Headers => b"GET /ws HTTP/1.1\r\nX-Slow: ",
        Form::Body => b"POST /api/ws/broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n",
        Form::Silence => b"",
        Form::Idle => b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    };
    tcp.write_all(first).await?;
    let (mut reader, mut writer) = tcp.into_split();
    let drip = async {
        if matches!(form, Form::Headers | Form::Body) {
            let mut drops = tokio::time::interval(Duration::from_millis(100));
            while writer.write_all(b"x").await.is_ok() {
                drops.tick().await;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut scrap = Vec::new();
    tokio::select! {
        _ = reader.read_to_end(&mut scrap) => {}
        () = drip => {}
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_peers_do_not_keep_a_healthy_client_out() {
    let _machine = MACHINE.lock().await;
    let server = Server::start_with_descriptors(
        DESCRIPTORS,
        &[
            ("header-timeout-ms", TIMEOUT),
            ("body-timeout-ms", TIMEOUT),
            ("keep-alive-timeout-ms", TIMEOUT),
        ],
    )
    .await;
    let address = server.address;
    for form in [Form::Headers, Form::Body, Form::Silence, Form::Idle] {
        let mut slow = JoinSet::new();
        for _ in 0..SLOW {
            slow.spawn(be_slow(address, form));
        }
        // All of them are at the door before the healthy client is.
        let taken = async {
            while server.descriptors() < DESCRIPTORS as usize - 2 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        within("the end of the server's descriptors", taken).await;
        let before = Instant::now();
        let client = Ws::member(address, "a", "u").await;
        println!(
            "{form:?}: the healthy client was in after {:?}",
            before.elapsed()
        );
        drop(client);
        while within("the end of the slow ones", slow.join_next())
            .await
            .is_some()
        {}
        assert_eq!(get(address, "/healthz").await.status, 200);
    }
    let stats = wait_for_stats(address, "the end of all", |stats| {
        stats["active_connections"] == 0
    })
    .await;
    let refused = &stats["refused_by_reason"];
    for reason in ["header_timeout", "body_timeout", "given_up"] {
        assert!(refused[reason].as_u64() > Some(0), "{reason}: {refused}");
    }
    // Those that waited went before there was nothing left to accept with.
    assert_eq!(refused["accept_error"], Value::Null, "{refused}");
}

#[tokio::test]
async fn a_late_body_is_answered_408() {
    let server = testkit::in_process::here(|config| config.body_timeout_ms = 300).await;
    for path in ["/api/ws/broadcast", "/api/ws/broadcast/kpi"] {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
        tcp.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within("the answer", tcp.read_to_end(&mut answer))
            .await
            .unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_take_its_response_is_dropped() {
    let server = testkit::in_process::here(|config| {
        config.write_timeout_ms = 300;
        config.keep_alive_timeout_ms = 60_000;
    })
    .await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut tcp = socket.connect(server.address).await.unwrap();
    // So many pipelined requests that the answers don't fit between the two.
    let request = b"GET /api/ws/stats HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let sending = async {
        loop {
            if tcp.write_all(&request).await.is_err() {
                return;
            }
        }
    };
    within("the end of the connection", sending).await;
    let refused = server.hub.metrics.rejections.counts();
    assert_eq!(refused.get("response_timeout"), Some(&1), "{refused:?}");
}

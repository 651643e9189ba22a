//! The bodies of requests: those that nobody wants, and those that are encoded.

use std::io::Write;
use std::net::SocketAddr;

use async_compression::tokio::write::{GzipEncoder, ZlibEncoder};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use testkit::http::Answer;
use testkit::in_process::here;
use testkit::raw::{Raw, ask};
use testkit::wait::within;

const MIB: usize = 1024 * 1024;

fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn broadcast() -> Vec<u8> {
    let target = json!({ "organization_id": "a" });
    let body = json!({ "event": "kpi:update", "data": { "text": "é" }, "target": target });
    body.to_string().into_bytes()
}

/// Sends all of it before it reads anything, as many clients do. The connection must end in order.
async fn send_all(server: SocketAddr, request: &[u8]) -> Answer {
    let mut raw = Raw::connect(server).await;
    raw.send(request).await;
    let answer = raw.answer().await;
    raw.end().await.unwrap();
    answer
}

#[tokio::test]
async fn who_sends_too_much_gets_the_answer_all_the_same() {
    let server = here(|_| {}).await;
    let body = vec![b'x'; 4 * MIB];
    let mut chunked = b"POST /api/ws/broadcast HTTP/1.1\r\nHost: localhost\r\n\
        Transfer-Encoding: chunked\r\n\r\n"
        .to_vec();
    write!(chunked, "{:x}\r\n", body.len()).unwrap();
    chunked.extend_from_slice(&body);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    let polling = "/ws/?EIO=4&transport=polling&sid=nobody";
    for _ in 0..5 {
        for request in [
            post("/api/ws/broadcast", "", &body),
            post(polling, "", &body),
            chunked.clone(),
        ] {
            let answer = send_all(server.address, &request).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (413, "MESSAGE_TOO_LARGE")
            );
            assert_eq!(answer.header("connection"), Some("close"));
        }
    }
}

#[tokio::test]
async fn whoever_is_refused_in_the_middle_of_a_body_gets_the_answer() {
    let server = here(|config| {
        config.max_message_size_bytes = 8 * MIB;
        config.auth.jwt_secret = orgcast::config::Secret::new("0123456789abcdef0123456789abcdef");
    })
    .await;
    let body = vec![b'x'; 4 * MIB];
    let page = "Origin: http://evil.example\r\n";
    let headers = format!("X: {}\r\n", "a".repeat(256 * 1024));
    for (path, headers, status) in [
        ("/api/ws/broadcast", "", 401),
        ("/api/ws/broadcast", page, 403),
        ("/nowhere", "", 404),
        ("/api/ws/stats", "", 405),
        ("/api/ws/broadcast", "Content-Encoding: x\r\n", 415),
        ("/nowhere", headers.as_str(), 431),
        ("/nowhere", "Host: localhost\r\n", 400),
    ] {
        let answer = send_all(server.address, &post(path, headers, &body)).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("connection"), Some("close"), "{path}");
    }
}

#[tokio::test]
async fn nobody_is_listened_to_for_ever() {
    let server = here(|_| {}).await;
    // A drop at a time, and as fast as it goes.
    for size in [1, MIB] {
        let mut raw = Raw::connect(server.address).await;
        let head = "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n";
        raw.send(head).await;
        assert_eq!(raw.answer().await.status, 404);
        let more = vec![b'x'; size];
        let sending = async {
            while raw.tcp.write_all(&more).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        within("the end of the connection", sending).await;
    }
    assert_eq!(server.hub.admission.taken(), 0);
}

#[tokio::test]
async fn a_short_body_that_nobody_wants_does_not_cost_the_connection() {
    let server = here(|_| {}).await;
    let mut raw = Raw::connect(server.address).await;
    for _ in 0..3 {
        raw.send(post("/nowhere", "", b"{\"a\":1}")).await;
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (404, None));
    }
    raw.get("/healthz", "").await;
    assert_eq!(raw.answer().await.status, 200);
}

#[tokio::test]
async fn who_asks_before_sending_is_told_at_once_whether_to_send() {
    let server = here(|_| {}).await;
    let expect = |length: usize, headers: &str| {
        format!(
            "POST /api/ws/broadcast HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
             {headers}Content-Length: {length}\r\n\r\n"
        )
    };
    for (length, headers, status) in [
        (MIB + 1, "", 413),
        (1 << 40, "", 413),
        (10, "Origin: http://evil.example\r\n", 403),
        (10, "Content-Encoding: x\r\n", 415),
    ] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(expect(length, headers)).await;
        assert_eq!(raw.answer().await.status, status);
        raw.end().await.unwrap();
    }
    let mut raw = Raw::connect(server.address).await;
    let body = broadcast();
    raw.send(expect(body.len(), "")).await;
    assert_eq!(raw.answer().await.status, 100);
    raw.send(body).await;
    assert_eq!(raw.answer().await.status, 200);
}

async fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

async fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new());
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

#[tokio::test]
async fn a_compressed_body_is_read_by_every_name_of_its_encoding_and_in_pieces() {
    let server = here(|_| {}).await;
    let body = broadcast();
    let send = async |coding: &str, body: &[u8]| {
        let request = post("/api/ws/broadcast", coding, body);
        ask(server.address, request).await.status
    };
    let whole = gzip(&body).await;
    for name in ["gzip", "GZIP", "x-gzip", "X-Gzip", "identity, gzip"] {
        let coding = format!("Content-Encoding: {name}\r\n");
        assert_eq!(send(&coding, &whole).await, 200, "{name}");
    }
    let coding = "Content-Encoding: gzip\r\n";
    let (first, rest) = body.split_at(10);
    let pieces = [gzip(first).await, gzip(b"").await, gzip(rest).await].concat();
    assert_eq!(send(coding, &pieces).await, 200);
    assert_eq!(
        send("Content-Encoding: Deflate\r\n", &zlib(&body).await).await,
        200
    );
    assert_eq!(send("Content-Encoding: identity\r\n", &body).await, 200);

    let twice = gzip(&whole).await;
    assert_eq!(send("Content-Encoding: gzip, gzip\r\n", &twice).await, 415);
    let two_lines = "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n";
    assert_eq!(send(two_lines, &twice).await, 415);
    assert_eq!(send(coding, &whole[..whole.len() - 9]).await, 400);
    assert_eq!(send(coding, &[&whole[..], b"x"].concat()).await, 400);
    // However many pieces there are, together they are as long as a body may be.
    let mut bomb = Vec::new();
    for _ in 0..3 {
        bomb.extend_from_slice(&gzip(&vec![b' '; MIB / 2]).await);
    }
    assert_eq!(send(coding, &bomb).await, 413);
}

#[tokio::test]
async fn a_byte_order_mark_before_json_is_no_part_of_it() {
    let server = here(|_| {}).await;
    let marked = [&b"\xef\xbb\xbf"[..], &broadcast()].concat();
    let kpi = b"\xef\xbb\xbf{\"organization_id\":\"a\"}";
    for (path, body) in [
        ("/api/ws/broadcast", &marked[..]),
        ("/api/ws/broadcast/kpi", kpi),
    ] {
        assert_eq!(ask(server.address, post(path, "", body)).await.status, 200);
    }
    let packed = post(
        "/api/ws/broadcast",
        "Content-Encoding: gzip\r\n",
        &gzip(&marked).await,
    );
    assert_eq!(ask(server.address, packed).await.status, 200);
    let twice = [b"\xef\xbb\xbf", &marked[..]].concat();
    let answer = ask(server.address, post("/api/ws/broadcast", "", &twice)).await;
    assert_eq!(answer.status, 400);
}

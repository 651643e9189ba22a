//! permessage-deflate as it is on the wire, and what it costs the server.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec;
use serde_json::{Value, json};
use testkit::process::Server;
use testkit::wait::soon;
use testkit::websocket::Ws;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A client that sees frames as they are.
struct Raw(Ws);

impl Raw {
    async fn connect(server: &Server, query: &str, extensions: Option<&str>) -> Self {
        let extensions = extensions
            .map(|offer| format!("sec-websocket-extensions: {offer}\r\n"))
            .unwrap_or_default();
        let path = format!("/ws/?{query}");
        let upgraded = Ws::upgrade(server.address, &path, &extensions).await;
        Self(upgraded.unwrap_or_else(|answer| panic!("{answer:?}")))
    }

    fn extensions(&self) -> Option<&str> {
        let mut lines = self.0.head.lines();
        lines.find_map(|line| line.strip_prefix("sec-websocket-extensions: "))
    }

    /// The first byte and the payload of the next frame.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        soon("a frame", self.0.frame()).await.unwrap()
    }

    /// The next text, and whether it was compressed.
    async fn text(&mut self) -> (bool, String) {
        let (first, payload) = self.frame().await;
        assert_eq!(first & !RSV1, FIN | TEXT, "{payload:?}");
        let is_compressed = first & RSV1 != 0;
        let text = if is_compressed {
            inflated(&payload)
        } else {
            payload
        };
        (is_compressed, String::from_utf8(text).unwrap())
    }

    async fn send(&mut self, first: u8, payload: &[u8]) {
        self.0.try_send(first, payload).await.unwrap();
    }
}

/// By another library than the server's.
fn inflated(payload: &[u8]) -> Vec<u8> {
    let end = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];
    decompress_to_vec(&[payload, &end].concat()).unwrap()
}

/// With a last block and a zero byte (RFC 7692 section 7.2.3.4).
fn deflated(text: &[u8]) -> Vec<u8> {
    let mut payload = compress_to_vec(text, 6);
    payload.push(0);
    payload
}

/// A payload of about 4 KB, as dashboards get them.
fn four_kilobytes(number: usize) -> Value {
    let rows: Vec<Value> = (0..36)
        .map(|row| {
            let waiting = (row * 7919 + number * 104_729) % 1000;
            json!({
                "queue_name": format!("support-{row}"), "utilization": f64::from(u32::try_from(waiting).unwrap()) / 10.0,
                "waiting": waiting, "longest_wait_seconds": waiting * 3, "sla_risk": "medium",
            })
        })
        .collect();
    json!({ "number": number, "rows": rows })
}

async fn publish(server: &Server, organization: &str, data: Value) {
    let target = json!({ "organization_id": organization });
    let body = json!({ "event": "system:maintenance", "data": data, "target": target });
    server.post("/api/ws/broadcast", &body).await;
}

const OFFER: Option<&str> = Some("permessage-deflate; client_max_window_bits");
const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

#[tokio::test]
async fn from_the_threshold_on_whoever_asked_for_it_gets_messages_compressed() {
    let server = Server::start(&[]).await;
    let mut plain = Raw::connect(&server, "userId=u&companyId=c", None).await;
    let mut small = Raw::connect(&server, "userId=v&companyId=c", OFFER).await;
    let mut engine = Raw::connect(&server, "EIO=4&transport=websocket", OFFER).await;
    assert_eq!(plain.extensions(), None);
    assert_eq!(small.extensions(), Some(ANSWER));
    assert_eq!(engine.extensions(), Some(ANSWER));
    for client in [&mut plain, &mut small] {
        assert!(client.text().await.1.contains("\"authenticated\""));
    }
    assert!(engine.text().await.1.starts_with('0'));
    let connect = br#"40{"user_id":"w","organization_id":"c"}"#;
    engine.send(FIN | RSV1 | TEXT, &deflated(connect)).await;
    // The first heartbeat may come before the answer.
    let mut answer = engine.text().await.1;
    if answer == "2" {
        answer = engine.text().await.1;
    }
    assert!(answer.starts_with("40"), "{answer}");
    while !engine.text().await.1.contains("\"authenticated\"") {}

    for (data, is_long) in [
        (four_kilobytes(7), true),
        (json!({ "few": "bytes" }), false),
    ] {
        publish(&server, "c", data.clone()).await;
        let (is_compressed, expected) = plain.text().await;
        assert!(!is_compressed);
        let (is_compressed, text) = small.text().await;
        assert_eq!((is_compressed, text), (is_long, expected));
        loop {
            let (is_compressed, text) = engine.text().await;
            if text == "2" {
                continue;
            }
            assert_eq!(is_compressed, is_long);
            let packet: Value = serde_json::from_str(text.strip_prefix("42").unwrap()).unwrap();
            assert_eq!(packet[1], data);
            break;
        }
    }

    // Replies are the client's own: as long as what they echo.
    let echo = json!({ "event": "client:ping", "data": four_kilobytes(1) }).to_string();
    small
        .send(FIN | RSV1 | TEXT, &deflated(echo.as_bytes()))
        .await;
    let (is_compressed, pong) = small.text().await;
    let pong: Value = serde_json::from_str(&pong).unwrap();
    assert_eq!(
        (is_compressed, &pong["data"]["data"]),
        (true, &four_kilobytes(1))
    );
    let emit = format!("4217[\"client:ping\",{}]", four_kilobytes(2));
    engine
        .send(FIN | RSV1 | TEXT, &deflated(emit.as_bytes()))
        .await;
    let (is_compressed, ack) = loop {
        let next = engine.text().await;
        if next.1 != "2" {
            break next;
        }
    };
    let ack: Value = serde_json::from_str(ack.strip_prefix("4317").unwrap()).unwrap();
    assert_eq!((is_compressed, &ack[0]["data"]), (true, &four_kilobytes(2)));

    // Events whose acknowledgement the library matches go through the library.
    let body = json!({
        "event": "system:maintenance", "data": four_kilobytes(3), "requires_ack": true,
        "target": { "organization_id": "c" },
    });
    server.post("/api/ws/broadcast", &body).await;
    let (is_compressed, text) = loop {
        let next = engine.text().await;
        if next.1 != "2" {
            break next;
        }
    };
    let json = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let packet: Value = serde_json::from_str(json).unwrap();
    assert_eq!((is_compressed, &packet[1]), (true, &four_kilobytes(3)));
}

#[tokio::test]
async fn without_compression_nothing_is_agreed_on_and_a_compressed_frame_is_an_error() {
    let server = Server::start(&["--compression-enabled", "false"]).await;
    let mut client = Raw::connect(&server, "userId=u&companyId=c", OFFER).await;
    assert_eq!(client.extensions(), None);
    client.text().await;
    publish(&server, "c", four_kilobytes(7)).await;
    assert!(!client.text().await.0);
    client
        .send(FIN | RSV1 | TEXT, &deflated(b"{\"event\":\"ping\"}"))
        .await;
    client.text().await;
    let (first, payload) = client.frame().await;
    assert_eq!(
        (first, &payload[..2]),
        (FIN | CLOSE, &1002_u16.to_be_bytes()[..])
    );
}

#[tokio::test]
async fn a_broken_compressed_message_closes_with_1007() {
    let server = Server::start(&[]).await;
    for query in ["userId=u&companyId=c", "EIO=4&transport=websocket"] {
        let mut client = Raw::connect(&server, query, OFFER).await;
        client
            .send(FIN | RSV1 | TEXT, b"this was never deflated")
            .await;
        let payload = loop {
            let (first, payload) = client.frame().await;
            if first == FIN | CLOSE {
                break payload;
            }
        };
        assert_eq!(&payload[..2], &1007_u16.to_be_bytes(), "{query}");
    }
}

fn peak_bytes(server: &Server) -> u64 {
    let status =
        fs::read_to_string(format!("/proc/{}/status", server.child.id().unwrap())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Sends a bomb in fragments with pings between, and reads the refusal.
async fn send_bomb(server: &Server, query: &str, bomb: &[u8]) {
    let mut client = Raw::connect(server, query, OFFER).await;
    client.text().await;
    if query.starts_with("EIO") {
        let connect = "40{\"user_id\":\"u\",\"organization_id\":\"c\"}";
        client.send(FIN | TEXT, connect.as_bytes()).await;
        while !client.text().await.1.contains("authenticated") {}
    }
    let fragments: Vec<&[u8]> = bomb.chunks(bomb.len() / 20 + 1).collect();
    let (last, others) = fragments.split_last().unwrap();
    for (at, fragment) in others.iter().enumerate() {
        let first = if at == 0 { RSV1 | TEXT } else { 0 };
        client.send(first, fragment).await;
        client.send(FIN | PING, b"beat").await;
        let mut answer = client.frame().await;
        if answer == (FIN | TEXT, b"2".to_vec()) {
            answer = client.frame().await;
        }
        assert_eq!(answer, (FIN | PONG, b"beat".to_vec()));
    }
    client.send(FIN, last).await;
    let error = client.text().await.1;
    assert!(error.contains("MESSAGE_TOO_LARGE"), "{error}");
    let (first, payload) = client.frame().await;
    assert_eq!(
        (first, &payload[..2]),
        (FIN | CLOSE, &1009_u16.to_be_bytes()[..])
    );
}

#[tokio::test]
async fn a_bomb_is_refused_with_1009_and_takes_no_more_memory_than_a_message() {
    let block = compress_to_vec(&vec![0; 1024 * 1024], 9);
    // As many whole streams, one behind the other: a mebibyte of zeros each.
    let mut bomb = block.repeat(1000);
    bomb.push(0);
    assert!((900_000..1_050_000).contains(&bomb.len()), "{}", bomb.len());

    let server = Server::start(&[]).await;
    let before = peak_bytes(&server);
    let mut grown = Vec::new();
    for _ in 0..6 {
        for query in ["userId=u&companyId=c", "EIO=4&transport=websocket"] {
            send_bomb(&server, query, &bomb).await;
        }
        grown.push((peak_bytes(&server) - before) / 1024);
    }
    println!(
        "{} bytes that inflate to 1 GiB, again and again: peak memory grew by {grown:?} KiB",
        bomb.len(),
    );
    assert!(grown.iter().all(|grown| *grown < 64 * 1024), "{grown:?}");
}

/// Processor time of all the server's threads.
fn processor_time(server: &Server) -> Duration {
    let tasks = format!("/proc/{}/task", server.child.id().unwrap());
    let nanoseconds = fs::read_dir(tasks)
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.unwrap().path().join("schedstat")).ok())
        .map(|text| text.split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    Duration::from_nanos(nanoseconds)
}

/// Clients of one organization, and what they got.
struct Crowd {
    organization: &'static str,
    frames: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
}

const CROWD: usize = 1000;

impl Crowd {
    async fn gather(
        server: &Server,
        organization: &'static str,
        offer: Option<&'static str>,
    ) -> Self {
        let frames = Arc::new(AtomicUsize::new(0));
        let bytes = Arc::new(AtomicUsize::new(0));
        for number in 0..CROWD {
            let query = format!("userId=u{number}&companyId={organization}");
            let mut client = Raw::connect(server, &query, offer).await;
            assert_eq!(client.extensions().is_some(), offer.is_some());
            client.text().await;
            let (frames, bytes) = (Arc::clone(&frames), Arc::clone(&bytes));
            tokio::spawn(async move {
                while let Some((first, payload)) = client.0.frame().await {
                    assert_eq!(first, FIN | TEXT | if offer.is_some() { RSV1 } else { 0 });
                    bytes.fetch_add(payload.len(), Ordering::Relaxed);
                    frames.fetch_add(1, Ordering::Release);
                }
            });
        }
        Self {
            organization,
            frames,
            bytes,
        }
    }

    /// The processor time that the server takes for some broadcasts.
    async fn broadcasts(&self, server: &Server, numbers: std::ops::Range<usize>) -> Duration {
        let before = processor_time(server);
        for number in numbers {
            let expected = self.frames.load(Ordering::Acquire) + CROWD;
            publish(server, self.organization, four_kilobytes(number)).await;
            let all = async {
                while self.frames.load(Ordering::Acquire) < expected {
                    tokio::task::yield_now().await;
                }
            };
            soon("a broadcast to reach everybody", all).await;
        }
        processor_time(server).saturating_sub(before)
    }
}

#[tokio::test]
async fn a_broadcast_costs_compressed_clients_little_more_than_plain_ones() {
    let unlimited = [
        "--max-connections-per-org",
        "0",
        "--max-connections-total",
        "0",
    ];
    let server = Server::start(&unlimited).await;
    let plain = Crowd::gather(&server, "plain", None).await;
    let small = Crowd::gather(&server, "small", OFFER).await;
    plain.broadcasts(&server, 0..2).await;
    small.broadcasts(&server, 0..2).await;

    let (mut plain_time, mut small_time) = (Duration::ZERO, Duration::ZERO);
    for round in 0..10 {
        let numbers = 10 * round..10 * round + 5;
        plain_time += plain.broadcasts(&server, numbers.clone()).await;
        small_time += small.broadcasts(&server, numbers).await;
    }
    let ratio = small_time.as_secs_f64() / plain_time.as_secs_f64();
    let length =
        |crowd: &Crowd| crowd.bytes.load(Ordering::Relaxed) / crowd.frames.load(Ordering::Relaxed);
    println!(
        "50 broadcasts to {CROWD} clients: plain {plain_time:?} ({} bytes each), compressed \
         {small_time:?} ({} bytes each), ratio {ratio:.2}",
        length(&plain),
        length(&small)
    );
    assert!(length(&small) * 2 < length(&plain));
    assert!(ratio <= 1.3, "{ratio:.2}");
}

//! A client that reads nothing among many that do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::MACHINE;
use testkit::http::{broadcast, get};
use testkit::in_process::here;
use testkit::process::{Server, is_empty, wait_for_stats};
use testkit::wait::within;
use testkit::websocket::{UPGRADE, Ws, frame, parse};

const HEALTHY: usize = 500;
/// Events a second. Without optimization one small machine can't play 500 clients at 200 of them.
static PER_SECOND: LazyLock<u32> = LazyLock::new(|| {
    let wanted = std::env::var("ORGCAST_HOLDS_EVENTS_PER_SECOND");
    wanted.map_or(if cfg!(debug_assertions) { 40 } else { 200 }, |wanted| {
        wanted.parse().unwrap()
    })
});
const PAYLOAD: usize = 2048;
/// How often a client stalls, and the seconds without one before each time. Each time is compared with
/// the seconds just before it, and most have to hold: what else the machine does comes and goes, and
/// what a stalled reader does to others it does every time.
const ROUNDS: usize = 5;
const PHASE: u32 = 2;

/// In which a client that takes nothing has to be gone: far above the timeouts of the tests, for slow
/// machines, and far below those that would end it if these did not.
const IN_TIME: Duration = Duration::from_secs(30);

/// Counts events and their delays. The payload begins with its number and the microsecond at which
/// it was sent; nothing else of it is looked at, to be fast.
async fn listen(mut ws: Ws, start: Instant, seen: Arc<Mutex<Seen>>, last: Arc<AtomicU64>) -> u64 {
    let mut buffer = Vec::with_capacity(64 * 1024);
    let mut count = 0;
    let mut delays = Vec::new();
    while count < last.load(Ordering::Relaxed) {
        let read = tokio::time::timeout(Duration::from_millis(500), ws.tcp.read_buf(&mut buffer));
        match read.await {
            Err(_) => continue,
            Ok(Ok(0) | Err(_)) => panic!("a healthy client lost its connection"),
            Ok(Ok(_)) => {}
        }
        let now = micros(start);
        let mut at = 0;
        while let Some((first, payload, length)) = parse(&buffer[at..]) {
            if first == 0x81
                && let Some((number, sent)) = stamp(payload)
            {
                assert_eq!(number, count, "an event was lost");
                count += 1;
                delays.push((sent, now.saturating_sub(sent)));
            }
            at += length;
        }
        buffer.drain(..at);
    }
    seen.lock().delays.append(&mut delays);
    count
}

#[derive(Default)]
struct Seen {
    /// When an event was sent and how long it took, in microseconds.
    delays: Vec<(u64, u64)>,
}

fn stamp(payload: &[u8]) -> Option<(u64, u64)> {
    let start = payload.windows(2).position(|at| at == b"@@")? + 2;
    let text = std::str::from_utf8(payload.get(start..start + 32)?).ok()?;
    let mut numbers = text.split(' ').map(str::parse::<u64>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap()
}

fn p99(mut delays: Vec<u64>) -> Duration {
    delays.sort_unstable();
    Duration::from_micros(delays[delays.len() * 99 / 100])
}

/// One connection for all broadcasts: what is measured is the way to the clients.
struct Publisher {
    tcp: TcpStream,
    start: Instant,
    count: u64,
}

impl Publisher {
    async fn publish(&mut self) {
        let sent = micros(self.start);
        let stamp = format!("@@{} {sent} {}", self.count, "x".repeat(PAYLOAD - 40));
        self.count += 1;
        let target = json!({ "organization_id": "a" });
        let body = json!({ "event": "kpi:update", "data": stamp, "target": target }).to_string();
        let head = format!(
            "POST /api/ws/broadcast HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.tcp
            .write_all(format!("{head}{body}").as_bytes())
            .await
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert!(self.tcp.read_buf(&mut answer).await.unwrap() > 0);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }

    /// Publishes at the rate for some seconds; answers the microseconds of the phase.
    async fn phase(&mut self, seconds: u32) -> std::ops::Range<u64> {
        let begin = micros(self.start);
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / *PER_SECOND);
        for _ in 0..seconds * *PER_SECOND {
            ticks.tick().await;
            self.publish().await;
        }
        begin..micros(self.start)
    }
}

/// A member of the organization that reads nothing any more.
pub async fn stall(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut tcp = socket.connect(address).await.unwrap();
    let path = "/ws?organization_id=a&user_id=stalled";
    let text = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n");
    tcp.write_all(text.as_bytes()).await.unwrap();
    let subscribe = br#"{"event":"subscribe","data":{"channels":["kpi"]}}"#;
    tcp.write_all(&frame(0x81, subscribe)).await.unwrap();
    tcp
}

/// Sends to the stalled one alone until the system takes no more for it.
pub async fn fill(address: SocketAddr) {
    let target = json!({ "organization_id": "a", "user_id": "stalled" });
    let data = "x".repeat(100_000);
    let event = json!({ "event": "notification", "data": data, "target": target });
    let full = async {
        let before = testkit::process::stats(address).await["closed_by_reason"]["too_slow"].clone();
        loop {
            broadcast(address, &event).await;
            let stats = get(address, "/api/ws/stats").await.json();
            // An event that merely waits for more to come has gone by then.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let later = get(address, "/api/ws/stats").await.json();
            let is_full = stats["queueStats"]["pendingMessages"] != 0
                && later["queueStats"]["pendingMessages"] != 0;
            if is_full
                || testkit::process::stats(address).await["closed_by_reason"]["too_slow"] != before
            {
                break;
            }
        }
    };
    within("the full socket", full).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reader_is_evicted_and_nobody_else_notices() {
    let _machine = MACHINE.lock().await;
    let server = Server::start_with(&[
        ("max-connections-per-org", "0"),
        ("room-max-size", "0"),
        ("rate-limit-requests-per-second", "0"),
        ("write-timeout-ms", "2000"),
    ])
    .await;
    let address = server.address;
    let start = Instant::now();
    let seen = Arc::new(Mutex::new(Seen::default()));
    // How many events there are in all, once that is known.
    let last = Arc::new(AtomicU64::new(u64::MAX));
    let mut healthy = JoinSet::new();
    for number in 0..HEALTHY {
        let mut ws = Ws::member(address, "a", &format!("user_{number}")).await;
        ws.send(r#"{"event":"subscribe","data":{"channels":["kpi"]}}"#)
            .await;
        ws.text().await;
        let (seen, last) = (Arc::clone(&seen), Arc::clone(&last));
        healthy.spawn(listen(ws, start, seen, last));
    }
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let mut publisher = Publisher {
        tcp,
        start,
        count: 0,
    };
    publisher.phase(1).await;
    let mut rounds = Vec::new();
    let resident = server.resident();
    let mut highest = 0;
    for _ in 0..ROUNDS {
        let without = publisher.phase(PHASE).await;
        let stalled = stall(address).await;
        wait_for_stats(address, "the stalled one", |stats| {
            stats["active_connections"] == HEALTHY + 1
        })
        .await;
        fill(address).await;
        let stalls = Instant::now();
        let mut with = micros(start)..0;
        while server.stats().await["active_connections"] != HEALTHY {
            assert!(stalls.elapsed() < IN_TIME, "it was not evicted");
            with.end = publisher.phase(1).await.end;
            highest = highest.max(server.resident());
        }
        drop(stalled);
        // Evicted before the first look, it proves nothing.
        if !with.is_empty() {
            rounds.push((without, with));
        }
    }
    let stats = server.stats().await;
    assert_eq!(stats["closed_by_reason"]["too_slow"], ROUNDS);
    // What is on its way arrives.
    publisher.phase(1).await;
    last.store(publisher.count, Ordering::Relaxed);
    while let Some(count) = within("the last events", healthy.join_next()).await {
        assert_eq!(
            count.unwrap(),
            publisher.count,
            "events of a healthy client"
        );
    }
    let delays = std::mem::take(&mut seen.lock().delays);
    let p99_of = |phase: &std::ops::Range<u64>| {
        let wanted = delays.iter().filter(|(sent, _)| phase.contains(sent));
        p99(wanted.map(|(_, delay)| *delay).collect())
    };
    let p99s: Vec<_> = rounds
        .iter()
        .map(|(without, with)| (p99_of(without), p99_of(with)))
        .collect();
    println!(
        "p99 without and with: {p99s:?}; resident {resident} KiB, at most {highest} KiB; \
         {} events to each of {HEALTHY}",
        publisher.count
    );
    // Without optimization the machine itself is the bottleneck, and noisy.
    let noise = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 0 });
    let held = p99s
        .iter()
        .filter(|(without, with)| *with <= without.mul_f64(1.5) + noise);
    assert!(
        held.count() * 2 > rounds.len(),
        "p99 without and with: {p99s:?}"
    );
    // Its queue of 1024 messages, and no more.
    assert!(
        highest < resident + 16 * 1024,
        "{resident} KiB, then {highest} KiB"
    );
    wait_for_stats(address, "an empty server", is_empty).await;
}

#[tokio::test]
async fn events_of_low_priority_are_dropped_first_and_counted() {
    let server = here(|config| {
        config.send_queue_max_messages = 1000;
        config.write_timeout_ms = 60_000;
    })
    .await;
    let address = server.address;
    let stalled = stall(address).await;
    wait_for_stats(address, "the stalled one", |stats| {
        stats["active_rooms"] == 3
    })
    .await;
    let event = |priority: &str| {
        let data = "x".repeat(20_000);
        let target = json!({ "organization_id": "a" });
        json!({ "event": "kpi:update", "data": data, "target": target, "priority": priority })
    };
    let mut dropped = 0;
    for _ in 0..5000 {
        let answer = broadcast(address, &event("low")).await.json();
        dropped += answer["dropped"].as_u64().unwrap_or(0);
        if dropped == 10 {
            break;
        }
    }
    assert_eq!(dropped, 10);
    // The others still have room.
    let answer = broadcast(address, &event("medium")).await.json();
    assert_eq!(answer["recipients"], 1, "{answer}");
    let stats = testkit::process::stats(address).await;
    assert_eq!(stats["dropped_messages"], 10);
    assert_eq!(stats["active_connections"], 1);
    drop(stalled);
    wait_for_stats(address, "an empty server", is_empty).await;
}

#[tokio::test]
async fn a_full_queue_ends_the_connection_and_every_trace_of_it_at_once() {
    let server = here(|config| {
        config.send_queue_max_messages = 20;
        config.write_timeout_ms = 3_600_000;
    })
    .await;
    let address = server.address;
    let _stalled = stall(address).await;
    wait_for_stats(address, "the stalled one", |stats| {
        stats["active_rooms"] == 3
    })
    .await;
    let target = json!({ "organization_id": "a" });
    let event = json!({ "event": "kpi:update", "data": "x".repeat(100_000), "target": target });
    let full = async { while broadcast(address, &event).await.json()["recipients"] == 1 {} };
    within("the full queue", full).await;
    let evicted = Instant::now();
    let stats = wait_for_stats(address, "an empty server", is_empty).await;
    // Within a second on a machine with nothing else to do; half of it is for its last words.
    println!("every trace gone after {:?}", evicted.elapsed());
    assert!(evicted.elapsed() < IN_TIME / 2, "{:?}", evicted.elapsed());
    assert_eq!(stats["closed_by_reason"]["too_slow"], 1);
}

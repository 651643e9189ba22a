//! Clients that vanish with a reset in the middle of everything: nothing of them may stay.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::MACHINE;
use testkit::http::broadcast;
use testkit::process::{Server, is_empty, wait_for_stats};
use testkit::websocket::{UPGRADE, connect_packet, frame};

const CYCLES: usize = 5000;
const AT_ONCE: usize = 50;

/// Sends, reads a little if it should, and resets.
struct Doomed(TcpStream);

impl Doomed {
    async fn connect(address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        Ok(Self(tcp))
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    async fn text(&mut self, text: &str) -> io::Result<()> {
        self.send(&frame(0x81, text.as_bytes())).await
    }

    /// Reads until this has come.
    async fn until(&mut self, wanted: &str) -> io::Result<()> {
        let mut seen = Vec::new();
        loop {
            if self.0.read_buf(&mut seen).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if String::from_utf8_lossy(&seen).contains(wanted) {
                return Ok(());
            }
        }
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        SockRef::from(&self.0)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

const ENGINE: &str = "/ws/?EIO=4&transport=websocket";
const POLLING: &str = "/ws/?EIO=4&transport=polling";

fn upgrade(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n")
}

/// One life, which ends at a place that the number decides.
async fn live_and_die(address: SocketAddr, number: usize) -> io::Result<()> {
    let mut client = Doomed::connect(address).await?;
    let organization = format!("org_{}", number % 7);
    let user = format!("user_{}", number % 50);
    let plain = format!("/ws?organization_id={organization}&user_id={user}");
    match number % 9 {
        // In the middle of the request.
        0 => client.send(b"GET /ws/?EIO=4&transport=webs").await,
        // Before the answer to the upgrade.
        1 => client.send(upgrade(ENGINE).as_bytes()).await,
        2 => client.send(upgrade(&plain).as_bytes()).await,
        // A session that never connects.
        3 => {
            let get = format!("GET {POLLING} HTTP/1.1\r\nHost: x\r\n\r\n");
            client.send(get.as_bytes()).await?;
            client.until("\"sid\"").await
        }
        // In the middle of CONNECT.
        4 => {
            client.send(upgrade(ENGINE).as_bytes()).await?;
            client.until("\"sid\"").await?;
            let packet = frame(0x81, connect_packet(&organization, &user).as_bytes());
            client.send(&packet[..packet.len() / 2]).await
        }
        // Right behind CONNECT.
        5 => {
            client.send(upgrade(ENGINE).as_bytes()).await?;
            client.until("\"sid\"").await?;
            client.text(&connect_packet(&organization, &user)).await
        }
        // Subscribed, while events are published.
        6 => {
            client.send(upgrade(ENGINE).as_bytes()).await?;
            client.until("\"sid\"").await?;
            client.text(&connect_packet(&organization, &user)).await?;
            client.until("40{").await?;
            client
                .text(r#"421["subscribe",{"channels":["kpi","all"]}]"#)
                .await?;
            client.until("kpi:update").await
        }
        7 => {
            client.send(upgrade(&plain).as_bytes()).await?;
            client.until("authenticated").await?;
            let subscribe = r#"{"event":"subscribe","data":{"channels":["kpi"]}}"#;
            client.text(subscribe).await?;
            client.until("kpi:update").await
        }
        // A frame of which the end never comes.
        _ => {
            client.send(upgrade(&plain).as_bytes()).await?;
            client.until("authenticated").await?;
            client
                .send(&[0x81, 0xfe, 0x7f, 0xff, 0, 0, 0, 0, b'x'])
                .await
        }
    }
}

async fn storm(address: SocketAddr, cycles: usize) {
    let mut alive = JoinSet::new();
    for number in 0..cycles {
        if alive.len() >= AT_ONCE {
            alive.join_next().await;
        }
        let life = tokio::time::timeout(Duration::from_secs(20), live_and_die(address, number));
        alive.spawn(async move {
            let lived = life.await;
            assert!(lived.is_ok(), "life {number} got no answer");
        });
    }
    while let Some(life) = alive.join_next().await {
        life.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_resets_leave_nothing_behind() {
    let _machine = MACHINE.lock().await;
    let server = Server::start_with(&[
        ("max-connections-total", "0"),
        ("max-connections-per-org", "0"),
        ("rate-limit-requests-per-second", "0"),
        ("connect-timeout-ms", "1000"),
        ("auth-timeout-ms", "1000"),
        // What is kept on purpose is all there after the warm-up.
        ("history-size", "100"),
        ("recovery-max-sessions", "100"),
    ])
    .await;
    let address = server.address;
    let is_over = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn({
        let is_over = Arc::clone(&is_over);
        async move {
            while !is_over.load(Ordering::Relaxed) {
                for organization in 0..7 {
                    let target = json!({ "organization_id": format!("org_{organization}") });
                    let data = "x".repeat(500);
                    let event = json!({ "event": "kpi:update", "data": data, "target": target });
                    broadcast(address, &event).await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let mut resident = Vec::new();
    for round in ["warm-up", "first round", "second round"] {
        let before = Instant::now();
        storm(address, CYCLES).await;
        println!("{CYCLES} resets in {:?}", before.elapsed());
        wait_for_stats(address, "an empty server", is_empty).await;
        resident.push(server.resident());
        println!("{round}: {} KiB resident", server.resident());
    }
    is_over.store(true, Ordering::Relaxed);
    publisher.await.unwrap();
    assert!(
        resident[2] * 10 <= resident[0] * 11,
        "KiB resident: {resident:?}"
    );
}

//! What an attacker without a key or a token can do, bounded in time and in what it sends.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use testkit::websocket::frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::Target;
use crate::client_pool::ORGANIZATION;

/// Clients that authenticate and subscribe, and then read nothing.
pub const STALLED: usize = 50;

/// Between two pieces of what one attacker sends.
const PAUSE: Duration = Duration::from_millis(20);
/// Of what one attacker sends at once: at most about 3 MB a second.
const PIECE: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Two unauthenticated sockets send a megabyte of objects in 1.6 KB each, as fast as it is taken.
    Bombs,
    /// Four sockets send messages of seven bytes, 3 MB a second each.
    Floods,
    /// Two sockets send CONNECT packets, 3 MB a second each.
    Connects,
    /// Two polling sessions post bodies of many packets.
    Polls,
    /// Fifty clients that are subscribed stop reading.
    Stalls,
    /// A hundred connections a second end with a reset in the middle of a handshake.
    Resets,
    /// A hundred bodies that come a byte at a time.
    SlowBodies,
    /// Two hundred sockets each hold an unfinished message.
    Unfinished,
    /// Broadcasts with a key that is none, and for organizations and rooms that nobody knows.
    Keys,
}

pub const ALL: [Attack; 9] = [
    Attack::Bombs,
    Attack::Floods,
    Attack::Connects,
    Attack::Polls,
    Attack::Stalls,
    Attack::Resets,
    Attack::SlowBodies,
    Attack::Unfinished,
    Attack::Keys,
];

impl Attack {
    pub fn name(self) -> &'static str {
        match self {
            Self::Bombs => "bombs",
            Self::Floods => "floods",
            Self::Connects => "connects",
            Self::Polls => "polls",
            Self::Stalls => "stalls",
            Self::Resets => "resets",
            Self::SlowBodies => "slow_bodies",
            Self::Unfinished => "unfinished",
            Self::Keys => "keys",
        }
    }

    /// Sets the attackers going; each goes on until `time` is over or its task is ended.
    pub fn begin(self, attackers: &mut JoinSet<()>, target: &Target, time: Duration) {
        let address = target.address;
        let engine = format!("{}/?EIO=4&transport=websocket", target.path);
        let plain = target.path.clone();
        let count = match self {
            Self::Bombs | Self::Connects | Self::Polls => 2,
            Self::Floods => 4,
            Self::Stalls => STALLED,
            Self::Resets | Self::Keys => 1,
            Self::SlowBodies => 100,
            Self::Unfinished => 200,
        };
        for number in 0..count {
            let (engine, plain) = (engine.clone(), plain.clone());
            attackers.spawn(async move {
                let end = Instant::now() + time;
                while Instant::now() < end {
                    // Whoever is thrown out comes again.
                    let _ = match self {
                        Self::Bombs => bombs(address, &engine, end).await,
                        Self::Floods => {
                            let piece = frame(0x81, b"4").repeat(PIECE / 7);
                            send_on(address, &engine, "", &piece, end).await
                        }
                        Self::Connects => {
                            let piece = frame(0x81, b"40").repeat(PIECE / 8);
                            send_on(address, &engine, "", &piece, end).await
                        }
                        Self::Polls => polls(address, &plain, end).await,
                        Self::Stalls => stall(address, &plain, number, end).await,
                        Self::Resets => reset(address, &plain).await,
                        Self::SlowBodies => slow_body(address, end).await,
                        Self::Unfinished => unfinished(address, &plain, end).await,
                        Self::Keys => keys(address, end).await,
                    };
                    sleep(Duration::from_millis(10)).await;
                }
            });
        }
    }
}

pub async fn healthz(address: SocketAddr) -> io::Result<()> {
    let answer = request(address, "GET /healthz", "", b"").await?;
    if answer.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(io::Error::other(
            String::from_utf8_lossy(&answer).into_owned(),
        ))
    }
}

async fn request(
    address: SocketAddr,
    line: &str,
    headers: &str,
    body: &[u8],
) -> io::Result<Vec<u8>> {
    let mut tcp = TcpStream::connect(address).await?;
    let head = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    tcp.write_all(head.as_bytes()).await?;
    tcp.write_all(body).await?;
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await?;
    Ok(answer)
}

async fn upgrade(address: SocketAddr, path: &str, headers: &str) -> io::Result<TcpStream> {
    let mut tcp = TcpStream::connect(address).await?;
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    tcp.write_all(head.as_bytes()).await?;
    let mut answer = [0; 1024];
    let count = tcp.read(&mut answer).await?;
    if answer[..count].starts_with(b"HTTP/1.1 101") {
        Ok(tcp)
    } else {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

/// Sends the same again and again, and takes no notice of answers.
async fn send_on(
    address: SocketAddr,
    path: &str,
    headers: &str,
    piece: &[u8],
    end: Instant,
) -> io::Result<()> {
    let (mut read, mut write) = upgrade(address, path, headers).await?.into_split();
    let mut scrap = vec![0; 64 * 1024];
    let until_closed = async {
        while read.read(&mut scrap).await? > 0 {}
        io::Result::Ok(())
    };
    let sending = async {
        while Instant::now() < end {
            write.write_all(piece).await?;
            sleep(PAUSE).await;
        }
        Ok(())
    };
    tokio::select! {
        closed = until_closed => closed,
        sent = sending => sent,
    }
}

async fn bombs(address: SocketAddr, path: &str, end: Instant) -> io::Result<()> {
    let objects = "{\"\":0},".repeat((1 << 20) / 7);
    let message = format!("42[\"client:ping\",[{objects}0]]");
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(message.as_bytes())?;
    let mut deflated = encoder.flush_finish()?;
    // Not the last block, as permessage-deflate has it.
    deflated.push(0);
    let piece = frame(0xc1, &deflated).repeat(10);
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    send_on(address, path, offer, &piece, end).await
}

async fn polls(address: SocketAddr, path: &str, end: Instant) -> io::Result<()> {
    let open = format!("GET {path}/?EIO=4&transport=polling");
    let answer = request(address, &open, "", b"").await?;
    let answer = String::from_utf8_lossy(&answer);
    let sid = answer.split_once("\"sid\":\"").map_or("", |(_, rest)| rest);
    let sid = sid.split('"').next().unwrap_or_default();
    let line = format!("POST {path}/?EIO=4&transport=polling&sid={sid}");
    let body = vec!["420[\"client:ping\"]"; PIECE / 19].join("\u{1e}");
    while Instant::now() < end {
        let answer = request(address, &line, "", body.as_bytes()).await?;
        if !answer.starts_with(b"HTTP/1.1 200") {
            break;
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn stall(address: SocketAddr, path: &str, number: usize, end: Instant) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut tcp = socket.connect(address).await?;
    let head = format!(
        "GET {path}?organization_id={ORGANIZATION}&user_id=stalled_{number} HTTP/1.1\r\nHost: localhost\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    tcp.write_all(head.as_bytes()).await?;
    let subscribe = frame(
        0x81,
        br#"{"event":"subscribe","data":{"channels":["kpi"]}}"#,
    );
    tcp.write_all(&subscribe).await?;
    sleep(end.saturating_duration_since(Instant::now())).await;
    Ok(())
}

async fn reset(address: SocketAddr, path: &str) -> io::Result<()> {
    let mut tcp = TcpStream::connect(address).await?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upg");
    tcp.write_all(head.as_bytes()).await?;
    tcp.set_zero_linger()?;
    Ok(())
}

async fn slow_body(address: SocketAddr, end: Instant) -> io::Result<()> {
    let mut tcp = TcpStream::connect(address).await?;
    let head = "POST /api/ws/broadcast/kpi HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\
                Content-Type: application/json\r\n\r\n";
    tcp.write_all(head.as_bytes()).await?;
    while Instant::now() < end {
        tcp.write_all(b" ").await?;
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn unfinished(address: SocketAddr, path: &str, end: Instant) -> io::Result<()> {
    let mut tcp = upgrade(address, path, "").await?;
    let message = frame(0x81, &vec![b' '; 32_000]);
    tcp.write_all(&message[..message.len() - 1]).await?;
    let left = end.saturating_duration_since(Instant::now());
    let mut scrap = [0; 1024];
    // Until it is thrown out.
    let _ = timeout(left, async {
        while tcp.read(&mut scrap).await.is_ok_and(|count| count > 0) {}
    })
    .await;
    Ok(())
}

async fn keys(address: SocketAddr, end: Instant) -> io::Result<()> {
    let mut number = 0_u64;
    while Instant::now() < end {
        let body = format!(
            r#"{{"event":"kpi:update","data":{number},"target":{{"organization_id":"nobody_{number}"}}}}"#
        );
        let json = "Content-Type: application/json\r\n";
        request(address, "POST /api/ws/broadcast", json, body.as_bytes()).await?;
        let wrong = format!("{json}Authorization: Bearer wrong-{number}\r\n");
        request(address, "POST /api/ws/broadcast", &wrong, body.as_bytes()).await?;
        number += 1;
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

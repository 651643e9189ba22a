//! A WebSocket of which every frame is the test's own.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::frame::write_with;
use crate::http::Answer;
use crate::wait::within;

/// What came from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    Text(String),
    Ping,
    Pong,
    Close(u16, String),
    /// The connection ended, cleanly or not.
    End,
}

pub struct Ws {
    pub tcp: TcpStream,
    /// What the upgrade was answered with.
    pub head: String,
    buffer: Vec<u8>,
}

pub const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

impl Ws {
    /// An upgraded connection, of which nothing was read ahead.
    pub fn over(tcp: TcpStream) -> Self {
        Self {
            tcp,
            head: String::new(),
            buffer: Vec::new(),
        }
    }

    /// The upgrade, or the HTTP answer that stands in its way.
    pub async fn upgrade(address: SocketAddr, path: &str, headers: &str) -> Result<Self, Answer> {
        within(path, Self::try_upgrade(address, path, headers))
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub async fn try_upgrade(
        address: SocketAddr,
        path: &str,
        headers: &str,
    ) -> io::Result<Result<Self, Answer>> {
        Self::try_upgrade_over(TcpStream::connect(address).await?, path, headers).await
    }

    /// The upgrade on a connection of which nothing was used yet.
    pub async fn try_upgrade_over(
        tcp: TcpStream,
        path: &str,
        headers: &str,
    ) -> io::Result<Result<Self, Answer>> {
        tcp.set_nodelay(true)?;
        let mut ws = Self::over(tcp);
        let text = format!("GET {path} HTTP/1.1\r\nHost: orgcast\r\n{UPGRADE}{headers}\r\n");
        ws.tcp.write_all(text.as_bytes()).await?;
        let end = loop {
            if let Some(at) = ws.buffer.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
            if ws.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        if ws.buffer.starts_with(b"HTTP/1.1 101") {
            ws.head = String::from_utf8_lossy(&ws.buffer[..end]).into_owned();
            ws.buffer.drain(..end);
            return Ok(Ok(ws));
        }
        let head = String::from_utf8_lossy(&ws.buffer).into_owned();
        let length = Answer::parse(&head)
            .header("content-length")
            .and_then(|length| length.parse::<usize>().ok())
            .unwrap_or(0);
        while ws.buffer.len() < end + length && ws.fill().await? > 0 {}
        Ok(Err(Answer::parse(&String::from_utf8_lossy(&ws.buffer))))
    }

    pub async fn plain(address: SocketAddr, query: &str) -> Self {
        Self::upgrade(address, &format!("/ws?{query}"), "")
            .await
            .unwrap_or_else(|answer| panic!("{answer:?}"))
    }

    /// A plain client that has authenticated.
    pub async fn member(address: SocketAddr, organization: &str, user: &str) -> Self {
        let query = format!("organization_id={organization}&user_id={user}");
        let mut ws = Self::plain(address, &query).await;
        let hello = ws.text().await;
        assert!(hello.contains("\"authenticated\""), "{hello}");
        ws
    }

    /// An Engine.IO client that has yet to CONNECT.
    pub async fn engine(address: SocketAddr) -> Self {
        let path = "/ws/?EIO=4&transport=websocket";
        let mut ws = Self::upgrade(address, path, "")
            .await
            .unwrap_or_else(|answer| panic!("{answer:?}"));
        let open = ws.text().await;
        assert!(open.starts_with("0{"), "{open}");
        ws
    }

    /// A Socket.IO client that has connected and authenticated.
    pub async fn socket_io(address: SocketAddr, organization: &str, user: &str) -> Self {
        let mut ws = Self::engine(address).await;
        ws.send(&connect_packet(organization, user)).await;
        ws.until("40{").await;
        ws.until("42[\"authenticated\"").await;
        ws
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.tcp.read_buf(&mut self.buffer).await
    }

    pub async fn send(&mut self, text: &str) {
        self.try_send(0x81, text.as_bytes()).await.unwrap();
    }

    pub async fn try_send(&mut self, first: u8, payload: &[u8]) -> io::Result<()> {
        self.tcp.write_all(&frame(first, payload)).await
    }

    /// The next frame.
    pub async fn next(&mut self) -> Got {
        within("the next frame", self.read()).await
    }

    /// The next frame, however long it takes.
    pub async fn read_slowly(&mut self) -> Got {
        self.read().await
    }

    async fn read(&mut self) -> Got {
        loop {
            if let Some((first, payload, length)) = parse(&self.buffer) {
                let got = match first & 0x0f {
                    0x9 => Got::Ping,
                    0xa => Got::Pong,
                    0x8 => Got::Close(
                        payload
                            .get(..2)
                            .map_or(1005, |code| u16::from_be_bytes([code[0], code[1]])),
                        String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned(),
                    ),
                    _ => Got::Text(String::from_utf8_lossy(payload).into_owned()),
                };
                self.buffer.drain(..length);
                return got;
            }
            if !matches!(self.fill().await, Ok(1..)) {
                return Got::End;
            }
        }
    }

    /// The first byte and the payload of the next frame; `None` if the connection ended.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((first, payload, length)) = parse(&self.buffer) {
                let payload = payload.to_vec();
                self.buffer.drain(..length);
                return Some((first, payload));
            }
            if !matches!(self.fill().await, Ok(1..)) {
                return None;
            }
        }
    }

    /// The next text that is no heartbeat of Engine.IO.
    pub async fn text(&mut self) -> String {
        loop {
            match self.next().await {
                Got::Text(text) if text == "2" => {}
                Got::Text(text) => return text,
                Got::Ping | Got::Pong => {}
                end => panic!("a text was expected, not {end:?}"),
            }
        }
    }

    /// Skips texts until one begins like this.
    pub async fn until(&mut self, start: &str) -> String {
        loop {
            let text = self.text().await;
            if text.starts_with(start) {
                return text;
            }
        }
    }

    /// Skips everything until the server closes.
    pub async fn close(&mut self) -> Got {
        loop {
            match self.next().await {
                Got::Text(_) | Got::Ping | Got::Pong => {}
                end => return end,
            }
        }
    }
}

pub fn connect_packet(organization: &str, user: &str) -> String {
    format!("40{{\"organization_id\":\"{organization}\",\"user_id\":\"{user}\"}}")
}

/// A client's frame; its mask is zero.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_with(&mut frame, first, payload);
    frame
}

/// First byte and payload of a server's frame, and the length of the whole.
pub fn parse(buffer: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&first, &length) = (buffer.first()?, buffer.get(1)?);
    let (start, length) = match length {
        126 => (
            4,
            usize::from(u16::from_be_bytes(buffer.get(2..4)?.try_into().ok()?)),
        ),
        127 => (
            10,
            usize::try_from(u64::from_be_bytes(buffer.get(2..10)?.try_into().ok()?)).ok()?,
        ),
        short => (2, usize::from(short)),
    };
    Some((first, buffer.get(start..start + length)?, start + length))
}

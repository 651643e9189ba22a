//! A connection of which every byte is the test's own.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::http::Answer;
use crate::wait::within;

pub struct Raw {
    pub tcp: TcpStream,
    buffer: Vec<u8>,
}

impl Raw {
    pub async fn connect(server: SocketAddr) -> Self {
        Self::over(TcpStream::connect(server).await.unwrap())
    }

    /// From another address of this machine's, each of 127.0.0.0/8 is one.
    pub async fn connect_from(from: [u8; 4], server: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        Self::over(socket.connect(server).await.unwrap())
    }

    fn over(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).unwrap();
        Self {
            tcp,
            buffer: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("the sending", self.tcp.write_all(bytes.as_ref()))
            .await
            .unwrap();
    }

    /// A GET to `localhost`; `headers` are whole lines.
    pub async fn get(&mut self, path: &str, headers: &str) {
        self.send(format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
        ))
        .await;
    }

    /// The head of the next answer.
    pub async fn head(&mut self) -> Answer {
        within("a head", async {
            loop {
                if let Some(end) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n") {
                    let head = self.buffer.drain(..end + 4).collect::<Vec<_>>();
                    return Answer::parse(&String::from_utf8_lossy(&head));
                }
                assert!(self.tcp.read_buf(&mut self.buffer).await.unwrap() > 0);
            }
        })
        .await
    }

    /// The next answer with its body, for which its head must say the length.
    pub async fn answer(&mut self) -> Answer {
        within("an answer", self.read_answer())
            .await
            .unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// The next answer, or how the connection ended instead.
    pub async fn read_answer(&mut self) -> io::Result<Answer> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end + 4]).into_owned();
                let length = Answer::parse(&head)
                    .header("content-length")
                    .map_or(0, |length| length.parse().unwrap());
                let end = end + 4 + length;
                if self.buffer.len() >= end {
                    let whole = self.buffer.drain(..end).collect::<Vec<_>>();
                    return Ok(Answer::parse(&String::from_utf8_lossy(&whole)));
                }
            }
            if self.tcp.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Waits for the server to end the connection; how it did.
    pub async fn end(&mut self) -> io::Result<()> {
        within("the end of the connection", async {
            while self.tcp.read_buf(&mut self.buffer).await? > 0 {}
            Ok(())
        })
        .await
    }
}

/// The answer to these bytes on a connection of their own.
pub async fn ask(server: SocketAddr, bytes: impl AsRef<[u8]>) -> Answer {
    let mut raw = Raw::connect(server).await;
    raw.send(bytes).await;
    raw.answer().await
}

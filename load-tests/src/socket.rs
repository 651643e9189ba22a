//! A client on WebSocket: Socket.IO (Engine.IO v4) or the plain JSON protocol.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use crate::answer::{number_after, parse_answer};
use crate::client::{Dial, Heard, Protocol, STEP, Target, dial};
use crate::error::ClientError;
use crate::inflate;
use crate::packet::{self, Packet};
use crate::stream::Stream;
use testkit::frame::{self, Frame};

const UPGRADE: &str = "upgrade to WebSocket";

/// What a connection reads goes through one buffer of its thread: idle connections have none.
const READ_AT_ONCE: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_AT_ONCE]);
}

/// One connection. What it read and did not use yet stays with it.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    protocol: Protocol,
    input: Vec<u8>,
    output: Vec<u8>,
    next_id: u32,
}

impl Socket {
    /// Opens the WebSocket and, for Socket.IO, awaits the Engine.IO handshake.
    pub async fn open(target: &Target, index: usize, dial_as: Dial) -> Result<Self, ClientError> {
        let stream = dial(target, index, dial_as.receive_buffer).await?;
        let mut socket = Self {
            stream,
            protocol: dial_as.protocol,
            input: Vec::new(),
            output: Vec::new(),
            next_id: 0,
        };
        let query = match dial_as.protocol {
            Protocol::Plain => "",
            Protocol::Socketio | Protocol::Polling => "/?EIO=4&transport=websocket",
        };
        let extension = if dial_as.deflate {
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
             client_no_context_takeover\r\n"
        } else {
            ""
        };
        let request = format!(
            "GET {}{query} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {extension}\r\n",
            target.path, target.address
        );
        socket.write(request.as_bytes()).await?;
        let upgrade = socket.read_upgrade(dial_as.deflate);
        timeout(STEP, upgrade)
            .await
            .unwrap_or(Err(ClientError::TimedOut(UPGRADE, STEP.as_secs())))?;
        if dial_as.protocol != Protocol::Plain {
            socket
                .expect("open Engine.IO", |text| Packet::read(text) == Packet::Open)
                .await?;
        }
        Ok(socket)
    }

    async fn read_upgrade(&mut self, deflate: bool) -> Result<(), ClientError> {
        let end = loop {
            if let Some(at) = memchr::memmem::find(&self.input, b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more(UPGRADE).await?;
        };
        if !self.input.starts_with(b"HTTP/1.1 101") {
            loop {
                if let Some((answer, _)) = parse_answer(&self.input, UPGRADE)? {
                    return Err(answer.refusal(UPGRADE));
                }
                self.read_more(UPGRADE).await?;
            }
        }
        let head = String::from_utf8_lossy(&self.input[..end]).to_ascii_lowercase();
        self.input.drain(..end);
        if deflate && !head.contains("permessage-deflate") {
            return Err(ClientError::NoDeflate);
        }
        Ok(())
    }

    /// Socket.IO's CONNECT, with events behind it in the same write; nothing on plain.
    pub async fn connect_with(&mut self, behind: &[(&str, &str)]) -> Result<(), ClientError> {
        if self.protocol != Protocol::Plain {
            self.text(b"40");
        }
        for (event, data) in behind {
            self.request(event, data);
        }
        self.flush().await
    }

    /// Awaits the acknowledgement of CONNECT; nothing on plain.
    pub async fn connected(&mut self) -> Result<(), ClientError> {
        if self.protocol == Protocol::Plain {
            return Ok(());
        }
        let is_answer =
            |text: &[u8]| matches!(Packet::read(text), Packet::Connected | Packet::Refused);
        let answer = self.expect("connect", is_answer).await?;
        if Packet::read(&answer) == Packet::Connected {
            return Ok(());
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        Err(ClientError::Refused("connect", answer))
    }

    /// Sends a command and awaits its successful reply.
    pub async fn command(&mut self, event: &'static str, data: &str) -> Result<(), ClientError> {
        let id = self.request(event, data);
        self.flush().await?;
        self.replied(event, id).await
    }

    /// Awaits the successful reply to a command. Broadcasts that come before it are dropped.
    pub async fn replied(&mut self, event: &'static str, id: u32) -> Result<(), ClientError> {
        let id = u64::from(id);
        let is_plain = self.protocol == Protocol::Plain;
        let is_reply = |text: &[u8]| match Packet::read(text) {
            _ if is_plain => number_after(text, b"\"id\":") == Some(id),
            packet => packet == Packet::Reply { id },
        };
        let reply = self.expect(event, is_reply).await?;
        if memchr::memmem::find(&reply, b"\"success\":false").is_none() {
            return Ok(());
        }
        let reply = String::from_utf8_lossy(&reply).into_owned();
        Err(ClientError::Refused(event, reply))
    }

    /// Puts a command into the output and returns the id that its reply will carry.
    pub fn request(&mut self, event: &str, data: &str) -> u32 {
        let id = self.next_id;
        self.next_id = (id + 1) % 1_000_000;
        let text = match self.protocol {
            Protocol::Plain => format!("{{\"event\":\"{event}\",\"id\":{id},\"data\":{data}}}"),
            Protocol::Socketio | Protocol::Polling => format!("42{id}[\"{event}\",{data}]"),
        };
        self.text(text.as_bytes());
        id
    }

    fn text(&mut self, text: &[u8]) {
        frame::write(&mut self.output, frame::TEXT, text);
    }

    /// Writes the output.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        let output = std::mem::take(&mut self.output);
        self.write(&output).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        write.await.map_err(|error| ClientError::Io("write", error))
    }

    /// The first message that is `wanted`; heartbeats are answered on the way.
    async fn expect(
        &mut self,
        stage: &'static str,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, ClientError> {
        let search = async {
            loop {
                while let Some((frame, taken)) = frame::read(&self.input)? {
                    let mut found = None;
                    take(self.protocol, frame, &mut self.output, stage, &mut |text| {
                        if wanted(text) {
                            found = Some(text.to_vec());
                        }
                    })?;
                    self.input.drain(..taken);
                    if let Some(found) = found {
                        return Ok(found);
                    }
                }
                self.flush().await?;
                self.read_more(stage).await?;
            }
        };
        timeout(STEP, search)
            .await
            .unwrap_or(Err(ClientError::TimedOut(stage, STEP.as_secs())))
    }

    async fn read_more(&mut self, stage: &'static str) -> Result<(), ClientError> {
        self.read(stage, |socket, new| {
            socket.input.extend_from_slice(new);
            Ok(())
        })
        .await
    }

    /// Awaits the bytes that come next, and shows them.
    async fn read<T>(
        &mut self,
        stage: &'static str,
        mut show: impl FnMut(&mut Self, &[u8]) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        poll_fn(|context| {
            SCRATCH.with_borrow_mut(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
                ready!(read).map_err(|error| ClientError::Io(stage, error))?;
                Poll::Ready(match buffer.filled() {
                    [] => Err(ClientError::Closed(stage, "end of stream".to_owned())),
                    new => show(self, new),
                })
            })
        })
        .await
    }

    /// Reads until the connection ends, which is an error, or `hear` says that it has heard enough.
    /// Heartbeats are answered on the way.
    pub async fn listen(
        &mut self,
        mut hear: impl FnMut(&[u8]) -> Heard,
    ) -> Result<(), ClientError> {
        self.input.shrink_to_fit();
        let mut heard = Heard::More;
        if !self.input.is_empty() {
            heard = self.consume(&[], &mut hear)?;
        }
        loop {
            if !self.output.is_empty() {
                self.flush().await?;
            }
            if heard == Heard::Enough {
                return Ok(());
            }
            heard = self
                .read("read", |socket, new| socket.consume(new, &mut hear))
                .await?;
        }
    }

    fn consume(
        &mut self,
        new: &[u8],
        hear: &mut impl FnMut(&[u8]) -> Heard,
    ) -> Result<Heard, ClientError> {
        let kept = !self.input.is_empty();
        if kept {
            self.input.extend_from_slice(new);
        }
        let input = if kept { &self.input[..] } else { new };
        let mut at = 0;
        let mut heard = Heard::More;
        while heard == Heard::More
            && let Some((frame, taken)) = frame::read(&input[at..])?
        {
            take(
                self.protocol,
                frame,
                &mut self.output,
                "read",
                &mut |text| heard = hear(text),
            )?;
            at += taken;
        }
        if kept && at == self.input.len() {
            self.input = Vec::new();
        } else if kept {
            self.input.drain(..at);
        } else if at < new.len() {
            self.input.extend_from_slice(&new[at..]);
        }
        Ok(heard)
    }
}

/// Handles one frame: messages go to `hear`, answers into `output`.
fn take(
    protocol: Protocol,
    frame: Frame<'_>,
    output: &mut Vec<u8>,
    stage: &'static str,
    hear: &mut impl FnMut(&[u8]),
) -> Result<(), ClientError> {
    match frame.opcode {
        frame::TEXT => {
            let mut message = |text: &[u8]| {
                let answer = |text: &[u8]| frame::write(output, frame::TEXT, text);
                if protocol == Protocol::Plain || packet::receive(text, stage, answer)? {
                    hear(text);
                }
                Ok::<(), ClientError>(())
            };
            if frame.is_compressed {
                inflate::with(frame.payload, message)??;
            } else {
                message(frame.payload)?;
            }
        }
        frame::PING => frame::write(output, frame::PONG, frame.payload),
        frame::CLOSE => {
            let code = frame
                .payload
                .first_chunk()
                .map(|code| u16::from_be_bytes(*code));
            let reason = String::from_utf8_lossy(frame.payload.get(2..).unwrap_or_default());
            let text = format!("close code {code:?} `{reason}`");
            return Err(ClientError::Closed(stage, text));
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap());
        let (tcp, accepted) = tokio::join!(tcp, listener.accept());
        let socket = Socket {
            stream: Stream::Tcp(tcp.unwrap()),
            protocol: Protocol::Socketio,
            input: Vec::new(),
            output: Vec::new(),
            next_id: 0,
        };
        (socket, accepted.unwrap().0)
    }

    fn server_frame(text: &str) -> Vec<u8> {
        let mut frame = vec![0x81, u8::try_from(text.len()).unwrap()];
        frame.extend_from_slice(text.as_bytes());
        frame
    }

    #[tokio::test]
    async fn a_heartbeat_that_came_with_a_reply_is_answered() {
        let (mut socket, mut server) = pair().await;
        server.write_all(b"\x81\x012\x81\x05430[]").await.unwrap();
        socket.replied("subscribe", 0).await.unwrap();
        let mut pong = [0; 7];
        tokio::select! {
            ended = socket.listen(|_| Heard::More) => panic!("{ended:?}"),
            read = server.read_exact(&mut pong) => { read.unwrap(); }
            () = tokio::time::sleep(STEP) => panic!("no answer"),
        }
        // Masked with zeros.
        assert_eq!(&pong, b"\x81\x81\0\0\0\x003");
    }

    #[tokio::test]
    async fn events_are_heard_in_every_form_and_acknowledged_where_that_is_asked_for() {
        let (mut socket, mut server) = pair().await;
        let events = [
            "42[\"kpi:update\",{}]",
            "42[\"kpi:update\",{},{\"id\":\"a\"}]",
            "42[\"kpi:update\",{},{\"id\":\"a\"},\"b-1\"]",
            "429007199254740992[\"kpi:update\",{}]",
        ];
        for event in events {
            server.write_all(&server_frame(event)).await.unwrap();
        }
        let mut heard = Vec::new();
        let listen = socket.listen(|text| {
            heard.push(String::from_utf8_lossy(text).into_owned());
            if heard.len() == events.len() {
                Heard::Enough
            } else {
                Heard::More
            }
        });
        timeout(STEP, listen).await.unwrap().unwrap();
        assert_eq!(heard, events);
        let mut acknowledged = [0; 26];
        let read = server.read_exact(&mut acknowledged);
        timeout(STEP, read).await.unwrap().unwrap();
        assert_eq!(&acknowledged[6..], b"439007199254740992[]");
    }

    #[tokio::test]
    async fn a_reply_is_known_by_its_whole_id() {
        for (protocol, other, own) in [
            (Protocol::Socketio, "4310[]", "431[]"),
            (
                Protocol::Plain,
                "{\"id\":10,\"data\":{}}",
                "{\"id\":1,\"data\":{}}",
            ),
        ] {
            let (mut socket, mut server) = pair().await;
            socket.protocol = protocol;
            let both = [server_frame(other), server_frame(own)].concat();
            server.write_all(&both).await.unwrap();
            socket.replied("subscribe", 1).await.unwrap();
            assert!(socket.input.is_empty(), "{protocol:?} took another's reply");
        }
    }

    #[tokio::test]
    async fn a_full_server_is_told_apart_when_its_whole_answer_has_come() {
        let (mut socket, mut server) = pair().await;
        let head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\n";
        let (refused, ()) = tokio::join!(socket.read_upgrade(false), async {
            server.write_all(head).await.unwrap();
            server.write_all(b"full").await.unwrap();
        });
        let error = refused.unwrap_err();
        assert!(
            matches!(&error, ClientError::Full(_, body) if body == "full"),
            "{error}"
        );
    }
}

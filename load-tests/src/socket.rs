//! A client on WebSocket: Socket.IO (Engine.IO v4) or the plain JSON protocol.

use std::cell::RefCell;
use std::io;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Dial, Heard, Protocol, STEP, Target, dial};
use crate::error::ClientError;
use crate::frame::{self, Frame};
use crate::inflate;

/// What a connection reads goes through one buffer of its thread: idle connections have none.
const READ_AT_ONCE: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_AT_ONCE]);
}

/// One connection. What it read and did not use yet stays with it.
#[derive(Debug)]
pub struct Socket {
    tcp: TcpStream,
    protocol: Protocol,
    input: Vec<u8>,
    output: Vec<u8>,
    next_id: u32,
}

impl Socket {
    /// Opens the WebSocket and, for Socket.IO, awaits the Engine.IO handshake.
    pub async fn open(target: &Target, index: usize, dial_as: Dial) -> Result<Self, ClientError> {
        let tcp = dial(target.address, index, dial_as.receive_buffer).await?;
        let mut socket = Self {
            tcp,
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
        socket.read_upgrade(dial_as.deflate).await?;
        if dial_as.protocol != Protocol::Plain {
            socket
                .expect("open Engine.IO", |text| text.starts_with(b"0{"))
                .await?;
        }
        Ok(socket)
    }

    async fn read_upgrade(&mut self, deflate: bool) -> Result<(), ClientError> {
        const STAGE: &str = "upgrade to WebSocket";
        let end = loop {
            if let Some(at) = memchr::memmem::find(&self.input, b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more(STAGE).await?;
        };
        let head = String::from_utf8_lossy(&self.input[..end]).into_owned();
        self.input.drain(..end);
        if !head.starts_with("HTTP/1.1 101") {
            let body = String::from_utf8_lossy(&self.input);
            let line = head.lines().next().unwrap_or_default();
            return Err(ClientError::Refused(STAGE, format!("{line} {body}")));
        }
        if deflate && !head.to_ascii_lowercase().contains("permessage-deflate") {
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
        let answer = self
            .expect("connect", |text| text.starts_with(b"4"))
            .await?;
        if answer.starts_with(b"40") {
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
        let start = match self.protocol {
            Protocol::Plain => format!("\"id\":{id}"),
            Protocol::Socketio | Protocol::Polling => format!("43{id}["),
        };
        let plain = self.protocol == Protocol::Plain;
        let reply = self
            .expect(event, |text| {
                if plain {
                    memchr::memmem::find(text, start.as_bytes()).is_some()
                } else {
                    text.starts_with(start.as_bytes())
                }
            })
            .await?;
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

    async fn write(&self, mut bytes: &[u8]) -> Result<(), ClientError> {
        let failed = |error| ClientError::Io("write", error);
        while !bytes.is_empty() {
            match self.tcp.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.tcp.writable().await.map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
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
        loop {
            self.tcp
                .readable()
                .await
                .map_err(|error| ClientError::Io(stage, error))?;
            let mut chunk = [0; 4096];
            match self.tcp.try_read(&mut chunk) {
                Ok(0) => return Err(ClientError::Closed(stage, "end of stream".to_owned())),
                Ok(count) => {
                    self.input.extend_from_slice(&chunk[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(ClientError::Io(stage, error)),
            }
        }
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
            self.tcp
                .readable()
                .await
                .map_err(|error| ClientError::Io("read", error))?;
            heard = SCRATCH.with_borrow_mut(|scratch| match self.tcp.try_read(scratch) {
                Ok(0) => Err(ClientError::Closed("read", "end of stream".to_owned())),
                Ok(count) => self.consume(&scratch[..count], &mut hear),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Heard::More),
                Err(error) => Err(ClientError::Io("read", error)),
            })?;
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

/// Handles one frame: messages go to `hear`, answers to heartbeats into `output`.
fn take(
    protocol: Protocol,
    frame: Frame<'_>,
    output: &mut Vec<u8>,
    stage: &'static str,
    hear: &mut impl FnMut(&[u8]),
) -> Result<(), ClientError> {
    match frame.opcode {
        frame::TEXT if frame.is_compressed => inflate::with(frame.payload, |text| hear(text))?,
        frame::TEXT => {
            if protocol == Protocol::Plain {
                hear(frame.payload);
                return Ok(());
            }
            match frame.payload.first() {
                Some(b'2') => frame::write(output, frame::TEXT, b"3"),
                Some(b'6') => {}
                Some(b'1') => {
                    return Err(ClientError::Closed(stage, "Engine.IO close".to_owned()));
                }
                _ if frame.payload.starts_with(b"41") => {
                    return Err(ClientError::Closed(
                        stage,
                        "Socket.IO disconnect".to_owned(),
                    ));
                }
                _ => hear(frame.payload),
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_heartbeat_that_came_with_a_reply_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap());
        let (tcp, accepted) = tokio::join!(tcp, listener.accept());
        let mut server = accepted.unwrap().0;
        let mut socket = Socket {
            tcp: tcp.unwrap(),
            protocol: Protocol::Socketio,
            input: Vec::new(),
            output: Vec::new(),
            next_id: 0,
        };
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
}

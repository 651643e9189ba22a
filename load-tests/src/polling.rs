//! A Socket.IO client on HTTP polling: HTTP/1.1 with keep-alive by hand, one connection to receive
//! and one to send, as browsers do.

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::answer::{Answer, read_answer};
use crate::client::{Heard, STEP, Target, dial};
use crate::error::ClientError;
use crate::packet::{self, Packet};
use crate::stream::Stream;

/// What separates packets in one body (Engine.IO v4).
const SEPARATOR: u8 = 0x1e;

/// A kept connection.
#[derive(Debug)]
struct Lane {
    stream: Stream,
    input: Vec<u8>,
}

#[derive(Debug)]
pub struct Polling {
    target: Target,
    /// Of the client in its pool.
    index: usize,
    receiving: Lane,
    /// `None` until there is something to send.
    sending: Option<Lane>,
    /// The path and query of the session.
    location: String,
    next_id: u32,
    /// Packets that came with those that were waited for.
    early: Vec<Vec<u8>>,
}

impl Polling {
    /// Opens the Engine.IO session and connects to the main namespace.
    pub async fn open(target: &Target, index: usize) -> Result<Self, ClientError> {
        let mut polling = Self {
            receiving: Lane::open(target, index).await?,
            sending: None,
            location: format!("{}/?EIO=4&transport=polling", target.path),
            target: target.clone(),
            index,
            next_id: 0,
            early: Vec::new(),
        };
        let open = polling.poll("open Engine.IO").await?;
        let text = String::from_utf8_lossy(&open).into_owned();
        let sid = text
            .split_once("\"sid\":\"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .ok_or_else(|| ClientError::Refused("open Engine.IO", text.clone()))?;
        polling.location = format!("{}&sid={}", polling.location, sid.0);
        polling.post("connect", b"40").await?;
        let is_connected = |packet| packet == Packet::Connected;
        polling.expect("connect", is_connected).await?;
        Ok(polling)
    }

    /// Sends a command and awaits its successful acknowledgement.
    pub async fn command(&mut self, event: &'static str, data: &str) -> Result<(), ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        let packet = format!("42{id}[\"{event}\",{data}]");
        self.post(event, packet.as_bytes()).await?;
        let own = Packet::Reply { id: id.into() };
        let reply = self.expect(event, |packet| packet == own).await?;
        if memchr::memmem::find(&reply, b"\"success\":false").is_none() {
            return Ok(());
        }
        let reply = String::from_utf8_lossy(&reply).into_owned();
        Err(ClientError::Refused(event, reply))
    }

    /// Polls until the session ends, which is an error, or `hear` says that it has heard enough.
    pub async fn listen(
        &mut self,
        mut hear: impl FnMut(&[u8]) -> Heard,
    ) -> Result<(), ClientError> {
        for packet in std::mem::take(&mut self.early) {
            if hear(&packet) == Heard::Enough {
                return Ok(());
            }
        }
        let mut heard = Heard::More;
        while heard == Heard::More {
            self.receive("poll", |_, packet| {
                if heard == Heard::More {
                    heard = hear(packet);
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Awaits the packet that is `wanted`; events that come before it are heard later.
    async fn expect(
        &mut self,
        stage: &'static str,
        wanted: impl Fn(Packet) -> bool,
    ) -> Result<Vec<u8>, ClientError> {
        let search = async {
            let mut found = None;
            while found.is_none() {
                self.receive(stage, |early, packet| {
                    match Packet::read(packet) {
                        Packet::Refused => {
                            let text = String::from_utf8_lossy(packet).into_owned();
                            return Err(ClientError::Refused(stage, text));
                        }
                        read if found.is_none() && wanted(read) => found = Some(packet.to_vec()),
                        _ => early.push(packet.to_vec()),
                    }
                    Ok(())
                })
                .await?;
            }
            Ok(found.unwrap_or_default())
        };
        timeout(STEP, search)
            .await
            .unwrap_or(Err(ClientError::TimedOut(stage, STEP.as_secs())))
    }

    /// Polls once, shows what there is to hear, with what came early, and then answers what is to be
    /// answered.
    async fn receive(
        &mut self,
        stage: &'static str,
        mut show: impl FnMut(&mut Vec<Vec<u8>>, &[u8]) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        let body = self.poll(stage).await?;
        let mut answers = Vec::new();
        for text in body.split(|byte| *byte == SEPARATOR) {
            let answer = |packet: &[u8]| {
                if !answers.is_empty() {
                    answers.push(SEPARATOR);
                }
                answers.extend_from_slice(packet);
            };
            if packet::receive(text, stage, answer)? {
                show(&mut self.early, text)?;
            }
        }
        if answers.is_empty() {
            return Ok(());
        }
        self.post("answer the server", &answers).await
    }

    async fn poll(&mut self, stage: &'static str) -> Result<Vec<u8>, ClientError> {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.location, self.target.address
        );
        let answer = self.receiving.exchange(stage, request.as_bytes()).await?;
        if answer.status != 200 {
            return Err(answer.refusal(stage));
        }
        Ok(answer.body)
    }

    async fn post(&mut self, stage: &'static str, packets: &[u8]) -> Result<(), ClientError> {
        let mut request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain;charset=UTF-8\r\n\
             Content-Length: {}\r\n\r\n",
            self.location,
            self.target.address,
            packets.len()
        )
        .into_bytes();
        request.extend_from_slice(packets);
        let answer = self.send(stage, &request).await?;
        if answer.status != 200 {
            return Err(answer.refusal(stage));
        }
        Ok(())
    }

    /// A server may have closed the connection, on which little is sent, because it was idle: then,
    /// as browsers do, on a new one. A poll is never sent again: what it had for answer would be lost.
    async fn send(&mut self, stage: &'static str, request: &[u8]) -> Result<Answer, ClientError> {
        if let Some(lane) = &mut self.sending {
            match lane.exchange(stage, request).await {
                Err(ClientError::Io(..) | ClientError::Closed(..)) => {}
                outcome => return outcome,
            }
        }
        let lane = Lane::open(&self.target, self.index).await?;
        self.sending.insert(lane).exchange(stage, request).await
    }
}

impl Lane {
    async fn open(target: &Target, index: usize) -> Result<Self, ClientError> {
        Ok(Self {
            stream: dial(target, index, None).await?,
            input: Vec::new(),
        })
    }

    async fn exchange(
        &mut self,
        stage: &'static str,
        request: &[u8],
    ) -> Result<Answer, ClientError> {
        let write = async {
            self.stream.write_all(request).await?;
            self.stream.flush().await
        };
        write.await.map_err(|error| ClientError::Io(stage, error))?;
        read_answer(&mut self.stream, &mut self.input, stage).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::client::Rooms;

    /// Reads a request, which ends with this, and answers it.
    async fn serve(stream: &mut TcpStream, end: &str, status: &str, body: &str) -> String {
        let mut request = Vec::new();
        while !request.ends_with(end.as_bytes()) {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    }

    /// Both sides of a conversation; neither waits for the other for ever.
    async fn both<T>(client: impl Future<Output = T>, server: impl Future<Output = ()>) -> T {
        let both = async { tokio::join!(client, server) };
        timeout(STEP, both).await.unwrap().0
    }

    async fn listening() -> (TcpListener, Target) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target {
            address: listener.local_addr().unwrap(),
            path: "/ws".to_owned(),
            rooms: Rooms::Commands,
            trust: None,
        };
        (listener, target)
    }

    async fn polling(target: &Target) -> Polling {
        Polling {
            target: target.clone(),
            index: 0,
            receiving: Lane::open(target, 0).await.unwrap(),
            sending: None,
            location: "/ws/?EIO=4&transport=polling&sid=a".to_owned(),
            next_id: 0,
            early: Vec::new(),
        }
    }

    #[tokio::test]
    async fn one_answer_with_all_kinds_of_packets_is_heard_and_answered_in_one_request() {
        let (listener, target) = listening().await;
        let body = "2\u{1e}42[\"a\",{},{},\"b-1\"]\u{1e}6\u{1e}429007199254740992[\"a\",{}]";
        let mut heard = Vec::new();
        let client = async {
            let hear = |text: &[u8]| {
                heard.push(String::from_utf8_lossy(text).into_owned());
                if heard.len() == 2 {
                    Heard::Enough
                } else {
                    Heard::More
                }
            };
            polling(&target).await.listen(hear).await
        };
        let answers = "3\u{1e}439007199254740992[]";
        let server = async {
            let (mut receiving, _) = listener.accept().await.unwrap();
            serve(&mut receiving, "\r\n\r\n", "200 OK", body).await;
            let (mut sending, _) = listener.accept().await.unwrap();
            let request = serve(&mut sending, answers, "200 OK", "ok").await;
            assert!(request.starts_with("POST"), "{request}");
        };
        both(client, server).await.unwrap();
        assert_eq!(
            heard,
            ["42[\"a\",{},{},\"b-1\"]", "429007199254740992[\"a\",{}]"]
        );
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_while_it_was_idle_is_opened_again() {
        let (listener, target) = listening().await;
        let server = async {
            let (_receiving, _) = listener.accept().await.unwrap();
            for _ in 0..2 {
                let (mut sending, _) = listener.accept().await.unwrap();
                serve(&mut sending, "\r\n\r\n3", "200 OK", "ok").await;
            }
        };
        let client = async {
            let mut polling = polling(&target).await;
            for _ in 0..2 {
                polling.post("answer the server", b"3").await.unwrap();
            }
        };
        both(client, server).await;
    }

    #[tokio::test]
    async fn a_full_server_is_told_apart() {
        let (listener, target) = listening().await;
        let server = async {
            let (mut receiving, _) = listener.accept().await.unwrap();
            let end = "\r\n\r\n";
            serve(&mut receiving, end, "503 Service Unavailable", "full").await;
        };
        let opened = both(Polling::open(&target, 0), server).await;
        let error = opened.unwrap_err();
        assert!(
            matches!(&error, ClientError::Full(_, body) if body == "full"),
            "{error}"
        );
    }
}

//! A Socket.IO client on HTTP polling: HTTP/1.1 with keep-alive by hand, one connection to receive
//! and one to send, as browsers do.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Heard, STEP, Target, dial};
use crate::error::ClientError;
use crate::publisher::{Answer, read_answer};

/// What separates packets in one body (Engine.IO v4).
const SEPARATOR: u8 = 0x1e;

#[derive(Debug)]
struct Lane {
    tcp: TcpStream,
    input: Vec<u8>,
}

#[derive(Debug)]
pub struct Polling {
    receiving: Lane,
    sending: Lane,
    /// The path and query of the session.
    location: String,
    host: String,
    next_id: u32,
    /// Packets that came with those that were waited for.
    early: Vec<Vec<u8>>,
}

impl Polling {
    /// Opens the Engine.IO session and connects to the main namespace.
    pub async fn open(target: &Target, index: usize) -> Result<Self, ClientError> {
        let mut polling = Self {
            receiving: Lane::open(target, index).await?,
            sending: Lane::open(target, index).await?,
            location: format!("{}/?EIO=4&transport=polling", target.path),
            host: target.address.to_string(),
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
        polling.expect("connect", b"40").await?;
        Ok(polling)
    }

    /// Sends a command and awaits its successful acknowledgement.
    pub async fn command(&mut self, event: &'static str, data: &str) -> Result<(), ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        let packet = format!("42{id}[\"{event}\",{data}]");
        self.post(event, packet.as_bytes()).await?;
        let reply = self.expect(event, format!("43{id}[").as_bytes()).await?;
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
        loop {
            let body = self.poll("poll").await?;
            let (mut pinged, mut heard) = (false, Heard::More);
            for packet in body.split(|byte| *byte == SEPARATOR) {
                match packet.first() {
                    Some(b'2') => pinged = true,
                    Some(b'1') => {
                        return Err(ClientError::Closed("poll", "Engine.IO close".to_owned()));
                    }
                    _ if heard == Heard::More => heard = hear(packet),
                    _ => {}
                }
            }
            if pinged {
                self.post("answer a ping", b"3").await?;
            }
            if heard == Heard::Enough {
                return Ok(());
            }
        }
    }

    async fn expect(&mut self, stage: &'static str, start: &[u8]) -> Result<Vec<u8>, ClientError> {
        let search = async {
            let mut found = None;
            while found.is_none() {
                let body = self.poll(stage).await?;
                for packet in body.split(|byte| *byte == SEPARATOR) {
                    if packet == b"2" {
                        self.post(stage, b"3").await?;
                    } else if found.is_none() && packet.starts_with(start) {
                        found = Some(packet.to_vec());
                    } else if packet.starts_with(b"44") || packet.first() == Some(&b'1') {
                        let text = String::from_utf8_lossy(packet).into_owned();
                        return Err(ClientError::Refused(stage, text));
                    } else {
                        self.early.push(packet.to_vec());
                    }
                }
            }
            Ok(found.unwrap_or_default())
        };
        timeout(STEP, search)
            .await
            .unwrap_or(Err(ClientError::TimedOut(stage, STEP.as_secs())))
    }

    async fn poll(&mut self, stage: &'static str) -> Result<Vec<u8>, ClientError> {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.location, self.host
        );
        let answer = self.receiving.exchange(stage, request.as_bytes()).await?;
        if answer.status != 200 {
            return Err(refused(stage, &answer));
        }
        Ok(answer.body)
    }

    async fn post(&mut self, stage: &'static str, packet: &[u8]) -> Result<(), ClientError> {
        let mut request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain;charset=UTF-8\r\n\
             Content-Length: {}\r\n\r\n",
            self.location,
            self.host,
            packet.len()
        )
        .into_bytes();
        request.extend_from_slice(packet);
        let answer = self.sending.exchange(stage, &request).await?;
        if answer.status != 200 {
            return Err(refused(stage, &answer));
        }
        Ok(())
    }
}

fn refused(stage: &'static str, answer: &Answer) -> ClientError {
    let body = String::from_utf8_lossy(&answer.body);
    ClientError::Refused(stage, format!("{} {body}", answer.status))
}

impl Lane {
    async fn open(target: &Target, index: usize) -> Result<Self, ClientError> {
        Ok(Self {
            tcp: dial(target.address, index, None).await?,
            input: Vec::new(),
        })
    }

    async fn exchange(
        &mut self,
        stage: &'static str,
        request: &[u8],
    ) -> Result<Answer, ClientError> {
        self.tcp
            .write_all(request)
            .await
            .map_err(|error| ClientError::Io(stage, error))?;
        read_answer(&mut self.tcp, &mut self.input, stage).await
    }
}

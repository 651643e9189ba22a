//! A backend: HTTP/1.1 with keep-alive, by hand.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Rooms, STEP, Target, dial};
use crate::error::ClientError;
use crate::nchan;

const STAGE: &str = "publish";

/// One connection, one request at a time: what it publishes is in order.
#[derive(Debug)]
pub struct Publisher {
    tcp: TcpStream,
    host: String,
    rooms: Rooms,
    output: Vec<u8>,
    input: Vec<u8>,
}

/// An answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Publisher {
    pub async fn connect(target: &Target) -> Result<Self, ClientError> {
        Ok(Self {
            tcp: dial(target.address, 0, None).await?,
            host: target.address.to_string(),
            rooms: target.rooms,
            output: Vec::new(),
            input: Vec::new(),
        })
    }

    /// `POST /api/ws/broadcast/kpi`, or to the room's path; returns the recipients that the receipt
    /// counts, if it does.
    pub async fn kpi(&mut self, payload: &[u8]) -> Result<Option<u64>, ClientError> {
        let (answer, count) = match self.rooms {
            Rooms::Commands => {
                let path = "/api/ws/broadcast/kpi";
                let answer = self.request("POST", path, payload).await?;
                (answer, &b"\"recipients\":"[..])
            }
            Rooms::Path => {
                let (path, body) = nchan::broadcast(payload)?;
                let answer = self.request("POST", &path, &body).await?;
                (answer, &b"\"subscribers\": "[..])
            }
        };
        if !(200..300).contains(&answer.status) {
            let body = String::from_utf8_lossy(&answer.body);
            return Err(ClientError::Refused(
                STAGE,
                format!("{} {body}", answer.status),
            ));
        }
        Ok(number_after(&answer.body, count))
    }

    /// Sends a request with a JSON body and awaits its answer.
    pub async fn request(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Answer, ClientError> {
        self.output.clear();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        self.output.extend_from_slice(head.as_bytes());
        self.output.extend_from_slice(body);
        let exchange = async {
            self.tcp
                .write_all(&self.output)
                .await
                .map_err(|error| ClientError::Io(STAGE, error))?;
            read_answer(&mut self.tcp, &mut self.input, STAGE).await
        };
        timeout(STEP, exchange)
            .await
            .unwrap_or(Err(ClientError::TimedOut(STAGE, Duration::as_secs(&STEP))))
    }
}

/// Reads one answer with a `Content-Length` from the stream; what follows it stays in `input`.
pub(crate) async fn read_answer(
    tcp: &mut TcpStream,
    input: &mut Vec<u8>,
    stage: &'static str,
) -> Result<Answer, ClientError> {
    loop {
        if let Some((answer, taken)) = parse_answer(input) {
            input.drain(..taken);
            return Ok(answer);
        }
        let count = tcp
            .read_buf(input)
            .await
            .map_err(|error| ClientError::Io(stage, error))?;
        if count == 0 {
            return Err(ClientError::Closed(stage, "end of stream".to_owned()));
        }
    }
}

fn parse_answer(input: &[u8]) -> Option<(Answer, usize)> {
    let head = memchr::memmem::find(input, b"\r\n\r\n")? + 4;
    let status = number_after(input, b"HTTP/1.1 ")?;
    let length = input[..head]
        .split(|byte| *byte == b'\n')
        .find_map(|line| {
            const NAME: &[u8] = b"content-length:";
            let (name, value) = line.split_at_checked(NAME.len())?;
            name.eq_ignore_ascii_case(NAME)
                .then(|| number_after(value.trim_ascii(), b""))?
        })
        .unwrap_or(0);
    let end = head + usize::try_from(length).ok()?;
    let body = input.get(head..end)?.to_vec();
    let status = u16::try_from(status).ok()?;
    Some((Answer { status, body }, end))
}

/// The decimal number that follows `key`.
pub(crate) fn number_after(text: &[u8], key: &[u8]) -> Option<u64> {
    let start = memchr::memmem::find(text, key)? + key.len();
    let digits = text[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let mut number = None;
    for digit in digits {
        number = Some(number.unwrap_or(0) * 10 + u64::from(digit - b'0'));
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_when_it_is_whole() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length:  17\r\n\r\n{\"recipients\":12}HTTP/1.1 4";
        let end = bytes.len() - 10;
        assert!(parse_answer(&bytes[..end - 1]).is_none());
        let (answer, taken) = parse_answer(bytes).unwrap();
        assert_eq!((answer.status, taken), (200, end));
        assert_eq!(number_after(&answer.body, b"\"recipients\":"), Some(12));
        let empty = parse_answer(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().0;
        assert_eq!((empty.status, empty.body.len()), (204, 0));
    }
}

//! Answers of HTTP/1.1, as far as servers of this kind send them.

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::ClientError;

/// An answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    /// The error that it is at this stage.
    pub fn refusal(&self, stage: &'static str) -> ClientError {
        let body = String::from_utf8_lossy(&self.body);
        match self.status {
            503 => ClientError::Full(stage, body.into_owned()),
            status => ClientError::Refused(stage, format!("{status} {body}")),
        }
    }
}

/// Reads one answer from the stream; what follows it stays in `input`.
pub async fn read_answer(
    stream: &mut (impl AsyncRead + Unpin),
    input: &mut Vec<u8>,
    stage: &'static str,
) -> Result<Answer, ClientError> {
    loop {
        if let Some((answer, taken)) = parse_answer(input, stage)? {
            input.drain(..taken);
            return Ok(answer);
        }
        let count = stream
            .read_buf(input)
            .await
            .map_err(|error| ClientError::Io(stage, error))?;
        if count == 0 {
            return Err(ClientError::Closed(stage, "end of stream".to_owned()));
        }
    }
}

/// The answer at the front of `input` and how many bytes it takes; `None` if it is not whole yet.
/// A body has a `Content-Length`: one that comes in chunks is an error.
pub fn parse_answer(
    input: &[u8],
    stage: &'static str,
) -> Result<Option<(Answer, usize)>, ClientError> {
    let Some(end_of_head) = memchr::memmem::find(input, b"\r\n\r\n").map(|at| at + 4) else {
        return Ok(None);
    };
    let (head, rest) = input.split_at(end_of_head);
    let malformed = || {
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        ClientError::Refused(stage, String::from_utf8_lossy(line).into_owned())
    };
    let status = number_after(head, b"HTTP/1.1 ")
        .and_then(|status| u16::try_from(status).ok())
        .ok_or_else(malformed)?;
    if header(head, b"transfer-encoding:").is_some() {
        return Err(ClientError::Chunked(stage));
    }
    let length = match header(head, b"content-length:") {
        Some(value) => number_after(value, b"").and_then(|length| usize::try_from(length).ok()),
        None => Some(0),
    };
    let length = length.ok_or_else(malformed)?;
    Ok(rest.get(..length).map(|body| {
        let body = body.to_vec();
        (Answer { status, body }, end_of_head + length)
    }))
}

/// The value of a header, whose name is given in lower case with its colon.
fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// The decimal number that follows `key`.
pub fn number_after(text: &[u8], key: &[u8]) -> Option<u64> {
    let start = memchr::memmem::find(text, key)? + key.len();
    let digits = text[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let mut number: Option<u64> = None;
    for digit in digits {
        let value = number.unwrap_or(0).checked_mul(10)?;
        number = Some(value.checked_add(u64::from(digit - b'0'))?);
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
        assert!(parse_answer(&bytes[..end - 1], "poll").unwrap().is_none());
        let (answer, taken) = parse_answer(bytes, "poll").unwrap().unwrap();
        assert_eq!((answer.status, taken), (200, end));
        assert_eq!(number_after(&answer.body, b"\"recipients\":"), Some(12));
        let empty = parse_answer(b"HTTP/1.1 204 No Content\r\n\r\n", "poll");
        let (empty, _) = empty.unwrap().unwrap();
        assert_eq!((empty.status, empty.body.len()), (204, 0));
    }

    #[test]
    fn what_this_client_does_not_read_is_an_error_and_no_wait() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"SSH-2.0\r\n\r\n",
        ] {
            assert!(parse_answer(bytes, "poll").is_err());
        }
    }

    #[test]
    fn a_full_server_is_told_apart() {
        let full = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull";
        let (answer, _) = parse_answer(full, "connect").unwrap().unwrap();
        assert!(
            matches!(answer.refusal("connect"), ClientError::Full("connect", body) if body == "full")
        );
    }
}

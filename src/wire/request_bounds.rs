//! Where one request ends and the next begins in the bytes of a connection.
//!
//! HTTP reads ahead of what it serves, and does not say what is left over: half a request that came
//! right behind another would look like a connection that waits for its next one. So the bytes are
//! counted on their way to HTTP.

/// Of which length a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    Known(u64),
    /// It says itself where it ends.
    Chunked,
}

impl BodyLength {
    pub const NONE: Self = Self::Known(0);
}

/// What comes before a minor version in a request line.
const VERSION: &[u8] = b" HTTP/1.";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Nothing of a request came since the one before, but perhaps empty lines, which count for
    /// nothing (RFC 9112 section 2.2).
    Start,
    /// In the request line, with so many bytes of [`VERSION`] matched.
    RequestLine(usize),
    Headers,
    /// So many bytes came behind the head.
    Behind(u64),
    /// Behind requests that came without waiting for the answers to those before them.
    Unknown,
}

/// The place that the bytes of a connection have come to.
#[derive(Debug)]
pub(super) struct RequestBounds {
    position: Position,
    /// The last three bytes.
    last: [u8; 3],
}

impl Default for RequestBounds {
    fn default() -> Self {
        Self {
            position: Position::Start,
            last: [0; 3],
        }
    }
}

impl RequestBounds {
    /// Takes in bytes that HTTP is about to read. A request of a later minor version than 1.1 is made
    /// one of 1.1, as which it is to be understood (RFC 9110 section 2.5); HTTP would not take it.
    pub fn pass(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let from = at;
            match self.position {
                Position::Behind(count) => {
                    at = bytes.len();
                    self.position = Position::Behind(count.saturating_add((at - from) as u64));
                }
                Position::Unknown => at = bytes.len(),
                Position::Start => {
                    if matches!(byte, b'\r' | b'\n') {
                        at += 1;
                    } else {
                        self.position = Position::RequestLine(0);
                    }
                }
                Position::RequestLine(matched) => {
                    self.position = request_line(matched, &mut bytes[at]);
                    at += 1;
                }
                Position::Headers => {
                    // Line by line, as each byte of every request passes here.
                    let end = bytes[at..].iter().position(|byte| *byte == b'\n');
                    at = end.map_or(bytes.len(), |end| at + end + 1);
                }
            }
            self.keep_last(&bytes[from..at]);
            if self.position == Position::Headers && self.is_behind_an_empty_line() {
                self.position = Position::Behind(0);
            }
        }
    }

    fn keep_last(&mut self, bytes: &[u8]) {
        for &byte in &bytes[bytes.len().saturating_sub(3)..] {
            self.last = [self.last[1], self.last[2], byte];
        }
    }

    /// To be called when no request is served any more: `requests` were since the last call, the last
    /// of them with such a body. Says whether something may have come behind them. Where that can't
    /// be known, which takes requests with bodies that are not waited for, it may have.
    pub fn served(&mut self, requests: usize, body: BodyLength) -> bool {
        let is_more = match (self.position, body) {
            (Position::Behind(count), BodyLength::Known(length)) if requests == 1 => {
                count != length
            }
            // A head and a chunked body end with an empty line, and half a head does not.
            (_, BodyLength::NONE | BodyLength::Chunked) => !self.is_behind_an_empty_line(),
            (_, BodyLength::Known(_)) => true,
        };
        self.position = if is_more {
            Position::Unknown
        } else {
            Position::Start
        };
        is_more
    }

    fn is_behind_an_empty_line(&self) -> bool {
        self.last[1..] == *b"\n\n" || self.last == *b"\n\r\n"
    }

    /// Whether nothing came that was not served.
    pub fn is_at_start(&self) -> bool {
        self.position == Position::Start
    }
}

fn request_line(matched: usize, byte: &mut u8) -> Position {
    if *byte == b'\n' {
        return Position::Headers;
    }
    if matched == VERSION.len() {
        if matches!(byte, b'2'..=b'9') {
            *byte = b'1';
        }
        return Position::RequestLine(0);
    }
    Position::RequestLine(if *byte == VERSION[matched] {
        matched + 1
    } else {
        usize::from(*byte == VERSION[0])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const BARE: &str = "GET / HTTP/1.1\nHost: a\n\n";
    const POST: &str = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345";
    const CHUNKED: &str =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";

    /// The bounds after these bytes, which came in pieces of this size.
    fn passed(text: &str, size: usize) -> (RequestBounds, String) {
        let mut bounds = RequestBounds::default();
        let mut bytes = text.as_bytes().to_vec();
        for piece in bytes.chunks_mut(size) {
            bounds.pass(piece);
        }
        (bounds, String::from_utf8(bytes).unwrap())
    }

    fn is_more(text: &str, requests: usize, body: BodyLength) -> bool {
        let answers: Vec<bool> = (1..=text.len())
            .map(|size| passed(text, size).0.served(requests, body))
            .collect();
        assert!(
            answers.iter().all(|more| *more == answers[0]),
            "it depends on the pieces: {text:?}"
        );
        answers[0]
    }

    #[test]
    fn what_came_behind_a_request_is_seen_however_the_bytes_are_cut() {
        let five = BodyLength::Known(5);
        for (request, body) in [
            (GET, BodyLength::NONE),
            (BARE, BodyLength::NONE),
            (POST, five),
            (CHUNKED, BodyLength::Chunked),
        ] {
            assert!(!is_more(request, 1, body), "{request:?}");
            let after_empty_lines = ["\r\n\n\r\n", request].concat();
            assert!(!is_more(&after_empty_lines, 1, body), "{request:?}");
            for rest in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"] {
                let text = [request, rest].concat();
                assert!(is_more(&text, 1, body), "{text:?}");
            }
        }
        // The body's own end behind it again, and a body that did not come to its end.
        assert!(is_more(&[POST, "12345"].concat(), 1, five));
        assert!(is_more(&POST[..POST.len() - 1], 1, five));
    }

    #[test]
    fn after_requests_that_were_not_waited_for_the_next_start_is_found_again() {
        let all = GET.repeat(3);
        assert!(!is_more(&all, 3, BodyLength::NONE));
        assert!(is_more(&[&all, "GET"].concat(), 3, BodyLength::NONE));
        // Of a body behind others nobody knows where it began.
        assert!(is_more(&[GET, POST].concat(), 2, BodyLength::Known(5)));

        let (mut bounds, _) = passed(&[GET, "GET /"].concat(), 7);
        assert!(bounds.served(1, BodyLength::NONE));
        assert!(!bounds.is_at_start());
        bounds.pass(&mut GET.as_bytes()[5..].to_vec());
        assert!(!bounds.served(1, BodyLength::NONE));
        assert!(bounds.is_at_start());
        bounds.pass(&mut POST.as_bytes().to_vec());
        assert!(!bounds.served(1, BodyLength::Known(5)));
    }

    #[test]
    fn later_minor_versions_are_read_as_1_1_and_nothing_else_is_touched() {
        for (sent, read) in [
            ("GET / HTTP/1.2\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
            ("GET / HTTP/1.9\n\n", "GET / HTTP/1.1\n\n"),
            (
                "\r\nGET /a HTTP/1.x HTTP/1.3\r\n",
                "\r\nGET /a HTTP/1.x HTTP/1.1\r\n",
            ),
            ("GET /  HTTP/1.2\r\n\r\n", "GET /  HTTP/1.1\r\n\r\n"),
        ] {
            for size in 1..=sent.len() {
                assert_eq!(passed(sent, size).1, read, "in pieces of {size}");
            }
        }
        for same in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET /HTTP/1.2 HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nX: a HTTP/1.2\r\n\r\nGET / HTTP/1.2\r\n\r\n",
        ] {
            for size in 1..=same.len() {
                assert_eq!(passed(same, size).1, same, "in pieces of {size}");
            }
        }
    }
}

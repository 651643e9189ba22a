//! WebSocket messages as a client writes them: frames, put together (RFC 6455 section 5).
//!
//! [`FrameReader`] is pure: bytes in, one message out at a time, so that its owner decides on each
//! before the next one costs anything. A compressed message comes out as it was sent; inflating it
//! (RFC 7692 section 7.2.2) is a step of its own, which a message over its sender's rate never
//! reaches. Nothing is kept between messages.

use std::io;
use std::task::{Context, Poll, ready};

use super::deflate::inflate;
use super::frame::{FIN, RSV1};
use super::violation::ProtocolViolation;
use crate::wire::transport::Transport;

const MASKED: u8 = 0x80;
const RESERVED: u8 = 0x70;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
/// Longest payload of a control frame.
const MAX_CONTROL: u64 = 125;
/// First byte, length, extended length, mask.
const MAX_HEADER: usize = 14;
/// How much is read from the socket at once; the space is on the stack.
const READ_BYTES: usize = 4096;

/// Why nothing more can be read.
#[derive(Debug)]
pub enum ReadError {
    Violation(ProtocolViolation),
    /// Too much was held by all connections together, and by this one.
    GivenUp,
    Io(io::Error),
}

impl From<ProtocolViolation> for ReadError {
    fn from(violation: ProtocolViolation) -> Self {
        Self::Violation(violation)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Binary,
    Ping,
    Pong,
    Close,
}

/// One whole message, or one control frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: Kind,
    is_compressed: bool,
    payload: Vec<u8>,
}

impl Message {
    /// Bytes of the payload, as it was sent.
    pub fn length(&self) -> usize {
        self.payload.len()
    }

    /// The beginning of a message that is not compressed, to look at before it is decided on.
    pub fn peek(&self) -> Option<&[u8]> {
        (!self.is_compressed).then_some(self.payload.as_slice())
    }

    /// The payload of a control frame or of a binary message, inflated to at most `limit` bytes.
    pub fn into_bytes(self, limit: usize) -> Result<Vec<u8>, ProtocolViolation> {
        if self.is_compressed {
            inflate(&self.payload, limit)
        } else {
            Ok(self.payload)
        }
    }

    /// The text of a text message, inflated to at most `limit` bytes.
    pub fn into_text(self, limit: usize) -> Result<String, ProtocolViolation> {
        String::from_utf8(self.into_bytes(limit)?).map_err(|_| ProtocolViolation::Utf8)
    }
}

/// The frame whose payload is being read.
#[derive(Debug, Clone, Copy)]
struct Frame {
    first: u8,
    mask: [u8; 4],
    length: u64,
    read: u64,
}

impl Frame {
    fn opcode(self) -> u8 {
        self.first & 0x0f
    }

    fn is_control(self) -> bool {
        self.opcode() >= CLOSE
    }
}

/// A reader of one connection's frames.
#[derive(Debug)]
pub struct FrameReader {
    /// Whether messages may be compressed.
    inflates: bool,
    header_filled: u8,
    header: [u8; MAX_HEADER],
    /// Opcode of the message that has begun, with [`RSV1`] if it is compressed; 0 if none has.
    message: u8,
    frame: Option<Frame>,
    payload: Vec<u8>,
    control: Vec<u8>,
}

impl FrameReader {
    /// `inflates` says whether permessage-deflate was agreed on.
    pub fn new(inflates: bool) -> Self {
        Self {
            inflates,
            header_filled: 0,
            header: [0; MAX_HEADER],
            message: 0,
            frame: None,
            payload: Vec::new(),
            control: Vec::new(),
        }
    }

    /// Bytes that are kept of a message that is not whole yet.
    pub fn held(&self) -> usize {
        self.payload.len()
    }

    /// Takes bytes, cut anywhere, from the front of `bytes` until a message is whole or none are
    /// left. `limit` is the longest message; what counts is its length without compression.
    pub fn next(
        &mut self,
        bytes: &mut &[u8],
        limit: usize,
    ) -> Result<Option<Message>, ProtocolViolation> {
        loop {
            let Some(frame) = &mut self.frame else {
                if bytes.is_empty() {
                    return Ok(None);
                }
                *bytes = self.read_header(bytes, limit)?;
                if let Some(frame) = self.frame
                    && frame.length == 0
                    && let Some(message) = self.end_frame(frame)?
                {
                    return Ok(Some(message));
                }
                continue;
            };
            if bytes.is_empty() {
                return Ok(None);
            }
            let left = usize::try_from(frame.length - frame.read).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(left.min(bytes.len()));
            *bytes = later;
            let into = if frame.is_control() {
                &mut self.control
            } else {
                &mut self.payload
            };
            unmask(now, frame.mask, frame.read, into);
            frame.read += now.len() as u64;
            if frame.read == frame.length {
                let frame = *frame;
                if let Some(message) = self.end_frame(frame)? {
                    return Ok(Some(message));
                }
            }
        }
    }

    /// Takes header bytes until the header is whole; answers the rest.
    fn read_header<'a>(
        &mut self,
        bytes: &'a [u8],
        limit: usize,
    ) -> Result<&'a [u8], ProtocolViolation> {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used) {
            used += 1;
            self.header[usize::from(self.header_filled)] = byte;
            self.header_filled += 1;
            if let Some(frame) = self.parse_header()? {
                self.header_filled = 0;
                self.begin_frame(frame, limit)?;
                break;
            }
        }
        Ok(&bytes[used..])
    }

    fn parse_header(&self) -> Result<Option<Frame>, ProtocolViolation> {
        let header = &self.header[..usize::from(self.header_filled)];
        let (Some(&first), Some(&second)) = (header.first(), header.get(1)) else {
            return Ok(None);
        };
        // Only the first frame of a message says that it is compressed (RFC 7692 section 6).
        let may_compress = self.inflates && matches!(first & 0x0f, TEXT | BINARY);
        let reserved = if may_compress {
            RESERVED & !RSV1
        } else {
            RESERVED
        };
        if second & MASKED == 0 || first & reserved != 0 {
            return Err(ProtocolViolation::Framing);
        }
        let (length, mask_at) = match second & !MASKED {
            127 => (header.get(2..10).map(big_endian), 10),
            126 => (header.get(2..4).map(big_endian), 4),
            short => (Some(u64::from(short)), 2),
        };
        let mask = header
            .get(mask_at..mask_at + 4)
            .and_then(|mask| mask.try_into().ok());
        let (Some(length), Some(mask)) = (length, mask) else {
            return Ok(None);
        };
        Ok(Some(Frame {
            first,
            mask,
            length,
            read: 0,
        }))
    }

    fn begin_frame(&mut self, frame: Frame, limit: usize) -> Result<(), ProtocolViolation> {
        let is_final = frame.first & FIN != 0;
        match frame.opcode() {
            CLOSE..=PONG if !is_final || frame.length > MAX_CONTROL => {
                return Err(ProtocolViolation::Framing);
            }
            CLOSE..=PONG => {}
            TEXT | BINARY if self.message == 0 => self.message = frame.first & !FIN,
            CONTINUATION if self.message != 0 => {}
            _ => return Err(ProtocolViolation::Framing),
        }
        if !frame.is_control() {
            let whole = frame.length.saturating_add(self.payload.len() as u64);
            if whole > self.most(limit) as u64 {
                return Err(ProtocolViolation::TooLarge);
            }
        }
        self.frame = Some(frame);
        Ok(())
    }

    /// How long the payload of the message that has begun may be as it is sent. What can't be
    /// compressed grows a little by it (at most 5 bytes in 16 KiB by zlib's own bound, doubled many
    /// times here); what counts in the end is its length without compression.
    fn most(&self, limit: usize) -> usize {
        let growth = if self.message & RSV1 == 0 {
            0
        } else {
            limit / 256 + 64
        };
        limit.saturating_add(growth)
    }

    fn end_frame(&mut self, frame: Frame) -> Result<Option<Message>, ProtocolViolation> {
        self.frame = None;
        if frame.is_control() {
            let payload = std::mem::take(&mut self.control);
            let kind = match frame.opcode() {
                CLOSE => {
                    check_close(&payload)?;
                    Kind::Close
                }
                PING => Kind::Ping,
                _ => Kind::Pong,
            };
            return Ok(Some(Message {
                kind,
                is_compressed: false,
                payload,
            }));
        }
        if frame.first & FIN == 0 {
            return Ok(None);
        }
        let message = std::mem::take(&mut self.message);
        Ok(Some(Message {
            kind: if message & 0x0f == TEXT {
                Kind::Text
            } else {
                Kind::Binary
            },
            is_compressed: message & RSV1 != 0,
            payload: std::mem::take(&mut self.payload),
        }))
    }
}

/// A close has no payload, or a code that may be sent and a reason in UTF-8 (RFC 6455 sections 5.5.1
/// and 7.4; 1012 to 1014 are IANA's).
fn check_close(payload: &[u8]) -> Result<(), ProtocolViolation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok(())
        } else {
            Err(ProtocolViolation::Framing)
        };
    };
    match u16::from_be_bytes(*code) {
        1000..=1003 | 1007..=1014 | 3000..=4999 => {}
        _ => return Err(ProtocolViolation::Framing),
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(()),
        Err(_) => Err(ProtocolViolation::Utf8),
    }
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn unmask(bytes: &[u8], mask: [u8; 4], offset: u64, into: &mut Vec<u8>) {
    // The low two bits say which byte of the mask is next.
    let mut mask = mask;
    mask.rotate_left((offset % 4) as usize);
    let start = into.len();
    into.extend_from_slice(bytes);
    for chunk in into[start..].chunks_mut(4) {
        for (byte, key) in chunk.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
}

/// Reads a connection's messages from its transport.
#[derive(Debug)]
pub struct MessageReader {
    frames: FrameReader,
    /// What was read behind a message that had to be decided on first.
    unread: Vec<u8>,
    taken: usize,
    /// What was counted for it last.
    pub(super) counted: usize,
}

impl MessageReader {
    /// `read_ahead` is what the client sent behind its handshake.
    pub fn new(inflates: bool, read_ahead: &[u8]) -> Self {
        Self {
            frames: FrameReader::new(inflates),
            unread: read_ahead.to_vec(),
            taken: 0,
            counted: 0,
        }
    }

    /// Bytes that are kept of messages that are not handled yet.
    pub fn held(&self) -> usize {
        self.frames.held() + self.unread.len()
    }

    /// The next message of at most `limit` bytes, or `None` at the end of the stream.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        transport: &Transport,
        limit: usize,
    ) -> Poll<Result<Option<Message>, ReadError>> {
        if !self.unread.is_empty() {
            let mut bytes = &self.unread[self.taken..];
            let message = self.frames.next(&mut bytes, limit)?;
            self.taken = self.unread.len() - bytes.len();
            if bytes.is_empty() {
                (self.unread, self.taken) = (Vec::new(), 0);
            }
            if message.is_some() {
                return Poll::Ready(Ok(message));
            }
        }
        let mut chunk = [0; READ_BYTES];
        loop {
            ready!(transport.poll_read_ready(cx))?;
            match transport.try_read(&mut chunk) {
                Ok(0) => return Poll::Ready(Ok(None)),
                Ok(count) => {
                    let mut bytes = &chunk[..count];
                    if let Some(message) = self.frames.next(&mut bytes, limit)? {
                        self.unread = bytes.to_vec();
                        return Poll::Ready(Ok(Some(message)));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::websocket::deflate::tests::{bomb, compressed_by_another, text};

    /// A client's frame.
    fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut frame = Vec::new();
        write_frame(first & 0x0f, payload, &mut frame);
        frame[0] = first;
        let start = frame.len() - payload.len();
        frame[start - 4..start].copy_from_slice(&mask);
        for (at, byte) in frame[start..].iter_mut().enumerate() {
            *byte ^= mask[at % 4];
        }
        frame
    }

    /// A final frame with a mask of zeros.
    fn write_frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
        let mut whole = Vec::new();
        crate::wire::websocket::frame::write_frame(FIN | opcode, payload, &mut whole);
        let header = whole.len() - payload.len();
        whole[1] |= MASKED;
        out.extend_from_slice(&whole[..header]);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(payload);
    }

    struct Inbound {
        frames: FrameReader,
        limit: usize,
    }

    impl Inbound {
        fn new(limit: usize, inflates: bool) -> Self {
            let frames = FrameReader::new(inflates);
            Self { frames, limit }
        }

        /// Appends every message, inflated, as one frame.
        fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ProtocolViolation> {
            while let Some(message) = self.frames.next(&mut bytes, self.limit)? {
                let opcode = match message.kind {
                    Kind::Text => TEXT,
                    Kind::Binary => BINARY,
                    Kind::Ping => PING,
                    Kind::Pong => PONG,
                    Kind::Close => CLOSE,
                };
                write_frame(opcode, &message.into_bytes(self.limit)?, out);
            }
            Ok(())
        }
    }

    proptest! {
        /// However a message is cut into frames and the frames into reads, and with control frames
        /// in between, it comes out whole.
        #[test]
        fn messages_come_out_whole_however_they_are_cut(
            messages in proptest::collection::vec(
                (any::<bool>(), proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..5)),
                1..6,
            ),
            mask in any::<[u8; 4]>(),
            cuts in proptest::collection::vec(1_usize..70, 1..20),
        ) {
            let mut sent = Vec::new();
            let mut expected = Vec::new();
            for (is_text, fragments) in &messages {
                let opcode = if *is_text { TEXT } else { BINARY };
                for (at, fragment) in fragments.iter().enumerate() {
                    let is_last = at + 1 == fragments.len();
                    let first = if at == 0 { opcode } else { CONTINUATION };
                    sent.extend(frame(first | if is_last { FIN } else { 0 }, fragment, mask));
                    sent.extend(frame(FIN | PONG, b"beat", mask));
                    if !is_last {
                        write_frame(PONG, b"beat", &mut expected);
                    }
                }
                write_frame(opcode, &fragments.concat(), &mut expected);
                write_frame(PONG, b"beat", &mut expected);
            }
            let mut inbound = Inbound::new(usize::MAX, false);
            let mut out = Vec::new();
            let mut rest = sent.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                inbound.feed(now, &mut out).unwrap();
                rest = later;
            }
            prop_assert_eq!(out, expected);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Inbound::new(64, false).feed(&bytes, &mut Vec::new());
        }
    }

    #[test]
    fn a_message_may_have_the_limit_and_not_a_byte_more_in_all_its_frames() {
        let halves = |second: usize| {
            let mut bytes = frame(TEXT, &[b'x'; 50], [1, 2, 3, 4]);
            bytes.extend(frame(FIN | CONTINUATION, &vec![b'x'; second], [1, 2, 3, 4]));
            bytes
        };
        let mut out = Vec::new();
        assert_eq!(Inbound::new(100, false).feed(&halves(50), &mut out), Ok(()));
        assert_eq!(
            Inbound::new(100, false).feed(&halves(51), &mut out),
            Err(ProtocolViolation::TooLarge)
        );
        // The length alone is enough: no payload is waited for.
        let huge = [
            FIN | TEXT,
            MASKED | 127,
            0xff,
            0xff,
            0xff,
            0xff,
            0xff,
            0xff,
            0xff,
            0xff,
            0,
            0,
            0,
            0,
        ];
        assert_eq!(
            Inbound::new(100, false).feed(&huge, &mut out),
            Err(ProtocolViolation::TooLarge)
        );
    }

    #[test]
    fn frames_against_the_rules_are_violations() {
        let unmasked = vec![FIN | TEXT, 1, b'x'];
        for bytes in [
            unmasked,
            frame(FIN | 0x40 | TEXT, b"x", [0; 4]),
            frame(FIN | 0x3, b"x", [0; 4]),
            frame(FIN | CONTINUATION, b"x", [0; 4]),
            frame(CLOSE, b"x", [0; 4]),
            frame(FIN | PONG, &[0; 126], [0; 4]),
            [frame(TEXT, b"x", [0; 4]), frame(TEXT, b"x", [0; 4])].concat(),
        ] {
            let outcome = Inbound::new(1000, false).feed(&bytes, &mut Vec::new());
            assert_eq!(outcome, Err(ProtocolViolation::Framing), "{bytes:?}");
        }
    }

    proptest! {
        /// Compressed by another library, cut into frames and reads, control frames in between.
        #[test]
        fn compressed_messages_come_out_whole_however_they_are_cut(
            messages in proptest::collection::vec((text(), any::<bool>(), 1_usize..400), 1..5),
            mask in any::<[u8; 4]>(),
            read in 1_usize..3000,
        ) {
            let mut sent = Vec::new();
            let mut expected = Vec::new();
            for (text, is_compressed, length) in &messages {
                let payload = if *is_compressed { compressed_by_another(text, 6) } else { text.clone() };
                let count = payload.chunks(*length).count().max(1);
                for at in 0..count {
                    let fragment = payload.chunks(*length).nth(at).unwrap_or_default();
                    let first = match (at, is_compressed) {
                        (0, true) => TEXT | RSV1,
                        (0, false) => TEXT,
                        _ => CONTINUATION,
                    };
                    let fin = if at + 1 == count { FIN } else { 0 };
                    sent.extend(frame(first | fin, fragment, mask));
                    sent.extend(frame(FIN | PONG, b"beat", mask));
                    if fin == 0 {
                        write_frame(PONG, b"beat", &mut expected);
                    }
                }
                write_frame(TEXT, text, &mut expected);
                write_frame(PONG, b"beat", &mut expected);
            }
            let mut inbound = Inbound::new(1 << 20, true);
            let mut out = Vec::new();
            for read in sent.chunks(read) {
                inbound.feed(read, &mut out).unwrap();
            }
            prop_assert_eq!(out, expected);
        }
    }

    #[test]
    fn only_the_first_frame_of_a_message_says_that_it_is_compressed() {
        let payload = compressed_by_another(&b"a message ".repeat(30), 6);
        let (front, back) = payload.split_at(9);
        let feed = |bytes: &[u8], inflates| {
            let mut out = Vec::new();
            Inbound::new(1000, inflates)
                .feed(bytes, &mut out)
                .map(|()| out)
        };
        let mut whole = Vec::new();
        write_frame(TEXT, &b"a message ".repeat(30), &mut whole);
        let compressed = frame(FIN | RSV1 | TEXT, &payload, [7; 4]);
        assert_eq!(feed(&compressed, true), Ok(whole));
        // Not agreed on.
        assert_eq!(feed(&compressed, false), Err(ProtocolViolation::Framing));
        for bytes in [
            [
                frame(RSV1 | TEXT, front, [7; 4]),
                frame(FIN | RSV1 | CONTINUATION, back, [7; 4]),
            ]
            .concat(),
            frame(FIN | RSV1 | PONG, b"", [7; 4]),
            frame(FIN | RSV1 | CLOSE, b"", [7; 4]),
            frame(FIN | 0x20 | TEXT, b"x", [7; 4]),
            frame(FIN | 0x10 | RSV1 | TEXT, b"x", [7; 4]),
        ] {
            assert_eq!(
                feed(&bytes, true),
                Err(ProtocolViolation::Framing),
                "{bytes:02x?}"
            );
        }
        let cut = frame(FIN | RSV1 | TEXT, front, [7; 4]);
        assert_eq!(feed(&cut, true), Err(ProtocolViolation::Deflate));
    }

    #[test]
    fn what_counts_is_the_length_without_compression() {
        let compressed = |length: usize, level| {
            let noise: Vec<u8> = (0..1_000_000_u32)
                .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
                .take(length)
                .collect();
            frame(
                FIN | RSV1 | TEXT,
                &compressed_by_another(&noise, level),
                [7; 4],
            )
        };
        for level in [0, 6] {
            let limit = 100_000;
            let feed = |bytes: &[u8]| Inbound::new(limit, true).feed(bytes, &mut Vec::new());
            // Without compression level 0 is longer than the limit as it is sent.
            assert_eq!(feed(&compressed(limit, level)), Ok(()));
            assert_eq!(
                feed(&compressed(limit + 1, level)),
                Err(ProtocolViolation::TooLarge)
            );
        }
        // Nothing is collected that could not be a message.
        let endless = frame(RSV1 | TEXT, &[0; 2000], [7; 4]);
        let fed = Inbound::new(1000, true).feed(&endless[..20], &mut Vec::new());
        assert_eq!(fed, Err(ProtocolViolation::TooLarge));
    }

    #[test]
    fn a_fragmented_bomb_is_too_large_and_control_frames_in_it_pass() {
        let bomb = bomb(900);
        let limit = 1024 * 1024;
        let mut inbound = Inbound::new(limit, true);
        let mut pongs = 0;
        let fragments: Vec<_> = bomb.chunks(50_000).collect();
        for (at, fragment) in fragments.iter().enumerate() {
            let first = if at == 0 { RSV1 | TEXT } else { CONTINUATION };
            let is_last = at + 1 == fragments.len();
            let bytes = frame(first | if is_last { FIN } else { 0 }, fragment, [7; 4]);
            let mut out = Vec::new();
            let fed = inbound.feed(&bytes, &mut out);
            let expected = if is_last {
                Err(ProtocolViolation::TooLarge)
            } else {
                Ok(())
            };
            assert_eq!((fed, out.len()), (expected, 0));
            if !is_last {
                inbound
                    .feed(&frame(FIN | PONG, b"beat", [7; 4]), &mut out)
                    .unwrap();
                pongs += usize::from(!out.is_empty());
            }
        }
        assert_eq!(pongs, fragments.len() - 1);
    }

    #[test]
    fn messages_of_one_read_come_out_one_at_a_time_and_are_not_inflated() {
        let text = b"a message ".repeat(30);
        let payload = compressed_by_another(&text, 6);
        let bytes = [
            frame(FIN | RSV1 | TEXT, &payload, [9; 4]),
            frame(FIN | BINARY, b"good", [9; 4]),
            frame(FIN | TEXT, b"\xff", [9; 4]),
        ]
        .concat();
        let mut frames = FrameReader::new(true);
        let mut rest = bytes.as_slice();
        let mut next = || frames.next(&mut rest, 1000).unwrap().unwrap();
        let (first, second, third) = (next(), next(), next());
        assert_eq!((first.kind, first.peek()), (Kind::Text, None));
        assert_eq!(first.into_bytes(1000), Ok(text));
        assert_eq!(
            (second.kind, second.peek()),
            (Kind::Binary, Some(&b"good"[..]))
        );
        assert_eq!(third.into_text(1000), Err(ProtocolViolation::Utf8));
    }

    #[test]
    fn a_close_has_a_code_that_may_be_sent_and_a_reason_in_utf_8() {
        let close = |payload: &[u8]| {
            let bytes = frame(FIN | CLOSE, payload, [1, 2, 3, 4]);
            FrameReader::new(false)
                .next(&mut bytes.as_slice(), 1000)
                .map(|message| message.unwrap().into_bytes(1000).unwrap())
        };
        let with = |code: u16, reason: &[u8]| [&code.to_be_bytes(), reason].concat();
        for code in [1000, 1001, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4999] {
            let payload = with(code, "grün".as_bytes());
            assert_eq!(close(&payload), Ok(payload), "{code}");
        }
        assert_eq!(close(b""), Ok(Vec::new()));
        assert_eq!(close(b"x"), Err(ProtocolViolation::Framing));
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535] {
            let closed = close(&with(code, b""));
            assert_eq!(closed, Err(ProtocolViolation::Framing), "{code}");
        }
        assert_eq!(close(&with(1000, b"\xff")), Err(ProtocolViolation::Utf8));
    }
}

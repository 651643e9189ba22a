//! WebSocket frames as a client writes them, put together to whole messages (RFC 6455 section 5).
//!
//! The reader is pure: bytes in, whole messages out as unfragmented frames with a zero mask, which
//! the library above reads without work. Compressed ones are inflated (RFC 7692 section 7.2.2).
//! Nothing is kept between messages.

use super::deflate::inflate;
use super::frame::{FIN, RSV1, header_length};

const MASKED: u8 = 0x80;
const RESERVED: u8 = 0x70;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PONG: u8 = 0xa;
/// Longest payload of a control frame.
const MAX_CONTROL: u64 = 125;
/// First byte, length, extended length, mask.
const MAX_HEADER: usize = 14;

/// How a client broke the rules; nothing more is read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// A message is longer than allowed.
    TooLarge,
    /// A frame is not as RFC 6455 wants it.
    Framing,
    /// A compressed message is broken or cut off.
    Deflate,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// The library above gets this text in its place.
    Replace(Vec<u8>),
    /// The library above does not see it.
    Swallow,
}

/// A reader of one connection's frames.
#[derive(Debug)]
pub struct Inbound {
    limit: usize,
    /// Whether messages may be compressed.
    inflates: bool,
    header: [u8; MAX_HEADER],
    header_filled: usize,
    /// The frame whose payload is being read.
    frame: Option<Frame>,
    /// Opcode of the message that has begun, with [`RSV1`] if it is compressed; 0 if none has.
    message: u8,
    payload: Vec<u8>,
    control: Vec<u8>,
    controls: usize,
}

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

impl Inbound {
    /// `limit` is the longest message in bytes, `inflates` whether permessage-deflate was agreed on.
    pub fn new(limit: usize, inflates: bool) -> Self {
        Self {
            limit,
            inflates,
            header: [0; MAX_HEADER],
            header_filled: 0,
            frame: None,
            message: 0,
            payload: Vec::new(),
            control: Vec::new(),
            controls: 0,
        }
    }

    /// How many control frames came since this was last asked.
    pub fn take_controls(&mut self) -> usize {
        std::mem::take(&mut self.controls)
    }

    /// Reads some bytes, cut anywhere. Each whole message that `inspect` lets pass is appended to
    /// `out` as one frame; it is given the message's text, `None` for a binary one. Control frames
    /// pass as they come, between the fragments of a message too.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        mut inspect: impl FnMut(Option<&[u8]>) -> Verdict,
    ) -> Result<(), Violation> {
        while !bytes.is_empty() {
            let Some(frame) = &mut self.frame else {
                bytes = self.read_header(bytes)?;
                if let Some(frame) = self.frame
                    && frame.length == 0
                {
                    self.end_frame(frame, out, &mut inspect)?;
                }
                continue;
            };
            let left = usize::try_from(frame.length - frame.read).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(left.min(bytes.len()));
            bytes = later;
            let into = if frame.is_control() {
                &mut self.control
            } else {
                &mut self.payload
            };
            unmask(now, frame.mask, frame.read, into);
            frame.read += now.len() as u64;
            if frame.read == frame.length {
                let frame = *frame;
                self.end_frame(frame, out, &mut inspect)?;
            }
        }
        Ok(())
    }

    /// Takes header bytes until the header is whole; answers the rest.
    fn read_header<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Violation> {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used) {
            used += 1;
            self.header[self.header_filled] = byte;
            self.header_filled += 1;
            if let Some(frame) = self.parse_header()? {
                self.header_filled = 0;
                self.begin_frame(frame)?;
                break;
            }
        }
        Ok(&bytes[used..])
    }

    fn parse_header(&self) -> Result<Option<Frame>, Violation> {
        let header = &self.header[..self.header_filled];
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
            return Err(Violation::Framing);
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

    fn begin_frame(&mut self, frame: Frame) -> Result<(), Violation> {
        let is_final = frame.first & FIN != 0;
        match frame.opcode() {
            CLOSE..=PONG if !is_final || frame.length > MAX_CONTROL => {
                return Err(Violation::Framing);
            }
            CLOSE..=PONG => {}
            TEXT | BINARY if self.message == 0 => self.message = frame.first & !FIN,
            CONTINUATION if self.message != 0 => {}
            _ => return Err(Violation::Framing),
        }
        if !frame.is_control() {
            let whole = frame.length.saturating_add(self.payload.len() as u64);
            if whole > self.most() as u64 {
                return Err(Violation::TooLarge);
            }
        }
        self.frame = Some(frame);
        Ok(())
    }

    /// How long the payload of the message that has begun may be as it is sent. What can't be
    /// compressed grows a little by it (at most 5 bytes in 16 KiB by zlib's own bound, doubled many
    /// times here); what counts in the end is its length without compression.
    fn most(&self) -> usize {
        let growth = if self.message & RSV1 == 0 {
            0
        } else {
            self.limit / 256 + 64
        };
        self.limit.saturating_add(growth)
    }

    fn end_frame(
        &mut self,
        frame: Frame,
        out: &mut Vec<u8>,
        inspect: &mut impl FnMut(Option<&[u8]>) -> Verdict,
    ) -> Result<(), Violation> {
        self.frame = None;
        if frame.is_control() {
            write_frame(frame.opcode(), &self.control, out);
            self.control = Vec::new();
            self.controls += 1;
        } else if frame.first & FIN != 0 {
            let mut payload = std::mem::take(&mut self.payload);
            let message = std::mem::take(&mut self.message);
            let opcode = message & !RSV1;
            if message != opcode {
                payload = inflate(&payload, self.limit)?;
            }
            let text = (opcode == TEXT).then_some(payload.as_slice());
            match inspect(text) {
                Verdict::Pass => write_frame(opcode, &payload, out),
                Verdict::Replace(text) => write_frame(TEXT, &text, out),
                Verdict::Swallow => {}
            }
        }
        Ok(())
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

/// A final frame with a mask of zeros.
fn write_frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    let length = payload.len();
    out.reserve(header_length(length) + 4 + length);
    out.push(FIN | opcode);
    if let Some(short) = u8::try_from(length).ok().filter(|short| *short < 126) {
        out.push(MASKED | short);
    } else if let Ok(medium) = u16::try_from(length) {
        out.push(MASKED | 0x7e);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(MASKED | 0x7f);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::deflate::tests::{bomb, compressed_by_another, text};

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

    fn pass(_: Option<&[u8]>) -> Verdict {
        Verdict::Pass
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
                inbound.feed(now, &mut out, pass).unwrap();
                rest = later;
            }
            prop_assert_eq!(out, expected);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Inbound::new(64, false).feed(&bytes, &mut Vec::new(), pass);
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
        assert_eq!(
            Inbound::new(100, false).feed(&halves(50), &mut out, pass),
            Ok(())
        );
        assert_eq!(
            Inbound::new(100, false).feed(&halves(51), &mut out, pass),
            Err(Violation::TooLarge)
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
            Inbound::new(100, false).feed(&huge, &mut out, pass),
            Err(Violation::TooLarge)
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
            let outcome = Inbound::new(1000, false).feed(&bytes, &mut Vec::new(), pass);
            assert_eq!(outcome, Err(Violation::Framing), "{bytes:?}");
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
                inbound.feed(read, &mut out, pass).unwrap();
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
                .feed(bytes, &mut out, pass)
                .map(|()| out)
        };
        let mut whole = Vec::new();
        write_frame(TEXT, &b"a message ".repeat(30), &mut whole);
        let compressed = frame(FIN | RSV1 | TEXT, &payload, [7; 4]);
        assert_eq!(feed(&compressed, true), Ok(whole));
        // Not agreed on.
        assert_eq!(feed(&compressed, false), Err(Violation::Framing));
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
            assert_eq!(feed(&bytes, true), Err(Violation::Framing), "{bytes:02x?}");
        }
        let cut = frame(FIN | RSV1 | TEXT, front, [7; 4]);
        assert_eq!(feed(&cut, true), Err(Violation::Deflate));
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
            let feed = |bytes: &[u8]| Inbound::new(limit, true).feed(bytes, &mut Vec::new(), pass);
            // Without compression level 0 is longer than the limit as it is sent.
            assert_eq!(feed(&compressed(limit, level)), Ok(()));
            assert_eq!(
                feed(&compressed(limit + 1, level)),
                Err(Violation::TooLarge)
            );
        }
        // Nothing is collected that could not be a message.
        let endless = frame(RSV1 | TEXT, &[0; 2000], [7; 4]);
        let fed = Inbound::new(1000, true).feed(&endless[..20], &mut Vec::new(), pass);
        assert_eq!(fed, Err(Violation::TooLarge));
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
            let fed = inbound.feed(&bytes, &mut out, |_| panic!("a bomb is no message"));
            let expected = if is_last {
                Err(Violation::TooLarge)
            } else {
                Ok(())
            };
            assert_eq!((fed, out.len()), (expected, 0));
            if !is_last {
                inbound
                    .feed(&frame(FIN | PONG, b"beat", [7; 4]), &mut out, pass)
                    .unwrap();
                pongs += usize::from(!out.is_empty());
            }
        }
        assert_eq!(pongs, fragments.len() - 1);
    }

    #[test]
    fn a_swallowed_message_leaves_no_trace() {
        let mut out = Vec::new();
        let mut seen = Vec::new();
        let bytes = [
            frame(FIN | TEXT, b"bad", [9; 4]),
            frame(FIN | TEXT, b"good", [9; 4]),
        ]
        .concat();
        Inbound::new(1000, false)
            .feed(&bytes, &mut out, |text| {
                seen.push(text.unwrap().to_vec());
                if text == Some(b"bad") {
                    Verdict::Swallow
                } else {
                    Verdict::Pass
                }
            })
            .unwrap();
        let mut expected = Vec::new();
        write_frame(TEXT, b"good", &mut expected);
        assert_eq!(
            (out, seen),
            (expected, vec![b"bad".to_vec(), b"good".to_vec()])
        );
    }
}

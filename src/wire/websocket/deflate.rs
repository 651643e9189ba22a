//! permessage-deflate, both directions (RFC 7692 section 7.2).
//!
//! Neither side keeps its window between messages, so a message compresses to the same bytes for
//! every recipient and no connection owns a compressor: each thread has one of each kind.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::frame::{FIN, RSV1, header_length, next_frame, write_frame};
use super::violation::ProtocolViolation;

/// What a sender takes off the end of a message (section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The tail, and an empty last block: only a message that is whole ends exactly behind it.
const END: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// How often a message may begin anew behind a last block (section 7.2.3.4). Each beginning costs
/// far more than the two bytes that ask for it.
const MAX_STREAMS: usize = 64;

/// The first bytes of the frames that may be compressed: whole messages, text or binary.
const MESSAGES: [u8; 2] = [FIN | 0x1, FIN | 0x2];

thread_local! {
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(LEVEL), false));
    static INFLATER: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// A message is compressed once for all its recipients, and acknowledgements one by one: in
/// between speed and size.
const LEVEL: u32 = 4;

/// The whole server frame with its payload compressed. `None` if it must stay as it is: it is no
/// message, its payload is shorter than `threshold`, or compression would not make it smaller.
pub fn compress_frame(frame: &[u8], threshold: usize) -> Option<Bytes> {
    let (first, payload) = next_frame(frame)?;
    if !MESSAGES.contains(&first) || payload.len() < threshold {
        return None;
    }
    let compressed = deflate(payload)?;
    let mut out = Vec::with_capacity(header_length(compressed.len()) + compressed.len());
    write_frame(first | RSV1, &compressed, &mut out);
    Some(out.into())
}

/// Compresses those of some whole server frames that [`compress_frame`] would. `None` if all stay
/// as they are.
pub fn compress_frames(frames: &[u8], threshold: usize) -> Option<Bytes> {
    if frames.len() < threshold {
        return None;
    }
    let mut out = Vec::new();
    let mut is_changed = false;
    let mut rest = frames;
    while let Some((_, payload)) = next_frame(rest) {
        let (frame, later) = rest.split_at(header_length(payload.len()) + payload.len());
        rest = later;
        match compress_frame(frame, threshold) {
            None => out.extend_from_slice(frame),
            Some(compressed) if rest.is_empty() && out.is_empty() => return Some(compressed),
            Some(compressed) => {
                is_changed = true;
                out.extend_from_slice(&compressed);
            }
        }
    }
    out.extend_from_slice(rest);
    is_changed.then(|| out.into())
}

/// A message's compressed payload, or `None` if it is not shorter.
fn deflate(payload: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        let mut out = Vec::with_capacity(payload.len() + TAIL.len());
        compressor
            .compress_vec(payload, &mut out, FlushCompress::Sync)
            .ok()?;
        // Without a byte to spare there may be more to come, and it is too long anyway.
        let is_whole = compressor.total_in() == payload.len() as u64 && out.len() < out.capacity();
        let length = out.strip_suffix(&TAIL).filter(|_| is_whole)?.len();
        out.truncate(length);
        (length < payload.len()).then_some(out)
    })
}

/// The payload of a compressed message. It is [`ProtocolViolation::TooLarge`] if it has more than `limit`
/// bytes, of which no more than one beyond the limit is ever made, and [`ProtocolViolation::Deflate`] if it
/// is broken or cut off.
pub fn inflate(payload: &[u8], limit: usize) -> Result<Vec<u8>, ProtocolViolation> {
    let mut out = Vec::new();
    inflate_into(payload, limit, &mut out)?;
    Ok(out)
}

fn inflate_into(payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), ProtocolViolation> {
    if payload.is_empty() {
        // Strictly an empty message is one zero byte (section 7.2.3.6); its meaning is plain.
        return Ok(());
    }
    let most = limit.saturating_add(1);
    out.reserve_exact(payload.len().saturating_mul(3).min(most));
    INFLATER.with_borrow_mut(|inflater| {
        inflater.reset(false);
        let mut streams = 1;
        for mut input in [payload, &END] {
            while !input.is_empty() {
                if out.len() == out.capacity() {
                    let more = most.saturating_sub(out.len()).min(out.len().max(512));
                    out.reserve_exact(more);
                }
                let (read, made) = (inflater.total_in(), out.len());
                let status = inflater
                    .decompress_vec(input, out, FlushDecompress::None)
                    .map_err(|_| ProtocolViolation::Deflate)?;
                if out.len() > limit {
                    return Err(ProtocolViolation::TooLarge);
                }
                // No more than the input's length, which is a `usize`.
                let read = usize::try_from(inflater.total_in() - read).unwrap_or(usize::MAX);
                input = input.get(read..).unwrap_or_default();
                match status {
                    // Some senders end a message with a last block, and a zero byte (7.2.3.4).
                    Status::StreamEnd if input.is_empty() => return Ok(()),
                    Status::StreamEnd if streams == MAX_STREAMS => {
                        return Err(ProtocolViolation::Deflate);
                    }
                    Status::StreamEnd => {
                        streams += 1;
                        inflater.reset(false);
                    }
                    Status::Ok | Status::BufError if read == 0 && out.len() == made => {
                        return Err(ProtocolViolation::Deflate);
                    }
                    Status::Ok | Status::BufError => {}
                }
            }
        }
        Err(ProtocolViolation::Deflate)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
    use miniz_oxide::deflate::stream::deflate as other_deflate;
    use miniz_oxide::inflate::decompress_to_vec;
    use miniz_oxide::{MZFlush, MZStatus};
    use proptest::prelude::*;

    use super::*;
    use crate::wire::websocket::frame::{Opcode, server_frame};

    /// Another library's compressor, as a client has one: a message for permessage-deflate.
    pub fn compressed_by_another(text: &[u8], level: i32) -> Vec<u8> {
        let flags = create_comp_flags_from_zip_params(level, -15, 0);
        let mut compressor = CompressorOxide::new(flags);
        let mut out = vec![0; text.len() * 2 + 1024];
        let result = other_deflate(&mut compressor, text, &mut out, MZFlush::Sync);
        assert_eq!(
            (result.status, result.bytes_consumed),
            (Ok(MZStatus::Ok), text.len())
        );
        out.truncate(result.bytes_written);
        assert!(out.ends_with(&TAIL));
        out.truncate(out.len() - TAIL.len());
        out
    }

    /// Another library's inflater, which wants a last block.
    fn inflated_by_another(payload: &[u8]) -> Vec<u8> {
        let whole = [payload, &END].concat();
        decompress_to_vec(&whole).unwrap()
    }

    /// `blocks` times a mebibyte of zeros in about a kibibyte each.
    pub fn bomb(blocks: usize) -> Vec<u8> {
        let mut block = compressed_by_another(&vec![0; 1024 * 1024], 9);
        block.extend_from_slice(&TAIL);
        let mut bomb = block.repeat(blocks);
        bomb.truncate(bomb.len() - TAIL.len());
        bomb
    }

    /// Something between noise and repetition.
    pub fn text() -> impl Strategy<Value = Vec<u8>> {
        let word = proptest::collection::vec(any::<u8>(), 0..40);
        proptest::collection::vec((word, 1_usize..30), 0..20)
            .prop_map(|words| words.iter().flat_map(|(word, n)| word.repeat(*n)).collect())
    }

    proptest! {
        #[test]
        fn another_library_reads_what_is_compressed(text in text(), threshold in 0_usize..2000) {
            let plain = server_frame(Opcode::Text, &text);
            match compress_frame(&plain, threshold) {
                Some(frame) => {
                    prop_assert!(text.len() >= threshold);
                    prop_assert!(frame.len() < plain.len());
                    let (first, payload) = next_frame(&frame).unwrap();
                    prop_assert_eq!(first, 0xc1);
                    prop_assert_eq!(frame.len(), header_length(payload.len()) + payload.len());
                    prop_assert_eq!(inflated_by_another(payload), text.clone());
                    prop_assert_eq!(inflate(payload, text.len()), Ok(text));
                }
                None if text.len() >= threshold => {
                    let there = compressed_by_another(&text, 6);
                    prop_assert!(there.len() * 5 / 4 + 16 >= text.len(), "left plain for nothing");
                }
                None => {}
            }
        }

        #[test]
        fn what_another_library_compressed_is_read(text in text(), level in 0..10) {
            let payload = compressed_by_another(&text, level);
            prop_assert_eq!(inflate(&payload, text.len()), Ok(text.clone()));
            if !text.is_empty() {
                prop_assert_eq!(inflate(&payload, text.len() - 1), Err(ProtocolViolation::TooLarge));
            }
        }

        #[test]
        fn no_bytes_make_it_panic_or_exceed_the_limit(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            limit in 0_usize..1000,
        ) {
            let mut out = Vec::new();
            let outcome = inflate_into(&bytes, limit, &mut out);
            prop_assert!(out.len() <= limit + 1);
            prop_assert!(outcome.is_err() || out.len() <= limit);
        }

        #[test]
        fn frames_in_a_row_are_compressed_one_by_one(texts in proptest::collection::vec(text(), 0..5)) {
            let frames: Vec<_> = texts.iter().map(|text| server_frame(Opcode::Text, text)).collect();
            let expected: Vec<_> = frames
                .iter()
                .map(|frame| compress_frame(frame, 64).unwrap_or_else(|| frame.clone()))
                .collect();
            let plain = frames.concat();
            let sent = compress_frames(&plain, 64).unwrap_or_else(|| plain.clone().into());
            prop_assert_eq!(&sent[..], &expected.concat()[..]);
        }
    }

    #[test]
    fn the_examples_of_rfc_7692_are_read() {
        for payload in [
            // Sections 7.2.3.1, 7.2.3.3 (no compression), 7.2.3.4 (a last block), 7.2.3.5 (two blocks).
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[
                0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
            ],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[
                0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
            ],
        ] {
            assert_eq!(
                inflate(payload, 5).as_deref(),
                Ok(&b"Hello"[..]),
                "{payload:02x?}"
            );
        }
        assert_eq!(inflate(&[0x00], 0), Ok(Vec::new()));
        assert_eq!(inflate(&[], 0), Ok(Vec::new()));
    }

    #[test]
    fn broken_streams_are_violations() {
        let whole = compressed_by_another(&b"a message of some length".repeat(9), 6);
        let mut spoilt = whole.clone();
        spoilt[0] |= 0x06;
        for payload in [
            &spoilt[..],
            &whole[..whole.len() - 3],
            &[0xff; 20][..],
            b"{\"event\":\"ping\"}",
        ] {
            assert_eq!(
                inflate(payload, 1000),
                Err(ProtocolViolation::Deflate),
                "{payload:02x?}"
            );
        }
    }

    /// Stored data that is cut may pass for whole, to every reader: compressed data does not.
    #[test]
    fn a_message_that_is_cut_off_anywhere_is_no_message() {
        let text = (0..200).fold(Vec::new(), |mut text, n| {
            text.extend_from_slice(format!("{{\"queue\":\"support {n}\"}}").as_bytes());
            text
        });
        let payload = compressed_by_another(&text, 6);
        for cut in 1..payload.len() {
            let outcome = inflate(&payload[..cut], 100_000);
            assert_eq!(
                outcome,
                Err(ProtocolViolation::Deflate),
                "{cut} of {}",
                payload.len()
            );
        }
    }

    #[test]
    fn a_bomb_takes_no_more_memory_than_a_message_may() {
        let bomb = bomb(1000);
        assert!(bomb.len() < 1_100_000, "{}", bomb.len());
        let limit = 1024 * 1024;
        let mut out = Vec::new();
        assert_eq!(
            inflate_into(&bomb, limit, &mut out),
            Err(ProtocolViolation::TooLarge)
        );
        assert!(out.capacity() <= limit + 1, "{}", out.capacity());
    }

    #[test]
    fn a_message_of_nothing_but_last_blocks_is_not_worked_through() {
        let ends = |count| [[0x03, 0x00].repeat(count), vec![0x00]].concat();
        assert_eq!(inflate(&ends(MAX_STREAMS - 1), 1000), Ok(Vec::new()));
        assert_eq!(
            inflate(&ends(MAX_STREAMS), 1000),
            Err(ProtocolViolation::Deflate)
        );
    }

    /// Blocks that yield nothing, each with codes of its own, as short as can be (RFC 1951, section
    /// 3.2.7).
    fn empty_blocks(bytes: usize) -> Vec<u8> {
        // Codes for 1 and for runs of zeros; 256 zeros, and a 1 for the end of the block and for a
        // distance; the end of the block.
        let lengths = (0..18).map(|at| (u8::from(at == 2 || at == 17), 3));
        let head = [(0, 1), (2, 2), (0, 5), (0, 5), (14, 4)];
        let codes = [(1, 1), (127, 7), (1, 1), (107, 7), (0, 1), (0, 1), (0, 1)];
        let bits: Vec<bool> = head
            .into_iter()
            .chain(lengths)
            .chain(codes)
            .flat_map(|(value, count)| (0..count).map(move |at| value >> at & 1 == 1))
            .collect();
        let eight = bits.repeat(8);
        let pack = |byte: &[bool]| {
            byte.iter()
                .rev()
                .fold(0, |all, bit| all << 1 | u8::from(*bit))
        };
        let eight: Vec<u8> = eight.chunks(8).map(pack).collect();
        eight.repeat(bytes / eight.len())
    }

    #[test]
    fn blocks_that_yield_nothing_cost_little_more_than_those_that_do() {
        let text: Vec<u8> = (0_u32..400_000)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_string().into_bytes())
            .collect();
        let ordinary = compressed_by_another(&text, 6);
        let blocks = [empty_blocks(ordinary.len()), vec![0]].concat();
        let timed = |payload: &[u8]| {
            let start = std::time::Instant::now();
            let length = inflate(payload, text.len()).map(|text| text.len());
            (length, start.elapsed())
        };
        let (length, usual) = timed(&ordinary);
        assert_eq!(length, Ok(text.len()));
        let (length, unusual) = timed(&blocks);
        assert_eq!(length, Ok(0));
        println!("{} bytes: {usual:?}, {unusual:?}", blocks.len());
        assert!(unusual < usual * 50, "{unusual:?}, {usual:?}");
    }

    #[test]
    fn what_is_no_message_or_does_not_shrink_stays_as_it_is() {
        let text = b"again and ".repeat(100);
        let ping = server_frame(Opcode::Ping, &text);
        assert_eq!(compress_frame(&ping, 0), None);
        let noise: Vec<u8> = (0..2000_u32)
            .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
            .collect();
        let plain = server_frame(Opcode::Text, &noise);
        if let Some(frame) = compress_frame(&plain, 0) {
            assert!(frame.len() < plain.len());
        }
        let short = server_frame(Opcode::Text, &text[..99]);
        assert_eq!(compress_frame(&short, 100), None);
        assert!(compress_frame(&server_frame(Opcode::Text, &text[..100]), 100).is_some());
    }

    #[test]
    fn compression_keeps_nothing_between_messages() {
        let secret = server_frame(Opcode::Text, &b"the first message ".repeat(50));
        let other = server_frame(Opcode::Text, &b"something else entirely ".repeat(50));
        let alone = compress_frame(&secret, 0);
        assert!(compress_frame(&other, 0).is_some());
        assert_eq!(compress_frame(&secret, 0), alone);
    }
}

//! What the fuzzer runs on packets from anywhere.

use bytes::Bytes;

use super::decoder::{Decoder, IncomingKind, MAX_ATTACHMENTS};
use super::packet::{glance, read_event};
use crate::protocol::engine_io::{ProtocolVersion, fuzz_payload};

/// The body of a polling request, whose packets are text, binary, or nonsense.
pub fn fuzz_packets(input: &[u8]) {
    let Some((&settings, body)) = input.split_first() else {
        return;
    };
    let version = if settings & 1 == 0 {
        ProtocolVersion::V3
    } else {
        ProtocolVersion::V4
    };
    let limit = 64 << (settings >> 4 & 7);
    let mut decoder = Decoder::new(limit);
    for packet in fuzz_payload(version, body) {
        // Whatever it is, a look at it is no parsing and fails on nothing.
        let _ = glance(&packet);
        let taken = match packet.strip_prefix(b"4") {
            Some(text) => match String::from_utf8(text.to_vec()) {
                Ok(text) => decoder.text(text),
                Err(_) => continue,
            },
            None => decoder.binary(Bytes::from(packet)),
        };
        let Ok(Some(incoming)) = taken else {
            continue;
        };
        assert!(!incoming.namespace.contains('?'));
        if let IncomingKind::Event {
            arguments,
            attachments,
            ..
        } = incoming.kind
        {
            assert!(attachments.len() <= MAX_ATTACHMENTS);
            assert!(attachments.iter().map(Bytes::len).sum::<usize>() <= limit);
            let _ = read_event(&arguments);
        }
    }
}

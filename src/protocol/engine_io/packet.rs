//! Packets as they stand in a session's queue, and as polling carries them.
//!
//! The queue holds WebSocket frames, each of which is one packet: a text frame as it is, a binary one
//! without its type. For polling the frames are taken apart again.

use bytes::{Bytes, BytesMut};
use engineioxide_core::payload::packet_encoder;
use engineioxide_core::{Packet, PacketParseError, ProtocolVersion};

use crate::wire::websocket::frame::{Opcode, header_length, is_text, next_frame, server_frame};

/// What stands between the packets of a payload (v4).
const RECORD_SEPARATOR: u8 = 0x1e;

/// The frame of a text packet.
pub(super) fn frame(packet: Packet) -> Bytes {
    server_frame(Opcode::Text, String::from(packet).as_bytes())
}

/// The frame of a binary message. In v3 a byte in front says that it is a message.
pub fn binary_frame(version: ProtocolVersion, data: &[u8]) -> Bytes {
    match version {
        ProtocolVersion::V4 => server_frame(Opcode::Binary, data),
        ProtocolVersion::V3 => {
            let mut payload = Vec::with_capacity(data.len() + 1);
            payload.push(4);
            payload.extend_from_slice(data);
            server_frame(Opcode::Binary, &payload)
        }
    }
}

/// The answer to a poll.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub body: Bytes,
    pub is_binary: bool,
}

/// The payload of these items.
pub(super) fn payload(version: ProtocolVersion, supports_binary: bool, items: &[Bytes]) -> Payload {
    match version {
        ProtocolVersion::V4 => payload_v4(items),
        ProtocolVersion::V3 => payload_v3(supports_binary, items),
    }
}

/// Goes through the frames of an item: the first byte and the payload of each, as bytes of the item.
fn frames(item: &Bytes) -> impl Iterator<Item = (bool, Bytes)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (first, payload) = next_frame(&item[at..])?;
        let start = at + header_length(payload.len());
        at = start + payload.len();
        Some((is_text(first), item.slice(start..at)))
    })
}

fn payload_v4(items: &[Bytes]) -> Payload {
    let mut packets = items.iter().flat_map(frames).map(|(is_text, payload)| {
        if is_text {
            payload
        } else {
            packet_encoder(Packet::Binary(payload), ProtocolVersion::V4, false)
        }
    });
    let first = packets.next();
    let mut rest = packets.peekable();
    let body = match (first, rest.peek()) {
        (Some(only), None) => only,
        (first, _) => {
            let length: usize = items.iter().map(|item| item.len() + 1).sum();
            let mut body = BytesMut::with_capacity(length);
            for packet in first.into_iter().chain(rest) {
                if !body.is_empty() {
                    body.extend_from_slice(&[RECORD_SEPARATOR]);
                }
                body.extend_from_slice(&packet);
            }
            body.freeze()
        }
    };
    Payload {
        body,
        is_binary: false,
    }
}

/// A payload with binary packets is binary as a whole, if the client can read that. Lengths count
/// UTF-16 units in a text payload, as JavaScript does, and bytes in a binary one.
fn payload_v3(supports_binary: bool, items: &[Bytes]) -> Payload {
    let packets: Vec<(bool, Bytes)> = items.iter().flat_map(frames).collect();
    let is_binary = supports_binary && packets.iter().any(|(is_text, _)| !is_text);
    let mut body = BytesMut::new();
    for (is_text, payload) in packets {
        if !is_text {
            // The type in front is added by the encoder again.
            let packet = Packet::BinaryV3(payload.slice(1.min(payload.len())..));
            body.extend_from_slice(&packet_encoder(packet, ProtocolVersion::V3, is_binary));
        } else if is_binary {
            body.extend_from_slice(&[0]);
            let length = payload.len().to_string();
            body.extend(length.bytes().map(|digit| digit - b'0'));
            body.extend_from_slice(&[0xff]);
            body.extend_from_slice(&payload);
        } else {
            let units = String::from_utf8_lossy(&payload).encode_utf16().count();
            body.extend_from_slice(format!("{units}:").as_bytes());
            body.extend_from_slice(&payload);
        }
    }
    Payload {
        body: body.freeze(),
        is_binary,
    }
}

/// The packets of a text payload. `None` if it can't be taken apart.
pub(super) fn split(version: ProtocolVersion, body: &[u8]) -> Option<Vec<&[u8]>> {
    match version {
        ProtocolVersion::V4 => Some(body.split(|byte| *byte == RECORD_SEPARATOR).collect()),
        ProtocolVersion::V3 => split_v3(body),
    }
}

/// `length:packet` after `length:packet`, lengths as JavaScript counts them, in UTF-16 units. (The
/// codec of `engineioxide-core` copies what is left of the body at each length: a body of many short
/// packets costs it the square of its size.)
fn split_v3(body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = std::str::from_utf8(body).ok()?;
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let colon = rest
            .bytes()
            .take(MAX_DIGITS + 1)
            .position(|byte| byte == b':')?;
        let (length, tail) = (&rest[..colon], &rest[colon + 1..]);
        let mut left: usize = length.parse().ok()?;
        let mut end = 0;
        let mut characters = tail.chars();
        while left > 0 {
            let character = characters.next()?;
            left = left.checked_sub(character.len_utf16())?;
            end += character.len_utf8();
        }
        let (packet, tail) = tail.split_at(end);
        packets.push(packet.as_bytes());
        rest = tail;
    }
    Some(packets)
}

/// Digits of a packet's length, at the most.
const MAX_DIGITS: usize = 9;

/// One packet of a payload, or of a WebSocket's text.
pub(super) fn parse(version: ProtocolVersion, packet: String) -> Result<Packet, PacketParseError> {
    Packet::parse(version, packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Bytes {
        frame(Packet::Message(text.to_owned().into()))
    }

    fn v4(items: &[Bytes]) -> String {
        let payload = payload(ProtocolVersion::V4, true, items);
        assert!(!payload.is_binary);
        String::from_utf8(payload.body.to_vec()).unwrap()
    }

    fn binary_event(version: ProtocolVersion) -> Bytes {
        let header = text("51-[\"é\"]");
        [header, binary_frame(version, &[1, 2, 3])].concat().into()
    }

    #[test]
    fn a_payload_of_v4_is_its_packets_with_a_separator_between_them() {
        assert_eq!(v4(&[text("a")]), "4a");
        assert_eq!(v4(&[text("a"), frame(Packet::Ping)]), "4a\x1e2");
        assert_eq!(v4(&[frame(Packet::Close)]), "1");
        let binary = binary_event(ProtocolVersion::V4);
        assert_eq!(v4(&[binary, text("b")]), "451-[\"é\"]\x1ebAQID\x1e4b");
    }

    #[test]
    fn a_single_packet_of_v4_is_not_copied() {
        let item = text("a longer event that many clients get");
        let payload = payload(ProtocolVersion::V4, false, std::slice::from_ref(&item));
        assert_eq!(payload.body.as_ptr(), item[2..].as_ptr());
    }

    #[test]
    fn a_payload_of_v3_counts_as_javascript_does_and_may_be_binary() {
        let items = [binary_event(ProtocolVersion::V3), text("😀")];
        let text = payload(ProtocolVersion::V3, false, &items);
        assert!(!text.is_binary);
        let body = std::str::from_utf8(&text.body).unwrap();
        assert_eq!(body, "9:451-[\"é\"]6:b4AQID3:4😀");
        let binary = payload(ProtocolVersion::V3, true, &items);
        assert!(binary.is_binary);
        let mut expected = b"\x00\x01\x00\xff451-[\"\xc3\xa9\"]".to_vec();
        expected.extend_from_slice(b"\x01\x04\xff\x04\x01\x02\x03");
        expected.extend_from_slice("\x00\x05".as_bytes());
        expected.push(0xff);
        expected.extend_from_slice("4😀".as_bytes());
        assert_eq!(binary.body, expected);
        for (packet, expected) in [
            (Packet::Noop, "1:6"),
            (Packet::Pong, "1:3"),
            (Packet::PongUpgrade, "6:3probe"),
        ] {
            let item = [frame(packet)];
            assert_eq!(payload(ProtocolVersion::V3, true, &item).body, expected);
        }
        let open = [frame(
            Packet::Open(engineioxide_core::OpenPacket::default()),
        )];
        let body = payload(ProtocolVersion::V3, true, &open).body;
        assert!(
            body.starts_with(b"1") && body[3..].starts_with(b":0{"),
            "{body:?}"
        );
    }

    #[test]
    fn payloads_are_taken_apart() {
        let split = |version, body: &'static str| {
            let packets = split(version, body.as_bytes())?;
            let texts = packets
                .iter()
                .map(|packet| std::str::from_utf8(packet).unwrap());
            Some(texts.collect::<Vec<_>>())
        };
        let (v3, v4) = (ProtocolVersion::V3, ProtocolVersion::V4);
        assert_eq!(split(v4, "4a\x1e4b"), Some(vec!["4a", "4b"]));
        assert_eq!(split(v4, ""), Some(vec![""]));
        assert_eq!(split(v3, "2:4a3:4😀1:2"), Some(vec!["4a", "4😀", "2"]));
        assert_eq!(split(v3, ""), Some(vec![]));
        for bad in ["x:1", "5:1", "2:😀a:", "12", "1:😀", "0000000001:a", ":"] {
            assert_eq!(split(v3, bad), None, "{bad}");
        }
    }
}

//! WebSocket frames as a server writes them: final, unmasked (RFC 6455 section 5.2).

use bytes::Bytes;

/// The opcodes that the server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

pub(super) const FIN: u8 = 0x80;
/// The payload of the message that begins here is deflated (RFC 7692 section 6).
pub(super) const RSV1: u8 = 0x40;

/// Whether a frame that begins with this byte is a text that is not compressed.
pub fn is_text(first: u8) -> bool {
    first == FIN | Opcode::Text as u8
}

/// One whole frame.
pub fn server_frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    write_frame(FIN | opcode as u8, payload, &mut frame);
    frame.into()
}

/// Appends a frame that begins with this byte.
pub(super) fn write_frame(first: u8, payload: &[u8], frame: &mut Vec<u8>) {
    frame.push(first);
    let length = payload.len();
    if let Some(short) = u8::try_from(length).ok().filter(|short| *short < 126) {
        frame.push(short);
    } else if let Ok(medium) = u16::try_from(length) {
        frame.push(126);
        frame.extend_from_slice(&medium.to_be_bytes());
    } else {
        frame.push(127);
        frame.extend_from_slice(&(length as u64).to_be_bytes());
    }
    frame.extend_from_slice(payload);
}

/// A close frame with a code and a reason of at most 123 bytes (RFC 6455 section 5.5.1).
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    server_frame(Opcode::Close, &payload)
}

/// Bytes before a payload of this length, without a mask.
pub fn header_length(payload: usize) -> usize {
    match payload {
        0..126 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// The first byte and the payload of the unmasked frame at the front of `buffer`.
pub fn next_frame(buffer: &[u8]) -> Option<(u8, &[u8])> {
    let (&head, &length) = (buffer.first()?, buffer.get(1)?);
    let (start, length): (usize, usize) = match length {
        127 => (
            10,
            usize::try_from(u64::from_be_bytes(buffer.get(2..10)?.try_into().ok()?)).ok()?,
        ),
        126 => (
            4,
            usize::from(u16::from_be_bytes(buffer.get(2..4)?.try_into().ok()?)),
        ),
        short => (2, usize::from(short)),
    };
    Some((head, buffer.get(start..start.checked_add(length)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_the_shortest_form() {
        for (length, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let payload = vec![b'x'; length];
            let frame = server_frame(Opcode::Text, &payload);
            assert_eq!(frame.len(), header + length);
            assert_eq!(next_frame(&frame), Some((0x81, payload.as_slice())));
        }
    }

    #[test]
    fn cut_frames_are_no_frames() {
        let frame = server_frame(Opcode::Text, &[b'x'; 300]);
        for cut in 0..frame.len() {
            assert_eq!(next_frame(&frame[..cut]), None, "{cut}");
        }
    }
}

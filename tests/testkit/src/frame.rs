//! WebSocket frames as a client writes and reads them (RFC 6455 section 5.2).

use thiserror::Error;

pub const TEXT: u8 = 0x1;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;

/// One whole frame from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub opcode: u8,
    /// The message is deflated (RFC 7692).
    pub is_compressed: bool,
    pub payload: &'a [u8],
}

/// What this client does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error("a fragmented message, which this client does not put together")]
    Fragment,
    #[error("a frame with reserved bits, or masked by the server")]
    Malformed,
    #[error("a frame of {0} bytes")]
    TooLarge(u64),
}

/// No message of any scenario comes near it.
const MAX_PAYLOAD: u64 = 16 * 1024 * 1024;

/// The frame at the front of `input` and how many bytes it takes; `None` if it is not whole yet.
pub fn read(input: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let [head, length, rest @ ..] = input else {
        return Ok(None);
    };
    if head & 0x30 != 0 || length & 0x80 != 0 {
        return Err(FrameError::Malformed);
    }
    let is_continuation = head.trailing_zeros() >= 4;
    if head & 0x80 == 0 || is_continuation {
        return Err(FrameError::Fragment);
    }
    let (header, size) = match length {
        127 => match rest.first_chunk() {
            Some(bytes) => (10, u64::from_be_bytes(*bytes)),
            None => return Ok(None),
        },
        126 => match rest.first_chunk() {
            Some(bytes) => (4, u16::from_be_bytes(*bytes).into()),
            None => return Ok(None),
        },
        short => (2, u64::from(*short)),
    };
    let size = usize::try_from(size)
        .ok()
        .filter(|_| size <= MAX_PAYLOAD)
        .ok_or(FrameError::TooLarge(size))?;
    Ok(input.get(header..header + size).map(|payload| {
        let frame = Frame {
            opcode: head & 0x0f,
            is_compressed: head & 0x40 != 0,
            payload,
        };
        (frame, header + size)
    }))
}

/// Appends a client's frame of a whole message. Its mask is zero: allowed, and free.
pub fn write(into: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    write_with(into, 0x80 | opcode, payload);
}

/// Appends a client's frame with this first byte.
pub fn write_with(into: &mut Vec<u8>, first: u8, payload: &[u8]) {
    into.push(first);
    let size = payload.len();
    if let Some(short) = u8::try_from(size).ok().filter(|short| *short < 126) {
        into.push(0x80 | short);
    } else if let Ok(medium) = u16::try_from(size) {
        into.push(0x80 | 0x7e);
        into.extend_from_slice(&medium.to_be_bytes());
    } else {
        into.push(0x80 | 0x7f);
        into.extend_from_slice(&(size as u64).to_be_bytes());
    }
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(size: usize) -> Vec<u8> {
        let mut masked = Vec::new();
        write(&mut masked, TEXT, &vec![b'x'; size]);
        let header = masked.len() - size - 4;
        masked[1] &= 0x7f;
        masked.drain(header..header + 4);
        masked
    }

    #[test]
    fn frames_are_read_whole_or_not_at_all() {
        for size in [0, 1, 125, 126, 65_535, 65_536] {
            let bytes = server_frame(size);
            for cut in [0, 1, 2, 3, bytes.len() - 1] {
                if cut < bytes.len() {
                    assert_eq!(read(&bytes[..cut]), Ok(None), "{size} cut at {cut}");
                }
            }
            let (frame, taken) = read(&bytes).unwrap().unwrap();
            assert_eq!(
                (frame.opcode, frame.payload.len(), taken),
                (TEXT, size, bytes.len())
            );
        }
    }

    #[test]
    fn what_a_server_may_not_send_is_refused() {
        assert_eq!(read(&[0x01, 0x00]), Err(FrameError::Fragment));
        assert_eq!(read(&[0x81, 0x80]), Err(FrameError::Malformed));
        assert_eq!(read(&[0xa1, 0x00]), Err(FrameError::Malformed));
        let huge = [0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0];
        assert!(matches!(read(&huge), Err(FrameError::TooLarge(_))));
    }
}

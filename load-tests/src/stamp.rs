//! The stamp that every broadcast carries: who sent it, which one it is, and when.
//!
//! It is a text of fixed length inside the payload, so that it is written in place, survives any
//! server that parses and writes JSON again, and is found without parsing.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// What stands in front of a stamp in the payload.
const KEY: &[u8] = b"\"stamp\":\"";

/// Bytes of a written stamp: `stream.sequence.sent_at`, each in hexadecimal.
pub const LENGTH: usize = 4 + 1 + 8 + 1 + 16;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(KEY));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Which publisher, or which of its targets.
    pub stream: u16,
    /// Counts up from 0 within the stream.
    pub sequence: u32,
    /// On [`super::clock`], in nanoseconds: when it was sent, or when it was due.
    pub sent_at: u64,
}

impl Stamp {
    pub fn write(self, into: &mut [u8; LENGTH]) {
        hex(self.stream.into(), &mut into[..4]);
        into[4] = b'.';
        hex(self.sequence.into(), &mut into[5..13]);
        into[13] = b'.';
        hex(self.sent_at, &mut into[14..]);
    }

    /// The stamp in a message, if it has one.
    pub fn find(message: &[u8]) -> Option<Self> {
        let start = FINDER.find(message)? + KEY.len();
        let text = message.get(start..start + LENGTH)?;
        Some(Self {
            stream: u16::try_from(unhex(&text[..4])?).ok()?,
            sequence: u32::try_from(unhex(&text[5..13])?).ok()?,
            sent_at: unhex(&text[14..])?,
        })
    }
}

fn hex(mut value: u64, into: &mut [u8]) {
    for place in into.iter_mut().rev() {
        *place = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn unhex(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |value: u64, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

/// A payload with room for a stamp.
#[derive(Debug, Clone)]
pub struct Payload {
    bytes: Vec<u8>,
    mark_at: usize,
}

impl Payload {
    /// A JSON object of `size` bytes, or of the least size that holds its fields: the target's
    /// `fields` (`"name":"value",...` as they are to stand there), the stamp, and padding.
    pub fn new(fields: &str, size: usize) -> Self {
        let mut bytes = format!("{{{fields}").into_bytes();
        if !fields.is_empty() {
            bytes.push(b',');
        }
        bytes.extend_from_slice(KEY);
        let mark_at = bytes.len();
        bytes.extend_from_slice(&[b'0'; LENGTH]);
        bytes.extend_from_slice(b"\",\"values\":[0");
        // Figures that differ from one another compress as figures do.
        let mut value: u32 = 0x2545_f491;
        let tail = b"],\"pad\":\"\"}".len();
        while bytes.len() + tail + 10 <= size {
            value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bytes.extend_from_slice(format!(",{:.2}", f64::from(value >> 12) / 100.0).as_bytes());
        }
        bytes.extend_from_slice(b"],\"pad\":\"");
        bytes.resize(bytes.len().max(size.saturating_sub(2)), b'x');
        bytes.extend_from_slice(b"\"}");
        Self { bytes, mark_at }
    }

    /// The payload with this stamp.
    pub fn stamped(&mut self, stamp: Stamp) -> &[u8] {
        let place = &mut self.bytes[self.mark_at..];
        if let Some(place) = place.first_chunk_mut() {
            stamp.write(place);
        }
        &self.bytes
    }

    /// In bytes; the same whatever the stamp.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_where_it_was_written() {
        let stamp = Stamp {
            stream: 0xbeef,
            sequence: 0x0012_3456,
            sent_at: 0x0123_4567_89ab_cdef,
        };
        for size in [0, 150, 200, 201, 207, 2048, 4096] {
            let mut payload = Payload::new(r#""organization_id":"load""#, size);
            let bytes = payload.stamped(stamp);
            assert_eq!(Stamp::find(bytes), Some(stamp));
            let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            assert_eq!(value["organization_id"], "load");
            assert_eq!(bytes.len(), size.max(89));
        }
    }

    #[test]
    fn other_messages_have_no_stamp() {
        for other in [
            "",
            "{}",
            r#""stamp":"0001."#,
            r#""stamp":"zzzz.00000000.0000000000000000""#,
        ] {
            assert_eq!(Stamp::find(other.as_bytes()), None, "{other}");
        }
    }
}

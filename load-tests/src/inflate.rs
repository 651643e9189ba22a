//! permessage-deflate without context takeover (RFC 7692), on the receiving side.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress};

use crate::error::ClientError;

/// No message of any scenario inflates to more.
const MAX_MESSAGE: usize = 1024 * 1024;

/// What ends every deflated block and is left out on the wire.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A broadcast reaches a thousand receivers as the same bytes: the last message is kept.
struct Last {
    inflater: Decompress,
    deflated: Vec<u8>,
    text: Vec<u8>,
}

thread_local! {
    static LAST: RefCell<Last> = RefCell::new(Last {
        inflater: Decompress::new(false),
        deflated: Vec::new(),
        text: Vec::with_capacity(MAX_MESSAGE),
    });
}

/// Inflates one message and shows it.
pub fn with<T>(deflated: &[u8], show: impl FnOnce(&[u8]) -> T) -> Result<T, ClientError> {
    LAST.with_borrow_mut(|last| {
        if last.deflated != deflated {
            last.deflated.clear();
            last.text.clear();
            last.inflater.reset(false);
            for part in [deflated, &TAIL] {
                let before = last.inflater.total_in();
                last.inflater
                    .decompress_vec(part, &mut last.text, FlushDecompress::Sync)
                    .map_err(|_| ClientError::Inflate)?;
                // A message too large for the buffer leaves input behind.
                if last.inflater.total_in() - before != part.len() as u64 {
                    return Err(ClientError::Inflate);
                }
            }
            last.deflated.extend_from_slice(deflated);
        }
        Ok(show(&last.text))
    })
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    #[test]
    fn a_deflated_message_is_shown_as_often_as_it_comes() {
        let text = b"{\"a\":1,\"b\":1,\"c\":1}".repeat(50);
        let mut deflated = Vec::with_capacity(4096);
        Compress::new(Compression::default(), false)
            .compress_vec(&text, &mut deflated, FlushCompress::Sync)
            .unwrap();
        deflated.truncate(deflated.len() - TAIL.len());
        for _ in 0..2 {
            with(&deflated, |shown| assert_eq!(shown, text)).unwrap();
        }
        assert!(with(b"\xff\xff\xff", |_| ()).is_err());
    }
}

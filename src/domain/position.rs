//! Where an event stands in the stream of its organization.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// Which numbering of a stream it is. A stream that may have lost numbers that it gave out begins another
/// one, so no number is ever given twice within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    const BITS: u32 = 48;

    /// The epoch of random bits, of which it takes 48.
    pub fn from_random(bits: u64) -> Self {
        Self(bits >> (u64::BITS - Self::BITS))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

/// The number of an event in its stream, from 1 on; 0 stands before the first. Written as `epoch-seq`, 12
/// hexadecimal digits and a whole number, which clients pass on and don't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    pub epoch: Epoch,
    pub seq: u64,
}

/// The longest text of a position.
pub const MAX_POSITION_BYTES: usize = 12 + 1 + 20;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text is no position.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a position is the `offset` of an event as it came, like `0f3a9c21b7de-42`")]
pub struct PositionError;

impl FromStr for Position {
    type Err = PositionError;

    /// Only what [`fmt::Display`] writes: no sign, no capital letter, no zero in front.
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let parsed = text.split_once('-').and_then(|(epoch, seq)| {
            Some(Self {
                epoch: Epoch(u64::from_str_radix(epoch, 16).ok()?),
                seq: seq.parse().ok()?,
            })
        });
        parsed
            .filter(|position| position.to_string() == text)
            .ok_or(PositionError)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bits: u64, seq: u64) {
            let position = Position { epoch: Epoch::from_random(bits), seq };
            let text = position.to_string();
            prop_assert!(text.len() <= MAX_POSITION_BYTES);
            prop_assert_eq!(text.parse(), Ok(position));
        }

        #[test]
        fn each_position_has_one_text(text in "[0-9a-fA-F+]{11,13}-[0-9+]{1,3}") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string(), text);
            }
        }
    }

    #[test]
    fn anything_else_is_no_position() {
        for text in [
            "",
            "-",
            "1",
            "0f3a9c21b7de",
            "0f3a9c21b7de-",
            "0f3a9c21b7de-+1",
            "0f3a9c21b7de-01",
            "0F3a9c21b7de-1",
            "f3a9c21b7de-1",
            "0f3a9c21b7de-18446744073709551616",
            "0f3a9c21b7de-1 ",
        ] {
            assert_eq!(text.parse::<Position>(), Err(PositionError), "{text:?}");
        }
    }
}

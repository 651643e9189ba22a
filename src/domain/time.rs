//! Points in time as the protocol writes them.

use std::fmt;

use serde::Serialize;

/// Milliseconds since the Unix epoch; written as ISO 8601 in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The value of a system clock; a clock before 1970 reads as 0.
    pub fn from_system(time: std::time::SystemTime) -> Self {
        let millis = time
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        Self(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// Where the time of day comes from. It may jump; what only measures how long something takes has
/// [`std::time::Instant`].
pub trait Clock: Send + Sync {
    fn now(&self) -> UnixMillis;
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timestamp = i64::try_from(self.0)
            .ok()
            .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
            .unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{timestamp:.3}")
    }
}

impl Serialize for UnixMillis {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
pub mod testing {
    use super::{Clock, UnixMillis};

    /// A clock that always shows the same time.
    pub struct StoppedClock;

    impl Clock for StoppedClock {
        fn now(&self) -> UnixMillis {
            UnixMillis(1_705_314_600_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_iso_8601_with_milliseconds() {
        assert_eq!(
            UnixMillis(1_705_314_600_007).to_string(),
            "2024-01-15T10:30:00.007Z"
        );
        assert_eq!(UnixMillis(0).to_string(), "1970-01-01T00:00:00.000Z");
    }
}

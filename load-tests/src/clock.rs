//! One clock for publishers and receivers, which live in one process.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

static START: OnceLock<Instant> = OnceLock::new();

/// Nanoseconds since the first call in this process; never goes back.
pub fn now() -> u64 {
    nanos(START.get_or_init(Instant::now).elapsed())
}

/// A duration in nanoseconds, at most 584 years.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

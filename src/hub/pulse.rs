//! Whether the server still looks after its connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When housekeeping was last done.
#[derive(Debug)]
pub struct Pulse {
    began: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
}

impl Pulse {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            last: AtomicU64::new(0),
        }
    }

    /// All of housekeeping was done.
    pub fn beat(&self, now: Instant) {
        let since = now.saturating_duration_since(self.began).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.last.fetch_max(since, Ordering::Relaxed);
    }

    /// How long ago it was done, or the server began.
    pub fn silence(&self, now: Instant) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        now.saturating_duration_since(self.began)
            .saturating_sub(last)
    }
}

//! What the hub has done, counted where it happens.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::domain::event::Entry;
use crate::domain::fault::CloseReason;

/// What clients send, by event; each is counted under its own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    Authenticate,
    Subscribe,
    Unsubscribe,
    Ping,
    Ack,
    Publish,
    Unknown,
}

impl Received {
    pub const ALL: [Self; 7] = [
        Self::Authenticate,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Ping,
        Self::Ack,
        Self::Publish,
        Self::Unknown,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Subscribe => "client:subscribe",
            Self::Unsubscribe => "client:unsubscribe",
            Self::Ping => "client:ping",
            Self::Ack => "ack",
            Self::Publish => "client:publish",
            Self::Unknown => "unknown",
        }
    }
}

/// Sum, maximum and number of some durations.
#[derive(Debug, Default)]
pub struct Latency {
    sum_micros: AtomicU64,
    max_micros: AtomicU64,
    count: AtomicU64,
}

/// A [`Latency`] at one moment.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct LatencySummary {
    pub average_ms: f64,
    pub max_ms: f64,
    pub count: u64,
}

impl Latency {
    pub fn record(&self, time: Duration) {
        self.record_many(time, time, 1);
    }

    /// `count` durations at once: their sum and the longest of them.
    pub fn record_many(&self, sum: Duration, max: Duration, count: u64) {
        self.sum_micros.fetch_add(micros(sum), Ordering::Relaxed);
        self.max_micros.fetch_max(micros(max), Ordering::Relaxed);
        self.count.fetch_add(count, Ordering::Relaxed);
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "sums of microseconds below 2^52 are exact"
    )]
    pub fn summary(&self) -> LatencySummary {
        let count = self.count.load(Ordering::Relaxed);
        let sum = self.sum_micros.load(Ordering::Relaxed);
        LatencySummary {
            average_ms: if count == 0 {
                0.0
            } else {
                round(sum as f64 / count as f64 / 1000.0)
            },
            max_ms: round(self.max_micros.load(Ordering::Relaxed) as f64 / 1000.0),
            count,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn round(millis: f64) -> f64 {
    (millis * 1000.0).round() / 1000.0
}

/// How many seconds `messages_per_second` looks back.
const WINDOW_SECONDS: usize = 10;

/// Counts by second over the last [`WINDOW_SECONDS`].
#[derive(Debug, Default)]
struct Window {
    /// For each slot the second it stands for, and the count in it.
    slots: [(u64, u64); WINDOW_SECONDS],
}

impl Window {
    #[expect(clippy::cast_possible_truncation, reason = "seconds of uptime fit")]
    fn add(&mut self, second: u64) {
        let slot = &mut self.slots[second as usize % WINDOW_SECONDS];
        if slot.0 != second {
            *slot = (second, 0);
        }
        slot.1 += 1;
    }

    /// Messages a second over the window, or over the time since the start if that is shorter.
    #[expect(clippy::cast_precision_loss, reason = "counts of ten seconds")]
    fn rate(&self, second: u64) -> f64 {
        let first = second.saturating_sub(WINDOW_SECONDS as u64 - 1);
        let sum: u64 = self
            .slots
            .iter()
            .filter(|slot| (first..=second).contains(&slot.0))
            .map(|slot| slot.1)
            .sum();
        round(sum as f64 / (second - first + 1) as f64)
    }
}

/// The counters.
#[derive(Debug)]
pub struct Stats {
    pub started_at: Instant,
    published: Vec<AtomicU64>,
    received: [AtomicU64; Received::ALL.len()],
    window: Mutex<Window>,
    pub delivered: AtomicU64,
    pub dropped: AtomicU64,
    pub errors: AtomicU64,
    pub connections_opened: AtomicU64,
    closes: [AtomicUsize; CloseReason::ALL.len()],
    /// What of it the last report had.
    reported_closes: [AtomicUsize; CloseReason::ALL.len()],
    /// From the acceptance of an event to the system call that took its last byte.
    pub publish_to_socket: Latency,
    /// From a heartbeat to its answer.
    pub ping_round_trip: Latency,
}

impl Stats {
    pub fn new(events: usize, now: Instant) -> Self {
        Self {
            started_at: now,
            published: (0..events).map(|_| AtomicU64::new(0)).collect(),
            received: Default::default(),
            window: Mutex::default(),
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            connections_opened: AtomicU64::new(0),
            closes: Default::default(),
            reported_closes: Default::default(),
            publish_to_socket: Latency::default(),
            ping_round_trip: Latency::default(),
        }
    }

    pub fn count_published(&self, event: &Entry, now: Instant) {
        self.published[event.index].fetch_add(1, Ordering::Relaxed);
        self.window.lock().add(self.second(now));
    }

    pub fn count_received(&self, event: Received, now: Instant) {
        self.received[event as usize].fetch_add(1, Ordering::Relaxed);
        self.window.lock().add(self.second(now));
    }

    pub fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count_close(&self, reason: CloseReason) {
        self.closes[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn published(&self, event: &Entry) -> u64 {
        self.published[event.index].load(Ordering::Relaxed)
    }

    pub fn received(&self, event: Received) -> u64 {
        self.received[event as usize].load(Ordering::Relaxed)
    }

    pub fn closes(&self, reason: CloseReason) -> usize {
        self.closes[reason as usize].load(Ordering::Relaxed)
    }

    /// How often connections were closed since this was last asked, by reason.
    pub fn closes_since_last_report(&self) -> Vec<(CloseReason, usize)> {
        let mut found = Vec::new();
        for reason in CloseReason::ALL {
            let total = self.closes(reason);
            let reported = self.reported_closes[reason as usize].swap(total, Ordering::Relaxed);
            if total > reported {
                found.push((reason, total - reported));
            }
        }
        found
    }

    pub fn messages_per_second(&self, now: Instant) -> f64 {
        self.window.lock().rate(self.second(now))
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started_at).as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the values are exact")]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let mut window = Window::default();
        for second in 0..5 {
            window.add(second);
            window.add(second);
        }
        assert_eq!(window.rate(4), 2.0, "five seconds after the start");
        assert_eq!(window.rate(9), 1.0);
        assert_eq!(
            window.rate(12),
            0.4,
            "two of the five seconds are still in the window"
        );
        assert_eq!(window.rate(100), 0.0);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "the values are exact")]
    fn latency_is_averaged_over_its_samples() {
        let latency = Latency::default();
        assert_eq!(latency.summary().average_ms, 0.0);
        latency.record(Duration::from_millis(2));
        latency.record_many(Duration::from_millis(10), Duration::from_millis(7), 2);
        let summary = latency.summary();
        assert_eq!(
            (summary.average_ms, summary.max_ms, summary.count),
            (4.0, 7.0, 3)
        );
    }
}

//! What the server has done, counted where it happens: nothing here is looked up, and nothing is counted
//! more often than once an event for all of its recipients.

pub mod exposition;
pub mod latency;
pub mod process;
mod rate_window;
pub mod rejections;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::domain::error::{CloseReason, NotRecovered};
use crate::domain::event::CatalogueEntry;
use latency::Latency;
use rate_window::RateWindow;
use rejections::Rejections;

/// What clients send, by event; each is counted under its own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    Authenticate,
    Subscribe,
    Unsubscribe,
    Ping,
    Ack,
    Publish,
    History,
    Unknown,
}

impl Received {
    pub const ALL: [Self; 8] = [
        Self::Authenticate,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Ping,
        Self::Ack,
        Self::Publish,
        Self::History,
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
            Self::History => "history",
            Self::Unknown => "unknown",
        }
    }
}

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    pub started_at: Instant,
    published: Vec<AtomicU64>,
    received: [AtomicU64; Received::ALL.len()],
    window: Mutex<RateWindow>,
    pub delivered: AtomicU64,
    pub dropped: AtomicU64,
    pub errors: AtomicU64,
    pub connections_opened: AtomicU64,
    pub rejections: Rejections,
    /// Clients that went on where they were.
    recovered: AtomicU64,
    /// Those that could not, by reason.
    not_recovered: [AtomicU64; NotRecovered::ALL.len()],
    closes: [AtomicUsize; CloseReason::ALL.len()],
    /// What of it the last report had.
    reported_closes: [AtomicUsize; CloseReason::ALL.len()],
    /// From the acceptance of an event to the system call that took its last byte.
    pub publish_to_socket: Latency,
    /// From a heartbeat to its answer.
    pub ping_round_trip: Latency,
}

impl Metrics {
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
            rejections: Rejections::default(),
            recovered: AtomicU64::new(0),
            not_recovered: Default::default(),
            closes: Default::default(),
            reported_closes: Default::default(),
            publish_to_socket: Latency::default(),
            ping_round_trip: Latency::default(),
        }
    }

    pub fn count_published(&self, event: &CatalogueEntry, now: Instant) {
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

    /// Counts a client that came back, and why it could not go on where it was if it could not.
    pub fn count_recovery(&self, refused: Option<NotRecovered>) {
        let counter = match refused {
            None => &self.recovered,
            Some(reason) => &self.not_recovered[reason as usize],
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Clients that came back, by what became of it.
    pub fn recoveries(&self) -> Vec<(&'static str, u64)> {
        let recovered = ("recovered", self.recovered.load(Ordering::Relaxed));
        let refused = NotRecovered::ALL.map(|reason| {
            let count = &self.not_recovered[reason as usize];
            (reason.label(), count.load(Ordering::Relaxed))
        });
        [recovered].into_iter().chain(refused).collect()
    }

    pub fn published(&self, event: &CatalogueEntry) -> u64 {
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

//! What was published, what arrived, and what went wrong: shared by all clients of a run.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::clock;
use crate::error::LoadError;
use crate::sequence_checker::{SequenceChecker, Verdict};
use crate::stamp::Stamp;

/// How many broadcasts of one stream may be under way.
const RING: usize = 256;
const RING_U32: u32 = 256;

/// How many broadcasts may be under way in all.
pub const MOST: u64 = RING as u64;

/// How long a broadcast may take to reach everybody.
const PATIENCE: Duration = Duration::from_secs(10);

/// Latencies are recorded from a microsecond to a minute, with three digits.
const LOWEST_NANOS: u64 = 1_000;
const HIGHEST_NANOS: u64 = 60_000_000_000;

/// Who hears a stream, and how many of them have heard its latest messages.
#[derive(Debug)]
struct Audience {
    members: u32,
    heard: Vec<AtomicU32>,
    next: AtomicU32,
}

#[derive(Debug)]
pub struct DeliveryTracker {
    audiences: Vec<Audience>,
    posted: AtomicU64,
    completed: AtomicU64,
    deliveries: AtomicU64,
    missed: AtomicU64,
    repeated: AtomicU64,
    foreign: AtomicU64,
    closed: AtomicU64,
    miscounted: AtomicU64,
    first_fault: Mutex<Option<String>>,
    /// One for each thread of the pool, so that nobody waits for it.
    latencies: Vec<Mutex<Histogram<u64>>>,
    /// Only what was sent in this span (on [`clock`]) is recorded.
    from: AtomicU64,
    until: AtomicU64,
    progress: Notify,
}

fn open<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn histogram() -> Histogram<u64> {
    // The bounds are constants that the library accepts, as every test here shows.
    Histogram::new_with_bounds(LOWEST_NANOS, HIGHEST_NANOS, 3)
        .unwrap_or_else(|_| unreachable!("the bounds of the histogram are valid"))
}

impl DeliveryTracker {
    /// `audiences[stream]` counts the receivers that must hear the stream from its beginning.
    pub fn new(audiences: &[u32], threads: usize) -> Self {
        Self {
            audiences: audiences
                .iter()
                .map(|members| Audience {
                    members: *members,
                    heard: (0..RING).map(|_| AtomicU32::new(0)).collect(),
                    next: AtomicU32::new(0),
                })
                .collect(),
            posted: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            deliveries: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            miscounted: AtomicU64::new(0),
            first_fault: Mutex::default(),
            latencies: (0..threads).map(|_| Mutex::new(histogram())).collect(),
            from: AtomicU64::new(0),
            until: AtomicU64::new(u64::MAX),
            progress: Notify::new(),
        }
    }

    /// Counts who hears which stream.
    pub fn for_ears<'a>(
        checkers: impl Iterator<Item = &'a SequenceChecker>,
        streams: u16,
        threads: usize,
    ) -> Self {
        let mut audiences = vec![0; usize::from(streams)];
        for checker in checkers.filter(|checker| !checker.is_late()) {
            for stream in checker.streams() {
                audiences[usize::from(stream)] += 1;
            }
        }
        Self::new(&audiences, threads)
    }

    /// Judges a message that a receiver got; one without a stamp is none of ours.
    pub fn hear(&self, checker: &mut SequenceChecker, message: &[u8], thread: usize) {
        let Some(stamp) = Stamp::find(message) else {
            return;
        };
        let verdict = checker.hear(stamp);
        match verdict {
            Verdict::InOrder => {
                self.deliveries.fetch_add(1, Ordering::Relaxed);
                if !checker.is_late() {
                    self.tick_off(stamp);
                }
                self.record(stamp.sent_at, thread);
            }
            Verdict::Missed(count) => self.fault(&self.missed, count.into(), stamp, verdict),
            Verdict::Repeated => self.fault(&self.repeated, 1, stamp, verdict),
            Verdict::Foreign => self.fault(&self.foreign, 1, stamp, verdict),
        }
    }

    fn tick_off(&self, stamp: Stamp) {
        let audience = &self.audiences[usize::from(stamp.stream)];
        let heard = &audience.heard[(stamp.sequence % RING_U32) as usize];
        if heard.fetch_add(1, Ordering::AcqRel) + 1 == audience.members {
            heard.store(0, Ordering::Release);
            self.completed.fetch_add(1, Ordering::AcqRel);
            self.progress.notify_waiters();
        }
    }

    /// Records the latency of something sent at `sent_at`, if that is in the measured span.
    pub fn record(&self, sent_at: u64, thread: usize) {
        let span = self.from.load(Ordering::Relaxed)..self.until.load(Ordering::Relaxed);
        if span.contains(&sent_at) {
            let latency = clock::now().saturating_sub(sent_at);
            open(&self.latencies[thread]).saturating_record(latency);
        }
    }

    fn fault(&self, counter: &AtomicU64, count: u64, stamp: Stamp, verdict: Verdict) {
        counter.fetch_add(count, Ordering::Relaxed);
        let Stamp {
            stream, sequence, ..
        } = stamp;
        self.note(|| format!("stream {stream}, message {sequence}: {verdict:?}"));
        self.progress.notify_waiters();
    }

    fn note(&self, text: impl FnOnce() -> String) {
        open(&self.first_fault).get_or_insert_with(text);
    }

    /// A receiver lost its connection.
    pub fn count_closed(&self, why: &dyn std::error::Error) {
        self.closed.fetch_add(1, Ordering::Relaxed);
        self.note(|| why.to_string());
        self.progress.notify_waiters();
    }

    /// Claims the next message of a stream.
    pub fn post(&self, stream: u16, sent_at: u64) -> Stamp {
        let audience = &self.audiences[usize::from(stream)];
        self.posted.fetch_add(1, Ordering::AcqRel);
        if audience.members == 0 {
            self.completed.fetch_add(1, Ordering::AcqRel);
        }
        Stamp {
            stream,
            sequence: audience.next.fetch_add(1, Ordering::AcqRel),
            sent_at,
        }
    }

    /// Compares the receipt of a broadcast with who must hear it; `extra` more may.
    pub fn check_receipt(&self, stream: u16, recipients: Option<u64>, extra: u64) {
        let members = u64::from(self.audiences[usize::from(stream)].members);
        if let Some(recipients) = recipients
            && !(members..=members + extra).contains(&recipients)
        {
            self.miscounted.fetch_add(1, Ordering::Relaxed);
            self.note(|| {
                format!("a receipt counts {recipients} recipients where {members} are due")
            });
        }
    }

    /// Waits until less than `window` (at most [`MOST`]) broadcasts are under way.
    pub async fn room(&self, window: u64) -> Result<(), LoadError> {
        let wait = async {
            loop {
                let progress = self.progress.notified();
                tokio::pin!(progress);
                progress.as_mut().enable();
                if self.under_way() < window.min(MOST) {
                    return;
                }
                progress.await;
            }
        };
        timeout(PATIENCE, wait).await.map_err(|_| LoadError::Stuck {
            waiting: self.under_way(),
            seconds: PATIENCE.as_secs(),
            faults: self.faults().join("; "),
        })
    }

    /// Waits until everything that was published has reached everybody.
    pub async fn settled(&self) -> Result<(), LoadError> {
        self.room(1).await
    }

    fn under_way(&self) -> u64 {
        let completed = self.completed.load(Ordering::Acquire);
        self.posted
            .load(Ordering::Acquire)
            .saturating_sub(completed)
    }

    pub fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }

    pub fn posted(&self) -> u64 {
        self.posted.load(Ordering::Relaxed)
    }

    /// Broadcasts that have reached everybody.
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// From now on latencies are recorded, with nothing from before.
    pub fn start_recording(&self) {
        self.from.store(clock::now(), Ordering::Relaxed);
        self.until.store(u64::MAX, Ordering::Relaxed);
        for latencies in &self.latencies {
            open(latencies).reset();
        }
    }

    /// What is sent from now on is not recorded; what is under way still is.
    pub fn stop_recording(&self) {
        self.until.store(clock::now(), Ordering::Relaxed);
    }

    /// The latencies of all threads, in nanoseconds.
    pub fn latencies(&self) -> Histogram<u64> {
        let mut all = histogram();
        for latencies in &self.latencies {
            // All have the same bounds.
            let _ = all.add(&*open(latencies));
        }
        all
    }

    /// What makes the run fail, for people; empty if nothing did.
    pub fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = [
            (&self.missed, "deliveries are missing or came too late"),
            (&self.repeated, "deliveries came again or out of order"),
            (
                &self.foreign,
                "deliveries reached a receiver they were not for",
            ),
            (&self.closed, "receivers lost their connection"),
            (
                &self.miscounted,
                "receipts count other recipients than there are",
            ),
        ]
        .iter()
        .map(|(counter, text)| (counter.load(Ordering::Relaxed), text))
        .filter(|(count, _)| *count > 0)
        .map(|(count, text)| format!("{count} {text}"))
        .collect();
        if let Some(first) = &*open(&self.first_fault) {
            faults.push(format!("the first: {first}"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Payload;

    #[tokio::test]
    async fn a_broadcast_is_complete_when_everybody_has_heard_it() {
        let tracker = DeliveryTracker::new(&[2], 1);
        let mut checkers = [SequenceChecker::new([0]), SequenceChecker::new([0])];
        let mut payload = Payload::new("", 150);
        let first = payload.stamped(tracker.post(0, clock::now())).to_vec();
        tracker.hear(&mut checkers[0], &first, 0);
        assert_eq!(tracker.completed(), 0);
        tracker.hear(&mut checkers[1], &first, 0);
        tracker.settled().await.unwrap();
        assert_eq!((tracker.completed(), tracker.deliveries()), (1, 2));
        assert_eq!(tracker.latencies().len(), 2);
        assert!(tracker.faults().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_with_loss_or_repetition_says_so() {
        let tracker = DeliveryTracker::new(&[1], 1);
        let mut checker = SequenceChecker::new([0]);
        let mut payload = Payload::new("", 150);
        let _lost = tracker.post(0, 0);
        let second = payload.stamped(tracker.post(0, 0)).to_vec();
        tracker.hear(&mut checker, &second, 0);
        tracker.hear(&mut checker, &second, 0);
        let error = tracker.settled().await.unwrap_err().to_string();
        assert!(
            error.starts_with("2 broadcasts did not reach everybody"),
            "{error}"
        );
        let faults = tracker.faults();
        assert!(
            faults[0].starts_with("1 deliveries are missing"),
            "{faults:?}"
        );
        assert!(
            faults[1].starts_with("1 deliveries came again"),
            "{faults:?}"
        );
        assert!(
            faults[2].contains("stream 0, message 1: Missed(1)"),
            "{faults:?}"
        );
    }
}

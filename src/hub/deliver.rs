//! From an event to the connections of this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Hub;
use super::connection::Connection;
use super::outbound::Outbound;
use super::ports::Delivery;
use crate::domain::error::CloseReason;
use crate::metrics::latency::Samples;

/// So many connections' data fits into the processor's nearest cache.
const WARMED_AT_ONCE: usize = 16;

/// Who publishes again so soon after a delivery had more waiting than that one.
const CLOSE_BEHIND: Duration = Duration::from_micros(500);

/// The deliveries of a server: how many are under way, and when one last came to its end.
#[derive(Debug)]
pub(super) struct Deliveries {
    begin: Instant,
    under_way: AtomicUsize,
    /// Nanoseconds after `begin`.
    ended_at: AtomicU64,
}

impl Deliveries {
    pub fn new(begin: Instant) -> Self {
        Self {
            begin,
            under_way: AtomicUsize::new(0),
            ended_at: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn begin(&self) -> Turn<'_> {
        let is_first = self.under_way.fetch_add(1, Ordering::Relaxed) == 0;
        let ended_at = self.ended_at.load(Ordering::Relaxed);
        let pause = Duration::from_nanos(self.now().saturating_sub(ended_at));
        Turn {
            deliveries: self,
            is_alone: is_first && pause > CLOSE_BEHIND,
        }
    }
}

/// A delivery under way.
struct Turn<'a> {
    deliveries: &'a Deliveries,
    /// Nothing is delivered beside it, and nothing was just before.
    is_alone: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let now = self.deliveries.now();
        self.deliveries.ended_at.store(now, Ordering::Relaxed);
        self.deliveries.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hub {
    /// Hands an event to connections of this process: each has it queued or written when this returns.
    /// It is encoded once for all that read it alike. Neither blocks nor waits; whoever has thousands of
    /// recipients passes some at a time and lets others run in between.
    pub fn deliver_local(
        &self,
        outbound: &Arc<Outbound>,
        recipients: &[Arc<Connection>],
    ) -> Delivered {
        let mut tally = Delivered::default();
        let turn = self.deliveries.begin();
        outbound.is_alone.store(turn.is_alone, Ordering::Relaxed);
        for (at, connection) in recipients.iter().enumerate() {
            if at % WARMED_AT_ONCE == 0 {
                let end = recipients.len().min(at + WARMED_AT_ONCE);
                for next in &recipients[at..end] {
                    next.deliver.warm();
                }
            }
            // Before it is delivered: the acknowledgement may be quicker than this thread.
            if let Some(id) = outbound.event.ack_id {
                connection.expect_ack(id, outbound.event.id);
            }
            let delivery = connection.deliver.deliver(outbound);
            if let Some(id) = outbound.event.ack_id.filter(|_| !delivery.is_accepted()) {
                connection.take_ack(id);
            }
            match delivery {
                Delivery::Written => {
                    let time = outbound.accepted_at.elapsed();
                    tally.accepted += 1;
                    tally.times.add(time);
                }
                Delivery::Queued => tally.accepted += 1,
                Delivery::Dropped => tally.dropped += 1,
                Delivery::Overflow => {
                    self.record_close(connection, CloseReason::TooSlow);
                    self.remove(connection);
                }
                Delivery::Gone => {}
            }
        }
        self.metrics
            .delivered
            .fetch_add(tally.accepted as u64, Ordering::Relaxed);
        self.metrics
            .dropped
            .fetch_add(tally.dropped as u64, Ordering::Relaxed);
        self.metrics.publish_to_socket.record_all(&tally.times);
        tally
    }
}

/// What became of an event for some connections.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Connections it was queued for or written to.
    pub accepted: usize,
    /// Connections that were behind and did not get it, its priority being low.
    pub dropped: usize,
    /// From its acceptance to its last byte, for those it was written to.
    times: Samples,
}

impl Delivered {
    /// The others count as well.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.dropped += other.dropped;
    }
}

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
    /// Hands events to connections of this process, to each connection all of them in their order: it
    /// has them queued or written when this returns. They are encoded once for all that read them
    /// alike. Neither blocks nor waits; whoever has thousands of recipients passes some at a time and
    /// lets others run in between. What becomes of each event is added to its `delivered`.
    pub fn deliver_local(
        &self,
        events: &[Arc<Outbound>],
        recipients: &[Arc<Connection>],
        delivered: &mut [Delivered],
    ) {
        let turn = self.deliveries.begin();
        let is_alone = turn.is_alone && events.len() == 1;
        for event in events {
            event.is_alone.store(is_alone, Ordering::Relaxed);
        }
        let (mut accepted, mut dropped, mut times) = (0, 0, Samples::default());
        for (at, connection) in recipients.iter().enumerate() {
            if at % WARMED_AT_ONCE == 0 {
                let end = recipients.len().min(at + WARMED_AT_ONCE);
                for next in &recipients[at..end] {
                    next.deliver.warm();
                }
            }
            let is_behind = connection.caught_up_to().is_some();
            for (event, delivered) in events.iter().zip(delivered.iter_mut()) {
                // Whoever is behind gets it out of the stream.
                if is_behind && event.position.is_some() {
                    delivered.accepted += 1;
                    continue;
                }
                match deliver_one(event, connection) {
                    Delivery::Written => {
                        delivered.accepted += 1;
                        accepted += 1;
                        times.add(event.accepted_at.elapsed());
                    }
                    Delivery::Queued => {
                        delivered.accepted += 1;
                        accepted += 1;
                    }
                    Delivery::Dropped => {
                        delivered.dropped += 1;
                        dropped += 1;
                    }
                    Delivery::Overflow => {
                        self.record_close(connection, CloseReason::TooSlow);
                        self.remove(connection);
                    }
                    Delivery::Gone => {}
                }
            }
        }
        let metrics = &self.metrics;
        metrics.delivered.fetch_add(accepted, Ordering::Relaxed);
        metrics.dropped.fetch_add(dropped, Ordering::Relaxed);
        metrics.publish_to_socket.record_all(&times);
    }
}

impl Hub {
    /// Hands a connection that is behind the next event that it hears; whether it goes on after it.
    pub fn deliver_behind(&self, event: &Arc<Outbound>, connection: &Arc<Connection>) -> bool {
        match deliver_one(event, connection) {
            Delivery::Written | Delivery::Queued => {
                self.metrics.delivered.fetch_add(1, Ordering::Relaxed);
                true
            }
            Delivery::Dropped => {
                self.metrics.dropped.fetch_add(1, Ordering::Relaxed);
                true
            }
            Delivery::Overflow => {
                self.record_close(connection, CloseReason::TooSlow);
                self.remove(connection);
                false
            }
            Delivery::Gone => false,
        }
    }
}

fn deliver_one(event: &Arc<Outbound>, connection: &Arc<Connection>) -> Delivery {
    // Before it is delivered: the acknowledgement may be quicker than this thread.
    if let Some(id) = event.event.ack_id {
        connection.expect_ack(id, event.event.id);
    }
    let delivery = connection.deliver.deliver(event);
    if let Some(id) = event.event.ack_id.filter(|_| !delivery.is_accepted()) {
        connection.take_ack(id);
    }
    delivery
}

/// What became of an event for the connections that hear it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Delivered {
    /// Connections it was queued for or written to.
    pub accepted: usize,
    /// Connections that were behind and did not get it, its priority being low.
    pub dropped: usize,
}

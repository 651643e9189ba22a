//! Acknowledgements of `requires_ack` events, collected until they are asked for or too old.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::domain::event::{AckId, MessageId};
use crate::domain::identity::ConnectionId;

/// Who acknowledged one message.
struct AckCollector {
    opened: Instant,
    from: Mutex<HashSet<ConnectionId>>,
    changed: Notify,
}

/// The messages whose acknowledgements are collected, and the numbers that are asked for.
#[derive(Default)]
pub(super) struct AckCollectors {
    collectors: DashMap<MessageId, Arc<AckCollector>>,
    last_id: AtomicU64,
}

impl AckCollectors {
    /// A number for a message that asks for acknowledgements.
    pub fn next_id(&self) -> AckId {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Starts to collect; must come before the first delivery.
    pub fn open(&self, message: MessageId, now: Instant) {
        let collector = AckCollector {
            opened: now,
            from: Mutex::default(),
            changed: Notify::new(),
        };
        self.collectors.insert(message, Arc::new(collector));
    }

    /// Counts a connection's acknowledgement, once. One that comes too late is of no use to anybody.
    pub fn record(&self, message: MessageId, from: ConnectionId) {
        let Some(collector) = self.get(message) else {
            return;
        };
        collector.from.lock().insert(from);
        collector.changed.notify_waiters();
    }

    pub fn len(&self) -> usize {
        self.collectors.len()
    }

    fn get(&self, message: MessageId) -> Option<Arc<AckCollector>> {
        let collector = self.collectors.get(&message)?;
        Some(Arc::clone(collector.value()))
    }

    /// Waits until `expected` connections have acknowledged or the time is over; says how many did.
    pub async fn wait(&self, message: MessageId, expected: usize, time: Duration) -> usize {
        let Some(collector) = self.get(message) else {
            return 0;
        };
        let complete = async {
            loop {
                let changed = collector.changed.notified();
                tokio::pin!(changed);
                // Registered before the count is read, so that no acknowledgement falls between.
                changed.as_mut().enable();
                if collector.from.lock().len() >= expected {
                    return;
                }
                changed.await;
            }
        };
        // Whether it ended by count or by time, the count says what came.
        let _ = tokio::time::timeout(time, complete).await;
        collector.from.lock().len()
    }

    /// Forgets messages older than `keep`.
    pub fn expire(&self, now: Instant, keep: Duration) {
        self.collectors
            .retain(|_, collector| now.saturating_duration_since(collector.opened) < keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_connection_counts_once() {
        let acks = AckCollectors::default();
        let message = MessageId::now_v7();
        acks.open(message, Instant::now());
        let first = ConnectionId::from_random(1);
        acks.record(message, first);
        acks.record(message, first);
        acks.record(MessageId::now_v7(), first);
        assert_eq!(acks.wait(message, 1, Duration::from_mins(1)).await, 1);
        assert_eq!(acks.wait(message, 2, Duration::ZERO).await, 1);
    }

    #[tokio::test]
    async fn old_messages_are_forgotten() {
        let acks = AckCollectors::default();
        let message = MessageId::now_v7();
        let now = Instant::now();
        acks.open(message, now);
        acks.record(message, ConnectionId::from_random(1));
        acks.expire(now + Duration::from_secs(29), Duration::from_secs(30));
        assert_eq!(acks.wait(message, 1, Duration::ZERO).await, 1);
        acks.expire(now + Duration::from_secs(30), Duration::from_secs(30));
        assert_eq!(acks.wait(message, 1, Duration::ZERO).await, 0);
    }

    #[test]
    fn numbers_are_never_the_same() {
        let acks = AckCollectors::default();
        assert_eq!((acks.next_id(), acks.next_id()), (1, 2));
    }
}

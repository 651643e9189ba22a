//! Acknowledgements of `requires_ack` events, collected until they are asked for or too old.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::domain::event::MessageId;
use crate::domain::identity::{ConnectionId, OrganizationId};

/// Who acknowledged one message.
struct Book {
    /// The tenant the message was for; nobody else's acknowledgement counts.
    organization: Option<OrganizationId>,
    opened: Instant,
    from: Mutex<HashSet<ConnectionId>>,
    changed: Notify,
}

#[derive(Default)]
pub(super) struct AckBooks(DashMap<MessageId, Arc<Book>>);

impl AckBooks {
    /// Starts to collect; must come before the first delivery.
    pub fn open(&self, message: MessageId, organization: Option<OrganizationId>, now: Instant) {
        let book = Book {
            organization,
            opened: now,
            from: Mutex::default(),
            changed: Notify::new(),
        };
        self.0.insert(message, Arc::new(book));
    }

    /// Counts a connection's acknowledgement, once. False if the message is not waited for, or was
    /// for another organization.
    pub fn record(
        &self,
        message: MessageId,
        from: ConnectionId,
        organization: &OrganizationId,
    ) -> bool {
        let Some(book) = self.0.get(&message).map(|book| Arc::clone(book.value())) else {
            return false;
        };
        if book
            .organization
            .as_ref()
            .is_some_and(|tenant| tenant != organization)
        {
            return false;
        }
        book.from.lock().insert(from);
        book.changed.notify_waiters();
        true
    }

    /// Waits until `expected` connections have acknowledged or the time is over; says how many did.
    pub async fn wait(&self, message: MessageId, expected: usize, time: Duration) -> usize {
        let Some(book) = self.0.get(&message).map(|book| Arc::clone(book.value())) else {
            return 0;
        };
        let complete = async {
            loop {
                let changed = book.changed.notified();
                tokio::pin!(changed);
                // Registered before the count is read, so that no acknowledgement falls between.
                changed.as_mut().enable();
                if book.from.lock().len() >= expected {
                    return;
                }
                changed.await;
            }
        };
        // Whether it ended by count or by time, the count says what came.
        let _ = tokio::time::timeout(time, complete).await;
        book.from.lock().len()
    }

    /// Forgets messages older than `keep`.
    pub fn expire(&self, now: Instant, keep: Duration) {
        self.0
            .retain(|_, book| now.saturating_duration_since(book.opened) < keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organization(id: &str) -> OrganizationId {
        OrganizationId::new(id).unwrap()
    }

    #[tokio::test]
    async fn each_connection_of_the_organization_counts_once() {
        let books = AckBooks::default();
        let message = MessageId::now_v7();
        books.open(message, Some(organization("a")), Instant::now());
        let first = ConnectionId::from_random(1);
        assert!(books.record(message, first, &organization("a")));
        assert!(books.record(message, first, &organization("a")));
        assert!(!books.record(message, ConnectionId::from_random(2), &organization("b")));
        assert!(!books.record(MessageId::now_v7(), first, &organization("a")));
        assert_eq!(books.wait(message, 1, Duration::from_mins(1)).await, 1);
        assert_eq!(books.wait(message, 2, Duration::ZERO).await, 1);
    }

    #[test]
    fn old_messages_are_forgotten() {
        let books = AckBooks::default();
        let message = MessageId::now_v7();
        let now = Instant::now();
        books.open(message, None, now);
        books.expire(now + Duration::from_secs(29), Duration::from_secs(30));
        assert!(books.record(message, ConnectionId::from_random(1), &organization("a")));
        books.expire(now + Duration::from_secs(30), Duration::from_secs(30));
        assert!(!books.record(message, ConnectionId::from_random(1), &organization("a")));
    }
}

//! Connections that have yet to authenticate, and until when they have time for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::connection::Connection;

/// In the order in which they came, which is that of their deadlines: all have the same time. Who
/// authenticates or leaves is forgotten at once.
#[derive(Default)]
pub(super) struct Newcomers(Mutex<BTreeMap<u64, (Instant, Arc<Connection>)>>);

impl Newcomers {
    pub fn add(&self, connection: &Arc<Connection>, deadline: Instant) {
        let newcomer = (deadline, Arc::clone(connection));
        self.0.lock().insert(connection.number, newcomer);
    }

    pub fn forget(&self, connection: &Connection) {
        self.0.lock().remove(&connection.number);
    }

    /// One whose time is over; it is forgotten.
    pub fn next(&self, now: Instant) -> Option<Arc<Connection>> {
        let mut newcomers = self.0.lock();
        let first = newcomers.first_entry()?;
        let is_over = first.get().0 <= now;
        is_over.then(|| first.remove().1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use crate::domain::error::CloseReason;
    use crate::hub::testing::{connect, hub, principal};

    #[tokio::test]
    async fn who_leaves_or_authenticates_is_not_kept_behind_one_who_waits() {
        let hub = hub();
        let _waits = connect(&hub);
        let mut members = Vec::new();
        for user in 0..10 {
            drop(connect(&hub));
            let principal = principal(&user.to_string(), "a");
            members.push(connect(&hub).authenticate(principal, || {}).ok().unwrap());
        }
        assert_eq!(hub.newcomers.0.lock().len(), 1);
        let later = Instant::now() + Duration::from_hours(2);
        hub.close_unauthenticated(later).await;
        assert_eq!(hub.newcomers.0.lock().len(), 0);
        assert_eq!(hub.metrics.closes(CloseReason::AuthTimeout), 1);
    }
}

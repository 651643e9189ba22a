//! The end of tokens: a warning some time before it, and then the end of the connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Hub;
use super::connection::Connection;
use super::ordered::Pace;
use super::outbound::Outbound;
use crate::domain::error::CloseReason;
use crate::domain::event::Event;
use crate::domain::time::UnixMillis;

/// What is left of one connection's token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TokenLifetime {
    ends: Option<UnixMillis>,
    /// The client knows that this end is near.
    warned: bool,
    /// When it will be looked at. At most one look is planned.
    planned: Option<UnixMillis>,
}

/// What a look at a connection found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Warn(UnixMillis),
    Over,
}

impl TokenLifetime {
    /// A token with this end came. Answers when to look, if no look is planned that is early enough;
    /// it takes the place of the one that is.
    fn renew(&mut self, ends: Option<UnixMillis>, warning: Duration) -> Option<UnixMillis> {
        self.ends = ends;
        self.warned = false;
        self.plan(warning)
    }

    /// Answers the end that a client must be warned of, or that it is over.
    fn look(&mut self, now: UnixMillis, warning: Duration) -> Due {
        if self.planned.is_some_and(|planned| planned <= now) {
            self.planned = None;
        }
        match self.ends {
            Some(ends) if ends <= now => Due::Over,
            Some(ends) if !self.warned && before(ends, warning) <= now => {
                self.warned = true;
                Due::Warn(ends)
            }
            _ => Due::Nothing,
        }
    }

    fn plan(&mut self, warning: Duration) -> Option<UnixMillis> {
        let ends = self.ends?;
        let due = if self.warned {
            ends
        } else {
            before(ends, warning)
        };
        if self.planned.is_some_and(|planned| planned <= due) {
            return None;
        }
        self.planned = Some(due);
        Some(due)
    }
}

fn before(ends: UnixMillis, warning: Duration) -> UnixMillis {
    let millis = u64::try_from(warning.as_millis()).unwrap_or(u64::MAX);
    UnixMillis(ends.0.saturating_sub(millis))
}

/// Planned looks, the earliest first: at most one for each connection that is in the hub.
#[derive(Default)]
pub(super) struct ExpiryQueue(Mutex<BTreeMap<(UnixMillis, u64), Arc<Connection>>>);

impl ExpiryQueue {
    /// Plans a look in place of the one that was planned before, if there was one.
    fn plan(&self, before: Option<UnixMillis>, due: UnixMillis, connection: &Arc<Connection>) {
        let mut queue = self.0.lock();
        if let Some(before) = before {
            queue.remove(&(before, connection.number));
        }
        queue.insert((due, connection.number), Arc::clone(connection));
    }

    fn next(&self, now: UnixMillis) -> Option<Arc<Connection>> {
        let mut queue = self.0.lock();
        let first = queue.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn forget(&self, due: UnixMillis, connection: &Connection) {
        self.0.lock().remove(&(due, connection.number));
    }
}

impl Hub {
    /// The connection's token ends then; it holds its membership's lock.
    pub(super) fn plan_end(
        &self,
        connection: &Arc<Connection>,
        lifetime: &mut TokenLifetime,
        ends: Option<UnixMillis>,
    ) {
        let before = lifetime.planned;
        if let Some(due) = lifetime.renew(ends, self.options.expiry_warning) {
            self.expiries.plan(before, due, connection);
        }
    }

    /// The connection leaves; it holds its membership's lock.
    pub(super) fn forget_end(&self, connection: &Connection, lifetime: &mut TokenLifetime) {
        if let Some(due) = lifetime.planned.take() {
            self.expiries.forget(due, connection);
        }
    }

    /// Warns those whose token is about to end, and closes those whose token has ended. To be called
    /// several times a second. A token that comes at the same moment either extends the connection
    /// or finds it closed.
    pub async fn end_expired(&self, now: UnixMillis) {
        let mut pace = Pace::default();
        while let Some(connection) = self.expiries.next(now) {
            let (found, organization) = {
                let mut membership = connection.membership.lock();
                if membership.closed {
                    continue;
                }
                let found = membership.lifetime.look(now, self.options.expiry_warning);
                membership.closed = found == Due::Over;
                if found != Due::Over
                    && let Some(due) = membership.lifetime.plan(self.options.expiry_warning)
                {
                    self.expiries.plan(None, due, &connection);
                }
                let identity = membership.identity.clone();
                (
                    found,
                    identity.map(|identity| identity.organization.clone()),
                )
            };
            match (found, organization) {
                (Due::Over, _) => self.close_now(&connection, CloseReason::TokenExpired),
                (Due::Warn(ends), Some(organization)) => {
                    let event = Event::auth_expiring(organization, ends, now);
                    let outbound = Arc::new(Outbound::new(Arc::new(event), None, Instant::now()));
                    // Whoever can't be told is closed by the usual rules or at its end.
                    connection.deliver.deliver(&outbound);
                }
                _ => {}
            }
            drop(connection);
            pace.step().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::grants::Principal;
    use crate::hub::testing::{hub, join, principal};

    const WARNING: Duration = Duration::from_secs(10);

    fn seconds(seconds: u64) -> UnixMillis {
        UnixMillis(seconds * 1000)
    }

    #[test]
    fn a_token_is_warned_of_once_and_then_over() {
        let mut lifetime = TokenLifetime::default();
        assert_eq!(
            lifetime.renew(Some(seconds(100)), WARNING),
            Some(seconds(90))
        );
        assert_eq!(lifetime.look(seconds(89), WARNING), Due::Nothing);
        assert_eq!(
            lifetime.plan(WARNING),
            None,
            "the first look is still planned"
        );
        assert_eq!(lifetime.look(seconds(90), WARNING), Due::Warn(seconds(100)));
        assert_eq!(lifetime.plan(WARNING), Some(seconds(100)));
        assert_eq!(lifetime.look(seconds(99), WARNING), Due::Nothing);
        assert_eq!(lifetime.look(seconds(100), WARNING), Due::Over);
    }

    #[test]
    fn a_fresh_token_moves_the_end_without_a_second_look() {
        let mut lifetime = TokenLifetime::default();
        lifetime.renew(Some(seconds(100)), WARNING);
        for ends in 101..200 {
            assert_eq!(lifetime.renew(Some(seconds(ends)), WARNING), None);
        }
        assert_eq!(lifetime.look(seconds(90), WARNING), Due::Nothing);
        assert_eq!(lifetime.plan(WARNING), Some(seconds(189)));
        assert_eq!(
            lifetime.look(seconds(189), WARNING),
            Due::Warn(seconds(199))
        );
        assert_eq!(lifetime.renew(None, WARNING), None);
        assert_eq!(lifetime.look(seconds(500), WARNING), Due::Nothing);
        assert_eq!(lifetime.plan(WARNING), None);
    }

    #[test]
    fn a_token_that_ends_earlier_is_looked_at_earlier() {
        let mut lifetime = TokenLifetime::default();
        lifetime.renew(Some(seconds(100)), WARNING);
        assert_eq!(
            lifetime.renew(Some(seconds(50)), WARNING),
            Some(seconds(40))
        );
    }

    #[tokio::test]
    async fn gone_connections_are_not_kept_until_the_end_of_their_tokens() {
        let hub = hub();
        let until = |end: u64| Principal {
            expires_at: Some(seconds(end)),
            ..principal("u", "a")
        };
        let planned = || hub.expiries.0.lock().len();
        let mut member = join(&hub, until(100));
        for _ in 0..10 {
            drop(join(&hub, until(1000)));
        }
        assert_eq!(planned(), 1);
        // Each fresh token ends earlier, so the look moves.
        for end in (50..90).rev() {
            member.renew(until(end)).unwrap();
        }
        assert_eq!(planned(), 1);
        hub.end_expired(seconds(49)).await;
        assert_eq!((hub.connection_count(), planned()), (1, 1));
        hub.end_expired(seconds(50)).await;
        assert_eq!((hub.connection_count(), planned()), (0, 0));
    }
}

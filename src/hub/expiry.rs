//! The end of tokens: a warning some time before it, and then the end of the connection.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Hub;
use super::connection::Connection;
use super::outbound::Outbound;
use crate::domain::event::Event;
use crate::domain::fault::CloseReason;
use crate::domain::time::UnixMillis;

/// What is left of one connection's token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Life {
    ends: Option<UnixMillis>,
    /// The client knows that this end is near.
    warned: bool,
    /// When it will be looked at. At most one look is planned, unless an earlier one is needed.
    planned: Option<UnixMillis>,
}

/// What a look at a connection found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Warn(UnixMillis),
    Over,
}

impl Life {
    /// A token with this end came. Answers when to look, if no look is planned that is early enough.
    fn renew(&mut self, ends: Option<UnixMillis>, warning: Duration) -> Option<UnixMillis> {
        self.ends = ends;
        self.warned = false;
        self.plan(warning)
    }

    /// Answers the end that a client must be warned of, or that it is over.
    fn look(&mut self, now: UnixMillis, warning: Duration) -> Found {
        if self.planned.is_some_and(|planned| planned <= now) {
            self.planned = None;
        }
        match self.ends {
            Some(ends) if ends <= now => Found::Over,
            Some(ends) if !self.warned && before(ends, warning) <= now => {
                self.warned = true;
                Found::Warn(ends)
            }
            _ => Found::Nothing,
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

/// Planned looks, the earliest first.
#[derive(Default)]
pub(super) struct Looks(Mutex<BinaryHeap<Reverse<Look>>>);

struct Look {
    due: UnixMillis,
    connection: Weak<Connection>,
}

impl PartialEq for Look {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Look {}

impl PartialOrd for Look {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Look {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

impl Looks {
    fn add(&self, due: UnixMillis, connection: &Arc<Connection>) {
        let connection = Arc::downgrade(connection);
        self.0.lock().push(Reverse(Look { due, connection }));
    }

    fn next(&self, now: UnixMillis) -> Option<Look> {
        let mut looks = self.0.lock();
        let is_due = looks
            .peek()
            .is_some_and(|Reverse(look)| look.due <= now || look.connection.strong_count() == 0);
        if !is_due {
            return None;
        }
        looks.pop().map(|Reverse(look)| look)
    }
}

impl Hub {
    /// The connection's token ends then; it holds its membership's lock.
    pub(super) fn plan_end(
        &self,
        connection: &Arc<Connection>,
        life: &mut Life,
        ends: Option<UnixMillis>,
    ) {
        if let Some(due) = life.renew(ends, self.options.expiry_warning) {
            self.looks.add(due, connection);
        }
    }

    /// Warns those whose token is about to end, and closes those whose token has ended. To be called
    /// several times a second. A token that comes at the same moment either extends the connection
    /// or finds it closed.
    pub fn end_expired(&self, now: UnixMillis) {
        while let Some(look) = self.looks.next(now) {
            let Some(connection) = look.connection.upgrade() else {
                continue;
            };
            let (found, organization) = {
                let mut membership = connection.membership.lock();
                if membership.closed {
                    continue;
                }
                let found = membership.life.look(now, self.options.expiry_warning);
                membership.closed = found == Found::Over;
                if found != Found::Over
                    && let Some(due) = membership.life.plan(self.options.expiry_warning)
                {
                    self.looks.add(due, &connection);
                }
                let identity = membership.identity.clone();
                (
                    found,
                    identity.map(|identity| identity.organization.clone()),
                )
            };
            match (found, organization) {
                (Found::Over, _) => self.end(&connection, CloseReason::TokenExpired),
                (Found::Warn(ends), Some(organization)) => {
                    let event = Event::auth_expiring(organization, ends, now);
                    let outbound = Arc::new(Outbound::new(event, Instant::now()));
                    // Whoever can't be told is closed by the usual rules or at its end.
                    connection.deliver.deliver(&outbound);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WARNING: Duration = Duration::from_secs(10);

    fn seconds(seconds: u64) -> UnixMillis {
        UnixMillis(seconds * 1000)
    }

    #[test]
    fn a_token_is_warned_of_once_and_then_over() {
        let mut life = Life::default();
        assert_eq!(life.renew(Some(seconds(100)), WARNING), Some(seconds(90)));
        assert_eq!(life.look(seconds(89), WARNING), Found::Nothing);
        assert_eq!(life.plan(WARNING), None, "the first look is still planned");
        assert_eq!(life.look(seconds(90), WARNING), Found::Warn(seconds(100)));
        assert_eq!(life.plan(WARNING), Some(seconds(100)));
        assert_eq!(life.look(seconds(99), WARNING), Found::Nothing);
        assert_eq!(life.look(seconds(100), WARNING), Found::Over);
    }

    #[test]
    fn a_fresh_token_moves_the_end_without_a_second_look() {
        let mut life = Life::default();
        life.renew(Some(seconds(100)), WARNING);
        for ends in 101..200 {
            assert_eq!(life.renew(Some(seconds(ends)), WARNING), None);
        }
        assert_eq!(life.look(seconds(90), WARNING), Found::Nothing);
        assert_eq!(life.plan(WARNING), Some(seconds(189)));
        assert_eq!(life.look(seconds(189), WARNING), Found::Warn(seconds(199)));
        assert_eq!(life.renew(None, WARNING), None);
        assert_eq!(life.look(seconds(500), WARNING), Found::Nothing);
        assert_eq!(life.plan(WARNING), None);
    }

    #[test]
    fn a_token_that_ends_earlier_is_looked_at_earlier() {
        let mut life = Life::default();
        life.renew(Some(seconds(100)), WARNING);
        assert_eq!(life.renew(Some(seconds(50)), WARNING), Some(seconds(40)));
    }
}

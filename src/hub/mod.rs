//! The only authority on who is where, and the only door to it: connect, authenticate, subscribe,
//! publish, disconnect.

mod acks;
pub mod connection;
mod expiry;
pub mod gate;
pub mod limits;
mod member;
pub mod outbound;
pub mod ports;
pub mod publish;
pub mod rates;
pub mod refused;
mod registry;
mod revoke;
pub mod stats;
pub mod view;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::domain::event::Catalogue;
use crate::domain::fault::CloseReason;
use crate::domain::identity::ConnectionId;
use crate::domain::time::UnixMillis;
use acks::AckCollectors;
use connection::{Connection, NewConnection};
use expiry::Looks;
use gate::{Gate, GateOptions};
pub use member::{Attachment, Member};
use refused::Refusal;
use registry::Registry;
use stats::{Received, Stats};

/// What the hub allows. A limit of 0 is no limit.
#[derive(Debug, Clone)]
pub struct HubOptions {
    pub gate: GateOptions,
    pub max_subscriptions_per_connection: usize,
    pub room_max_size: usize,
    /// Whether a connection that does not authenticate in time is closed.
    pub auth_required: bool,
    pub auth_timeout: Duration,
    /// How long before the end of its token a client is told; zero is not at all.
    pub expiry_warning: Duration,
    /// How long acknowledgements of a message are collected.
    pub ack_timeout: Duration,
}

/// Connections, rooms and counters of one server.
pub struct Hub {
    options: HubOptions,
    catalogue: Catalogue,
    registry: Registry,
    pub gate: Gate,
    acks: AckCollectors,
    pub stats: Stats,
    /// Connections that have yet to authenticate, the oldest first: all have the same time for it.
    newcomers: Mutex<VecDeque<(Instant, Weak<Connection>)>>,
    looks: Looks,
    draining: AtomicBool,
}

impl Hub {
    pub fn new(options: HubOptions, catalogue: Catalogue) -> Arc<Self> {
        let gate = Gate::new(options.gate.clone());
        let stats = Stats::new(catalogue.events().len(), Instant::now());
        Arc::new(Self {
            options,
            catalogue,
            registry: Registry::default(),
            gate,
            acks: AckCollectors::default(),
            stats,
            newcomers: Mutex::default(),
            looks: Looks::default(),
            draining: AtomicBool::new(false),
        })
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Takes in a connection that has its ticket; it stays until the attachment is dropped.
    pub fn connect(self: &Arc<Self>, new: NewConnection) -> Attachment {
        let now = Instant::now();
        let connection = Arc::new(Connection::new(
            new,
            ConnectionId::from_random(rand::random()),
            unix_now(),
            now,
        ));
        self.stats
            .connections_opened
            .fetch_add(1, Ordering::Relaxed);
        self.registry.insert(Arc::clone(&connection));
        tracing::debug!(
            connection = %connection.id,
            protocol = ?connection.protocol,
            remote = %connection.remote_address,
            "connected"
        );
        if self.options.auth_required {
            let deadline = now + self.options.auth_timeout;
            self.newcomers
                .lock()
                .push_back((deadline, Arc::downgrade(&connection)));
        }
        Attachment::new(Arc::clone(self), connection)
    }

    /// Counts a message from a client.
    pub fn received(&self, connection: &Connection, event: Received) {
        connection.touch(unix_now());
        self.stats.count_received(event, Instant::now());
    }

    /// Removes every trace of a connection. Calling it again does nothing.
    fn disconnect(&self, connection: &Arc<Connection>) {
        let (identity, rooms, place) = {
            let mut membership = connection.membership.lock();
            if !std::mem::replace(&mut membership.closed, true) {
                // `left` is whoever was not sent away.
                let reason = membership.ended_by.map_or("left", CloseReason::label);
                tracing::debug!(connection = %connection.id, reason, "disconnected");
            }
            (
                membership.identity.clone(),
                std::mem::take(&mut membership.rooms),
                membership.place.take(),
            )
        };
        self.registry.remove(connection.id);
        let Some(identity) = identity else { return };
        if let Some(organization) = self.registry.organization(&identity.organization) {
            for room in &rooms {
                organization.leave(room, connection);
            }
        }
        drop(place);
        self.registry.sweep_organization(&identity.organization);
    }

    /// Closes connections whose time to authenticate is over. To be called several times a second.
    pub fn close_unauthenticated(&self, now: Instant) {
        loop {
            let connection = {
                let mut newcomers = self.newcomers.lock();
                match newcomers.front() {
                    // Those that left or authenticated need not be kept until their time.
                    Some((deadline, connection)) if *deadline > now => {
                        let waits = connection.upgrade().is_some_and(|connection| {
                            connection.membership.lock().identity.is_none()
                        });
                        if waits {
                            return;
                        }
                    }
                    Some(_) => {}
                    None => return,
                }
                newcomers
                    .pop_front()
                    .and_then(|(_, connection)| connection.upgrade())
            };
            let Some(connection) = connection else {
                continue;
            };
            let anonymous = {
                let membership = connection.membership.lock();
                membership.identity.is_none() && !membership.closed
            };
            if anonymous {
                // Whoever was kept from it comes back and tries again.
                let reason = if connection.was_rate_limited() {
                    CloseReason::TryAgainLater
                } else {
                    CloseReason::AuthTimeout
                };
                self.closes(&connection, reason);
                connection.deliver.close(reason);
            }
        }
    }

    /// Heartbeats, and the end of connections that do not move. To be called once a second.
    pub fn tick(&self, now: Instant) {
        for connection in self.registry.connections() {
            if let Some(reason) = connection.deliver.tick(now) {
                self.closes(&connection, reason);
                self.disconnect(&connection);
            }
        }
        self.acks.expire(now, self.options.ack_timeout);
        self.gate.tick();
    }

    /// Readiness turns false; clients are still taken in, since those who send them may not know yet.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Everybody who is connected at this moment.
    pub fn connections(&self) -> Vec<Arc<Connection>> {
        self.registry.connections()
    }

    /// Counts that the server closes a connection, whose log then says why. The first reason counts:
    /// several publishers, say, may find it too slow.
    pub fn closes(&self, connection: &Connection, reason: CloseReason) {
        let mut membership = connection.membership.lock();
        if membership.ended_by.is_none() {
            membership.ended_by = Some(reason);
            self.stats.count_close(reason);
        }
    }

    /// Logs what was refused, and who was closed for their own doing, since it last did: a line for each
    /// reason, however often it came. To be called once a second.
    pub fn report(&self) {
        for refusal in self.gate.refused.since_last_report() {
            let Refusal {
                reason,
                count,
                example,
            } = refusal;
            if reason.is_worth_a_warning() {
                let example = example.unwrap_or_default();
                tracing::warn!(reason = reason.label(), count, example, "refused");
            }
        }
        for (reason, count) in self.stats.closes_since_last_report() {
            if matches!(reason, CloseReason::RateLimited | CloseReason::TooSlow) {
                tracing::warn!(reason = reason.label(), count, "closed connections");
            }
        }
    }

    /// Tells a client why and closes its connection.
    pub fn close(&self, connection: &Connection, reason: CloseReason) {
        self.closes(connection, reason);
        connection.deliver.close(reason);
    }

    /// How many connections there are, whatever their state.
    pub fn connection_count(&self) -> usize {
        self.registry.connection_count()
    }
}

fn unix_now() -> UnixMillis {
    UnixMillis::from_system(SystemTime::now())
}

//! The only authority on who is where, and the only door to it: connect, authenticate, subscribe,
//! publish, disconnect.

pub mod admission;
pub mod audience;
mod authenticated;
pub mod connection;
pub mod deliver;
pub mod events;
mod expiry;
pub mod limits;
pub mod lists;
mod newcomers;
mod ordered;
pub mod outbound;
pub mod ports;
pub mod pulse;
pub mod rates;
mod registry;
pub mod revoke;
pub mod snapshot;
#[cfg(test)]
mod testing;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::domain::error::CloseReason;
use crate::domain::event::Catalogue;
use crate::domain::identity::{ConnectionId, OrganizationId};
use crate::domain::time::{Clock, UnixMillis};
use crate::metrics::rejections::RejectionReport;
use crate::metrics::{Metrics, Received};
use admission::{AdmissionControl, AdmissionOptions};
pub use authenticated::{AuthenticatedConnection, ConnectionGuard, Subscribed};
use connection::{Connection, Joined, NewConnection};
use deliver::Deliveries;
use events::Heard;
use expiry::ExpiryQueue;
use newcomers::Newcomers;
use ordered::Pace;
use ports::{Departure, Departures};
use pulse::Pulse;
use registry::Registry;

/// What the hub allows. A limit of 0 is no limit.
#[derive(Debug, Clone)]
pub struct HubOptions {
    pub admission: AdmissionOptions,
    pub max_subscriptions_per_connection: usize,
    pub room_max_size: usize,
    /// Whether a connection that does not authenticate in time is closed.
    pub auth_required: bool,
    pub auth_timeout: Duration,
    /// How long before the end of its token a client is told; zero is not at all.
    pub expiry_warning: Duration,
}

/// Connections, rooms and counters of one server.
pub struct Hub {
    options: HubOptions,
    catalogue: Catalogue,
    clock: Arc<dyn Clock>,
    registry: Registry,
    pub admission: AdmissionControl,
    deliveries: Deliveries,
    pub metrics: Arc<Metrics>,
    pub pulse: Pulse,
    pub started_at: UnixMillis,
    /// Tells the lists of this server from those of one that ran before it.
    run: u32,
    newcomers: Newcomers,
    expiries: ExpiryQueue,
    draining: AtomicBool,
    departures: OnceLock<Arc<dyn Departures>>,
}

impl Hub {
    pub fn new(options: HubOptions, catalogue: Catalogue, clock: Arc<dyn Clock>) -> Arc<Self> {
        let now = Instant::now();
        let metrics = Arc::new(Metrics::new(catalogue.events().len(), now));
        let admission = AdmissionControl::new(options.admission.clone(), Arc::clone(&metrics));
        Arc::new(Self {
            options,
            catalogue,
            started_at: clock.now(),
            clock,
            registry: Registry::default(),
            admission,
            deliveries: Deliveries::new(now),
            metrics,
            pulse: Pulse::new(now),
            run: rand::random(),
            newcomers: Newcomers::default(),
            expiries: ExpiryQueue::default(),
            draining: AtomicBool::new(false),
            departures: OnceLock::new(),
        })
    }

    /// Says who is told of those that leave; the first one stays it.
    pub fn tell_of_departures(&self, departures: Arc<dyn Departures>) {
        // Whoever comes second is told nothing, which it does not need to know.
        let _ = self.departures.set(departures);
    }

    /// The time of day.
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Takes in a connection that has its permit; it stays until the guard is dropped.
    pub fn connect(self: &Arc<Self>, new: NewConnection) -> ConnectionGuard {
        let number = self
            .metrics
            .connections_opened
            .fetch_add(1, Ordering::Relaxed);
        let id = new
            .id
            .unwrap_or_else(|| ConnectionId::from_random(rand::random()));
        let connection = Arc::new(Connection::new(new, id, number, self.now()));
        // Before anybody can find it, and take it out again.
        if self.options.auth_required {
            let deadline = Instant::now() + self.options.auth_timeout;
            self.newcomers.add(&connection, deadline);
        }
        self.registry.insert(Arc::clone(&connection));
        tracing::debug!(
            connection = %connection.id,
            protocol = ?connection.protocol,
            remote = %connection.remote_address,
            "connected"
        );
        ConnectionGuard::new(Arc::clone(self), connection)
    }

    /// Counts a message from a client.
    pub fn received(&self, connection: &Connection, event: Received) {
        connection.touch(self.now());
        self.metrics.count_received(event, Instant::now());
    }

    /// Removes every trace of a connection. Calling it again does nothing.
    pub fn remove(&self, connection: &Arc<Connection>) {
        let (identity, rooms, place, reason) = {
            let mut membership = connection.membership.lock();
            if !std::mem::replace(&mut membership.closed, true) {
                // `left` is whoever was not sent away.
                let reason = membership.ended_by.map_or("left", CloseReason::label);
                tracing::debug!(connection = %connection.id, reason, "disconnected");
            }
            self.newcomers.forget(connection);
            self.forget_end(connection, &mut membership.lifetime);
            (
                membership.identity.clone(),
                std::mem::take(&mut membership.rooms),
                membership.slot.take(),
                membership.ended_by,
            )
        };
        if let (Some(departures), Some(_)) = (self.departures.get(), &place) {
            departures.departed(Departure {
                connection: connection.id,
                number: connection.number,
                rooms: rooms.iter().map(Joined::heard).collect(),
                caught_up_to: connection.caught_up_to(),
                reason,
                given: connection.given(),
                owed_acks: connection.owed_acks(),
            });
        }
        self.registry.remove(connection);
        let Some(identity) = identity else { return };
        if let Some(organization) = self.registry.organization(&identity.organization) {
            organization.connections.remove(&connection.number);
            for room in &rooms {
                organization.leave(&room.entry, connection);
            }
        }
        drop(place);
        self.registry.sweep_organization(&identity.organization);
    }

    /// Closes connections whose time to authenticate is over. To be called several times a second.
    pub async fn close_unauthenticated(&self, now: Instant) {
        let mut pace = Pace::default();
        while let Some(connection) = self.newcomers.next(now) {
            let is_anonymous = {
                let membership = connection.membership.lock();
                membership.identity.is_none() && !membership.closed
            };
            if is_anonymous {
                // Whoever was kept from it comes back and tries again.
                let reason = if connection.was_rate_limited() {
                    CloseReason::TryAgainLater
                } else {
                    CloseReason::AuthTimeout
                };
                self.close(&connection, reason);
            }
            pace.step().await;
        }
    }

    /// Heartbeats, and the end of connections that do not move. To be called once a second.
    pub async fn tick(&self, now: Instant) {
        let tick = |_: &u64, connection: &Arc<Connection>| {
            if let Some(reason) = connection.deliver.tick(now) {
                self.record_close(connection, reason);
                self.remove(connection);
            }
        };
        self.registry.connections.each(tick).await;
        self.admission.tick();
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
        let connections = self.registry.connections.piece(None, usize::MAX);
        connections
            .into_iter()
            .map(|(_, connection)| connection)
            .collect()
    }

    /// Counts that the server closes a connection, whose log then says why. The first reason counts:
    /// several publishers, say, may find it too slow.
    pub fn record_close(&self, connection: &Connection, reason: CloseReason) {
        let mut membership = connection.membership.lock();
        if membership.ended_by.is_none() {
            membership.ended_by = Some(reason);
            self.metrics.count_close(reason);
        }
    }

    /// Logs what was refused, and who was closed for their own doing, since it last did: a line for each
    /// reason, however often it came. To be called once a second.
    pub fn report(&self) {
        for refusal in self.metrics.rejections.since_last_report() {
            let RejectionReport {
                reason,
                count,
                example,
            } = refusal;
            if reason.is_worth_a_warning() {
                let example = example.unwrap_or_default();
                tracing::warn!(reason = reason.label(), count, example, "refused");
            }
        }
        for (reason, count) in self.metrics.closes_since_last_report() {
            if matches!(reason, CloseReason::RateLimited | CloseReason::TooSlow) {
                tracing::warn!(reason = reason.label(), count, "closed connections");
            }
        }
    }

    /// Tells a client why and closes its connection.
    pub fn close(&self, connection: &Connection, reason: CloseReason) {
        self.record_close(connection, reason);
        connection.deliver.close(reason);
    }

    /// What happened next. To be read by one task alone, all the time.
    pub async fn next_event(&self) -> Heard {
        self.registry.events.next().await
    }

    /// The organizations with connections. Others run meanwhile.
    pub async fn organizations(&self) -> Vec<OrganizationId> {
        let mut ids = Vec::new();
        let organizations = &self.registry.organizations;
        organizations.each(|id, _| ids.push(id.clone())).await;
        ids
    }

    /// How many connections there are, whatever their state.
    pub fn connection_count(&self) -> usize {
        self.registry.connections.len()
    }
}

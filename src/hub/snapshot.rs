//! What is asked about the hub, as it is at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Hub;
use super::connection::{Connection, Protocol};
use super::registry::{Organization, RoomCounts, RoomEntry};
use crate::domain::error::CloseReason;
use crate::domain::identity::{ConnectionId, OrganizationId, UserId};
use crate::domain::room::{Level, Room, RoomName};
use crate::domain::time::UnixMillis;
use crate::metrics::Received;
use crate::metrics::latency::LatencySummary;

/// One connection.
#[derive(Debug)]
pub struct ConnectionSnapshot {
    pub socket_id: ConnectionId,
    pub user_id: Option<UserId>,
    pub organization_id: Option<OrganizationId>,
    /// `connected`, or `authenticating` until an identity is known.
    pub status: &'static str,
    pub protocol: Protocol,
    pub transport: &'static str,
    pub subscriptions: Vec<RoomName>,
    pub connected_at: UnixMillis,
    pub last_activity_at: UnixMillis,
}

impl ConnectionSnapshot {
    pub(super) fn of(connection: &Connection) -> Self {
        let membership = connection.membership.lock();
        let identity = membership.identity.as_deref();
        let mut subscriptions: Vec<RoomName> = membership
            .rooms
            .iter()
            .map(|joined| &joined.entry)
            .filter(|entry| matches!(entry.room, Room::Subscription(..)))
            .map(|entry| entry.name.clone())
            .collect();
        subscriptions.sort();
        Self {
            socket_id: connection.id,
            user_id: identity.map(|identity| identity.user.clone()),
            organization_id: identity.map(|identity| identity.organization.clone()),
            status: if identity.is_some() {
                "connected"
            } else {
                "authenticating"
            },
            protocol: connection.protocol,
            transport: connection.transport(),
            subscriptions,
            connected_at: connection.connected_at,
            last_activity_at: connection.last_activity_at(),
        }
    }
}

/// One room and its place in the tree.
#[derive(Debug)]
pub struct RoomSnapshot {
    pub room: RoomName,
    pub level: Level,
    pub channel: Option<String>,
    pub organization_id: OrganizationId,
    pub department_id: Option<String>,
    pub queue_name: Option<String>,
    pub user_id: Option<UserId>,
    /// The organization's own room.
    pub parent: Option<RoomName>,
    pub member_count: usize,
}

impl RoomSnapshot {
    pub(super) fn of(entry: &RoomEntry) -> Self {
        let (channel, place, user_id) = match &entry.room {
            Room::Organization(_) => (None, None, None),
            Room::User(_, user) => (None, None, Some(user.clone())),
            Room::Subscription(channel, place) => (Some(channel.to_string()), Some(place), None),
        };
        let organization = entry.room.organization();
        let own = Room::Organization(organization.clone()).name();
        Self {
            room: entry.name.clone(),
            level: entry.room.level(),
            channel,
            organization_id: organization.clone(),
            department_id: place
                .and_then(|place| place.department.as_ref())
                .map(ToString::to_string),
            queue_name: place
                .and_then(|place| place.queue.as_ref())
                .map(ToString::to_string),
            user_id,
            parent: (own != entry.name).then_some(own),
            member_count: entry.len(),
        }
    }
}

fn by_type(counts: &RoomCounts) -> BTreeMap<&'static str, usize> {
    let levels = Level::ALL.into_iter();
    levels
        .map(|level| (level.name(), counts.at(level)))
        .collect()
}

/// Messages between the backends and the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStats {
    /// Frames that wait in connections' queues at this moment.
    pub pending_messages: usize,
    /// Events queued for or written to a connection.
    pub delivered_messages: u64,
    /// Low-priority events that a connection that was behind did not get.
    pub expired_messages: u64,
}

/// The counters at one moment.
#[derive(Debug)]
pub struct StatsSnapshot {
    pub active_connections: usize,
    pub connections_by_org: BTreeMap<OrganizationId, usize>,
    pub active_rooms: usize,
    pub rooms_by_type: BTreeMap<&'static str, usize>,
    /// Broadcasts accepted and client messages received.
    pub total_messages: u64,
    pub messages_per_second: f64,
    pub messages_by_event: BTreeMap<String, u64>,
    /// From a broadcast's acceptance to the system call that took it, over all deliveries.
    pub average_latency_ms: f64,
    pub max_latency_ms: f64,
    pub latency: LatencySnapshot,
    pub error_count: u64,
    pub uptime_seconds: u64,
    pub deliveries: u64,
    pub dropped_messages: u64,
    pub connections_opened: u64,
    pub closed_by_reason: BTreeMap<&'static str, usize>,
    pub refused_by_reason: BTreeMap<&'static str, u64>,
    /// Clients that have a place, with those that have yet to connect after their handshake.
    pub places_taken: usize,
    pub remote_addresses: usize,
}

#[derive(Debug)]
pub struct LatencySnapshot {
    pub publish_to_socket: LatencySummary,
    pub ping_round_trip: LatencySummary,
}

/// The counters of one organization.
#[derive(Debug)]
pub struct OrganizationStats {
    pub active_connections: usize,
    pub connections_by_org: BTreeMap<OrganizationId, usize>,
    pub active_rooms: usize,
    pub rooms_by_type: BTreeMap<&'static str, usize>,
    pub uptime_seconds: u64,
    pub users: usize,
    pub pending_messages: usize,
}

/// What there is in the hub at one moment.
#[derive(Debug)]
pub struct HubGauges {
    pub connections: [(&'static str, usize); Protocol::ALL.len()],
    pub users: usize,
    pub organizations: usize,
    pub rooms: BTreeMap<&'static str, usize>,
    pub slots_taken: usize,
    pub is_draining: bool,
}

impl Hub {
    /// How many rooms there are.
    pub fn room_count(&self) -> usize {
        self.registry.room_counts.all()
    }

    /// How many users are connected, each counted once in each organization.
    pub fn user_count(&self) -> usize {
        self.registry.room_counts.at(Level::User)
    }

    /// What there is at this moment, out of counters alone.
    pub fn gauges(&self) -> HubGauges {
        let registry = &self.registry;
        HubGauges {
            connections: Protocol::ALL.map(|of| (of.label(), registry.count_of(of))),
            users: self.user_count(),
            organizations: registry.organizations.len(),
            rooms: by_type(&registry.room_counts),
            slots_taken: self.admission.taken(),
            is_draining: self.is_draining(),
        }
    }

    pub fn uptime_seconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.metrics.started_at)
            .as_secs()
    }

    /// Messages that wait and that have gone. Looks at every connection; others run meanwhile.
    pub async fn queue_stats(&self) -> QueueStats {
        let mut pending_messages = 0;
        let look = |_: &u64, connection: &Arc<Connection>| {
            pending_messages += connection.deliver.waiting();
        };
        self.registry.connections.each(look).await;
        QueueStats {
            pending_messages,
            delivered_messages: self.metrics.delivered.load(Ordering::Relaxed),
            expired_messages: self.metrics.dropped.load(Ordering::Relaxed),
        }
    }

    /// The counters. Looks at every organization; others run meanwhile.
    pub async fn stats_snapshot(&self, now: Instant) -> StatsSnapshot {
        let mut connections_by_org = BTreeMap::new();
        let look = |id: &OrganizationId, organization: &Arc<Organization>| {
            connections_by_org.insert(id.clone(), organization.slots.taken());
        };
        self.registry.organizations.each(look).await;
        let mut messages_by_event: BTreeMap<String, u64> = BTreeMap::new();
        for entry in self.catalogue.events() {
            messages_by_event.insert(entry.name.to_string(), self.metrics.published(entry));
        }
        for event in Received::ALL {
            messages_by_event.insert(event.name().to_owned(), self.metrics.received(event));
        }
        messages_by_event.retain(|_, count| *count > 0);
        let publish = self.metrics.publish_to_socket.summary();
        StatsSnapshot {
            active_connections: self.connection_count(),
            connections_by_org,
            active_rooms: self.room_count(),
            rooms_by_type: by_type(&self.registry.room_counts),
            total_messages: messages_by_event.values().sum(),
            messages_per_second: self.metrics.messages_per_second(now),
            messages_by_event,
            average_latency_ms: publish.average_ms,
            max_latency_ms: publish.max_ms,
            latency: LatencySnapshot {
                publish_to_socket: publish,
                ping_round_trip: self.metrics.ping_round_trip.summary(),
            },
            error_count: self.metrics.errors.load(Ordering::Relaxed),
            uptime_seconds: self.uptime_seconds(now),
            deliveries: self.metrics.delivered.load(Ordering::Relaxed),
            dropped_messages: self.metrics.dropped.load(Ordering::Relaxed),
            connections_opened: self.metrics.connections_opened.load(Ordering::Relaxed),
            closed_by_reason: CloseReason::ALL
                .into_iter()
                .map(|reason| (reason.label(), self.metrics.closes(reason)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            refused_by_reason: self.metrics.rejections.counts(),
            places_taken: self.admission.taken(),
            remote_addresses: self.admission.addresses(),
        }
    }

    /// What the members of one organization make up, and nothing of anybody else's. Looks at its
    /// connections; others run meanwhile.
    pub async fn organization_stats(&self, id: &OrganizationId, now: Instant) -> OrganizationStats {
        let mut view = OrganizationStats {
            active_connections: 0,
            connections_by_org: [(id.clone(), 0)].into(),
            active_rooms: 0,
            rooms_by_type: by_type(&RoomCounts::default()),
            uptime_seconds: self.uptime_seconds(now),
            users: 0,
            pending_messages: 0,
        };
        let Some(organization) = self.registry.organization(id) else {
            return view;
        };
        let look = |_: &u64, connection: &Arc<Connection>| {
            view.pending_messages += connection.deliver.waiting();
        };
        organization.connections.each(look).await;
        let connections = organization.connections.len();
        view.active_connections = connections;
        view.connections_by_org.insert(id.clone(), connections);
        view.active_rooms = organization.room_counts.all();
        view.rooms_by_type = by_type(&organization.room_counts);
        view.users = organization.room_counts.at(Level::User);
        view
    }
}

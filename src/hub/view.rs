//! What operators see of the hub.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde::Serialize;

use super::Hub;
use super::connection::{Connection, Protocol};
use super::registry::RoomEntry;
use super::stats::{LatencySummary, Received};
use crate::domain::fault::CloseReason;
use crate::domain::identity::{ConnectionId, OrganizationId, UserId};
use crate::domain::room::{Room, RoomName};
use crate::domain::time::UnixMillis;

/// One connection.
#[derive(Debug, Serialize)]
pub struct ConnectionView {
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

impl ConnectionView {
    fn of(connection: &Connection) -> Self {
        let membership = connection.membership.lock();
        let identity = membership.identity.as_deref();
        let mut subscriptions: Vec<RoomName> = membership
            .rooms
            .iter()
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
#[derive(Debug, Serialize)]
pub struct RoomView {
    pub room: RoomName,
    /// `org`, `dept`, `queue` or `user`.
    #[serde(rename = "type")]
    pub level: &'static str,
    pub channel: Option<String>,
    pub organization_id: OrganizationId,
    pub department_id: Option<String>,
    pub queue_name: Option<String>,
    pub user_id: Option<UserId>,
    /// The organization's own room.
    pub parent: Option<RoomName>,
    pub member_count: usize,
}

impl RoomView {
    fn of(entry: &RoomEntry) -> Self {
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

/// Messages between the backends and the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueStats {
    /// Frames that wait in connections' queues at this moment.
    pub pending_messages: usize,
    /// Events queued for or written to a connection.
    pub delivered_messages: u64,
    /// Low-priority events that a connection that was behind did not get.
    pub expired_messages: u64,
}

/// The counters at one moment.
#[derive(Debug, Serialize)]
pub struct StatsView {
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
    pub latency: LatencyView,
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

#[derive(Debug, Serialize)]
pub struct LatencyView {
    pub publish_to_socket: LatencySummary,
    pub ping_round_trip: LatencySummary,
}

/// The counters of one organization.
#[derive(Debug, Serialize)]
pub struct OrganizationStatsView {
    pub active_connections: usize,
    pub connections_by_org: BTreeMap<OrganizationId, usize>,
    pub active_rooms: usize,
    pub rooms_by_type: BTreeMap<&'static str, usize>,
    pub uptime_seconds: u64,
}

/// The totals of all connections.
#[derive(Debug, Clone, Copy)]
pub struct Totals {
    pub connections: usize,
    pub authenticated: usize,
    pub unique_users: usize,
    pub queues: QueueStats,
}

impl Hub {
    pub fn stats_view(&self, now: Instant) -> StatsView {
        let organizations = self.registry.organizations();
        let mut rooms_by_type =
            BTreeMap::from([("org", 0), ("dept", 0), ("queue", 0), ("user", 0)]);
        let mut active_rooms = 0;
        for (_, organization) in &organizations {
            for entry in organization.rooms() {
                active_rooms += 1;
                *rooms_by_type.entry(entry.room.level()).or_default() += 1;
            }
        }
        let mut messages_by_event: BTreeMap<String, u64> = BTreeMap::new();
        for entry in self.catalogue.events() {
            messages_by_event.insert(entry.name.to_string(), self.stats.published(entry));
        }
        for event in Received::ALL {
            messages_by_event.insert(event.name().to_owned(), self.stats.received(event));
        }
        messages_by_event.retain(|_, count| *count > 0);
        let publish = self.stats.publish_to_socket.summary();
        StatsView {
            active_connections: self.connection_count(),
            connections_by_org: organizations
                .iter()
                .map(|(id, organization)| (id.clone(), organization.places.taken()))
                .collect(),
            active_rooms,
            rooms_by_type,
            total_messages: messages_by_event.values().sum(),
            messages_per_second: self.stats.messages_per_second(now),
            messages_by_event,
            average_latency_ms: publish.average_ms,
            max_latency_ms: publish.max_ms,
            latency: LatencyView {
                publish_to_socket: publish,
                ping_round_trip: self.stats.ping_round_trip.summary(),
            },
            error_count: self.stats.errors.load(Ordering::Relaxed),
            uptime_seconds: now
                .saturating_duration_since(self.stats.started_at)
                .as_secs(),
            deliveries: self.stats.delivered.load(Ordering::Relaxed),
            dropped_messages: self.stats.dropped.load(Ordering::Relaxed),
            connections_opened: self.stats.connections_opened.load(Ordering::Relaxed),
            closed_by_reason: CloseReason::ALL
                .into_iter()
                .map(|reason| (reason.label(), self.stats.closes(reason)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            refused_by_reason: self.gate.refused.view(),
            places_taken: self.gate.taken(),
            remote_addresses: self.gate.addresses(),
        }
    }

    /// What the members of one organization make up, and nothing of anybody else's.
    pub fn organization_stats(
        &self,
        id: &OrganizationId,
        now: Instant,
    ) -> (OrganizationStatsView, Totals) {
        let mut rooms_by_type =
            BTreeMap::from([("org", 0), ("dept", 0), ("queue", 0), ("user", 0)]);
        let rooms = self.rooms_view(Some(id));
        for room in &rooms {
            *rooms_by_type.entry(room.level).or_default() += 1;
        }
        let totals = self.totals_where(|connection| {
            connection
                .identity()
                .is_some_and(|identity| identity.organization == *id)
        });
        let view = OrganizationStatsView {
            active_connections: totals.connections,
            connections_by_org: [(id.clone(), totals.connections)].into(),
            active_rooms: rooms.len(),
            rooms_by_type,
            uptime_seconds: now
                .saturating_duration_since(self.stats.started_at)
                .as_secs(),
        };
        (view, totals)
    }

    /// Costs a look at every connection.
    pub fn totals(&self) -> Totals {
        self.totals_where(|_| true)
    }

    fn totals_where(&self, keep: impl Fn(&Connection) -> bool) -> Totals {
        let mut connections = self.registry.connections();
        connections.retain(|connection| keep(connection));
        let mut users = HashSet::new();
        let mut authenticated = 0;
        let mut pending_messages = 0;
        for connection in &connections {
            pending_messages += connection.deliver.waiting();
            if let Some(identity) = connection.identity() {
                authenticated += 1;
                users.insert(identity);
            }
        }
        Totals {
            connections: connections.len(),
            authenticated,
            unique_users: users.len(),
            queues: QueueStats {
                pending_messages,
                delivered_messages: self.stats.delivered.load(Ordering::Relaxed),
                expired_messages: self.stats.dropped.load(Ordering::Relaxed),
            },
        }
    }

    /// Connections that `keep` wants, the oldest first: a page of them, and how many there are.
    fn page(
        &self,
        offset: usize,
        limit: usize,
        keep: impl Fn(&Connection) -> bool,
    ) -> (Vec<ConnectionView>, usize) {
        let mut connections = self.registry.connections();
        connections.retain(|connection| keep(connection));
        connections.sort_by_key(|connection| (connection.opened, connection.id));
        let page = connections
            .iter()
            .skip(offset)
            .take(limit)
            .map(|connection| ConnectionView::of(connection))
            .collect();
        (page, connections.len())
    }

    pub fn connections_view(
        &self,
        organization: Option<&OrganizationId>,
        offset: usize,
        limit: usize,
    ) -> (Vec<ConnectionView>, usize) {
        self.page(offset, limit, |connection| {
            organization.is_none_or(|organization| {
                connection
                    .identity()
                    .is_some_and(|identity| identity.organization == *organization)
            })
        })
    }

    pub fn connection_view(&self, id: ConnectionId) -> Option<ConnectionView> {
        self.registry
            .connection(id)
            .map(|connection| ConnectionView::of(&connection))
    }

    /// All connections of the users with this id, of this organization if one is named.
    pub fn user_view(
        &self,
        user: &UserId,
        organization: Option<&OrganizationId>,
    ) -> Vec<ConnectionView> {
        self.page(0, usize::MAX, |connection| {
            connection.identity().is_some_and(|identity| {
                identity.user == *user
                    && organization.is_none_or(|wanted| identity.organization == *wanted)
            })
        })
        .0
    }

    /// All rooms, by name.
    pub fn rooms_view(&self, organization: Option<&OrganizationId>) -> Vec<RoomView> {
        let mut rooms: Vec<RoomView> = self
            .registry
            .organizations()
            .iter()
            .filter(|(id, _)| organization.is_none_or(|wanted| wanted == id))
            .flat_map(|(_, organization)| organization.rooms())
            .map(|entry: Arc<RoomEntry>| RoomView::of(&entry))
            .collect();
        rooms.sort_by(|a, b| a.room.cmp(&b.room));
        rooms
    }
}

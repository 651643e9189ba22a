//! The counters.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::identity::OrganizationId;
use crate::http::extract::api_key::{ApiKey, Read};
use crate::http::extract::query::{OrganizationQuery, Query};
use crate::http::response::ErrorResponse;
use crate::http::state::App;
use crate::hub::snapshot::{OrganizationStats, QueueStats, StatsSnapshot};
use crate::metrics::latency::LatencySummary;

/// The numbers of all, or of one organization.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum StatsBody {
    Server(Box<ServerStatsBody>),
    Organization(OrganizationStatsBody),
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct ServerStatsBody {
    success: bool,
    stats: Counters,
    total_connections: usize,
    /// Each user is counted once in each organization.
    unique_users: usize,
    tcp_connections: usize,
    buffered_bytes: usize,
    queue_stats: QueueBody,
    /// Milliseconds since 1970.
    timestamp: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct OrganizationStatsBody {
    success: bool,
    stats: OrganizationCounters,
    total_connections: usize,
    unique_users: usize,
    queue_stats: OrganizationQueueBody,
    /// Milliseconds since 1970.
    timestamp: u64,
}

/// The counters at one moment.
#[derive(Serialize, ToSchema)]
struct Counters {
    active_connections: usize,
    #[schema(value_type = BTreeMap<String, usize>)]
    connections_by_org: BTreeMap<OrganizationId, usize>,
    active_rooms: usize,
    rooms_by_type: BTreeMap<&'static str, usize>,
    /// Broadcasts accepted and client messages received.
    total_messages: u64,
    messages_per_second: f64,
    messages_by_event: BTreeMap<String, u64>,
    /// From a broadcast's acceptance to the system call that took it, over all deliveries.
    average_latency_ms: f64,
    max_latency_ms: f64,
    latency: LatencyBody,
    error_count: u64,
    uptime_seconds: u64,
    deliveries: u64,
    dropped_messages: u64,
    connections_opened: u64,
    closed_by_reason: BTreeMap<&'static str, usize>,
    refused_by_reason: BTreeMap<&'static str, u64>,
    /// Clients that have a place, with those that have yet to connect after their handshake.
    places_taken: usize,
    remote_addresses: usize,
}

#[derive(Serialize, ToSchema)]
struct LatencyBody {
    publish_to_socket: LatencySummaryBody,
    ping_round_trip: LatencySummaryBody,
}

#[derive(Serialize, ToSchema)]
struct LatencySummaryBody {
    average_ms: f64,
    max_ms: f64,
    count: u64,
}

/// Messages between the backends and the clients.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "these are the names in the body")]
struct QueueBody {
    /// Frames that wait in connections' queues at this moment.
    pending_messages: usize,
    /// Events queued for or written to a connection.
    delivered_messages: u64,
    /// Low-priority events that a connection that was behind did not get.
    expired_messages: u64,
}

/// The counters of one organization.
#[derive(Serialize, ToSchema)]
struct OrganizationCounters {
    active_connections: usize,
    #[schema(value_type = BTreeMap<String, usize>)]
    connections_by_org: BTreeMap<OrganizationId, usize>,
    active_rooms: usize,
    rooms_by_type: BTreeMap<&'static str, usize>,
    uptime_seconds: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OrganizationQueueBody {
    /// Frames that wait in connections' queues at this moment.
    pending_messages: usize,
}

impl From<StatsSnapshot> for Counters {
    fn from(stats: StatsSnapshot) -> Self {
        Self {
            active_connections: stats.active_connections,
            connections_by_org: stats.connections_by_org,
            active_rooms: stats.active_rooms,
            rooms_by_type: stats.rooms_by_type,
            total_messages: stats.total_messages,
            messages_per_second: stats.messages_per_second,
            messages_by_event: stats.messages_by_event,
            average_latency_ms: stats.average_latency_ms,
            max_latency_ms: stats.max_latency_ms,
            latency: LatencyBody {
                publish_to_socket: stats.latency.publish_to_socket.into(),
                ping_round_trip: stats.latency.ping_round_trip.into(),
            },
            error_count: stats.error_count,
            uptime_seconds: stats.uptime_seconds,
            deliveries: stats.deliveries,
            dropped_messages: stats.dropped_messages,
            connections_opened: stats.connections_opened,
            closed_by_reason: stats.closed_by_reason,
            refused_by_reason: stats.refused_by_reason,
            places_taken: stats.places_taken,
            remote_addresses: stats.remote_addresses,
        }
    }
}

impl From<LatencySummary> for LatencySummaryBody {
    fn from(summary: LatencySummary) -> Self {
        Self {
            average_ms: summary.average_ms,
            max_ms: summary.max_ms,
            count: summary.count,
        }
    }
}

impl From<QueueStats> for QueueBody {
    fn from(stats: QueueStats) -> Self {
        Self {
            pending_messages: stats.pending_messages,
            delivered_messages: stats.delivered_messages,
            expired_messages: stats.expired_messages,
        }
    }
}

impl From<OrganizationStats> for OrganizationCounters {
    fn from(stats: OrganizationStats) -> Self {
        Self {
            active_connections: stats.active_connections,
            connections_by_org: stats.connections_by_org,
            active_rooms: stats.active_rooms,
            rooms_by_type: stats.rooms_by_type,
            uptime_seconds: stats.uptime_seconds,
        }
    }
}

/// The numbers of all, or of one organization.
///
/// Those that are counted for all at once are left out for one. An organization's key sees its own.
#[utoipa::path(
    get,
    path = "/api/ws/stats",
    tag = "read",
    params(OrganizationQuery),
    responses((status = 200, description = "The numbers", body = StatsBody)),
)]
pub(in crate::http) async fn stats(
    key: ApiKey<Read>,
    State(app): State<App>,
    Query(query): Query<OrganizationQuery>,
) -> Result<Json<StatsBody>, ErrorResponse> {
    let hub = &app.hub;
    if let Some(organization) = key.within(query.organization_id)? {
        let stats = hub.organization_stats(&organization, Instant::now()).await;
        return Ok(Json(StatsBody::Organization(OrganizationStatsBody {
            success: true,
            total_connections: stats.active_connections,
            unique_users: stats.users,
            queue_stats: OrganizationQueueBody {
                pending_messages: stats.pending_messages,
            },
            timestamp: hub.now().0,
            stats: stats.into(),
        })));
    }
    let queue_stats = hub.queue_stats().await.into();
    let stats = hub.stats_snapshot(Instant::now()).await;
    Ok(Json(StatsBody::Server(Box::new(ServerStatsBody {
        success: true,
        total_connections: stats.active_connections,
        unique_users: hub.user_count(),
        tcp_connections: app.connections.count(),
        buffered_bytes: app.buffers.held(),
        queue_stats,
        timestamp: hub.now().0,
        stats: stats.into(),
    }))))
}

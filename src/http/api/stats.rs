//! The counters.

use std::time::Instant;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::domain::words::{self, ORGANIZATION};
use crate::http::extract::api_key::{ApiKey, Read};
use crate::http::extract::query;
use crate::http::response::Refusal;
use crate::http::state::App;

/// The numbers of all, or of one organization: those that are counted for all at once are then left
/// out. An organization's key sees its own.
pub(in crate::http) async fn stats(
    key: ApiKey<Read>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let parameters = query::parameters(query.as_deref(), &[ORGANIZATION])?;
    let hub = &app.hub;
    if let Some(organization) = key.within(words::organization(&parameters)?)? {
        let stats = hub.organization_stats(&organization, Instant::now()).await;
        return Ok(Json(StatsAnswer {
            success: true,
            total_connections: stats.active_connections,
            unique_users: stats.users,
            tcp_connections: None,
            buffered_bytes: None,
            queue_stats: json!({ "pendingMessages": stats.pending_messages }),
            timestamp: hub.now().0,
            stats,
        })
        .into_response());
    }
    let queue_stats = hub.queue_stats().await;
    let stats = hub.stats_view(Instant::now()).await;
    Ok(Json(StatsAnswer {
        success: true,
        total_connections: stats.active_connections,
        unique_users: hub.user_count(),
        tcp_connections: Some(app.connections.count()),
        buffered_bytes: Some(app.buffers.held()),
        queue_stats,
        timestamp: hub.now().0,
        stats,
    })
    .into_response())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatsAnswer<S, Q> {
    success: bool,
    stats: S,
    total_connections: usize,
    unique_users: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_connections: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buffered_bytes: Option<usize>,
    queue_stats: Q,
    timestamp: u64,
}

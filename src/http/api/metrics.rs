//! The counters for Prometheus.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};

use crate::domain::error::{ClientError, Code};
use crate::http::extract::api_key::{ApiKey, Read};
use crate::http::extract::query::{NoQuery, Query};
use crate::http::response::ErrorResponse;
use crate::http::state::App;
use crate::hub::snapshot::HubGauges;
use crate::metrics::exposition::{self, Format, Gauges};
use crate::metrics::process::Process;

/// The counters of the whole server, as Prometheus scrapes them.
///
/// OpenMetrics 1.0.0 for whoever accepts it, or else the text format 0.0.4. Needs an operator's key, since
/// it tells of all organizations together; reads counters alone, however many connections there are.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "read",
    responses((
        status = 200,
        description = "The counters",
        content(
            (String = "application/openmetrics-text"),
            (String = "text/plain"),
        ),
    )),
)]
pub(in crate::http) async fn metrics(
    key: ApiKey<Read>,
    State(app): State<App>,
    headers: HeaderMap,
    _: Query<NoQuery>,
) -> Result<Response, ErrorResponse> {
    key.operator("GET /metrics")?;
    let format = format_of(&headers);
    let hub = &app.hub;
    let published = hub.catalogue().events();
    let published = published.map(|entry| (entry.name.clone(), hub.metrics.published(entry)));
    let HubGauges {
        connections,
        users,
        organizations,
        rooms,
        slots_taken,
        is_draining,
    } = hub.gauges();
    let gauges = Gauges {
        connections: connections.to_vec(),
        rooms: rooms.into_iter().collect(),
        users,
        organizations,
        slots_taken,
        tcp_connections: app.connections.count(),
        buffered_bytes: app.buffers.held(),
        acks_collected: app.node.collected_acks(),
        revocations: app.node.revocation_count(None),
        sessions: app.node.sessions.count(),
        connections_behind: app.node.catch_ups.behind(),
        history_bytes: app.node.streams.bytes(),
        is_draining,
        process: Process::now(),
        started_at: hub.started_at,
        version: env!("CARGO_PKG_VERSION"),
    };
    let text = exposition::encode(&hub.metrics, published.collect(), gauges, format)
        .map_err(|error| ClientError::new(Code::InternalError, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response())
}

/// Prometheus names OpenMetrics first where it can read it.
fn format_of(headers: &HeaderMap) -> Format {
    let accepts = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("application/openmetrics-text"));
    if accepts {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

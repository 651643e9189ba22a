//! What operators read: statistics, connections, rooms, health.

use std::time::{Instant, SystemTime};

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::guard::{Permit, Read};
use super::reply::{Refusal, not_found};
use super::router::App;
use crate::domain::fault::Fault;
use crate::domain::identity::{ConnectionId, OrganizationId, UserId};
use crate::domain::time::UnixMillis;
use crate::domain::words;

/// A page that asks for nothing else has this size.
const PAGE: usize = 1000;
const MAX_PAGE: usize = 10_000;

fn now() -> UnixMillis {
    UnixMillis::from_system(SystemTime::now())
}

/// An organization's key sees the numbers of its organization: those that are counted for all at once
/// are left out.
pub(super) async fn stats(permit: Permit<Read>, State(app): State<App>) -> Json<Value> {
    if let Some(organization) = permit.wall() {
        let (stats, totals) = app.hub.organization_stats(organization, Instant::now());
        return Json(json!({
            "success": true,
            "stats": stats,
            "totalConnections": totals.connections,
            "uniqueUsers": totals.unique_users,
            "queueStats": { "pendingMessages": totals.queues.pending_messages },
            "timestamp": now().0,
        }));
    }
    let totals = app.hub.totals();
    Json(json!({
        "success": true,
        "stats": app.hub.stats_view(Instant::now()),
        "totalConnections": totals.connections,
        "uniqueUsers": totals.unique_users,
        "queueStats": totals.queues,
        "timestamp": now().0,
    }))
}

/// The parameters of the lists.
#[derive(Deserialize)]
pub(super) struct ListQuery {
    limit: Option<String>,
    offset: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl ListQuery {
    fn organization(&self) -> Result<Option<OrganizationId>, Fault> {
        words::organization(&self.rest)
    }

    fn limit(&self) -> Result<usize, Fault> {
        let limit = number("limit", self.limit.as_deref(), PAGE)?;
        if (1..=MAX_PAGE).contains(&limit) {
            Ok(limit)
        } else {
            Err(Fault::invalid(format!(
                "`limit` is {limit}; 1 to {MAX_PAGE} are allowed"
            )))
        }
    }

    fn offset(&self) -> Result<usize, Fault> {
        number("offset", self.offset.as_deref(), 0)
    }
}

fn number(name: &str, text: Option<&str>, default: usize) -> Result<usize, Fault> {
    text.map_or(Ok(default), |text| {
        text.parse().map_err(|_| {
            Fault::invalid(format!("`{name}` is `{text}`; a whole number is expected"))
        })
    })
}

pub(super) async fn connections(
    permit: Permit<Read>,
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, Refusal> {
    let organization = permit.within(query.organization()?)?;
    let (limit, offset) = (query.limit()?, query.offset()?);
    let (page, total) = app
        .hub
        .connections_view(organization.as_ref(), offset, limit);
    Ok(Json(json!({
        "success": true,
        "connections": page,
        "total_count": total,
        "limit": limit,
        "offset": offset,
    })))
}

/// By connection id one connection, by user id all of the user's.
/// What another organization has is not told from what is not there.
pub(super) async fn connection(
    permit: Permit<Read>,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Response {
    let wall = permit.wall();
    let found = ConnectionId::parse(&id)
        .and_then(|id| app.hub.connection_view(id))
        .filter(|view| wall.is_none() || view.organization_id.as_ref() == wall);
    if let Some(connection) = found {
        return Json(json!({ "success": true, "connection": connection })).into_response();
    }
    let connections = UserId::new(&id)
        .map(|user| app.hub.user_view(&user, wall))
        .unwrap_or_default();
    if connections.is_empty() {
        return not_found(&format!(
            "`{id}` is no connection's id and no user's that is connected"
        ));
    }
    Json(json!({
        "success": true,
        "userId": id,
        "connections": connections,
        "timestamp": now().0,
    }))
    .into_response()
}

pub(super) async fn rooms(
    permit: Permit<Read>,
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, Refusal> {
    let organization = permit.within(query.organization()?)?;
    let (limit, offset) = (query.limit()?, query.offset()?);
    let rooms = app.hub.rooms_view(organization.as_ref());
    let total = rooms.len();
    let page: Vec<_> = rooms.into_iter().skip(offset).take(limit).collect();
    Ok(Json(json!({
        "success": true,
        "rooms": page,
        "total_count": total,
        "limit": limit,
        "offset": offset,
    })))
}

/// How the server is, in a few numbers; 503 while it shuts down.
pub(super) async fn health(State(app): State<App>) -> Response {
    let is_draining = app.hub.is_draining();
    let stats = app.hub.stats_view(Instant::now());
    let body = json!({
        "success": !is_draining,
        "status": if is_draining { "draining" } else { "healthy" },
        "healthy": !is_draining,
        "active_connections": stats.active_connections,
        "active_rooms": stats.active_rooms,
        "uptime_seconds": stats.uptime_seconds,
        "version": env!("CARGO_PKG_VERSION"),
        "timestamp": now(),
    });
    if is_draining {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [("retry-after", "1")],
            Json(body),
        )
            .into_response();
    }
    Json(body).into_response()
}

/// The process runs.
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// The process takes new clients.
pub(super) async fn readyz(State(app): State<App>) -> Response {
    if app.hub.is_draining() {
        let body = Json(json!({ "status": "draining" }));
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [("retry-after", "1")],
            body,
        )
            .into_response();
    }
    Json(json!({ "status": "ready" })).into_response()
}

//! What operators read: statistics, connections, rooms, health.

use std::time::{Instant, SystemTime};

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::guard::{Permit, Read};
use super::query;
use super::reply::{Refusal, not_found};
use super::router::App;
use crate::domain::fault::Fault;
use crate::domain::identity::{ConnectionId, OrganizationId, UserId};
use crate::domain::time::UnixMillis;
use crate::domain::words::{self, ORGANIZATION, Word, shown};

/// A page that asks for nothing else has this size.
const PAGE: u64 = 1000;
const MAX_PAGE: u64 = 10_000;

fn now() -> UnixMillis {
    UnixMillis::from_system(SystemTime::now())
}

/// The numbers of all, or of one organization: those that are counted for all at once are then left
/// out. An organization's key sees its own.
pub(super) async fn stats(
    permit: Permit<Read>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let parameters = query::parameters(query.as_deref(), &[ORGANIZATION])?;
    if let Some(organization) = permit.within(words::organization(&parameters)?)? {
        let (stats, totals) = app.hub.organization_stats(&organization, Instant::now());
        return Ok(Json(json!({
            "success": true,
            "stats": stats,
            "totalConnections": totals.connections,
            "uniqueUsers": totals.unique_users,
            "queueStats": { "pendingMessages": totals.queues.pending_messages },
            "timestamp": now().0,
        })));
    }
    let totals = app.hub.totals();
    Ok(Json(json!({
        "success": true,
        "stats": app.hub.stats_view(Instant::now()),
        "totalConnections": totals.connections,
        "uniqueUsers": totals.unique_users,
        "tcpConnections": app.connections.count(),
        "queueStats": totals.queues,
        "timestamp": now().0,
    })))
}

const LIMIT: Word = Word(&["limit"]);
const OFFSET: Word = Word(&["offset"]);

/// What a list is asked for.
struct Page {
    organization: Option<OrganizationId>,
    limit: usize,
    offset: usize,
}

impl Page {
    fn read(query: Option<&str>, permit: &Permit<Read>) -> Result<Self, Fault> {
        let parameters = query::parameters(query, &[ORGANIZATION, LIMIT, OFFSET])?;
        let organization = words::organization(&parameters)?;
        let limit = query::number(&parameters, LIMIT.name(), 1..=MAX_PAGE)?;
        let offset = query::number(&parameters, OFFSET.name(), 0..=u64::MAX)?;
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(Self {
            organization: permit.within(organization)?,
            limit: size(limit.unwrap_or(PAGE)),
            offset: size(offset.unwrap_or(0)),
        })
    }
}

pub(super) async fn connections(
    permit: Permit<Read>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let Page {
        organization,
        limit,
        offset,
    } = Page::read(query.as_deref(), &permit)?;
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
    RawQuery(query): RawQuery,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    query::parameters(query.as_deref(), &[])?;
    let Path(id) = id.map_err(|_| Fault::invalid("the id in the path is not UTF-8"))?;
    let user = UserId::new(&id)
        .map_err(|problem| Fault::invalid(format!("`{}` is not an id: {problem}", shown(&id))))?;
    let wall = permit.wall();
    let found = ConnectionId::parse(&id)
        .and_then(|id| app.hub.connection_view(id))
        .filter(|view| wall.is_none() || view.organization_id.as_ref() == wall);
    if let Some(connection) = found {
        return Ok(Json(json!({ "success": true, "connection": connection })).into_response());
    }
    let connections = app.hub.user_view(&user, wall);
    if connections.is_empty() {
        return Ok(not_found(&format!(
            "`{}` is no connection's id and no user's that is connected",
            shown(&id)
        )));
    }
    Ok(Json(json!({
        "success": true,
        "userId": id,
        "connections": connections,
        "timestamp": now().0,
    }))
    .into_response())
}

pub(super) async fn rooms(
    permit: Permit<Read>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    let Page {
        organization,
        limit,
        offset,
    } = Page::read(query.as_deref(), &permit)?;
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
        "tcp_connections": app.connections.count(),
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

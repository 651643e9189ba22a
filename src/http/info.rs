//! What operators read: statistics, connections, rooms.

use std::time::Instant;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::guard::{Permit, Read};
use super::list::{self, CURSOR, LIMIT, MAX_PAGE, PAGE};
use super::query;
use super::reply::{Refusal, not_found};
use super::router::App;
use crate::domain::fault::Fault;
use crate::domain::identity::{ConnectionId, OrganizationId, UserId};
use crate::domain::words::{self, ORGANIZATION, Word, shown};
use crate::hub::lists::{Begin, Page};

/// The numbers of all, or of one organization: those that are counted for all at once are then left
/// out. An organization's key sees its own.
pub(super) async fn stats(
    permit: Permit<Read>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let parameters = query::parameters(query.as_deref(), &[ORGANIZATION])?;
    let hub = &app.hub;
    if let Some(organization) = permit.within(words::organization(&parameters)?)? {
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

const OFFSET: Word = Word(&["offset"]);

/// What a list is asked for.
struct Wanted {
    organization: Option<OrganizationId>,
    limit: usize,
    begin: Begin,
}

impl Wanted {
    fn read(query: Option<&str>, permit: &Permit<Read>) -> Result<Self, Fault> {
        let parameters = query::parameters(query, &[ORGANIZATION, LIMIT, OFFSET, CURSOR])?;
        let organization = words::organization(&parameters)?;
        let limit = query::number(&parameters, LIMIT.name(), 1..=MAX_PAGE)?;
        let offset = query::number(&parameters, OFFSET.name(), 0..=u64::MAX)?;
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let begin = match (offset, query::text(&parameters, CURSOR.name())) {
            (Some(_), Some(_)) => {
                return Err(Fault::invalid(
                    "a page begins at an `offset` or behind a `cursor`, not both",
                ));
            }
            (offset, None) => Begin::Offset(size(offset.unwrap_or(0))),
            (None, Some(cursor)) => Begin::Cursor(cursor.to_owned()),
        };
        Ok(Self {
            organization: permit.within(organization)?,
            limit: size(limit.unwrap_or(PAGE)),
            begin,
        })
    }
}

async fn answer<T: Serialize>(
    name: &str,
    page: &Page<T>,
    wanted: &Wanted,
) -> Result<Response, Refusal> {
    let mut rest = json!({
        "total_count": page.total,
        "limit": wanted.limit,
        "next_cursor": page.next,
    });
    if let Begin::Offset(offset) = wanted.begin {
        rest["offset"] = offset.into();
    }
    list::answer(name, &page.items, &rest).await
}

pub(super) async fn connections(
    permit: Permit<Read>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let wanted = Wanted::read(query.as_deref(), &permit)?;
    let page = app
        .hub
        .connections_page(wanted.organization.as_ref(), &wanted.begin, wanted.limit)
        .await?;
    answer("connections", &page, &wanted).await
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
    let connections = app.hub.user_view(&user, wall).await;
    if connections.is_empty() {
        return Ok(not_found(&format!(
            "`{}` is no connection's id and no user's that is connected",
            shown(&id)
        )));
    }
    let rest = json!({ "userId": id, "timestamp": app.hub.now().0 });
    list::answer("connections", &connections, &rest).await
}

pub(super) async fn rooms(
    permit: Permit<Read>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let wanted = Wanted::read(query.as_deref(), &permit)?;
    let page = app
        .hub
        .rooms_page(wanted.organization.as_ref(), &wanted.begin, wanted.limit)
        .await?;
    answer("rooms", &page, &wanted).await
}

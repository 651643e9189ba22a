//! Connections, all of them and a user's.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{self, PageQuery};
use crate::domain::error::ClientError;
use crate::domain::fields::shown;
use crate::domain::identity::{ConnectionId, OrganizationId, UserId};
use crate::domain::room::RoomName;
use crate::domain::time::UnixMillis;
use crate::http::extract::api_key::{ApiKey, Read};
use crate::http::extract::query::{NoQuery, Query};
use crate::http::response::{ErrorResponse, not_found};
use crate::http::state::App;
use crate::hub::connection::Protocol;
use crate::hub::snapshot::ConnectionSnapshot;

#[derive(Serialize, ToSchema)]
struct ConnectionsBody {
    success: bool,
    connections: Vec<ConnectionBody>,
    /// How many there are on all pages.
    total_count: usize,
    limit: usize,
    /// Where the page begins, unless it begins behind a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
    /// Where the next page begins; `null` on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// One connection, or all of a user's.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum FoundBody {
    Connection(Box<OneConnectionBody>),
    User(UserConnectionsBody),
}

#[derive(Serialize, ToSchema)]
struct OneConnectionBody {
    success: bool,
    connection: ConnectionBody,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UserConnectionsBody {
    success: bool,
    connections: Vec<ConnectionBody>,
    user_id: String,
    /// Milliseconds since 1970.
    timestamp: u64,
}

/// One connection.
#[derive(Serialize, ToSchema)]
struct ConnectionBody {
    #[schema(value_type = String)]
    socket_id: ConnectionId,
    #[schema(value_type = Option<String>, required)]
    user_id: Option<UserId>,
    #[schema(value_type = Option<String>, required)]
    organization_id: Option<OrganizationId>,
    /// `connected`, or `authenticating` until an identity is known.
    status: &'static str,
    #[schema(value_type = String, example = "socket-io")]
    protocol: Protocol,
    #[schema(example = "websocket")]
    transport: &'static str,
    #[schema(value_type = Vec<String>)]
    subscriptions: Vec<RoomName>,
    #[schema(value_type = String, format = DateTime)]
    connected_at: UnixMillis,
    #[schema(value_type = String, format = DateTime)]
    last_activity_at: UnixMillis,
}

impl From<ConnectionSnapshot> for ConnectionBody {
    fn from(connection: ConnectionSnapshot) -> Self {
        Self {
            socket_id: connection.socket_id,
            user_id: connection.user_id,
            organization_id: connection.organization_id,
            status: connection.status,
            protocol: connection.protocol,
            transport: connection.transport,
            subscriptions: connection.subscriptions,
            connected_at: connection.connected_at,
            last_activity_at: connection.last_activity_at,
        }
    }
}

/// Connections, the oldest first.
#[utoipa::path(
    get,
    path = "/api/ws/connections",
    tag = "read",
    params(PageQuery),
    responses((status = 200, description = "A page of connections", body = ConnectionsBody)),
)]
pub(in crate::http) async fn connections(
    key: ApiKey<Read>,
    State(app): State<App>,
    Query(query): Query<PageQuery>,
) -> Result<Response, ErrorResponse> {
    let organization = key.within(query.organization_id.clone())?;
    let page = app
        .hub
        .connections_page(organization.as_ref(), &query.begin(), query.limit)
        .await?;
    let body = ConnectionsBody {
        success: true,
        connections: Vec::new(),
        total_count: page.total,
        limit: query.limit,
        offset: query.offset(),
        next_cursor: page.next,
    };
    page::answer::<ConnectionBody>(&body, "connections", page.items).await
}

/// One connection by its id, or all of a user's by the user's.
///
/// What another organization has is not told from what is not there.
#[utoipa::path(
    get,
    path = "/api/ws/connections/{id}",
    tag = "read",
    params(("id" = String, Path, description = "A connection's id, or a user's")),
    responses(
        (status = 200, description = "The connection or connections", body = FoundBody),
        (status = 404, description = "Neither is there", body = crate::http::response::ErrorBody),
    ),
)]
pub(in crate::http) async fn connection(
    key: ApiKey<Read>,
    State(app): State<App>,
    _: Query<NoQuery>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ErrorResponse> {
    let Path(id) = id.map_err(|_| ClientError::invalid("the id in the path is not UTF-8"))?;
    let user = UserId::new(&id).map_err(|problem| {
        ClientError::invalid(format!("`{}` is not an id: {problem}", shown(&id)))
    })?;
    let own = key.organization();
    let found = ConnectionId::parse(&id)
        .and_then(|id| app.hub.connection_snapshot(id))
        .filter(|found| own.is_none() || found.organization_id.as_ref() == own);
    if let Some(connection) = found {
        let body = FoundBody::Connection(Box::new(OneConnectionBody {
            success: true,
            connection: connection.into(),
        }));
        return Ok(Json(body).into_response());
    }
    let connections = app.hub.user_snapshots(&user, own).await;
    if connections.is_empty() {
        return Ok(not_found(&format!(
            "`{}` is no connection's id and no user's that is connected",
            shown(&id)
        )));
    }
    let body = FoundBody::User(UserConnectionsBody {
        success: true,
        connections: Vec::new(),
        user_id: id,
        timestamp: app.hub.now().0,
    });
    page::answer::<ConnectionBody>(&body, "connections", connections).await
}

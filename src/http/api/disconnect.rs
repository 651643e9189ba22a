//! Sending users away.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::error::ClientError;
use crate::domain::fields::shown;
use crate::domain::identity::UserId;
use crate::http::extract::api_key::{Admin, ApiKey};
use crate::http::extract::query::{OrganizationQuery, Query};
use crate::http::response::ErrorResponse;
use crate::http::state::App;

#[derive(Serialize, ToSchema)]
pub(in crate::http) struct DisconnectedBody {
    success: bool,
    #[serde(rename = "userId")]
    user_id: String,
    closed_connections: usize,
    /// Milliseconds since 1970.
    timestamp: u64,
}

/// Closes every connection of a user, who may come back at once.
///
/// Without an organization it is that of the caller's key; for an operator, every one.
#[utoipa::path(
    post,
    path = "/api/ws/disconnect/{userId}",
    tag = "admin",
    params(("userId" = String, Path, description = "The user"), OrganizationQuery),
    responses((status = 200, description = "How many were closed", body = DisconnectedBody)),
)]
pub(in crate::http) async fn disconnect(
    key: ApiKey<Admin>,
    State(app): State<App>,
    Query(query): Query<OrganizationQuery>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<DisconnectedBody>, ErrorResponse> {
    let organization = key.within(query.organization_id)?;
    let Path(id) = id.map_err(|_| ClientError::invalid("the id in the path is not UTF-8"))?;
    let user = UserId::new(&id).map_err(|problem| {
        ClientError::invalid(format!("`{}` is not an id: {problem}", shown(&id)))
    })?;
    let closed = app.node.disconnect_user(organization, user).await?;
    Ok(Json(DisconnectedBody {
        success: true,
        user_id: id,
        closed_connections: closed.connections,
        timestamp: app.hub.now().0,
    }))
}

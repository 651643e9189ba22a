//! Sending users away.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use serde_json::{Value, json};

use crate::domain::fault::Fault;
use crate::domain::identity::UserId;
use crate::domain::words::{self, ORGANIZATION, shown};
use crate::http::extract::api_key::{Admin, ApiKey};
use crate::http::extract::query;
use crate::http::response::Refusal;
use crate::http::state::App;

/// Closes every connection of a user, who may come back at once. Without an organization it is that
/// of the caller's key; for an operator, every one.
pub(in crate::http) async fn disconnect(
    key: ApiKey<Admin>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let parameters = query::parameters(query.as_deref(), &[ORGANIZATION])?;
    let organization = key.within(words::organization(&parameters)?)?;
    let Path(id) = id.map_err(|_| Fault::invalid("the id in the path is not UTF-8"))?;
    let user = UserId::new(&id)
        .map_err(|problem| Fault::invalid(format!("`{}` is not an id: {problem}", shown(&id))))?;
    let closed = app.node.disconnect_user(organization, user).await?;
    Ok(Json(json!({
        "success": true,
        "userId": id,
        "closed_connections": closed.connections,
        "timestamp": app.hub.now().0,
    })))
}

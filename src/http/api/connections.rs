//! Connections, all of them and a user's.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::page::{self, PageRequest, answer_page};
use crate::domain::fault::Fault;
use crate::domain::identity::{ConnectionId, UserId};
use crate::domain::words::shown;
use crate::http::extract::api_key::{ApiKey, Read};
use crate::http::extract::query;
use crate::http::response::{Refusal, not_found};
use crate::http::state::App;

pub(in crate::http) async fn connections(
    key: ApiKey<Read>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let wanted = PageRequest::read(query.as_deref(), &key)?;
    let page = app
        .hub
        .connections_page(wanted.organization.as_ref(), &wanted.begin, wanted.limit)
        .await?;
    answer_page("connections", &page, &wanted).await
}

/// By connection id one connection, by user id all of the user's.
/// What another organization has is not told from what is not there.
pub(in crate::http) async fn connection(
    key: ApiKey<Read>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    query::parameters(query.as_deref(), &[])?;
    let Path(id) = id.map_err(|_| Fault::invalid("the id in the path is not UTF-8"))?;
    let user = UserId::new(&id)
        .map_err(|problem| Fault::invalid(format!("`{}` is not an id: {problem}", shown(&id))))?;
    let own = key.organization();
    let found = ConnectionId::parse(&id)
        .and_then(|id| app.hub.connection_view(id))
        .filter(|view| own.is_none() || view.organization_id.as_ref() == own);
    if let Some(connection) = found {
        return Ok(Json(json!({ "success": true, "connection": connection })).into_response());
    }
    let connections = app.hub.user_view(&user, own).await;
    if connections.is_empty() {
        return Ok(not_found(&format!(
            "`{}` is no connection's id and no user's that is connected",
            shown(&id)
        )));
    }
    let rest = json!({ "userId": id, "timestamp": app.hub.now().0 });
    page::answer("connections", &connections, &rest).await
}

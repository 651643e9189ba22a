//! Rooms that have members.

use axum::extract::{RawQuery, State};
use axum::response::Response;

use super::page::{PageRequest, answer_page};
use crate::http::extract::api_key::{ApiKey, Read};
use crate::http::response::Refusal;
use crate::http::state::App;

pub(in crate::http) async fn rooms(
    key: ApiKey<Read>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let wanted = PageRequest::read(query.as_deref(), &key)?;
    let page = app
        .hub
        .rooms_page(wanted.organization.as_ref(), &wanted.begin, wanted.limit)
        .await?;
    answer_page("rooms", &page, &wanted).await
}

//! Lists, a page at a time.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::fault::{Code, Fault};
use crate::domain::identity::OrganizationId;
use crate::domain::words::{self, ORGANIZATION, Word};
use crate::http::extract::api_key::{ApiKey, Read};
use crate::http::extract::query;
use crate::http::response::Refusal;
use crate::hub::lists::{Begin, Page};

pub(super) const LIMIT: Word = Word(&["limit"]);
pub(super) const CURSOR: Word = Word(&["cursor"]);
const OFFSET: Word = Word(&["offset"]);

/// A page that asks for nothing else has this size.
pub(super) const PAGE: u64 = 1000;
pub(super) const MAX_PAGE: u64 = 10_000;
/// So many items are written without a pause.
const WRITTEN_AT_ONCE: usize = 256;

/// An answer with a list and the members of `rest`. It is written in pieces, since a long one takes
/// milliseconds.
pub(super) async fn answer<T: Serialize>(
    name: &str,
    items: &[T],
    rest: &Value,
) -> Result<Response, Refusal> {
    let failed = |_| Refusal(Fault::new(Code::InternalError, "the list can't be written"));
    let mut body = format!("{{\"success\":true,\"{name}\":[").into_bytes();
    for some in items.chunks(WRITTEN_AT_ONCE) {
        for item in some {
            if !body.ends_with(b"[") {
                body.push(b',');
            }
            serde_json::to_writer(&mut body, item).map_err(failed)?;
        }
        tokio::task::yield_now().await;
    }
    body.push(b']');
    // Its members behind those that are there.
    body.extend(rest.to_string().replacen('{', ",", 1).into_bytes());
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], body).into_response())
}

/// Which page of a list is asked for.
pub(super) struct PageRequest {
    pub organization: Option<OrganizationId>,
    pub limit: usize,
    pub begin: Begin,
}

impl PageRequest {
    pub fn read(query: Option<&str>, key: &ApiKey<Read>) -> Result<Self, Fault> {
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
            organization: key.within(organization)?,
            limit: size(limit.unwrap_or(PAGE)),
            begin,
        })
    }
}

/// The page that was asked for.
pub(super) async fn answer_page<T: Serialize>(
    name: &str,
    page: &Page<T>,
    wanted: &PageRequest,
) -> Result<Response, Refusal> {
    let mut rest = json!({
        "total_count": page.total,
        "limit": wanted.limit,
        "next_cursor": page.next,
    });
    if let Begin::Offset(offset) = wanted.begin {
        rest["offset"] = offset.into();
    }
    answer(name, &page.items, &rest).await
}

//! Lists, a page at a time.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

use crate::domain::error::{ClientError, Code};
use crate::domain::fields::{self, Field, ORGANIZATION};
use crate::domain::identity::OrganizationId;
use crate::http::extract::query::{self, FromQuery};
use crate::http::response::ErrorResponse;
use crate::hub::lists::Begin;

pub(super) const LIMIT: Field = Field(&["limit"]);
pub(super) const CURSOR: Field = Field(&["cursor"]);
const OFFSET: Field = Field(&["offset"]);

/// A page that asks for nothing else has this size.
const PAGE: usize = 1000;
const MAX_PAGE: u64 = 10_000;
/// So many items are written without a pause.
const WRITTEN_AT_ONCE: usize = 256;

/// Answers with a body that has a list, which is empty in it and gets these items. They are written in
/// pieces, since a long list takes milliseconds; others run meanwhile. `name` is the list's, which comes
/// before every text in the body.
pub(super) async fn answer<T: Serialize>(
    body: &impl Serialize,
    name: &str,
    items: impl IntoIterator<Item = impl Into<T>>,
) -> Result<Response, ErrorResponse> {
    let failed = || {
        ErrorResponse(ClientError::new(
            Code::InternalError,
            "the list can't be written",
        ))
    };
    let rest = serde_json::to_vec(body).map_err(|_| failed())?;
    let list = format!("\"{name}\":[");
    let at = rest
        .windows(list.len())
        .position(|part| part == list.as_bytes())
        .ok_or_else(failed)?
        + list.len();
    let mut written = rest[..at].to_vec();
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            written.push(b',');
        }
        serde_json::to_writer(&mut written, &item.into()).map_err(|_| failed())?;
        if index % WRITTEN_AT_ONCE == WRITTEN_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
    }
    written.extend_from_slice(&rest[at..]);
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], written).into_response())
}

/// How many items a page may have.
pub(super) fn limit(parameters: &Map<String, Value>) -> Result<usize, ClientError> {
    let limit = query::number(parameters, LIMIT.name(), 1..=MAX_PAGE)?;
    Ok(limit.map_or(PAGE, size))
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Which page of a list is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct PageQuery {
    /// The organization that is meant; that of an organization's key if there is none.
    #[param(value_type = Option<String>)]
    pub organization_id: Option<OrganizationId>,
    /// Most items of the page.
    #[param(value_type = Option<usize>, minimum = 1, maximum = 10_000, default = 1000)]
    pub limit: usize,
    /// How many items to leave out; not beside a `cursor`.
    pub offset: Option<usize>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    pub fn begin(&self) -> Begin {
        match &self.cursor {
            Some(cursor) => Begin::Cursor(cursor.clone()),
            None => Begin::Offset(self.offset.unwrap_or(0)),
        }
    }

    /// Behind how many items the page begins, unless it begins behind a cursor.
    pub fn offset(&self) -> Option<usize> {
        match self.cursor {
            Some(_) => None,
            None => Some(self.offset.unwrap_or(0)),
        }
    }
}

impl FromQuery for PageQuery {
    const KNOWN: &'static [Field] = &[ORGANIZATION, LIMIT, OFFSET, CURSOR];

    fn read(parameters: &Map<String, Value>) -> Result<Self, ClientError> {
        let read = Self {
            organization_id: fields::organization(parameters)?,
            limit: limit(parameters)?,
            offset: query::number(parameters, OFFSET.name(), 0..=u64::MAX)?.map(size),
            cursor: query::text(parameters, CURSOR.name()).map(str::to_owned),
        };
        if read.offset.is_some() && read.cursor.is_some() {
            return Err(ClientError::invalid(
                "a page begins at an `offset` or behind a `cursor`, not both",
            ));
        }
        Ok(read)
    }
}

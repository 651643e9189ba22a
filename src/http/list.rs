//! Lists, a page at a time.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::Value;

use super::reply::Refusal;
use crate::domain::fault::{Code, Fault};
use crate::domain::words::Word;

pub(super) const LIMIT: Word = Word(&["limit"]);
pub(super) const CURSOR: Word = Word(&["cursor"]);

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

//! The key under which a broadcast is published once.

use http::HeaderMap;
use utoipa::IntoParams;

use crate::domain::error::ClientError;
use crate::node::idempotency::MAX_KEY_BYTES;

const HEADER: &str = "idempotency-key";

/// Of a broadcast that may be sent again.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct IdempotencyHeader {
    /// Whoever sends the same request with the same key within five minutes gets the first receipt again.
    #[param(rename = "Idempotency-Key", max_length = 128)]
    #[expect(
        dead_code,
        reason = "it describes the header, which is read as it came"
    )]
    idempotency_key: Option<String>,
}

pub(super) fn of_headers(headers: &HeaderMap) -> Result<Option<String>, ClientError> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.any(|other| other != value) {
        return Err(ClientError::invalid(
            "`Idempotency-Key` is given twice, with different values",
        ));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(ClientError::invalid(
            "`Idempotency-Key` must be visible ASCII characters",
        )),
    }
}

/// The key of a request, which has it in its header or its body.
pub(super) fn key(
    header: Option<String>,
    body: Option<String>,
) -> Result<Option<String>, ClientError> {
    if let (Some(header), Some(body)) = (&header, &body)
        && header != body
    {
        return Err(ClientError::invalid(
            "`Idempotency-Key` and `idempotency_key` differ",
        ));
    }
    let key = header.or(body);
    match key.as_ref().map(String::len) {
        Some(length) if length == 0 || length > MAX_KEY_BYTES => Err(ClientError::invalid(
            format!("an idempotency key has 1 to {MAX_KEY_BYTES} bytes, not {length}"),
        )),
        _ => Ok(key),
    }
}

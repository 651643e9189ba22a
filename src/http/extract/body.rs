//! The bodies of requests, and what is wrong with them in words that name the member.

use std::error::Error;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use http::StatusCode;
use http_body_util::LengthLimitError;

use crate::domain::error::ClientError;
use crate::domain::json::{self, Members};

/// A body as it came.
pub(in crate::http) type Body = Result<Bytes, BytesRejection>;

/// What some editors and languages write in front of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The whole body, unless it is too large or did not come. A byte order mark is no part of it (RFC 8259
/// section 8.1 lets a parser ignore it).
pub(in crate::http) fn bytes(body: Body, limit: usize) -> Result<Bytes, ClientError> {
    let too_large = || ClientError::too_large(limit);
    let body = body.map_err(|rejection| {
        if is_too_large(&rejection) {
            too_large()
        } else {
            ClientError::invalid("the body could not be read to its end")
        }
    })?;
    if body.len() > limit {
        return Err(too_large());
    }
    let is_marked = body.starts_with(BYTE_ORDER_MARK);
    Ok(body.slice(if is_marked { BYTE_ORDER_MARK.len() } else { 0 }..))
}

/// Whether a body was refused for its length, as it was sent or inflated.
fn is_too_large(rejection: &BytesRejection) -> bool {
    let mut cause: Option<&dyn Error> = Some(rejection);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    rejection.status() == StatusCode::PAYLOAD_TOO_LARGE
}

/// The members of the object that a body is.
pub(in crate::http) fn members(body: &[u8]) -> Result<Members<'_>, ClientError> {
    const WHAT: &str = "the body";
    Members::of(WHAT, json::parse(WHAT, body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_is_said_to_be_what_it_is() {
        for (body, problem) in [
            ("", "the body is empty; JSON is expected"),
            (
                "{\"a\": ",
                "the body is not JSON: it ends too early, at line 1, column 6",
            ),
            (
                "{\n'a': 1}",
                "the body is not JSON: the mistake is at line 2, column 1",
            ),
            (
                "{} {}",
                "the body is not JSON: the mistake is at line 1, column 4",
            ),
            ("[1]", "the body must be a JSON object, not an array"),
            ("\"x\"", "the body must be a JSON object, not a string"),
            ("null", "the body must be a JSON object, not null"),
        ] {
            let error = members(body.as_bytes()).unwrap_err();
            assert_eq!(error.message, problem, "{body}");
        }
    }
}

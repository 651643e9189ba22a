//! Answers of the API.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::error::ClientError;
use crate::protocol::error_response;

/// An error as an HTTP answer: its status, and `Retry-After` where there is one.
pub(super) struct ErrorResponse(pub ClientError);

impl From<ClientError> for ErrorResponse {
    fn from(error: ClientError) -> Self {
        Self(error)
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        error_response(&self.0)
    }
}

/// Why a request was refused.
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// `false`
    success: bool,
    error: ErrorDetail,
}

#[derive(Serialize, ToSchema)]
struct ErrorDetail {
    /// What programs go by.
    #[schema(example = "INVALID_MESSAGE")]
    code: &'static str,
    /// What was wrong, what was found and what is allowed.
    message: String,
    /// Why an identity was not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

pub(super) fn problem(status: StatusCode, code: &'static str, message: &str) -> Response {
    let error = ErrorDetail {
        code,
        message: message.to_owned(),
        reason: None,
        retry_after_ms: None,
    };
    let body = ErrorBody {
        success: false,
        error,
    };
    (status, Json(body)).into_response()
}

/// What the API answers holds at this moment, and for this caller.
pub(super) async fn no_store(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(no_store);
    response
}

pub(super) async fn no_route(method: Method, uri: Uri) -> Response {
    let message = format!("there is no {method} {}", uri.path());
    problem(StatusCode::NOT_FOUND, "NOT_FOUND", &message)
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let message = format!("{} does not take {method}", uri.path());
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        &message,
    )
}

/// Names what clients come with to whoever comes with something else (RFC 9110 section 15.5.6).
pub(super) async fn no_client_method(method: Method, uri: Uri) -> Response {
    let mut response = wrong_method(method, uri).await;
    let allowed = HeaderValue::from_static("GET, POST");
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

pub(super) fn not_found(message: &str) -> Response {
    problem(StatusCode::NOT_FOUND, "NOT_FOUND", message)
}

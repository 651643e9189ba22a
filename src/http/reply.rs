//! Answers of the API.

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use serde_json::json;

use crate::domain::fault::{Code, Fault};

/// A fault as an HTTP answer: its status, and `Retry-After` where there is one.
pub(super) struct Refusal(pub Fault);

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = Json(json!({ "success": false, "error": self.0 }));
        let mut response = (status, body).into_response();
        let retry_after = match (self.0.retry_after, self.0.code) {
            (Some(time), _) => Some(time.as_secs() + u64::from(time.subsec_nanos() > 0)),
            (None, Code::ConnectionLimit) => Some(1),
            (None, _) => None,
        };
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

pub(super) fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    let error = json!({ "code": code, "message": message });
    (status, Json(json!({ "success": false, "error": error }))).into_response()
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

/// Lets in what clients come with, and names it to whoever comes with something else (RFC 9110 section
/// 15.5.6).
pub(super) async fn client_methods(request: Request, next: Next) -> Response {
    let mut response = match *request.method() {
        Method::GET | Method::POST => next.run(request).await,
        _ => wrong_method(request.method().clone(), request.uri().clone()).await,
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allowed = HeaderValue::from_static("GET, POST");
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

pub(super) fn not_found(message: &str) -> Response {
    problem(StatusCode::NOT_FOUND, "NOT_FOUND", message)
}

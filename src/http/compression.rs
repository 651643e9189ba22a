//! gzip and deflate on HTTP (RFC 9110 section 8.4): answers of the API and of polling, and the
//! bodies of requests to the API.

use std::error::Error;

use axum::body::Body;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use http_body_util::{LengthLimitError, Limited};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, NotForContentType, Predicate, SizeAbove};
use tower_http::decompression::RequestDecompressionLayer;

use super::reply::{self, Refusal};
use crate::domain::fault::Fault;

const ACCEPTED: &str = "gzip, deflate";

/// Compresses answers of at least `threshold` bytes for whoever accepts it; none without a
/// threshold. A stream of events is never held back by it.
pub(super) fn answers(
    threshold: Option<usize>,
) -> CompressionLayer<And<SizeAbove, NotForContentType>> {
    let least = threshold.unwrap_or_default() as u64;
    CompressionLayer::new()
        .gzip(threshold.is_some())
        .deflate(threshold.is_some())
        // Each answer is for one client: its time counts more than its last percent.
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(least).and(NotForContentType::SSE))
}

/// Inflates the bodies of requests; what reads them limits their inflated length.
pub(super) fn requests() -> RequestDecompressionLayer {
    RequestDecompressionLayer::new()
}

/// Whether a body was refused for its length, as it was sent or inflated.
pub(super) fn is_too_large(rejection: &BytesRejection) -> bool {
    let mut cause: Option<&dyn Error> = Some(rejection);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    rejection.status() == StatusCode::PAYLOAD_TOO_LARGE
}

/// What [`refuse_unreadable`] allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Readable {
    /// Longest body, as it is sent.
    pub limit: usize,
    /// Whether a body may be compressed.
    pub compressed: bool,
}

/// Answers 415 to an encoding that can't be read, and 413 to more bytes than the limit before
/// they are inflated.
pub(super) async fn refuse_unreadable(
    State(readable): State<Readable>,
    request: Request,
    next: Next,
) -> Response {
    let Some(encoding) = request.headers().get(header::CONTENT_ENCODING) else {
        return next.run(request).await;
    };
    let is_readable = match encoding.as_bytes() {
        b"identity" => true,
        b"gzip" | b"deflate" => readable.compressed,
        _ => false,
    };
    if !is_readable {
        let accepted = if readable.compressed {
            ACCEPTED
        } else {
            "identity"
        };
        let mut response = reply::problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "INVALID_MESSAGE",
            &format!("`Content-Encoding` must be one of: {accepted}"),
        );
        response
            .headers_mut()
            .insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
        return response;
    }
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > readable.limit) {
        return Refusal(Fault::too_large(readable.limit)).into_response();
    }
    next.run(request.map(|body| Body::new(Limited::new(body, readable.limit))))
        .await
}

//! How long and how large the bodies of requests may be.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Sleep;

use crate::domain::error::{ClientError, Code};
use crate::http::response::{ErrorResponse, problem};
use crate::http::state::App;
use crate::metrics::rejections::Rejection;
use crate::wire::buffers::{Buffers, Charge, Owner};

/// What a piece of a body takes beside its bytes.
const PIECE_OVERHEAD: usize = 64;
/// A piece of so many bytes may keep the buffer that it was read into.
const LEAST_SHARED: usize = 4096;

/// Answers 413 to a body that says it is longer than the limit, before any of it is asked for.
pub(in crate::http) async fn body_length(
    State(limit): State<usize>,
    request: Request,
    next: Next,
) -> Response {
    if is_too_long(request.headers(), limit) {
        return ErrorResponse(ClientError::too_large(limit)).into_response();
    }
    next.run(request).await
}

/// Whether a body says that it is longer than the limit.
pub(in crate::http) fn is_too_long(headers: &HeaderMap, limit: usize) -> bool {
    headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
        .is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit))
}

/// A body that must have come when the time is over, and for which there must be room.
struct Arriving {
    body: Body,
    over: Pin<Box<Sleep>>,
    outcome: Arc<Outcome>,
}

/// What became of a body.
struct Outcome {
    was_late: AtomicBool,
    found_no_room: AtomicBool,
    /// For what has come of it, until the request is answered.
    charge: Mutex<Charge>,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok());
            let length = data.and_then(Frame::data_ref).map_or(0, Bytes::len);
            if !self.outcome.charge.lock().grow(length + PIECE_OVERHEAD) {
                self.outcome.found_no_room.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err(axum::Error::new("there is no room for the body"))));
            }
            return Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(detached))));
        }
        ready!(self.over.as_mut().poll(cx));
        self.outcome.was_late.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(axum::Error::new("the body did not come in time"))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A short piece by itself: as it comes it keeps the whole buffer that it was read into, thousands of
/// times its size.
fn detached(piece: Bytes) -> Bytes {
    if piece.len() < LEAST_SHARED {
        Bytes::copy_from_slice(&piece)
    } else {
        piece
    }
}

/// Answers 408, and closes the connection, if the body has not come in time; and 503 if all that is
/// on its way takes too much memory.
pub(in crate::http) async fn body_deadline(
    State((app, limit)): State<(App, Duration)>,
    request: Request,
    next: Next,
) -> Response {
    let answer = |request| next.run(request);
    with_deadline(&app, limit, Owner::Request, request, answer).await
}

/// The same around anything that answers a request.
pub(in crate::http) async fn with_deadline<F: Future<Output = Response>>(
    app: &App,
    limit: Duration,
    owner: Owner,
    request: Request,
    run: impl FnOnce(Request) -> F,
) -> Response {
    if request.body().is_end_stream() {
        return run(request).await;
    }
    let outcome = Arc::new(Outcome {
        was_late: AtomicBool::new(false),
        found_no_room: AtomicBool::new(false),
        charge: Mutex::new(Charge::new(&app.buffers, owner, 0)),
    });
    let path = request.uri().path().to_owned();
    let request = request.map(|body| {
        Body::new(Arriving {
            body,
            over: Box::pin(tokio::time::sleep(limit)),
            outcome: Arc::clone(&outcome),
        })
    });
    let response = run(request).await;
    if outcome.found_no_room.load(Ordering::Relaxed) {
        app.hub
            .metrics
            .rejections
            .count(Rejection::BufferLimit, path);
        return no_room(&app.buffers);
    }
    if !outcome.was_late.load(Ordering::Relaxed) {
        return response;
    }
    app.hub
        .metrics
        .rejections
        .count(Rejection::BodyTimeout, path);
    let message = format!("the body did not come within {} ms", limit.as_millis());
    let mut response = problem(StatusCode::REQUEST_TIMEOUT, "INVALID_MESSAGE", &message);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

fn no_room(buffers: &Buffers) -> Response {
    let message = format!(
        "what is on its way takes more memory than the server may use for it \
         (`max_buffered_bytes`: {}); try again later",
        buffers.limit()
    );
    let code = Code::ConnectionLimit.as_str();
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, code, &message);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

//! How fast requests may come, and how long their bodies may take.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;

use super::reply::{Refusal, problem};
use super::router::App;
use crate::domain::fault::Fault;
use crate::hub::refused::Refused;

/// Counts a request that is about no organization against its address.
pub(super) async fn by_address(
    State(app): State<App>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match app.hub.gate.request(None, remote.ip()) {
        Ok(()) => next.run(request).await,
        Err(fault) => Refusal(fault).into_response(),
    }
}

/// Answers 413 to a body that says it is longer than the limit, before any of it is asked for.
pub(super) async fn body_length(
    State(limit): State<usize>,
    request: Request,
    next: Next,
) -> Response {
    if is_too_long(request.headers(), limit) {
        return Refusal(Fault::too_large(limit)).into_response();
    }
    next.run(request).await
}

/// Whether a body says that it is longer than the limit.
pub(super) fn is_too_long(headers: &HeaderMap, limit: usize) -> bool {
    headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
        .is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit))
}

/// A body that must have come when the time is over.
struct Deadline {
    body: Body,
    over: Pin<Box<Sleep>>,
    was_late: Arc<AtomicBool>,
}

impl HttpBody for Deadline {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(self.over.as_mut().poll(cx));
        self.was_late.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(axum::Error::new("the body did not come in time"))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Answers 408, and closes the connection, if the body has not come in time.
pub(super) async fn body_deadline(
    State((app, limit)): State<(App, Duration)>,
    request: Request,
    next: Next,
) -> Response {
    with_deadline(&app, limit, request, |request| next.run(request)).await
}

/// The same around anything that answers a request.
pub(super) async fn with_deadline<F: Future<Output = Response>>(
    app: &App,
    limit: Duration,
    request: Request,
    run: impl FnOnce(Request) -> F,
) -> Response {
    if request.body().is_end_stream() {
        return run(request).await;
    }
    let was_late = Arc::new(AtomicBool::new(false));
    let path = request.uri().path().to_owned();
    let request = request.map(|body| {
        Body::new(Deadline {
            body,
            over: Box::pin(tokio::time::sleep(limit)),
            was_late: Arc::clone(&was_late),
        })
    });
    let response = run(request).await;
    if !was_late.load(Ordering::Relaxed) {
        return response;
    }
    app.hub.gate.refused.count(Refused::BodyTimeout, path);
    let message = format!("the body did not come within {} ms", limit.as_millis());
    let mut response = problem(StatusCode::REQUEST_TIMEOUT, "INVALID_MESSAGE", &message);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

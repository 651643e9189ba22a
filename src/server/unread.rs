//! What a handler leaves of a request's body.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use parking_lot::Mutex;

use crate::wire::http_stream::{BodyLength, Phase};

/// Where a handler's body goes when it is dropped.
type Home = Arc<Mutex<Option<Incoming>>>;

/// The body of a request, which the connection is told the end of.
struct Watched {
    /// There until it is dropped.
    body: Option<Incoming>,
    home: Home,
    phase: Arc<Phase>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if frame.is_none() || self.is_end_stream() {
            self.phase.body_is_read();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        *self.home.lock() = self.body.take();
    }
}

/// Of which length the body is.
pub(super) fn length(request: &Request<Incoming>) -> BodyLength {
    if request.body().is_end_stream() {
        return BodyLength::NONE;
    }
    let length = request.body().size_hint().exact();
    length.map_or(BodyLength::Chunked, BodyLength::Known)
}

/// What is left of a body once the request is answered.
pub(super) struct Rest {
    home: Home,
    phase: Arc<Phase>,
}

/// The request as a handler gets it, and what tells how much of its body was read; `None` if it has
/// no body.
pub(super) fn watch(
    request: Request<Incoming>,
    phase: &Arc<Phase>,
) -> (Request<Body>, Option<Rest>) {
    if request.body().is_end_stream() {
        return (request.map(|_| Body::empty()), None);
    }
    let home = Home::default();
    let rest = Rest {
        home: Arc::clone(&home),
        phase: Arc::clone(phase),
    };
    let request = request.map(|body| {
        Body::new(Watched {
            body: Some(body),
            home,
            phase: Arc::clone(phase),
        })
    });
    (request, Some(rest))
}

impl Rest {
    /// Reads on as far as the body has come already. If it has not come to its end, the connection
    /// ends with this response, and says so.
    pub fn settle(self, response: &mut Response<Body>) {
        let Some(mut body) = self.home.lock().take() else {
            return;
        };
        while !body.is_end_stream() {
            match body.frame().now_or_never() {
                Some(Some(Ok(_))) => {}
                Some(None) => break,
                Some(Some(Err(_))) | None => {
                    self.phase.body_is_unwanted();
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                    return;
                }
            }
        }
        self.phase.body_is_read();
    }
}

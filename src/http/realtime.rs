//! Where clients connect.
//!
//! A client on long-polling comes here once for each event that it hears, so what stands before the
//! protocols are plain calls here, in the order of the router's middleware, and not its layers, each of
//! which costs an allocation or two.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, header};
use hyper::body::Body;
use tower::{Layer, ServiceExt, service_fn};

use super::client_ip::Proxies;
use super::middleware::origin::{CorsHeaders, Origins, let_in};
use super::middleware::{body_bounds, compression, request_head};
use super::response::ErrorResponse;
use super::state::App;
use super::upgrade;
use crate::domain::error::ClientError;

/// The whole HTTP service: clients by the short way, everything else through the router.
#[derive(Clone)]
pub struct Site {
    pub(super) router: Router,
    pub(super) realtime: Arc<Realtime>,
}

/// What stands before the clients' protocols.
pub(super) struct Realtime {
    pub app: App,
    pub path: String,
    pub origins: Origins,
    pub proxies: Option<Proxies>,
    pub max_message_size: usize,
    pub body_timeout: Duration,
    pub compression_threshold: Option<usize>,
}

impl Site {
    /// Answers a request that came from this address.
    pub async fn serve(&self, remote: SocketAddr, mut request: Request) -> Response {
        if self.realtime.takes(&request) {
            return self.realtime.serve(remote, request).await;
        }
        request.extensions_mut().insert(ConnectInfo(remote));
        let answered = Box::pin(self.router.clone().oneshot(request)).await;
        answered.unwrap_or_else(|never| match never {})
    }
}

impl Realtime {
    /// Whether a client comes with this request. Other methods, a browser's question before it comes
    /// among them, are the router's.
    fn takes(&self, request: &Request) -> bool {
        let path = request.uri().path();
        let path = path.strip_suffix('/').unwrap_or(path);
        matches!(*request.method(), Method::GET | Method::POST) && path == self.path
    }

    async fn serve(&self, remote: SocketAddr, mut request: Request) -> Response {
        if let Err(refused) = request_head::checked(&self.app, &mut request) {
            return *refused;
        }
        let remote = match &self.proxies {
            Some(proxies) => proxies.resolve(remote, &mut request),
            None => remote,
        };
        if let Err(error) = let_in(&self.origins, &self.app, &request) {
            return ErrorResponse(error).into_response();
        }
        let cors = CorsHeaders::for_request(&self.origins, &request);
        let accepted = self.compression_threshold.and_then(|threshold| {
            let accepted = request.headers().get(header::ACCEPT_ENCODING)?;
            Some((threshold, accepted.clone()))
        });
        let mut response = self.answer(remote, request).await;
        cors.write(response.headers_mut());
        match accepted {
            Some((threshold, accepted)) if is_at_least(&response, threshold) => {
                Box::pin(compressed(response, threshold, accepted)).await
            }
            _ => response,
        }
    }

    async fn answer(&self, remote: SocketAddr, request: Request) -> Response {
        if body_bounds::is_too_long(request.headers(), self.max_message_size) {
            return ErrorResponse(ClientError::too_large(self.max_message_size)).into_response();
        }
        if request.body().is_end_stream() {
            return upgrade::enter(&self.app, remote, request).await;
        }
        // Boxed, so that a poll, which has no body, is not as large as this.
        let owner = upgrade::owner(&self.app, &request);
        let answer = |request| upgrade::enter(&self.app, remote, request);
        let entered =
            body_bounds::with_deadline(&self.app, self.body_timeout, owner, request, answer);
        Box::pin(entered).await
    }
}

fn is_at_least(response: &Response, threshold: usize) -> bool {
    response.body().size_hint().lower() >= threshold as u64
}

/// A long answer as the router's layer compresses it.
async fn compressed(response: Response, threshold: usize, accepted: HeaderValue) -> Response {
    let mut request = Request::default();
    request
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, accepted);
    let mut response = Some(response);
    let answer = service_fn(move |_: Request| {
        let response = response.take().unwrap_or_default();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let layer = compression::answers(Some(threshold));
    match layer.layer(answer).oneshot(request).await {
        Ok(response) => response.map(axum::body::Body::new),
        Err(never) => match never {},
    }
}

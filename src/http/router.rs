//! Every route, and the order of what stands before them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};

use super::address::{Network, Proxies};
use super::compression::Readable;
use super::guard::ApiAccess;
use super::origin::{Origins, OwnNames};
use super::{
    address, broadcast, compression, dashboard, gateway, health, info, limit, origin, reply, revoke,
};
use crate::auth::revocation::Revocations;
use crate::hub::Hub;
use crate::protocol::plain::PlainGateway;
use crate::protocol::socket_io::SocketIoGateway;

/// What the HTTP side is configured with.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Where clients connect, without a slash at the end.
    pub path: String,
    /// `scheme://host[:port]`, or `*` for any.
    pub cors_origins: Vec<String>,
    /// Whether clients that send no `Origin` are refused at `path`.
    pub require_origin: bool,
    pub access: ApiAccess,
    pub max_message_size: usize,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// The answer from which on it is compressed; `None` for no compression, of WebSockets neither.
    pub compression_threshold: Option<usize>,
    /// Whether clients speak TLS to the server itself.
    pub is_tls: bool,
    pub own_names: OwnNames,
    /// Whether there is a page at `/`.
    pub dashboard: bool,
}

/// What the handlers share.
pub(super) struct Shared {
    pub hub: Arc<Hub>,
    pub socket_io: Arc<SocketIoGateway>,
    pub plain: Arc<PlainGateway>,
    pub access: ApiAccess,
    pub revocations: Arc<Revocations>,
    pub max_message_size: usize,
    /// Whether permessage-deflate is agreed on.
    pub compresses: bool,
}

pub(super) type App = Arc<Shared>;

/// The whole HTTP service.
pub fn router(
    hub: Arc<Hub>,
    socket_io: Arc<SocketIoGateway>,
    plain: Arc<PlainGateway>,
    revocations: Arc<Revocations>,
    options: &HttpOptions,
) -> Router {
    let origins = Origins::new(options);
    let max_message_size = options.max_message_size;
    let shared = Arc::new(Shared {
        hub,
        socket_io,
        plain,
        access: options.access.clone(),
        revocations,
        max_message_size,
        compresses: options.compression_threshold.is_some(),
    });
    let path = &options.path;
    let counted_by_address = middleware::from_fn_with_state(Arc::clone(&shared), limit::by_address);
    let others = Router::new()
        .route("/api/ws/stats", get(info::stats))
        .route("/api/ws/connections", get(info::connections))
        .route("/api/ws/connections/{id}", get(info::connection))
        .route("/api/ws/rooms", get(info::rooms))
        .route("/api/ws/disconnect/{user_id}", post(revoke::disconnect))
        .route("/api/ws/revoke", post(revoke::revoke))
        .route(
            "/api/ws/revocations",
            get(revoke::revocations).delete(revoke::take_back),
        )
        .route_layer(counted_by_address.clone());
    let api = Router::new()
        .route("/api/ws/broadcast", post(broadcast::broadcast))
        .route("/api/ws/broadcast/kpi", post(broadcast::kpi))
        .route("/api/ws/broadcast/backlog", post(broadcast::backlog))
        .route("/api/ws/broadcast/attendance", post(broadcast::attendance))
        .route("/api/ws/broadcast/alert", post(broadcast::alert))
        .merge(others)
        .route("/api/ws/health", get(health::health))
        .layer(compression::requests())
        .layer(middleware::from_fn_with_state(
            Readable {
                limit: max_message_size,
                compressed: options.compression_threshold.is_some(),
            },
            compression::refuse_unreadable,
        ));
    let page = if options.dashboard {
        dashboard::routes().route_layer(counted_by_address)
    } else {
        Router::new()
    };
    let router = Router::new()
        .route(path, axum::routing::any(gateway::enter))
        .route(&format!("{path}/"), axum::routing::any(gateway::enter))
        .merge(api)
        .merge(page)
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .fallback(reply::no_route)
        .method_not_allowed_fallback(reply::wrong_method)
        .layer(DefaultBodyLimit::max(max_message_size))
        .layer(compression::answers(options.compression_threshold))
        .layer(middleware::from_fn_with_state(
            (Arc::clone(&shared), options.body_timeout),
            limit::body_deadline,
        ))
        .layer(origin::cors(&origins))
        .layer(middleware::from_fn_with_state(
            (origins, Arc::clone(&shared)),
            origin::refuse_strangers,
        ))
        .with_state(shared);
    if options.trusted_proxies.is_empty() {
        return router;
    }
    let proxies = Proxies::new(&options.trusted_proxies);
    router.layer(middleware::from_fn_with_state(proxies, address::resolve))
}

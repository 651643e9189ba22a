//! Every route, and the order of what stands before them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower::Layer;

use super::address::{Networks, Proxies};
use super::compression::Readable;
use super::guard::ApiAccess;
use super::origin::{Origins, OwnNames};
use super::origin_pattern::{HostPattern, OriginPattern};
use super::realtime::{Realtime, Site};
use super::reply::Refusal;
use super::{
    address, broadcast, compression, dashboard, head, health, info, limit, origin, reply, revoke,
};
use crate::auth::revocation::Revocations;
use crate::domain::fault::{Code, Fault};
use crate::hub::Hub;
use crate::protocol::plain::PlainGateway;
use crate::protocol::socket_io::SocketIoGateway;
use crate::wire::buffers::Buffers;
use crate::wire::connections::Connections;

/// What the HTTP side is configured with.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Where clients connect, without a slash at the end.
    pub path: String,
    pub cors_origins: Vec<OriginPattern>,
    /// Whether clients that send no `Origin` are refused at `path`.
    pub require_origin: bool,
    pub access: ApiAccess,
    pub max_message_size: usize,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Networks,
    /// The answer from which on it is compressed; `None` for no compression, of WebSockets neither.
    pub compression_threshold: Option<usize>,
    /// Whether clients speak TLS to the server itself.
    pub is_tls: bool,
    pub own_names: OwnNames,
    /// Names that are the server's own beside these; with any, it is called by no others.
    pub allowed_hosts: Vec<HostPattern>,
    /// Whether there is a page at `/`.
    pub dashboard: bool,
    /// Of which operators see how many there are.
    pub connections: Arc<Connections>,
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
    pub connections: Arc<Connections>,
    pub buffers: Arc<Buffers>,
}

pub(super) type App = Arc<Shared>;

/// The whole HTTP service.
pub fn router(
    hub: Arc<Hub>,
    socket_io: Arc<SocketIoGateway>,
    plain: Arc<PlainGateway>,
    revocations: Arc<Revocations>,
    buffers: Arc<Buffers>,
    options: &HttpOptions,
) -> Site {
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
        connections: Arc::clone(&options.connections),
        buffers,
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
        .layer(middleware::map_response(reply::no_store))
        .layer(middleware::from_fn_with_state(
            Readable {
                limit: max_message_size,
                compressed: options.compression_threshold.is_some(),
            },
            compression::inflate,
        ));
    let page = if options.dashboard {
        dashboard::routes().route_layer(counted_by_address)
    } else {
        Router::new()
    };
    // Clients don't come this way, see `realtime`: what is left are other methods.
    let clients = Router::new()
        .route(path, axum::routing::any(reply::no_client_method))
        .route(
            &format!("{path}/"),
            axum::routing::any(reply::no_client_method),
        );
    let mut router = Router::new()
        .merge(clients)
        .merge(api)
        .merge(page)
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .fallback(reply::no_route)
        .method_not_allowed_fallback(reply::wrong_method)
        .layer(DefaultBodyLimit::max(max_message_size))
        .layer(middleware::from_fn_with_state(
            max_message_size,
            limit::body_length,
        ))
        .layer(compression::answers(options.compression_threshold))
        .layer(middleware::from_fn_with_state(
            (Arc::clone(&shared), options.body_timeout),
            limit::body_deadline,
        ))
        .layer(origin::cors(&origins))
        .layer(middleware::from_fn_with_state(
            (origins.clone(), Arc::clone(&shared)),
            origin::refuse_strangers,
        ))
        .with_state(Arc::clone(&shared));
    let proxies =
        (!options.trusted_proxies.is_empty()).then(|| Proxies(options.trusted_proxies.clone()));
    let realtime = Arc::new(Realtime {
        app: Arc::clone(&shared),
        path: path.clone(),
        origins,
        proxies: proxies.clone(),
        max_message_size,
        body_timeout: options.body_timeout,
        compression_threshold: options.compression_threshold,
    });
    if let Some(proxies) = proxies {
        router = router.layer(middleware::from_fn_with_state(proxies, address::resolve));
    }
    // Around the router as a whole, since a route is found by what this makes of the path.
    let checked = middleware::from_fn_with_state(shared, head::check).layer(router);
    Site {
        router: Router::new().fallback_service(checked),
        realtime,
    }
}

/// Whether operators and backends call the path, and not clients.
pub fn is_for_operators(path: &str) -> bool {
    path.starts_with("/api/") || matches!(path.trim_end_matches('/'), "/healthz" | "/readyz")
}

/// The answer to whoever asks for something else while the last descriptors are left.
pub fn for_operators_only() -> Response {
    let mut fault = Fault::new(
        Code::ConnectionLimit,
        "the server has no file descriptors left for this",
    );
    fault.retry_after = Some(Duration::from_secs(1));
    Refusal(fault).into_response()
}

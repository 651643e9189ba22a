//! Every route, and the order of what stands before them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower::Layer;

use super::api::{broadcast, connections, disconnect, health, revocations, rooms, stats};
use super::assets;
use super::client_ip::{self, Proxies};
use super::middleware::compression::{self, Readable};
use super::middleware::origin::{self, Origins};
use super::middleware::{body_bounds, rate_limit, request_head};
use super::options::HttpOptions;
use super::realtime::{Realtime, Site};
use super::response::{self, Refusal};
use super::state::Shared;
use crate::domain::fault::{Code, Fault};
use crate::node::Node;
use crate::protocol::plain::PlainGateway;
use crate::protocol::socket_io::SocketIoGateway;
use crate::wire::buffers::Buffers;

/// The whole HTTP service.
pub fn router(
    node: Arc<Node>,
    socket_io: Arc<SocketIoGateway>,
    plain: Arc<PlainGateway>,
    buffers: Arc<Buffers>,
    options: &HttpOptions,
) -> Site {
    let origins = Origins::new(options);
    let max_message_size = options.max_message_size;
    let shared = Arc::new(Shared {
        hub: Arc::clone(&node.hub),
        node,
        socket_io,
        plain,
        access: options.access.clone(),
        max_message_size,
        compresses: options.compression_threshold.is_some(),
        connections: Arc::clone(&options.connections),
        buffers,
    });
    let path = &options.path;
    let counted_by_address = from_fn_with_state(Arc::clone(&shared), rate_limit::by_address);
    let others = Router::new()
        .route("/api/ws/stats", get(stats::stats))
        .route("/api/ws/connections", get(connections::connections))
        .route("/api/ws/connections/{id}", get(connections::connection))
        .route("/api/ws/rooms", get(rooms::rooms))
        .route("/api/ws/disconnect/{user_id}", post(disconnect::disconnect))
        .route("/api/ws/revoke", post(revocations::revoke))
        .route(
            "/api/ws/revocations",
            get(revocations::revocations).delete(revocations::take_back),
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
        .layer(map_response(response::no_store))
        .layer(from_fn_with_state(
            Readable {
                limit: max_message_size,
                compressed: options.compression_threshold.is_some(),
            },
            compression::inflate,
        ));
    let page = if options.dashboard {
        assets::routes().route_layer(counted_by_address)
    } else {
        Router::new()
    };
    // Clients don't come this way, see `realtime`: what is left are other methods.
    let clients = Router::new()
        .route(path, axum::routing::any(response::no_client_method))
        .route(
            &format!("{path}/"),
            axum::routing::any(response::no_client_method),
        );
    let mut router = Router::new()
        .merge(clients)
        .merge(api)
        .merge(page)
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .fallback(response::no_route)
        .method_not_allowed_fallback(response::wrong_method)
        .layer(DefaultBodyLimit::max(max_message_size))
        .layer(from_fn_with_state(
            max_message_size,
            body_bounds::body_length,
        ))
        .layer(compression::answers(options.compression_threshold))
        .layer(from_fn_with_state(
            (Arc::clone(&shared), options.body_timeout),
            body_bounds::body_deadline,
        ))
        .layer(origin::cors(&origins))
        .layer(from_fn_with_state(
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
        router = router.layer(from_fn_with_state(proxies, client_ip::resolve));
    }
    // Around the router as a whole, since a route is found by what this makes of the path.
    let checked = from_fn_with_state(shared, request_head::check).layer(router);
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

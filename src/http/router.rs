//! Every route, and the order of what stands before them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use tower::{Layer, Service};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::{
    broadcast, connections, disconnect, health, history, metrics, revocations, rooms, stats,
};
use super::client_ip::{self, Proxies};
use super::middleware::compression::{self, Readable};
use super::middleware::origin::{self, Origins};
use super::middleware::{body_bounds, rate_limit, request_head};
use super::options::HttpOptions;
use super::realtime::{Realtime, Site};
use super::response::{self, ErrorResponse};
use super::state::{App, Shared};
use super::{assets, openapi};
use crate::domain::error::{ClientError, Code};
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
    let (api, mut description) = api(counted_by_address.clone()).split_for_parts();
    let (probes, described) = OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .split_for_parts();
    description.merge(described);
    let api = api
        .layer(map_response(response::no_store))
        .layer(from_fn_with_state(
            Readable {
                limit: max_message_size,
                compressed: options.compression_threshold.is_some(),
            },
            compression::inflate,
        ));
    let description = assets::description(openapi::document(description));
    let pages = if options.dashboard {
        assets::dashboard().merge(assets::docs())
    } else {
        Router::new()
    };
    let pages = pages.merge(description).route_layer(counted_by_address);
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
        .merge(pages)
        .merge(probes)
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

/// What backends and operators call, each route as its handler describes it.
fn api<L>(counted_by_address: L) -> OpenApiRouter<App>
where
    L: Layer<Route> + Clone + Send + Sync + 'static,
    L::Service: Service<Request, Error = Infallible> + Clone + Send + Sync + 'static,
    <L::Service as Service<Request>>::Response: IntoResponse + 'static,
    <L::Service as Service<Request>>::Future: Send + 'static,
{
    let others = OpenApiRouter::new()
        .routes(routes!(stats::stats))
        .routes(routes!(metrics::metrics))
        .routes(routes!(connections::connections))
        .routes(routes!(connections::connection))
        .routes(routes!(rooms::rooms))
        .routes(routes!(history::history))
        .routes(routes!(history::latest))
        .routes(routes!(disconnect::disconnect))
        .routes(routes!(revocations::revoke))
        .routes(routes!(revocations::revocations, revocations::take_back))
        .route_layer(counted_by_address);
    OpenApiRouter::new()
        .routes(routes!(broadcast::broadcast))
        .routes(routes!(broadcast::kpi))
        .routes(routes!(broadcast::backlog))
        .routes(routes!(broadcast::attendance))
        .routes(routes!(broadcast::alert))
        .merge(others)
        .routes(routes!(health::health))
}

/// Whether operators and backends call the path, and not clients.
pub fn is_for_operators(path: &str) -> bool {
    path.starts_with("/api/")
        || matches!(
            path.trim_end_matches('/'),
            "/healthz" | "/readyz" | "/metrics"
        )
}

/// The answer to whoever asks for something else while the last descriptors are left.
pub fn for_operators_only() -> Response {
    let mut error = ClientError::new(
        Code::ConnectionLimit,
        "the server has no file descriptors left for this",
    );
    error.retry_after = Some(Duration::from_secs(1));
    ErrorResponse(error).into_response()
}

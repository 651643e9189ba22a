//! The doors of `/ws`: Engine.IO polling, Engine.IO WebSocket, and plain WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;

use super::reply::Refusal;
use super::router::App;
use crate::domain::fault::Fault;
use crate::protocol::engine_io::Query;
use crate::wire::buffers::Owner;
use crate::wire::websocket::handshake::{self, HandshakeError, into_transport, is_upgrade};
use crate::wire::websocket::negotiation;

/// Tells the three apart: an `EIO` in the query is Engine.IO, an upgrade without it is plain.
pub(super) async fn enter(app: &App, remote: SocketAddr, mut request: Request) -> Response {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    match (query.is_engine_io(), is_upgrade(request.headers())) {
        (true, false) => app.socket_io.request(&query, request, remote.ip()).await,
        (true, true) => engine_upgrade(app, remote, &query, &request, on_upgrade),
        (false, true) => plain_upgrade(app, remote, &request, on_upgrade),
        (false, false) => Refusal(Fault::invalid(
            "connect here with socket.io-client, or with a WebSocket",
        ))
        .into_response(),
    }
}

/// Whose the body of a request is.
pub(super) fn owner(app: &App, request: &Request) -> Owner {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    match app.socket_io.session_of(&query) {
        Some(session) if session.connection.is_authenticated() => Owner::Request,
        _ => Owner::Anonymous,
    }
}

fn engine_upgrade(
    app: &App,
    remote: SocketAddr,
    query: &Query,
    request: &Request,
    on_upgrade: Option<OnUpgrade>,
) -> Response {
    let (response, on_upgrade, deflates) = match accept(app, request, on_upgrade) {
        Ok(accepted) => accepted,
        Err(refused) => return refused,
    };
    let raw_query = request.uri().query().unwrap_or_default();
    let upgrade = app
        .socket_io
        .upgrade(query, raw_query, request.headers(), remote.ip());
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(refused) => return *refused,
    };
    tokio::spawn(async move {
        if let Some((transport, read_ahead)) = on_upgrade.await.ok().and_then(into_transport) {
            upgrade.serve(transport, &read_ahead, deflates);
        }
    });
    response
}

fn plain_upgrade(
    app: &App,
    remote: SocketAddr,
    request: &Request,
    on_upgrade: Option<OnUpgrade>,
) -> Response {
    let (response, on_upgrade, deflates) = match accept(app, request, on_upgrade) {
        Ok(accepted) => accepted,
        Err(refused) => return refused,
    };
    let query = request.uri().query().unwrap_or_default();
    let plain = match app.plain.upgrade(query, request.headers(), remote.ip()) {
        Ok(plain) => plain,
        Err(fault) => return Refusal(fault).into_response(),
    };
    let gateway = Arc::clone(&app.plain);
    tokio::spawn(async move {
        if let Some((transport, read_ahead)) = on_upgrade.await.ok().and_then(into_transport) {
            gateway.serve(plain, transport, read_ahead, deflates).await;
        }
    });
    response
}

/// The 101, what becomes of the connection after it, and whether it compresses; or the refusal.
#[expect(
    clippy::result_large_err,
    reason = "the error is the answer, made once"
)]
fn accept(
    app: &App,
    request: &Request,
    on_upgrade: Option<OnUpgrade>,
) -> Result<(Response, OnUpgrade, bool), Response> {
    let refuse = |error: HandshakeError| {
        let mut response = Refusal(Fault::invalid(error.to_string())).into_response();
        *response.status_mut() = error.status();
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let allowed = HeaderValue::from_static("GET, POST");
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        let version = HeaderValue::from_static("13");
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_VERSION, version);
        response
    };
    let mut response = handshake::accept::<_, Body>(request).map_err(refuse)?;
    let on_upgrade = on_upgrade.ok_or_else(|| refuse(HandshakeError::Incomplete))?;
    let extension = app
        .compresses
        .then(|| negotiation::answer(request.headers()))
        .flatten();
    let deflates = extension.is_some();
    if let Some(extension) = extension {
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_EXTENSIONS, extension);
    }
    Ok((response, on_upgrade, deflates))
}

//! The doors of `/ws`: Engine.IO polling, Engine.IO WebSocket, and plain WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use hyper::upgrade::OnUpgrade;

use super::reply::Refusal;
use super::router::App;
use crate::domain::fault::Fault;
use crate::protocol::socket_io::Denied;
use crate::wire::negotiation;
use crate::wire::upgrade::{self, HandshakeError};

/// Tells the three apart: an `EIO` in the query is Engine.IO, an upgrade without it is plain.
pub(super) async fn enter(
    State(app): State<App>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let is_engine = query
        .split('&')
        .any(|pair| pair == "EIO" || pair.starts_with("EIO="));
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    match (is_engine, upgrade::is_upgrade(request.headers())) {
        (true, false) => match app.socket_io.poll(request, remote.ip()).await {
            Ok(response) => response,
            Err(fault) => Refusal(fault).into_response(),
        },
        (true, true) => engine_upgrade(&app, remote, &request, on_upgrade),
        (false, true) => plain_upgrade(&app, remote, &request, on_upgrade),
        (false, false) => Refusal(Fault::invalid(
            "connect here with socket.io-client, or with a WebSocket",
        ))
        .into_response(),
    }
}

fn engine_upgrade(
    app: &App,
    remote: SocketAddr,
    request: &Request,
    on_upgrade: Option<OnUpgrade>,
) -> Response {
    let (response, on_upgrade, deflates) = match accept(app, request, on_upgrade) {
        Ok(accepted) => accepted,
        Err(refused) => return refused,
    };
    let handshake = match app
        .socket_io
        .upgrade(request.uri(), request.headers(), remote.ip())
    {
        Ok(handshake) => handshake,
        Err(Denied::Refused(refused)) => return refused.response(),
        Err(Denied::Fault(fault)) => return Refusal(fault).into_response(),
    };
    let gateway = Arc::clone(&app.socket_io);
    tokio::spawn(async move {
        if let Some((transport, read_ahead)) =
            on_upgrade.await.ok().and_then(upgrade::into_transport)
        {
            gateway.attach(handshake, transport, read_ahead, deflates);
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
    let handshake = match app.plain.upgrade(query, request.headers(), remote.ip()) {
        Ok(handshake) => handshake,
        Err(fault) => return Refusal(fault).into_response(),
    };
    let gateway = Arc::clone(&app.plain);
    tokio::spawn(async move {
        if let Some((transport, read_ahead)) =
            on_upgrade.await.ok().and_then(upgrade::into_transport)
        {
            gateway
                .serve(handshake, transport, read_ahead, deflates)
                .await;
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
        let version = HeaderValue::from_static("13");
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_VERSION, version);
        response
    };
    let mut response = upgrade::accept::<_, Body>(request).map_err(refuse)?;
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

//! What clients come with to their path: Engine.IO polling, or a WebSocket for Engine.IO or for plain
//! messages.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;

use super::response::ErrorResponse;
use super::state::App;
use crate::domain::error::ClientError;
use crate::protocol::engine_io::Query;
use crate::wire::buffers::Owner;
use crate::wire::transport::Transport;
use crate::wire::websocket::handshake::{self, HandshakeError, into_transport, is_upgrade};
use crate::wire::websocket::negotiation;

/// Tells the three apart: an `EIO` in the query is Engine.IO, an upgrade without it is plain.
pub(super) async fn enter(app: &App, remote: SocketAddr, mut request: Request) -> Response {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (address, raw_query) = (remote.ip(), request.uri().query().unwrap_or_default());
    match (query.is_engine_io(), is_upgrade(request.headers())) {
        (true, false) => app.socket_io.request(&query, request, address).await,
        (true, true) => {
            let socket_io = &app.socket_io;
            let admit = || socket_io.upgrade(&query, raw_query, request.headers(), address);
            upgrade(
                app,
                &request,
                on_upgrade,
                admit,
                |client, transport, read_ahead, deflates| {
                    client.serve(transport, &read_ahead, deflates);
                    std::future::ready(())
                },
            )
        }
        (false, true) => {
            let plain = Arc::clone(&app.plain);
            let admit = || {
                let admitted = app.plain.upgrade(raw_query, request.headers(), address);
                admitted.map_err(|error| Box::new(ErrorResponse(error).into_response()))
            };
            upgrade(
                app,
                &request,
                on_upgrade,
                admit,
                async move |client, transport, read_ahead, deflates| {
                    plain.serve(client, transport, read_ahead, deflates).await;
                },
            )
        }
        (false, false) => ErrorResponse(ClientError::invalid(
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

/// Answers 101 and lets `serve` have the connection, unless the handshake is not one or `admit` refuses
/// the client.
fn upgrade<C, F>(
    app: &App,
    request: &Request,
    on_upgrade: Option<OnUpgrade>,
    admit: impl FnOnce() -> Result<C, Box<Response>>,
    serve: impl FnOnce(C, Transport, Bytes, bool) -> F + Send + 'static,
) -> Response
where
    C: Send + 'static,
    F: Future<Output = ()> + Send,
{
    let (response, on_upgrade, deflates) = match accept(app, request, on_upgrade) {
        Ok(accepted) => accepted,
        Err(refused) => return refused,
    };
    let client = match admit() {
        Ok(client) => client,
        Err(refused) => return *refused,
    };
    tokio::spawn(async move {
        if let Some((transport, read_ahead)) = on_upgrade.await.ok().and_then(into_transport) {
            serve(client, transport, read_ahead, deflates).await;
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
        let mut response = ErrorResponse(ClientError::invalid(error.to_string())).into_response();
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

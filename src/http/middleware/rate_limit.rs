//! How fast requests may come.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::response::ErrorResponse;
use crate::http::state::App;

/// Counts a request that is about no organization against its address.
pub(in crate::http) async fn by_address(
    State(app): State<App>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match app.hub.admission.request(None, remote.ip()) {
        Ok(()) => next.run(request).await,
        Err(error) => ErrorResponse(error).into_response(),
    }
}

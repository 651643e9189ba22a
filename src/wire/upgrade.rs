//! The server's side of the WebSocket handshake (RFC 6455 section 4.2).

use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, Response, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::http_stream::HttpStream;
use super::transport::Transport;

/// Why a request is no WebSocket handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HandshakeError {
    #[error("a WebSocket handshake is a GET request")]
    NotGet,
    #[error("this server speaks WebSocket version 13 only")]
    UnsupportedVersion,
    #[error("`Connection: Upgrade` or a valid `Sec-WebSocket-Key` is missing")]
    Incomplete,
}

impl HandshakeError {
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotGet => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedVersion => StatusCode::UPGRADE_REQUIRED,
            Self::Incomplete => StatusCode::BAD_REQUEST,
        }
    }
}

/// Whether the request asks for a WebSocket, well or badly.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket")
}

/// The 101 answer to a valid handshake.
pub fn accept<B, R: Default>(request: &Request<B>) -> Result<Response<R>, HandshakeError> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(HandshakeError::NotGet);
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return Err(HandshakeError::UnsupportedVersion);
    }
    // 16 bytes in base64 are 24 characters (section 4.1, point 7).
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let (Some(key), true) = (key, has_token(headers, &CONNECTION, "upgrade")) else {
        return Err(HandshakeError::Incomplete);
    };
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| HandshakeError::Incomplete)?;
    let mut response = Response::new(R::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let out = response.headers_mut();
    out.insert(UPGRADE, HeaderValue::from_static("websocket"));
    out.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    out.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// What is under an upgraded connection, with what the client sent ahead. `None` if the connection
/// is not one that the server's accept loop makes.
pub fn into_transport(upgraded: Upgraded) -> Option<(Transport, bytes::Bytes)> {
    let parts = upgraded.downcast::<TokioIo<HttpStream>>().ok()?;
    Some((parts.io.into_inner().into_transport(), parts.read_buf))
}

fn has_token(headers: &HeaderMap, name: &http::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> http::request::Builder {
        Request::get("/ws")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    #[test]
    fn the_example_of_rfc_6455_is_accepted() {
        let request = handshake().body(()).unwrap();
        assert!(is_upgrade(request.headers()));
        let response: Response<()> = accept(&request).unwrap();
        assert_eq!(response.status(), 101);
        assert_eq!(
            response.headers()["sec-websocket-accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn broken_handshakes_are_refused_with_their_reason() {
        let mut post = handshake().body(()).unwrap();
        *post.method_mut() = Method::POST;
        let mut old = handshake().body(()).unwrap();
        old.headers_mut()
            .insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"));
        let mut keyless = handshake().body(()).unwrap();
        keyless.headers_mut().remove(SEC_WEBSOCKET_KEY);
        for (request, expected) in [
            (post, HandshakeError::NotGet),
            (old, HandshakeError::UnsupportedVersion),
            (keyless, HandshakeError::Incomplete),
        ] {
            assert_eq!(accept::<_, ()>(&request).unwrap_err(), expected);
        }
    }
}

//! The server's side of the WebSocket handshake (RFC 6455 section 4.2).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, Response, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use thiserror::Error;

use crate::wire::http_stream::HttpStream;
use crate::wire::transport::Transport;

/// What is hashed behind the client's key (section 4.2.2, point 5.4).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request is no WebSocket handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HandshakeError {
    #[error("a WebSocket handshake is a GET request")]
    NotGet,
    #[error("this server speaks WebSocket version 13 only")]
    UnsupportedVersion,
    #[error(
        "`Connection: Upgrade` is missing, or there is not exactly one `Sec-WebSocket-Key` of \
         16 bytes in base64"
    )]
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
    let (Some(key), true) = (key(headers), has_token(headers, &CONNECTION, "upgrade")) else {
        return Err(HandshakeError::Incomplete);
    };
    let accept = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let accept = HeaderValue::try_from(BASE64_STANDARD.encode(accept))
        .map_err(|_| HandshakeError::Incomplete)?;
    let mut response = Response::new(R::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let out = response.headers_mut();
    out.insert(UPGRADE, HeaderValue::from_static("websocket"));
    out.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    out.insert(SEC_WEBSOCKET_ACCEPT, accept);
    // Any will do: what is spoken follows from the path and the query. A browser closes a connection
    // whose answer names none of those that it offered.
    if let Some(protocol) = first_protocol(headers) {
        out.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

/// The client's key: one, of 16 bytes in base64 (section 4.1, point 7).
fn key(headers: &HeaderMap) -> Option<&[u8]> {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let key = keys.next()?.as_bytes();
    let is_only = keys.next().is_none();
    let is_key = BASE64_STANDARD
        .decode(key)
        .is_ok_and(|nonce| nonce.len() == 16);
    (is_only && is_key).then_some(key)
}

/// The subprotocol that the client would like best.
fn first_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let list = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let first = list
        .split(',')
        .map(str::trim)
        .find(|name| !name.is_empty())?;
    HeaderValue::from_str(first).ok()
}

/// What is under an upgraded connection, with what the client sent ahead. `None` if the connection
/// is not one that the server's accept loop makes.
pub fn into_transport(upgraded: Upgraded) -> Option<(Transport, bytes::Bytes)> {
    let parts = upgraded.downcast::<TokioIo<HttpStream>>().ok()?;
    Some((parts.io.into_inner().into_transport(), parts.read_buf))
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
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
    fn the_first_subprotocol_that_is_offered_is_confirmed() {
        let protocol = |offered: &'static str| {
            let request = handshake().header("sec-websocket-protocol", offered);
            let response: Response<()> = accept(&request.body(()).unwrap()).unwrap();
            let protocol = response.headers().get(SEC_WEBSOCKET_PROTOCOL).cloned();
            protocol.map(|protocol| protocol.to_str().unwrap().to_owned())
        };
        assert_eq!(protocol("graphql-ws").as_deref(), Some("graphql-ws"));
        assert_eq!(protocol(" a , b").as_deref(), Some("a"));
        assert_eq!(protocol("").as_deref(), None);
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
        let with_key = |keys: &[&'static str]| {
            let mut request = handshake().body(()).unwrap();
            request.headers_mut().remove(SEC_WEBSOCKET_KEY);
            for key in keys {
                let key = HeaderValue::from_static(key);
                request.headers_mut().append(SEC_WEBSOCKET_KEY, key);
            }
            request
        };
        let good = "dGhlIHNhbXBsZSBub25jZQ==";
        assert!(accept::<_, ()>(&with_key(&[good])).is_ok());
        for keys in [
            &[good, good][..],
            &["dGhlIHNhbXBsZSBub25jZQ!!"],
            &["dGhlIHNhbXBsZQ=="],
        ] {
            let refused = accept::<_, ()>(&with_key(keys)).unwrap_err();
            assert_eq!(refused, HandshakeError::Incomplete, "{keys:?}");
        }
        for (request, expected) in [
            (post, HandshakeError::NotGet),
            (old, HandshakeError::UnsupportedVersion),
            (keyless, HandshakeError::Incomplete),
        ] {
            assert_eq!(accept::<_, ()>(&request).unwrap_err(), expected);
        }
    }
}

//! Socket.IO by socketioxide, behind our own WebSocket upgrade. The only folder that names it.
//!
//! The library reads packets, runs the handshakes of Engine.IO v3 and v4 and the heartbeat, and
//! serves polling. What is sent goes its way through a [`lane::Lane`].

mod engine;
mod farewell;
#[cfg(feature = "fuzzing")]
mod fuzz;
mod inspect;
mod item;
mod lane;
mod library;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::poll_immediate;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Collected, Limited};
use socketioxide::SocketIo;
use socketioxide::handler::ConnectHandler;
use socketioxide::service::SocketIoService;
use tower::Service;

#[cfg(feature = "fuzzing")]
pub use fuzz::fuzz_packets;

use engine::{Closer, EngineSession, EngineVersion, Entry, Sessions};
use farewell::in_place_of_marker;
use library::{Engine, Entrance, Handshake, LibraryPipe, MARKER, opened};

use super::enter;
use crate::auth::Authenticator;
use crate::auth::claim::{Claim, query_object};
use crate::domain::fault::Fault;
use crate::hub::Hub;
use crate::wire::flusher::Flusher;
use crate::wire::link::LinkOptions;
use crate::wire::stream::Stream;
use crate::wire::transport::Transport;

/// Its inner service only answers requests for another path, of which the router lets none through.
type LibraryService = SocketIoService<Router>;

/// What the Socket.IO side is configured with.
#[derive(Debug, Clone)]
pub struct SocketIoOptions {
    pub path: String,
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    pub connect_timeout: Duration,
    pub ack_timeout: Duration,
    pub max_message_size: usize,
    pub link: LinkOptions,
    pub flusher: Flusher,
}

/// The door for Engine.IO requests.
pub struct SocketIoGateway {
    service: LibraryService,
    sessions: Arc<Sessions<LibraryPipe>>,
    hub: Arc<Hub>,
    authenticator: Arc<dyn Authenticator>,
    closer: Closer,
    options: SocketIoOptions,
}

/// A checked WebSocket handshake that awaits its stream.
pub struct Upgrade {
    session: Engine,
    uri: Uri,
}

/// Why an Engine.IO request is refused, in the library's own terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    UnknownTransport,
    UnknownSession,
    BadRequest,
    UnsupportedVersion,
}

/// Why a WebSocket handshake is not accepted.
#[derive(Debug)]
pub enum Denied {
    /// It is not as Engine.IO wants it.
    Refused(Refused),
    /// There is no place for it, or it came too soon.
    Fault(Fault),
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Fault> for Denied {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Refused {
    /// The numbers and texts of Engine.IO's reference implementation.
    pub fn response(self) -> Response<Body> {
        let (code, message) = match self {
            Self::UnknownTransport => (0, "Transport unknown"),
            Self::UnknownSession => (1, "Session ID unknown"),
            Self::BadRequest => (3, "Bad request"),
            Self::UnsupportedVersion => (5, "Unsupported protocol version"),
        };
        let body = serde_json::json!({ "code": code, "message": message }).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        let json = header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

impl SocketIoGateway {
    pub fn new(
        hub: Arc<Hub>,
        authenticator: Arc<dyn Authenticator>,
        options: SocketIoOptions,
    ) -> Self {
        let limit = options.max_message_size;
        let (service, io) = SocketIo::builder()
            .req_path(options.path.clone())
            .ping_interval(options.ping_interval)
            .ping_timeout(options.ping_timeout)
            .connect_timeout(options.connect_timeout)
            .ack_timeout(options.ack_timeout)
            .max_payload(limit as u64)
            .ws_max_message_size(limit)
            .ws_max_frame_size(limit)
            .ws_read_buffer_size(128)
            .build_with_inner_svc(Router::new());
        let entrance = Entrance {
            hub: Arc::clone(&hub),
            authenticator: Arc::clone(&authenticator),
            link: options.link,
        };
        let middleware = move |handshake: Handshake| {
            let entrance = entrance.clone();
            async move { entrance.admit(&handshake).await }
        };
        io.ns("/", opened.with(middleware));
        let closer = closer(service.clone(), options.path.clone());
        Self {
            service,
            sessions: Arc::default(),
            hub,
            authenticator,
            closer,
            options,
        }
    }

    /// Serves a polling request.
    /// A handshake fails with `RATE_LIMIT_EXCEEDED` or `CONNECTION_LIMIT`.
    pub async fn poll(
        &self,
        mut request: Request<Body>,
        remote_address: IpAddr,
    ) -> Result<Response<Body>, Fault> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        if let Some(sid) = parameter(&query, "sid") {
            return Ok(match self.sessions.get(&sid) {
                Some(session) if request.method() == Method::POST => {
                    self.post(request, &session).await
                }
                Some(session) if request.method() == Method::GET => {
                    self.get(request, &session).await
                }
                // The library says what is wrong with it.
                _ => self.call(request).await,
            });
        }
        let Ok(version) = version(&query) else {
            return Ok(Refused::UnsupportedVersion.response());
        };
        self.hub.gate.handshake(remote_address)?;
        let entry = Entry::Admitted(self.hub.gate.admit(remote_address)?);
        let session = self.session(entry, &query, request.headers(), remote_address, version);
        // The library keeps the request as long as the session.
        *request.uri_mut() = copied(request.uri());
        request.headers_mut().clear();
        request.extensions_mut().clear();
        request.extensions_mut().insert(Arc::clone(&session));
        let (parts, body) = self.call(request).await.into_parts();
        let Ok(body) = body.collect().await else {
            return Ok(Refused::BadRequest.response());
        };
        let body = body.to_bytes();
        if let Some(sid) = opened_sid(&body) {
            self.sessions.insert(&sid, &session);
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    /// A poll, and what it means for what waits for the client.
    async fn get(&self, request: Request<Body>, session: &Engine) -> Response<Body> {
        // Without a budget, the library looks through all of its queue before it waits.
        let mut call = pin!(tokio::task::unconstrained(self.call(request)));
        let at_once = poll_immediate(call.as_mut()).await;
        if at_once.is_none()
            && let Some(client) = session.client()
        {
            client.lane.poll_waits();
        }
        let response = match at_once {
            Some(response) => response,
            None => call.await,
        };
        let Some(client) = session.client().filter(|_| response.status().is_success()) else {
            return response;
        };
        if client.lane.is_leaving() {
            let (response, is_last) = in_place_of_marker(session.version, response).await;
            if is_last {
                client.lane.marker_passed();
            } else {
                client.lane.pump();
            }
            return response;
        }
        client.lane.pump();
        response
    }

    /// Hands the packets of a polling request to the library, a part at a time: whoever sends
    /// faster than it polls for the answers waits.
    async fn post(&self, request: Request<Body>, session: &Engine) -> Response<Body> {
        let _turn = session.turn().await;
        let (parts, body) = request.into_parts();
        let limited = Limited::new(body, self.options.max_message_size);
        let Ok(body) = limited.collect().await.map(Collected::to_bytes) else {
            let mut answer = Refused::BadRequest.response();
            *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            return answer;
        };
        let bodies = match session.inspect_payload(&body) {
            Some(bodies) => bodies.into_iter().map(Bytes::from).collect(),
            None => vec![body],
        };
        let mut response = Response::new(Body::from("ok"));
        for body in bodies {
            if let Some(client) = session.client() {
                let room = client.lane.uncongested();
                if tokio::time::timeout(self.options.ping_timeout, room)
                    .await
                    .is_err()
                {
                    session.close_transport();
                    break;
                }
            }
            let mut request = Request::from_parts(parts.clone(), Body::from(body));
            request.headers_mut().remove(header::CONTENT_LENGTH);
            response = self.call(request).await;
            if response.status() != StatusCode::OK {
                break;
            }
        }
        response
    }

    /// Checks a WebSocket handshake before it is accepted.
    pub fn upgrade(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        remote_address: IpAddr,
    ) -> Result<Upgrade, Denied> {
        let query = uri.query().unwrap_or_default();
        let version = version(query)?;
        if parameter(query, "transport").as_deref() != Some("websocket") {
            return Err(Refused::UnknownTransport.into());
        }
        let session = if let Some(sid) = parameter(query, "sid") {
            let session = self.sessions.get(&sid).ok_or(Refused::UnknownSession)?;
            if session.link().is_some() {
                return Err(Refused::BadRequest.into());
            }
            session
        } else {
            self.hub.gate.handshake(remote_address)?;
            let entry = match enter(&self.hub, remote_address)? {
                Ok(ticket) => Entry::Admitted(ticket),
                Err(refused) => Entry::Refused(refused),
            };
            self.session(entry, query, headers, remote_address, version)
        };
        Ok(Upgrade {
            session,
            uri: copied(uri),
        })
    }

    /// Hands an accepted WebSocket to the library; `deflates` if permessage-deflate was agreed on.
    pub fn attach(
        &self,
        upgrade: Upgrade,
        transport: Transport,
        read_ahead: Bytes,
        deflates: bool,
    ) {
        let Upgrade { session, uri } = upgrade;
        let tap = Arc::clone(&session);
        let link = self.options.link.negotiated(deflates);
        let flusher = &self.options.flusher;
        let stream = Stream::new(transport, read_ahead, MARKER, link, flusher, tap);
        session.set_link(stream.link());
        let mut request = Request::new(());
        *request.uri_mut() = uri;
        request.extensions_mut().insert(session);
        // The call only spawns; what it could refuse was checked before.
        if let Some(Err(refused)) = self
            .service
            .clone()
            .call((Box::new(stream), request))
            .now_or_never()
        {
            tracing::debug!(%refused, "WebSocket refused after its handshake");
        }
    }

    fn session(
        &self,
        entry: Entry,
        query: &str,
        headers: &HeaderMap,
        remote_address: IpAddr,
        version: EngineVersion,
    ) -> Engine {
        let cookie = self.authenticator.token_cookie();
        let claim = Claim::from_handshake(query, headers, cookie);
        let (hub, closer) = (Arc::clone(&self.hub), Arc::clone(&self.closer));
        let limit = self.options.max_message_size;
        EngineSession::new(hub, entry, remote_address, version, claim, closer, limit)
    }

    async fn call(&self, request: Request<Body>) -> Response<Body> {
        match self.service.clone().call(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }
}

/// Closes a session on polling as a client would: with a close packet.
fn closer(service: LibraryService, path: String) -> Closer {
    Arc::new(move |sid, version| {
        let (number, packet) = match version {
            EngineVersion::V3 => (3, "1:1"),
            EngineVersion::V4 => (4, "1"),
        };
        let uri = format!("{path}/?EIO={number}&transport=polling&sid={sid}");
        let Ok(request) = Request::post(uri).body(Body::from(packet)) else {
            return;
        };
        let mut service = service.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { service.call(request).await.map(drop) });
        }
    })
}

/// The URI in memory of its own: hyper's shares the buffer that the whole request was read into,
/// which would stay as long as the session.
fn copied(uri: &Uri) -> Uri {
    Uri::try_from(uri.to_string()).unwrap_or_default()
}

fn parameter(query: &str, name: &str) -> Option<String> {
    match query_object(query, |found| found == name).remove(name) {
        Some(serde_json::Value::String(value)) => Some(value),
        _ => None,
    }
}

fn version(query: &str) -> Result<EngineVersion, Refused> {
    match parameter(query, "EIO").as_deref() {
        Some("3") => Ok(EngineVersion::V3),
        Some("4") => Ok(EngineVersion::V4),
        _ => Err(Refused::UnsupportedVersion),
    }
}

/// The session id in the answer to a handshake (Engine.IO v4, packet `open`).
fn opened_sid(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("\"sid\":\"")?;
    rest.split_once('"').map(|(sid, _)| sid.to_owned())
}

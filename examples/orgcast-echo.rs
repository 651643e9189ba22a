//! Echo applications on the server's own Engine.IO and Socket.IO layers, for the protocols' suites.
//!
//! `/engine.io/` sends every message back. `/socket.io/` has the namespaces `/` and `/custom`: it emits
//! `auth` with what came with CONNECT, answers `message` with `message-back`, and acknowledges
//! `message-with-ack`. Prints `listening on http://127.0.0.1:PORT`.

use std::collections::HashSet;
use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use orgcast::domain::error::CloseReason;
use orgcast::protocol::engine_io::packet::binary_frame;
use orgcast::protocol::engine_io::{
    Application, EngineIo, EngineOptions, HandshakeRequest, Peek, ProtocolVersion, Query, Session,
};
use orgcast::protocol::socket_io::decoder::{Decoder, Incoming, IncomingKind, Malformed};
use orgcast::wire::connections::{Connections, TcpSlot};
use orgcast::wire::http_stream::{BodyLength, HttpStream, HttpTimeouts, Phase};
use orgcast::wire::send_queue::flusher::SendQueues;
use orgcast::wire::send_queue::{DropPolicy, LinkOptions, Observer};
use orgcast::wire::transport::Transport;
use orgcast::wire::websocket::frame::{Opcode, server_frame};
use orgcast::wire::websocket::handshake::{accept, into_transport, is_upgrade};
use orgcast::wire::websocket::violation::ProtocolViolation;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

const MAX_PAYLOAD: usize = 1_000_000;

struct Quiet;

impl Observer for Quiet {
    fn delivered(&self, _waited: Duration) {}
}

/// What an application does with messages; the rest is the same for both.
trait Echo: Send + Sync + Sized + 'static {
    type Connection: Default + Send + Sync + 'static;
    fn text(session: &Session<Echoing<Self>>, text: String);
    fn binary(session: &Session<Echoing<Self>>, data: Bytes);
    fn opened(_session: &Session<Echoing<Self>>) {}
}

struct Echoing<E>(std::marker::PhantomData<E>);

impl<E: Echo> Application for Echoing<E> {
    type Connection = E::Connection;

    fn admit(&self, _: &HandshakeRequest<'_>) -> Result<E::Connection, Box<Response<Body>>> {
        Ok(E::Connection::default())
    }

    fn opened(&self, session: &Arc<Session<Self>>) {
        E::opened(session);
    }

    async fn is_within_rate(&self, _: &Arc<Session<Self>>, _: Peek<'_>) -> bool {
        true
    }

    fn max_message(&self, _: &Session<Self>) -> usize {
        MAX_PAYLOAD
    }

    async fn message(&self, session: &Arc<Session<Self>>, text: String) {
        E::text(session, text);
    }

    async fn binary(&self, session: &Arc<Session<Self>>, data: Bytes) {
        E::binary(session, data);
    }

    fn violated(
        &self,
        _: &Arc<Session<Self>>,
        violation: ProtocolViolation,
    ) -> (Bytes, CloseReason) {
        let reason = match violation {
            ProtocolViolation::TooLarge => CloseReason::MessageTooLarge,
            ProtocolViolation::Utf8 => CloseReason::InvalidUtf8,
            ProtocolViolation::Framing | ProtocolViolation::Deflate => CloseReason::ProtocolError,
        };
        (Bytes::new(), reason)
    }

    fn check(&self, _: &Arc<Session<Self>>, _: Instant) -> Option<Instant> {
        None
    }

    fn round_trip(&self, _: Duration) {}

    fn closed(&self, _: &Arc<Session<Self>>, _: Option<CloseReason>) {}
}

struct EngineEcho;

impl Echo for EngineEcho {
    type Connection = ();

    fn text(session: &Session<Echoing<Self>>, text: String) {
        let frame = server_frame(Opcode::Text, format!("4{text}").as_bytes());
        session.push(&frame, DropPolicy::Reply);
    }

    fn binary(session: &Session<Echoing<Self>>, data: Bytes) {
        session.push(&binary_frame(session.version, &data), DropPolicy::Reply);
    }
}

struct SocketEcho;

struct SocketState {
    decoder: Decoder,
    joined: HashSet<String>,
}

struct SocketConnection(Mutex<SocketState>);

impl Default for SocketConnection {
    fn default() -> Self {
        Self(Mutex::new(SocketState {
            decoder: Decoder::new(MAX_PAYLOAD),
            joined: HashSet::new(),
        }))
    }
}

impl Echo for SocketEcho {
    type Connection = SocketConnection;

    fn text(session: &Session<Echoing<Self>>, text: String) {
        let decoded = session.connection.0.lock().decoder.text(text);
        answer(session, decoded);
    }

    fn binary(session: &Session<Echoing<Self>>, data: Bytes) {
        let decoded = session.connection.0.lock().decoder.binary(data);
        answer(session, decoded);
    }

    /// A 2.x client is in `/` by itself.
    fn opened(session: &Session<Echoing<Self>>) {
        if session.version == ProtocolVersion::V3 {
            session.connection.0.lock().joined.insert("/".to_owned());
            send(session, "40", &[]);
            send(session, "42[\"auth\",{}]", &[]);
        }
    }
}

fn answer(session: &Session<Echoing<SocketEcho>>, decoded: Result<Option<Incoming>, Malformed>) {
    let (namespace, kind) = match decoded {
        Ok(Some(Incoming { namespace, kind })) => (namespace, kind),
        Ok(None) => return,
        Err(Malformed) => return session.fail(CloseReason::ProtocolError),
    };
    let prefix = if namespace == "/" {
        String::new()
    } else {
        format!("{namespace},")
    };
    let is_joined = session.connection.0.lock().joined.contains(&namespace);
    match kind {
        IncomingKind::Connect(_) if !matches!(namespace.as_str(), "/" | "/custom") => {
            send(
                session,
                &format!("44{prefix}{{\"message\":\"Invalid namespace\"}}"),
                &[],
            );
        }
        IncomingKind::Connect(auth) if !is_joined => {
            let auth = auth.unwrap_or_else(|| "{}".to_owned());
            if !auth.starts_with('{') {
                return session.fail(CloseReason::ProtocolError);
            }
            session.connection.0.lock().joined.insert(namespace);
            let id = uuid::Uuid::now_v7();
            send(session, &format!("40{prefix}{{\"sid\":\"{id}\"}}"), &[]);
            send(session, &format!("42{prefix}[\"auth\",{auth}]"), &[]);
        }
        _ if !is_joined => session.fail(CloseReason::ProtocolError),
        IncomingKind::Disconnect => {
            session.connection.0.lock().joined.remove(&namespace);
        }
        IncomingKind::Event {
            arguments,
            attachments,
            ack,
        } => {
            let count = attachments.len();
            let binary = |kind: char| match (count, kind) {
                (0, kind) => kind.to_string(),
                (count, '2') => format!("5{count}-"),
                (count, _) => format!("6{count}-"),
            };
            let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(&arguments) else {
                return session.fail(CloseReason::ProtocolError);
            };
            let rest = serde_json::Value::from(values.get(1..).unwrap_or_default().to_vec());
            match (values.first().and_then(serde_json::Value::as_str), ack) {
                (Some("message"), _) => {
                    let rest = rest.to_string();
                    let inner = &rest[1..rest.len() - 1];
                    let comma = if inner.is_empty() { "" } else { "," };
                    let head = format!("4{}{prefix}", binary('2'));
                    let text = format!("{head}[\"message-back\"{comma}{inner}]");
                    send(session, &text, &attachments);
                }
                (Some("message-with-ack"), Some(id)) => {
                    let head = format!("4{}{prefix}{id}", binary('3'));
                    send(session, &format!("{head}{rest}"), &attachments);
                }
                (None, _) if !values.first().is_some_and(serde_json::Value::is_number) => {
                    session.fail(CloseReason::ProtocolError);
                }
                _ => {}
            }
        }
        IncomingKind::Connect(_) => session.fail(CloseReason::ProtocolError),
        IncomingKind::Ack(_) => {}
    }
}

fn send(session: &Session<Echoing<SocketEcho>>, text: &str, attachments: &[Bytes]) {
    let mut item = BytesMut::from(&server_frame(Opcode::Text, text.as_bytes())[..]);
    for data in attachments {
        item.extend_from_slice(&binary_frame(session.version, data));
    }
    session.push(&item.freeze(), DropPolicy::Reply);
}

fn engine<E: Echo>(queues: &Arc<SendQueues>) -> Arc<EngineIo<Echoing<E>>> {
    let millis = |name: &str, default: u64| {
        let value = std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok());
        Duration::from_millis(value.unwrap_or(default))
    };
    let options = EngineOptions {
        ping_interval: millis("ECHO_PING_INTERVAL_MS", 300),
        ping_timeout: millis("ECHO_PING_TIMEOUT_MS", 200),
        upgrade_timeout: Duration::from_secs(10),
        max_payload: MAX_PAYLOAD,
        max_answer: MAX_PAYLOAD,
    };
    let application = Echoing(std::marker::PhantomData);
    let engine = Arc::new(EngineIo::new(application, options, Arc::clone(queues)));
    tokio::spawn(engine.keep_time());
    engine
}

async fn serve<E: Echo>(
    engine: Arc<EngineIo<Echoing<E>>>,
    mut request: Request<Body>,
) -> Response<Body> {
    let remote = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let raw_query = request.uri().query().unwrap_or_default().to_owned();
    let query = Query::parse(&raw_query);
    if !is_upgrade(request.headers()) {
        return engine.request(&query, request, remote).await;
    }
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (Ok(response), Some(on_upgrade)) = (accept(&request), on_upgrade) else {
        return status(StatusCode::BAD_REQUEST);
    };
    match engine.upgrade(&query, &raw_query, request.headers(), remote) {
        Ok(upgrade) => {
            tokio::spawn(async move {
                if let Some((transport, read)) = on_upgrade.await.ok().and_then(into_transport) {
                    upgrade.serve(transport, &read, false);
                }
            });
            response
        }
        Err(refused) => *refused,
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

async fn connection(
    tcp: TcpStream,
    slot: TcpSlot,
    engine_io: Arc<EngineIo<Echoing<EngineEcho>>>,
    socket_io: Arc<EngineIo<Echoing<SocketEcho>>>,
) {
    let patience = Duration::from_mins(1);
    let timeouts = HttpTimeouts {
        header: patience,
        keep_alive: patience,
        write: patience,
    };
    let phase = Arc::new(Phase::new(slot));
    let stream = HttpStream::new(Transport::Tcp(tcp), timeouts, Arc::clone(&phase));
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (engine_io, socket_io) = (Arc::clone(&engine_io), Arc::clone(&socket_io));
        let serving = phase.serve(BodyLength::NONE);
        async move {
            let request = request.map(Body::new);
            let path = request.uri().path().trim_end_matches('/').to_owned();
            let response = match path.as_str() {
                "/engine.io" => serve(engine_io, request).await,
                "/socket.io" => serve(socket_io, request).await,
                _ => status(StatusCode::NOT_FOUND),
            };
            drop(serving);
            Ok::<_, Infallible>(response)
        }
    });
    // A client that hangs up is no fault of the server's.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let link = LinkOptions {
        max_messages: 10_000,
        max_bytes: 64 << 20,
        max_buffered: 0,
        write_timeout: Duration::from_secs(10),
        compression_threshold: None,
    };
    let queues = SendQueues::new(link, Arc::new(Quiet));
    let (engine_io, socket_io) = (engine(&queues), engine(&queues));
    let connections = Arc::new(Connections::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(
        io::stdout(),
        "listening on http://{}",
        listener.local_addr()?
    )?;
    loop {
        let (tcp, remote) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let Some(slot) = connections.open(remote.ip(), false) else {
            continue;
        };
        let (engine_io, socket_io) = (Arc::clone(&engine_io), Arc::clone(&socket_io));
        tokio::spawn(connection(tcp, slot, engine_io, socket_io));
    }
}

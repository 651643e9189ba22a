//! Engine.IO v3 and v4: sessions over long-polling and WebSocket, and the move from one to the other.
//!
//! A session is one queue, one heartbeat and one application connection, whatever carries it. Polling
//! goes on until the client says that it has moved; a WebSocket that comes to nothing ends alone.
//! Sessions have no task on polling and one on a WebSocket, and one clock looks after all of them.

pub mod packet;
mod polling;
mod query;
mod refusal;
mod session;
mod websocket;
mod wheel;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use dashmap::DashMap;
use engineioxide_core::{OpenPacket, Packet, Sid, TransportType};
use http::{HeaderMap, Request, Response};

pub use engineioxide_core::ProtocolVersion;
pub use query::{Query, Transport as QueryTransport};
pub use refusal::Refusal;
pub use session::Session;
pub use websocket::Upgrade;

use crate::domain::error::CloseReason;
use crate::wire::send_queue::flusher::SendQueues;
use crate::wire::websocket::violation::ProtocolViolation;
use wheel::Wheel;

/// How sessions are kept.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    /// How long a WebSocket may take to become a session's transport.
    pub upgrade_timeout: Duration,
    /// The longest request of a polling client, as it is told at the handshake.
    pub max_payload: usize,
    /// About how much one answer to a poll carries.
    pub max_answer: usize,
}

/// What a client says of itself before it has a session.
#[derive(Debug, Clone, Copy)]
pub struct HandshakeRequest<'a> {
    pub version: ProtocolVersion,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub remote_address: IpAddr,
}

/// A packet that is yet to be inflated and parsed.
#[derive(Debug, Clone, Copy)]
pub enum Peek<'a> {
    /// Its bytes, unless they are compressed.
    Text(Option<&'a [u8]>),
    Binary,
    /// A ping or pong of WebSocket itself.
    Control,
}

/// What runs on Engine.IO. Its methods are called for one packet of a session after the other.
pub trait Application: Send + Sync + Sized + 'static {
    /// What the application knows of a client; it lives as long as the session.
    type Connection: Send + Sync + 'static;

    /// A client asks for a session; the error is what its request is answered.
    fn admit(
        &self,
        handshake: &HandshakeRequest<'_>,
    ) -> Result<Self::Connection, Box<Response<Body>>>;

    /// The session is open, and the client knows.
    fn opened(&self, session: &Arc<Session<Self>>);

    /// Whether a packet may cost any work. Whoever waits here slows its client down.
    fn is_within_rate(
        &self,
        session: &Arc<Session<Self>>,
        packet: Peek<'_>,
    ) -> impl Future<Output = bool> + Send;

    /// The longest message that may come now, inflated.
    fn max_message(&self, session: &Session<Self>) -> usize;

    fn message(
        &self,
        session: &Arc<Session<Self>>,
        text: String,
    ) -> impl Future<Output = ()> + Send;

    fn binary(&self, session: &Arc<Session<Self>>, data: Bytes) -> impl Future<Output = ()> + Send;

    /// The client broke the rules; answers the frames that say so, and why the session ends.
    fn violated(
        &self,
        session: &Arc<Session<Self>>,
        violation: ProtocolViolation,
    ) -> (Bytes, CloseReason);

    /// Called now and then; answers when it wants to be called again.
    fn check(&self, session: &Arc<Session<Self>>, now: Instant) -> Option<Instant>;

    /// A heartbeat took this long.
    fn round_trip(&self, time: Duration);

    /// The session is over; called once. Without a reason it was the client's will.
    fn closed(&self, session: &Arc<Session<Self>>, reason: Option<CloseReason>);
}

/// What the sessions of one server share.
pub(in crate::protocol) struct Shared<A: Application> {
    pub application: A,
    pub options: EngineOptions,
    pub queues: Arc<SendQueues>,
    /// Sessions that were opened by polling: only they get further requests.
    sessions: DashMap<Sid, Arc<Session<A>>>,
    wheel: Wheel<Session<A>>,
}

/// The Engine.IO side of a server.
pub struct EngineIo<A: Application>(Arc<Shared<A>>);

impl<A: Application> EngineIo<A> {
    pub fn new(application: A, options: EngineOptions, queues: Arc<SendQueues>) -> Self {
        Self(Arc::new(Shared {
            application,
            options,
            queues,
            sessions: DashMap::new(),
            wheel: Wheel::new(Instant::now()),
        }))
    }

    pub fn application(&self) -> &A {
        &self.0.application
    }

    /// Heartbeats and deadlines. Runs for ever; without it no session ends by itself.
    pub fn keep_time(&self) -> impl Future<Output = ()> + Send + use<A> {
        let shared = Arc::clone(&self.0);
        async move { shared.wheel.run().await }
    }

    /// The session that a request names.
    pub fn session_of(&self, query: &Query) -> Option<Arc<Session<A>>> {
        self.0.session(query.sid()?, query.version().ok()?).ok()
    }

    /// Serves a request that is no WebSocket handshake.
    pub async fn request(
        &self,
        query: &Query,
        request: Request<Body>,
        remote_address: IpAddr,
    ) -> Response<Body> {
        polling::serve(&self.0, query, request, remote_address)
            .await
            .unwrap_or_else(Refusal::response)
    }

    /// Checks a WebSocket handshake before it is accepted; the error is what it is answered.
    pub fn upgrade(
        &self,
        query: &Query,
        raw_query: &str,
        headers: &HeaderMap,
        remote_address: IpAddr,
    ) -> Result<Upgrade<A>, Box<Response<Body>>> {
        let refused = |refusal: Refusal| Box::new(refusal.response());
        let version = query.version().map_err(refused)?;
        let transport = query.transport().map_err(refused)?;
        if transport != QueryTransport::WebSocket {
            return Err(refused(Refusal::BadRequest));
        }
        let Some(sid) = query.sid() else {
            let handshake = HandshakeRequest {
                version,
                query: raw_query,
                headers,
                remote_address,
            };
            let connection = self.0.application.admit(&handshake)?;
            return Ok(Upgrade::open(&self.0, version, connection));
        };
        let session = self.0.session(sid, version).map_err(refused)?;
        let probe = session.begin_probe().map_err(refused)?;
        Ok(Upgrade::probe(&self.0, probe))
    }
}

impl<A: Application> Shared<A> {
    /// The session of a request, which has to be of the session's own version.
    fn session(&self, sid: &str, version: ProtocolVersion) -> Result<Arc<Session<A>>, Refusal> {
        let session = sid
            .parse()
            .ok()
            .and_then(|sid: Sid| self.sessions.get(&sid).map(|found| Arc::clone(&found)))
            .ok_or(Refusal::UnknownSession)?;
        if session.version == version {
            Ok(session)
        } else {
            Err(Refusal::BadRequest)
        }
    }

    /// The packet that opens a session, and the first appointment of its heartbeat.
    fn open(&self, session: &Arc<Session<A>>, upgrades: &[TransportType]) -> Packet {
        let EngineOptions {
            ping_interval,
            ping_timeout,
            max_payload,
            ..
        } = self.options;
        let first = match session.version {
            ProtocolVersion::V3 => ping_interval + ping_timeout,
            ProtocolVersion::V4 => ping_interval,
        };
        let now = Instant::now();
        let of_application = self.application.check(session, now);
        let first = now + first;
        session.look_again(of_application.map_or(first, |at| at.min(first)));
        Packet::Open(OpenPacket {
            sid: session.sid,
            upgrades: upgrades.iter().copied().collect(),
            ping_interval,
            ping_timeout,
            max_payload: max_payload as u64,
        })
    }
}

/// What becomes of a packet of either transport.
async fn handle<A: Application>(session: &Arc<Session<A>>, packet: Packet) {
    let application = &session.shared.application;
    match (packet, session.version) {
        (Packet::Message(text), _) => application.message(session, text.into()).await,
        (Packet::Binary(data) | Packet::BinaryV3(data), _) => {
            application.binary(session, data).await;
        }
        (Packet::Ping | Packet::PingUpgrade, ProtocolVersion::V3) => session.pinged(),
        (Packet::Pong, ProtocolVersion::V4) => session.ponged(),
        // The heartbeat goes the other way in this version.
        (Packet::Ping | Packet::PingUpgrade, ProtocolVersion::V4)
        | (Packet::Pong, ProtocolVersion::V3) => session.fail(CloseReason::ProtocolError),
        (Packet::Close, _) => session.left(),
        (Packet::Open(_) | Packet::PongUpgrade | Packet::Upgrade | Packet::Noop, _) => {}
    }
}

/// The packets of a polling request's body, for the fuzzer.
#[cfg(feature = "fuzzing")]
pub fn fuzz_payload(version: ProtocolVersion, body: &[u8]) -> Vec<Vec<u8>> {
    let packets = packet::split(version, body).unwrap_or_default();
    for text in packets
        .iter()
        .filter_map(|packet| std::str::from_utf8(packet).ok())
    {
        // A packet or an error, but no panic.
        let _ = packet::parse(version, text.to_owned());
    }
    packets.into_iter().map(<[u8]>::to_vec).collect()
}

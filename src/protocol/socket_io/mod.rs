//! Socket.IO on our own Engine.IO: CONNECT and DISCONNECT, events and their acknowledgements.

mod arguments;
mod client;
mod connect;
pub mod decoder;
mod deliver;
#[cfg(feature = "fuzzing")]
mod fuzz;
mod packet;
mod rate;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use serde_json::Value;
use serde_json::value::RawValue;

pub use arguments::Arguments;
#[cfg(feature = "fuzzing")]
pub use fuzz::fuzz_packets;

use client::{Client, answer, error_packet};
use decoder::{Incoming, IncomingKind, Malformed};
pub use packet::RESERVED_EVENTS;
use packet::read_event;
pub(in crate::protocol) use packet::{Beside, event as event_frames};

use super::engine_io::{Application, EngineIo, HandshakeRequest, Peek, ProtocolVersion, Session};
use super::session::{Reply, Said};
use super::{error_response, violation_of};
use crate::auth::credentials::{Credentials, query_object};
use crate::domain::error::{ClientError, CloseReason, Code};
use crate::domain::fields;
use crate::node::Node;
use crate::wire::send_queue::counting::HeldInput;
use crate::wire::websocket::violation::ProtocolViolation;

/// What the Socket.IO side is configured with.
#[derive(Debug, Clone, Copy)]
pub struct SocketIoOptions {
    pub connect_timeout: Duration,
    pub max_message_size: usize,
    pub arguments: Arguments,
}

/// The Socket.IO side of a server.
pub type SocketIoGateway = EngineIo<SocketIo>;

/// Socket.IO, as what runs on Engine.IO.
pub struct SocketIo {
    node: Arc<Node>,
    options: SocketIoOptions,
}

/// How long a client that was refused may keep its transport, to CONNECT as somebody else.
const REFUSED_GRACE: Duration = Duration::from_secs(5);

/// The longest message of a client that has not said who it is.
pub const MAX_ANONYMOUS_MESSAGE: usize = 32 * 1024;

type ClientSession = Session<SocketIo>;

impl SocketIo {
    pub fn new(node: Arc<Node>, options: SocketIoOptions) -> Self {
        Self { node, options }
    }

    fn admit_or_refuse(&self, handshake: &HandshakeRequest<'_>) -> Result<Client, ClientError> {
        let HandshakeRequest {
            version,
            query,
            headers,
            remote_address,
        } = *handshake;
        let asked = query_object(query, |name| name == "arguments");
        let arguments = match asked.get("arguments").and_then(Value::as_str) {
            None => self.options.arguments,
            Some(text) => Arguments::parse(text).ok_or_else(|| {
                let text = fields::shown(text);
                let allowed = Arguments::NAMES;
                ClientError::invalid(format!("`arguments` is `{text}`; allowed are {allowed}"))
            })?,
        };
        self.node.hub.admission.handshake(remote_address)?;
        let permit = self.node.hub.admission.admit(remote_address)?;
        let cookie = self.node.token_cookie();
        Ok(Client::new(
            permit,
            remote_address,
            arguments.form(version, headers, self.node.sessions.is_on()),
            Credentials::from_handshake(query, headers, cookie),
            self.options.max_message_size,
            Instant::now() + self.options.connect_timeout,
        ))
    }

    async fn handle(&self, session: &Arc<ClientSession>, incoming: Incoming) {
        let Incoming { namespace, kind } = incoming;
        let client = &session.connection;
        if let IncomingKind::Connect(auth) = kind {
            // Boxed: it is rare, and would be a part of every connection's task.
            Box::pin(self.connect(session, &namespace, auth)).await;
            return;
        }
        if namespace != "/" || client.state.lock().session.is_none() {
            // As the reference implementation does with what is for a namespace that was not joined.
            session.fail(CloseReason::ProtocolError);
            return;
        }
        match kind {
            IncomingKind::Connect(_) => {}
            IncomingKind::Disconnect => {
                let by = client.disconnect(self.options.connect_timeout);
                session.look_again(by);
            }
            IncomingKind::Ack(id) => {
                if let Some(session) = client.session() {
                    session.acknowledge(id);
                }
            }
            IncomingKind::Event {
                arguments,
                attachments,
                ack,
            } => match read_event(&arguments) {
                Some((event, data)) => {
                    handle_event(session, &event, data, attachments, ack).await;
                }
                None => session.fail(CloseReason::ProtocolError),
            },
        }
    }

    /// Counts that the server ends a client, unless it has left already.
    fn count_close(&self, client: &Client, reason: CloseReason) {
        match client.connection() {
            Some(connection) => self.node.hub.record_close(&connection, reason),
            None if client.has_left() => {}
            None => self.node.hub.metrics.count_close(reason),
        }
    }

    async fn decoded(
        &self,
        session: &Arc<ClientSession>,
        decoded: Result<Option<Incoming>, Malformed>,
    ) {
        match decoded {
            Ok(Some(incoming)) => self.handle(session, incoming).await,
            Ok(None) => {
                let (held, deadline) = {
                    let state = session.connection.state.lock();
                    (state.decoder.held(), state.decoder.deadline())
                };
                session.link().hold(HeldInput::Partial, held);
                if let Some(deadline) = deadline {
                    session.look_again(deadline);
                }
            }
            Err(Malformed) => session.fail(CloseReason::ProtocolError),
        }
    }
}

/// Handles an event and answers it.
async fn handle_event(
    session: &Arc<ClientSession>,
    event: &str,
    data: Option<&RawValue>,
    attachments: Vec<Bytes>,
    ack: Option<u64>,
) {
    let (connected, key) = {
        let state = session.connection.state.lock();
        (state.session.clone(), state.key)
    };
    let Some(connected) = connected else {
        return;
    };
    let said = Said {
        event,
        data,
        attachments,
        key,
    };
    // Boxed: it would be a part of every connection's task.
    let handled = Box::pin(connected.handle(said)).await;
    answer(session, ack, &handled.reply);
    // It passes by itself, so the client is to come back.
    if let Reply::Failed(error) = &handled.reply
        && error.code == Code::ConnectionLimit
    {
        session.close(CloseReason::ConnectionLimit);
    }
    handled.finish();
}

impl Application for SocketIo {
    type Connection = Client;

    fn admit(&self, handshake: &HandshakeRequest<'_>) -> Result<Client, Box<Response<Body>>> {
        self.admit_or_refuse(handshake)
            .map_err(|error| Box::new(error_response(&error)))
    }

    /// A 2.x client does not CONNECT to `/`; it is there by itself.
    fn opened(&self, session: &Arc<ClientSession>) {
        if session.version == ProtocolVersion::V3 {
            let session = Arc::clone(session);
            tokio::spawn(async move {
                let application = session.application();
                application.connect(&session, "/", None).await;
            });
        }
    }

    async fn is_within_rate(&self, session: &Arc<ClientSession>, packet: Peek<'_>) -> bool {
        self.check_rate(session, packet).await
    }

    fn max_message(&self, session: &ClientSession) -> usize {
        let most = self.options.max_message_size;
        if session.connection.is_authenticated() {
            most
        } else {
            most.min(MAX_ANONYMOUS_MESSAGE)
        }
    }

    async fn message(&self, session: &Arc<ClientSession>, text: String) {
        let _counted = session.link().handling(text.len());
        self.charge(session, text.len()).await;
        let decoded = session.connection.decode(|decoder| decoder.text(text));
        self.decoded(session, decoded).await;
    }

    async fn binary(&self, session: &Arc<ClientSession>, data: Bytes) {
        let _counted = session.link().handling(data.len());
        self.charge(session, data.len()).await;
        let decoded = session.connection.decode(|decoder| decoder.binary(data));
        if decoded.as_ref().is_ok_and(Option::is_some) {
            session.link().hold(HeldInput::Partial, 0);
        }
        self.decoded(session, decoded).await;
    }

    fn violated(
        &self,
        session: &Arc<ClientSession>,
        violation: ProtocolViolation,
    ) -> (Bytes, CloseReason) {
        let limit = self.max_message(session);
        let (error, reason) = violation_of(&self.node.hub, violation, limit);
        (error_packet(&error), reason)
    }

    fn check(&self, session: &Arc<ClientSession>, now: Instant) -> Option<Instant> {
        let (connect_by, attachments_by) = {
            let state = session.connection.state.lock();
            (state.connect_by, state.decoder.deadline())
        };
        if connect_by.is_some_and(|by| now >= by) {
            session.fail(CloseReason::AuthTimeout);
            return None;
        }
        if attachments_by.is_some_and(|by| now >= by) {
            session.fail(CloseReason::ProtocolError);
            return None;
        }
        [connect_by, attachments_by].into_iter().flatten().min()
    }

    fn round_trip(&self, time: Duration) {
        self.node.hub.metrics.ping_round_trip.record(time);
    }

    fn closed(&self, session: &Arc<ClientSession>, reason: Option<CloseReason>) {
        if let Some(reason) = reason {
            self.count_close(&session.connection, reason);
        }
        session.connection.leave();
    }
}

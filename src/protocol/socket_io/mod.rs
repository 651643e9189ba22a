//! Socket.IO on our own Engine.IO: CONNECT and DISCONNECT, events and their acknowledgements.

mod arguments;
mod client;
pub mod decoder;
#[cfg(feature = "fuzzing")]
mod fuzz;
mod packet;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

pub use arguments::Arguments;
#[cfg(feature = "fuzzing")]
pub use fuzz::fuzz_packets;

use client::{Client, answer, error};
use decoder::{Incoming, IncomingKind, Malformed};
pub(in crate::protocol) use packet::event as event_frames;
use packet::{Glance, glance, read_event};

use super::engine_io::{Application, EngineIo, Handshake, Peek, ProtocolVersion, Session};
use super::session::{self, Reply, Said};
use super::{fault_response, violation_of};
use crate::auth::Authenticator;
use crate::auth::claim::{Claim, query_object};
use crate::domain::fault::{CloseReason, Code, Fault};
use crate::domain::words;
use crate::hub::Hub;
use crate::hub::connection::{NewConnection, Protocol};
use crate::hub::ports::Deliver;
use crate::hub::rates::Admission;
use crate::hub::refused::Refused;
use crate::wire::send_queue::DropPolicy;
use crate::wire::websocket::read::ProtocolViolation;

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
    hub: Arc<Hub>,
    authenticator: Arc<dyn Authenticator>,
    options: SocketIoOptions,
}

/// How long a client that was refused may keep its transport, to CONNECT as somebody else.
const REFUSED_GRACE: Duration = Duration::from_secs(5);

/// The longest message of a client that has not said who it is.
pub const MAX_ANONYMOUS_MESSAGE: usize = 32 * 1024;

type ClientSession = Session<SocketIo>;

impl SocketIo {
    pub fn new(
        hub: Arc<Hub>,
        authenticator: Arc<dyn Authenticator>,
        options: SocketIoOptions,
    ) -> Self {
        Self {
            hub,
            authenticator,
            options,
        }
    }

    fn admit_or_refuse(&self, handshake: &Handshake<'_>) -> Result<Client, Fault> {
        let Handshake {
            version,
            query,
            headers,
            remote_address,
        } = *handshake;
        let asked = query_object(query, |name| name == "arguments");
        let arguments = match asked.get("arguments").and_then(Value::as_str) {
            None => self.options.arguments,
            Some(text) => Arguments::parse(text).ok_or_else(|| {
                let text = words::shown(text);
                let allowed = Arguments::NAMES;
                Fault::invalid(format!("`arguments` is `{text}`; allowed are {allowed}"))
            })?,
        };
        self.hub.gate.handshake(remote_address)?;
        let ticket = self.hub.gate.admit(remote_address)?;
        let cookie = self.authenticator.token_cookie();
        Ok(Client::new(
            ticket,
            remote_address,
            arguments.form(version, headers),
            Claim::from_handshake(query, headers, cookie),
            self.options.max_message_size,
            Instant::now() + self.options.connect_timeout,
        ))
    }

    /// A CONNECT: one a namespace at a time.
    async fn connect(&self, session: &Arc<ClientSession>, namespace: &str, auth: Option<String>) {
        let version = session.version;
        if namespace != "/" {
            let nothing: Option<&()> = None;
            let refused = packet::connect_error(version, namespace, "Invalid namespace", nothing);
            session.push(&refused, DropPolicy::Reply);
            return;
        }
        {
            let mut state = session.connection.state.lock();
            if state.is_connecting || state.session.is_some() {
                drop(state);
                session.fail(CloseReason::ProtocolError);
                return;
            }
            state.is_connecting = true;
        }
        let entered = self.enter(session, auth.as_deref()).await;
        session.connection.state.lock().is_connecting = false;
        match entered {
            Ok(()) => {}
            // It passes by itself, and a client that is refused as below does not come back.
            Err(fault) if fault.code == Code::ConnectionLimit => {
                session.close(CloseReason::ConnectionLimit);
            }
            Err(fault) => {
                let data = ConnectErrorData::of(&fault);
                let message = fault.to_string();
                let refused = packet::connect_error(version, "/", &message, Some(&data));
                session.push(&refused, DropPolicy::Reply);
                let by = Instant::now() + REFUSED_GRACE;
                session.connection.state.lock().connect_by = Some(by);
                session.look_again(by);
            }
        }
        // It may have left while its claim was verified.
        if session.is_over() {
            session.connection.leave();
        }
    }

    async fn enter(&self, session: &Arc<ClientSession>, auth: Option<&str>) -> Result<(), Fault> {
        let client = &session.connection;
        let claim = claim(client, auth)?;
        if let Some(claim) = &claim {
            self.authenticator.prepare(claim).await;
        }
        let ticket = client.state.lock().ticket.clone();
        let ticket =
            ticket.ok_or_else(|| Fault::new(Code::InternalError, "the session is closing"))?;
        let attachment = self.hub.connect(NewConnection {
            protocol: Protocol::SocketIo,
            remote_address: client.remote_address,
            ticket,
            deliver: Arc::clone(session) as Arc<dyn Deliver>,
        });
        let authenticator = Arc::clone(&self.authenticator);
        let mut connected = session::Session::new(attachment, authenticator);
        let id = connected.connection().id.to_string();
        let version = session.version;
        let reply = connected.authenticate_handshake(claim, || {
            session.push(&packet::connected(version, &id), DropPolicy::Reply);
        })?;
        {
            let mut state = client.state.lock();
            state.session = Some(connected);
            state.connect_by = None;
        }
        if let Some(reply) = reply {
            answer(session, None, &reply);
        }
        Ok(())
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
                client.with_session(|session| session.acknowledge(id));
            }
            IncomingKind::Event {
                arguments,
                attachments,
                ack,
            } => match read_event(&arguments) {
                Some((event, data)) => {
                    handle_event(session, &event, data, attachments, ack);
                }
                None => session.fail(CloseReason::ProtocolError),
            },
        }
    }

    /// A packet came over its client's rate: what it is told, without parsing the packet.
    fn refuse(&self, session: &Arc<ClientSession>, glance: Glance, wait: Duration) {
        let client = &session.connection;
        let refused = &self.hub.gate.refused;
        refused.count(Refused::Message, client.remote_address);
        let ack = match glance {
            // An error here would be final, and the rate is not.
            Glance::Connect => {
                session.close(CloseReason::TryAgainLater);
                return;
            }
            Glance::Binary { ack, attachments } => {
                client.skip(attachments);
                ack
            }
            Glance::Event { ack, .. } => ack,
            Glance::Ack { .. } | Glance::Other => None,
        };
        let reply = client.with_session(|session| {
            session.connection().note_rate_limited();
            session.refuse(Fault::rate_limited(wait))
        });
        if let Some(reply) = reply {
            answer(session, ack, &reply);
        }
    }

    fn close_abuser(&self, session: &Arc<ClientSession>) {
        if session.is_closing() {
            return;
        }
        let reason = CloseReason::RateLimited;
        self.count_close(&session.connection, reason);
        self.hub.stats.count_error();
        session.push(&error(&Fault::rate_abused()), DropPolicy::Reply);
        Deliver::close(&**session, reason);
        session.connection.leave();
    }

    /// Counts that the server ends a client, unless it has left already.
    fn count_close(&self, client: &Client, reason: CloseReason) {
        match client.connection() {
            Some(connection) => self.hub.closes(&connection, reason),
            None if client.has_left() => {}
            None => self.hub.stats.count_close(reason),
        }
    }

    /// A large message counts as the many that it could have been; its client waits for them.
    async fn charge(&self, session: &ClientSession, bytes: usize) {
        loop {
            let wait = session.connection.rate.charge(bytes);
            if wait.is_zero() || session.is_closing() {
                return;
            }
            Box::pin(tokio::time::sleep(wait)).await;
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
                let deadline = session.connection.state.lock().decoder.deadline();
                if let Some(deadline) = deadline {
                    session.look_again(deadline);
                }
            }
            Err(Malformed) => session.fail(CloseReason::ProtocolError),
        }
    }
}

/// Handles an event and answers it.
fn handle_event(
    session: &Arc<ClientSession>,
    event: &str,
    data: Option<&RawValue>,
    attachments: Vec<Bytes>,
    ack: Option<u64>,
) {
    let said = Said {
        event,
        data,
        attachments,
    };
    let reply = session
        .connection
        .with_session(|session| session.handle(said));
    let Some(reply) = reply else { return };
    answer(session, ack, &reply);
    // It passes by itself, so the client is to come back.
    if let Reply::Failed(fault) = &reply
        && fault.code == Code::ConnectionLimit
    {
        session.close(CloseReason::ConnectionLimit);
    }
}

/// `auth` counts before the query and the headers.
fn claim(client: &Client, auth: Option<&str>) -> Result<Option<Claim>, Fault> {
    let auth = match auth.map(serde_json::from_str) {
        None | Some(Ok(Value::Null)) => None,
        Some(Ok(Value::Object(auth))) => Claim::from_object(&auth)?,
        Some(Ok(other)) => {
            let kind = words::kind_of(&other);
            return Err(Fault::invalid(format!(
                "`auth` must be an object, not {kind}"
            )));
        }
        Some(Err(error)) => return Err(words::not_json("`auth`", &error)),
    };
    match (auth, &client.claim) {
        (Some(auth), _) => Ok(Some(auth)),
        (None, Ok(claim)) => Ok(claim.as_deref().cloned()),
        (None, Err(fault)) => Err((**fault).clone()),
    }
}

/// What an error of a CONNECT has beside its message, as errors of Node's middlewares do.
#[derive(Serialize)]
struct ConnectErrorData {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u128>,
}

impl ConnectErrorData {
    fn of(fault: &Fault) -> Self {
        Self {
            code: fault.code.as_str(),
            reason: fault.reason,
            retry_after_ms: fault.retry_after.map(|time| time.as_millis()),
        }
    }
}

impl Application for SocketIo {
    type Connection = Client;

    fn admit(&self, handshake: &Handshake<'_>) -> Result<Client, Box<Response<Body>>> {
        self.admit_or_refuse(handshake)
            .map_err(|fault| Box::new(fault_response(&fault)))
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
        let client = &session.connection;
        if matches!(packet, Peek::Binary) {
            if client.skips_binary() {
                return false;
            }
            if client.has_free_binary() {
                return true;
            }
        }
        let bytes = match packet {
            Peek::Text(Some(bytes)) => bytes,
            _ => &[],
        };
        let glance = glance(bytes);
        if let Glance::Ack { id, attachments } = glance
            && client.owes_ack(id)
        {
            client.allow(attachments);
            return true;
        }
        loop {
            match client.rate.check(Instant::now()) {
                Admission::Within => return true,
                Admission::Slow(wait) => {
                    Box::pin(tokio::time::sleep(wait)).await;
                    if session.is_closing() {
                        return false;
                    }
                }
                Admission::Over(wait) => {
                    let is_needed = matches!(
                        glance,
                        Glance::Connect
                            | Glance::Event {
                                is_needed: true,
                                ..
                            }
                    );
                    if is_needed && client.rate.check_reserve() {
                        return true;
                    }
                    match (packet, bytes) {
                        // Heartbeats and ends cost next to nothing.
                        (_, [b'1' | b'3' | b'5', ..] | [b'4', b'1', ..]) => return true,
                        // Pings, of which there is nothing to say.
                        (Peek::Control, _) | (_, [b'2', ..]) => {
                            let refused = &self.hub.gate.refused;
                            refused.count(Refused::Message, client.remote_address);
                        }
                        _ => self.refuse(session, glance, wait),
                    }
                    return false;
                }
                Admission::Abuse => {
                    self.close_abuser(session);
                    return false;
                }
            }
        }
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
        self.charge(session, text.len()).await;
        let decoded = session.connection.decode(|decoder| decoder.text(text));
        self.decoded(session, decoded).await;
    }

    async fn binary(&self, session: &Arc<ClientSession>, data: Bytes) {
        self.charge(session, data.len()).await;
        let decoded = session.connection.decode(|decoder| decoder.binary(data));
        self.decoded(session, decoded).await;
    }

    fn violated(
        &self,
        session: &Arc<ClientSession>,
        violation: ProtocolViolation,
    ) -> (Bytes, CloseReason) {
        let limit = self.max_message(session);
        let (fault, reason) = violation_of(&self.hub, violation, limit);
        (error(&fault), reason)
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
        self.hub.stats.ping_round_trip.record(time);
    }

    fn closed(&self, session: &Arc<ClientSession>, reason: Option<CloseReason>) {
        if let Some(reason) = reason {
            self.count_close(&session.connection, reason);
        }
        session.connection.leave();
    }
}

//! What socketioxide is given and asked for: handlers, and its queue as a [`Pipe`].

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::AckSender;
use socketioxide::handler::{FromConnectParts, FromMessageParts, MessageHandler, Value};
use socketioxide::socket::Socket;
use socketioxide::{SendError, SocketError, TransportType};

use super::engine::{Client, EngineSession};
use super::inspect::{LIMITED, MALFORMED};
use super::item::Item;
use super::lane::{Emitted, Lane, Pipe};
use crate::auth::Authenticator;
use crate::auth::claim::Claim;
use crate::domain::event::MessageId;
use crate::domain::fault::Fault;
use crate::domain::words;
use crate::hub::Hub;
use crate::hub::connection::{NewConnection, Protocol};
use crate::hub::ports::Deliver;
use crate::protocol::envelope::Meta;
use crate::protocol::session::Session;
use crate::wire::link::LinkOptions;

type LibrarySocket = Socket<LocalAdapter>;
pub(super) type Engine = Arc<EngineSession<LibraryPipe>>;

/// The packet that marks a place in the library's queue, and its event; see [`Lane`].
pub(super) const MARKER: &[u8] = br#"42["orgcast:gate",1]"#;
const MARKER_EVENT: &str = "orgcast:gate";

/// How long a client that was told to go may keep its transport.
const DISCONNECT_GRACE: Duration = Duration::from_secs(5);

/// A CONNECT with its `auth`.
pub(super) struct Handshake {
    socket: Arc<LibrarySocket>,
    auth: Option<String>,
}

impl FromConnectParts<LocalAdapter> for Handshake {
    type Error = Infallible;

    fn from_connect_parts(
        socket: &Arc<LibrarySocket>,
        auth: &Option<Value>,
    ) -> Result<Self, Infallible> {
        let auth = match auth {
            Some(Value::Str(text, _)) => Some(text.to_string()),
            _ => None,
        };
        Ok(Self {
            socket: Arc::clone(socket),
            auth,
        })
    }
}

impl Handshake {
    fn engine(&self) -> Option<Engine> {
        self.socket.req_parts().extensions.get::<Engine>().cloned()
    }

    /// `auth` counts before the query and the header.
    fn claim(&self, engine: &Engine) -> Result<Option<Claim>, Fault> {
        let auth = match &self.auth {
            None => None,
            Some(text) => match serde_json::from_str(text) {
                Ok(serde_json::Value::Object(auth)) => Claim::from_object(&auth)?,
                Ok(serde_json::Value::Null) => None,
                Ok(other) => {
                    let kind = words::kind_of(&other);
                    return Err(Fault::invalid(format!(
                        "`auth` must be an object, not {kind}"
                    )));
                }
                Err(error) => return Err(Fault::invalid(format!("`auth` is not JSON: {error}"))),
            },
        };
        if auth.is_some() {
            Ok(auth)
        } else {
            engine.claim.clone()
        }
    }
}

/// What a CONNECT passes through.
#[derive(Clone)]
pub(super) struct Entrance {
    pub hub: Arc<Hub>,
    pub authenticator: Arc<dyn Authenticator>,
    pub link: LinkOptions,
}

impl Entrance {
    /// Runs before CONNECT is acknowledged, so that no event can come before its handler is there.
    pub async fn admit(&self, handshake: &Handshake) -> Result<(), Fault> {
        let socket = &handshake.socket;
        let engine = handshake
            .engine()
            .ok_or_else(|| Fault::invalid("no Engine.IO session"))?;
        let claim = engine.ticket().and_then(|_| handshake.claim(&engine));
        if let Ok(Some(claim)) = &claim {
            self.authenticator.prepare(claim).await;
        }
        let admitted = claim.and_then(|claim| self.enter(socket, &engine, claim));
        if admitted.is_err() {
            engine.close_unless_connected(DISCONNECT_GRACE);
        }
        admitted
    }

    fn enter(
        &self,
        socket: &Arc<LibrarySocket>,
        engine: &Engine,
        claim: Option<Claim>,
    ) -> Result<(), Fault> {
        // The client may have left while its claim was prepared.
        let ticket = engine.ticket()?;
        let pipe = LibraryPipe {
            socket: Arc::downgrade(socket),
            engine: Arc::downgrade(engine),
        };
        let lane = Arc::new(Lane::new(pipe, engine.link(), self.link));
        let attachment = self.hub.connect(NewConnection {
            protocol: Protocol::SocketIo,
            remote_address: engine.remote_address,
            ticket,
            deliver: Arc::clone(&lane) as Arc<dyn Deliver>,
        });
        let mut session = Session::new(attachment, Arc::clone(&self.authenticator));
        let reply = session.authenticate_handshake(claim)?;
        let client = Client::new(lane, session);
        engine.set_client(&client);
        if let Some(reply) = reply {
            client.answer(None, &reply);
        }
        socket.on_fallback(Dispatch(Arc::clone(&client)));
        socket.on_disconnect(move || async move { client.disconnect() });
        Ok(())
    }
}

/// CONNECT was acknowledged.
pub(super) async fn opened(handshake: Handshake) {
    if let Some(client) = handshake.engine().and_then(|engine| engine.client()) {
        client.lane.open();
    }
}

/// Hands every event to the session, in the order in which they came. As the library's fallback it
/// is called for every event, synchronously.
struct Dispatch(Arc<Client<LibraryPipe>>);

/// Tells this handler from the library's own.
struct InOrder;

impl MessageHandler<LocalAdapter, InOrder> for Dispatch {
    fn call(&self, _socket: Arc<LibrarySocket>, value: Value, ack: Option<i64>) {
        let event = match &value {
            Value::Str(text, None) => read_event(text),
            _ => Err(Fault::invalid(
                "binary attachments are not accepted; send JSON",
            )),
        };
        self.0.handle(ack, |session| match event {
            Ok((event, data)) if event == MALFORMED => {
                let reason = data
                    .as_ref()
                    .and_then(serde_json::Value::as_str)
                    .unwrap_or_default();
                session.refuse(Fault::invalid(reason.to_owned()))
            }
            Ok((event, data)) if event == LIMITED => {
                let micros = data.as_ref().and_then(serde_json::Value::as_u64);
                let wait = Duration::from_micros(micros.unwrap_or_default());
                session.refuse(Fault::rate_limited(wait))
            }
            Ok((event, data)) => {
                let data = data.and_then(|data| serde_json::value::to_raw_value(&data).ok());
                session.handle(&event, data.as_deref())
            }
            Err(fault) => session.refuse(fault),
        });
    }
}

/// An event's name and its first argument.
fn read_event(text: &str) -> Result<(String, Option<serde_json::Value>), Fault> {
    let arguments: Vec<serde_json::Value> =
        serde_json::from_str(text).map_err(|error| words::not_json("the event", &error))?;
    let mut arguments = arguments.into_iter();
    match arguments.next() {
        Some(serde_json::Value::String(event)) => Ok((event, arguments.next())),
        _ => Err(Fault::invalid("an event begins with its name")),
    }
}

/// The library's queue for one client.
pub(super) struct LibraryPipe {
    socket: Weak<LibrarySocket>,
    engine: Weak<EngineSession<LibraryPipe>>,
}

impl Pipe for LibraryPipe {
    fn emit(&self, item: &Item) -> Emitted {
        let Some(socket) = self.socket.upgrade() else {
            return Emitted::Closed;
        };
        let outcome = match item {
            Item::Event(outbound) => {
                let event = &outbound.event;
                let arguments: (&RawValue, Meta<'_>) = (&event.payload, Meta::of(event));
                if event.requires_ack {
                    self.emit_with_ack(&socket, event.name.as_str(), &arguments, event.id)
                } else {
                    socket.emit(event.name.as_str(), &arguments)
                }
            }
            Item::Reply(event, object) => socket.emit(event, object),
            Item::Ack(id, object) => {
                let mut nothing = Value::Bytes(Bytes::new());
                let Ok(ack) = AckSender::from_message_parts(&socket, &mut nothing, &Some(*id));
                ack.send(object)
            }
        };
        emitted(outcome)
    }

    fn emit_marker(&self) -> Emitted {
        let Some(socket) = self.socket.upgrade() else {
            return Emitted::Closed;
        };
        emitted(socket.emit(MARKER_EVENT, &1))
    }

    fn is_polling(&self) -> bool {
        self.socket
            .upgrade()
            .is_some_and(|socket| socket.transport_type() == TransportType::Polling)
    }

    fn disconnect(&self) {
        let (Some(socket), Some(engine)) = (self.socket.upgrade(), self.engine.upgrade()) else {
            return;
        };
        if socket.disconnect().is_err() {
            engine.close_transport();
            return;
        }
        tokio::spawn(async move {
            tokio::time::sleep(DISCONNECT_GRACE).await;
            engine.close_transport();
        });
    }

    fn was_too_slow(&self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.was_too_slow();
        }
    }

    fn close_transport(&self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.close_transport();
        }
    }
}

impl LibraryPipe {
    fn emit_with_ack(
        &self,
        socket: &LibrarySocket,
        event: &str,
        arguments: &(&RawValue, Meta<'_>),
        message: MessageId,
    ) -> Result<(), SendError> {
        let answer = socket.emit_with_ack::<_, serde_json::Value>(event, arguments)?;
        let engine = self.engine.clone();
        tokio::spawn(async move {
            // An answer that can't be read is an acknowledgement all the same.
            let acknowledged =
                matches!(answer.await, Ok(_) | Err(socketioxide::AckError::Decode(_)));
            if let Some(client) = engine.upgrade().and_then(|engine| engine.client())
                && acknowledged
            {
                client.with_session(|session| session.acknowledge(message));
            }
        });
        Ok(())
    }
}

fn emitted(outcome: Result<(), SendError>) -> Emitted {
    match outcome {
        Ok(()) => Emitted::Sent,
        Err(SendError::Socket(SocketError::InternalChannelFull)) => Emitted::Full,
        Err(SendError::Socket(SocketError::Closed)) => Emitted::Closed,
        Err(SendError::Serialize(error)) => {
            tracing::error!(%error, "an event could not be written as JSON and was left out");
            Emitted::Sent
        }
    }
}

//! What the server does for clients and backends: the use cases, above a hub that knows this process
//! alone. They may wait, for a key, for a store, for their turn; the hub never does.

mod acks;
pub mod catch_up;
pub mod client;
pub mod follow;
pub mod idempotency;
pub mod opening;
pub mod ports;
pub mod publish;
pub mod reading;
mod receipt;
pub mod recovery;
pub mod revoke;
pub mod sessions;
pub mod streams;

use std::sync::Arc;
use std::time::{Duration, Instant};

use acks::AckCollectors;
use catch_up::CatchUps;
use idempotency::Idempotency;
use ports::{Broker, RevocationStore};
use sessions::{RecoveryOptions, Sessions};
use streams::Streams;

use crate::auth::Authenticator;
use crate::auth::credentials::Credentials;
use crate::domain::error::{ClientError, Code, NotRecovered};
use crate::domain::event::{AckId, MessageId};
use crate::domain::grants::Principal;
use crate::domain::room::Channel;
use crate::hub::Hub;
use crate::hub::connection::Connection;

/// What a node is configured with, beside its hub.
#[derive(Debug, Clone, Copy)]
pub struct NodeOptions {
    /// How long acknowledgements of a message are collected.
    pub ack_timeout: Duration,
    pub recovery: RecoveryOptions,
}

/// One server: its hub, and what it decides with.
pub struct Node {
    pub hub: Arc<Hub>,
    options: NodeOptions,
    authenticator: Arc<dyn Authenticator>,
    revocations: Arc<dyn RevocationStore>,
    acks: AckCollectors,
    pub streams: Arc<Streams>,
    pub sessions: Arc<Sessions>,
    pub catch_ups: Arc<CatchUps>,
    idempotency: Idempotency,
}

impl Node {
    pub fn new(
        hub: Arc<Hub>,
        options: NodeOptions,
        authenticator: Arc<dyn Authenticator>,
        revocations: Arc<dyn RevocationStore>,
        broker: Arc<dyn Broker>,
    ) -> Arc<Self> {
        let streams = Streams::new(Arc::clone(&hub), broker);
        let sessions = Sessions::new(options.recovery, Arc::clone(&streams));
        let catch_ups = CatchUps::new(&hub, &streams);
        hub.tell_of_departures(Arc::clone(&sessions) as _);
        Arc::new(Self {
            hub,
            streams,
            sessions,
            options,
            authenticator,
            revocations,
            acks: AckCollectors::default(),
            catch_ups,
            idempotency: Idempotency::default(),
        })
    }

    /// The cookie in which handshakes carry a token.
    pub fn token_cookie(&self) -> Option<&str> {
        self.authenticator.token_cookie()
    }

    /// Fetches what it takes to verify the credentials, in bounded time.
    pub async fn prepare(&self, credentials: &Credentials) {
        self.authenticator.prepare(credentials).await;
    }

    /// Who the credentials of a client that comes back say; a refusal is nobody's attempt, since the client then
    /// connects as anybody else does.
    pub fn verify(&self, credentials: Credentials) -> Result<Principal, NotRecovered> {
        let verified = self.authenticator.verify(credentials, self.hub.now());
        verified.map_err(|_| NotRecovered::Expired)
    }

    /// The channel of this name; an error with `code` that names the channels there are.
    pub fn known_channel(&self, name: &str, code: Code) -> Result<Channel, ClientError> {
        let catalogue = self.hub.catalogue();
        catalogue.channel(name).ok_or_else(|| {
            let known: Vec<&str> = catalogue.channels().map(Channel::as_str).collect();
            let name: String = name.chars().take(64).collect();
            ClientError::new(
                code,
                format!("no channel `{name}`; there are: {}", known.join(", ")),
            )
        })
    }

    /// Records an acknowledgement by its number. One that is not outstanding, or comes too late, is of
    /// no use to anybody.
    pub fn acknowledge_id(&self, connection: &Connection, id: AckId) {
        if let Some(message) = connection.take_ack(id) {
            self.acks.record(message, connection.id);
        }
    }

    /// Records that a connection acknowledged a `requires_ack` message, which it was sent.
    pub fn acknowledge(
        &self,
        connection: &Connection,
        message: MessageId,
    ) -> Result<(), ClientError> {
        if connection.take_ack_of(message) {
            self.acks.record(message, connection.id);
            Ok(())
        } else {
            Err(ClientError::invalid(format!(
                "no acknowledgement is waited for under the id `{message}`"
            )))
        }
    }

    /// Heartbeats, and the end of what is too old. To be called once a second.
    pub async fn tick(&self, now: Instant) {
        self.hub.tick(now).await;
        self.acks.expire(now, self.options.ack_timeout);
        self.streams.sweep(self.hub.now());
        self.sessions.sweep(now);
        self.idempotency.expire(now);
    }

    /// Messages whose acknowledgements are being collected.
    pub fn collected_acks(&self) -> usize {
        self.acks.len()
    }

    /// Forgets revocations that are over. To be called now and then.
    pub async fn sweep(&self) {
        self.revocations.sweep(self.hub.now()).await;
    }
}

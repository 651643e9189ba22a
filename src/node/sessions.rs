//! Sessions of clients that can be recovered: who a client was, where it was subscribed, and from when on,
//! for some time after its connection is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dashmap::DashMap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::opening::Opening;
use super::streams::Streams;
use crate::domain::error::CloseReason;
use crate::domain::event::MessageId;
use crate::domain::grants::Principal;
use crate::domain::identity::ConnectionId;
use crate::domain::position::Position;
use crate::hub::connection::Connection;
use crate::hub::ports::{Departure, Departures, Given, HeardRoom};

/// How sessions are recovered.
#[derive(Debug, Clone, Copy)]
pub struct RecoveryOptions {
    /// How long after the end of its connection a session is kept; zero is not at all.
    pub window: Duration,
    /// Sessions that may be kept without a connection; the oldest go first.
    pub max_sessions: usize,
    /// Events that one recovery may bring.
    pub max_events: usize,
}

/// The secret by which a client comes back to its session (`pid`): 128 random bits. It is kept as a hash, and
/// shown to its client alone.
#[derive(Clone)]
pub struct SessionSecret(String);

impl SessionSecret {
    /// A new one.
    pub fn random() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn key(&self) -> SessionKey {
        SessionKey::of(&self.0)
    }
}

/// Under what a session is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey([u8; 16]);

impl SessionKey {
    pub fn of(secret: &str) -> Self {
        let hash = Sha256::digest(secret.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hash[..16]);
        Self(key)
    }
}

/// Who one session is.
pub struct Recoverable {
    key: SessionKey,
    pub connection_id: ConnectionId,
    pub(super) state: Mutex<RecoverableState>,
}

impl Recoverable {
    /// Its client has what came behind this number, too.
    pub(super) fn begin_earlier(&self, number: u64) {
        let start = &mut self.state.lock().start.seq;
        *start = (*start).min(number);
    }
}

pub(super) struct RecoverableState {
    pub principal: Arc<Principal>,
    /// Events up to here came before the session.
    pub start: Position,
    /// Of which its client may not have everything.
    pub openings: Vec<Opening>,
    /// Up to where its client was served elsewhere; its subscriptions go on from there. Boxed: most were not.
    pub elsewhere: Option<Box<Position>>,
    pub place: Place,
}

/// Where a session's client is.
pub(super) enum Place {
    Connected(Arc<Connection>),
    /// Boxed: most are connected.
    Away(Box<Away>),
}

/// What a session had when its connection ended.
#[derive(Clone)]
pub(super) struct Away {
    pub rooms: Vec<HeardRoom>,
    /// All that it heard up to here was given to the connection ..
    pub given_up_to: Position,
    /// .. and these were the last of it.
    pub given: Given,
    /// Messages that it got and did not acknowledge although it was asked to.
    pub owed_acks: Vec<MessageId>,
    /// Under which it stands among those that are away.
    number: u64,
}

/// The sessions of a node.
pub struct Sessions {
    options: RecoveryOptions,
    streams: Arc<Streams>,
    by_key: DashMap<SessionKey, Arc<Recoverable>>,
    by_connection: DashMap<ConnectionId, Arc<Recoverable>>,
    /// Those that are away, the longest first.
    away: Mutex<BTreeMap<u64, (Instant, SessionKey)>>,
    next_number: AtomicU64,
}

impl Sessions {
    pub fn new(options: RecoveryOptions, streams: Arc<Streams>) -> Arc<Self> {
        Arc::new(Self {
            options,
            streams,
            by_key: DashMap::new(),
            by_connection: DashMap::new(),
            away: Mutex::default(),
            next_number: AtomicU64::new(0),
        })
    }

    pub fn options(&self) -> RecoveryOptions {
        self.options
    }

    /// Whether anybody can come back.
    pub fn is_on(&self) -> bool {
        !self.options.window.is_zero()
    }

    /// How many there are, with a connection or without.
    pub fn count(&self) -> usize {
        self.by_key.len()
    }

    /// Begins a session, or goes on with it over a new connection. To be called before the connection enters its
    /// organization, so that its departure finds the session; [`Self::end_of`] it if it does not enter.
    pub(super) fn begin(
        &self,
        key: SessionKey,
        connection: &Arc<Connection>,
        principal: Arc<Principal>,
        start: Position,
        openings: Vec<Opening>,
    ) {
        let session = Arc::new(Recoverable {
            key,
            connection_id: connection.id,
            state: Mutex::new(RecoverableState {
                principal,
                start,
                openings,
                elsewhere: None,
                place: Place::Connected(Arc::clone(connection)),
            }),
        });
        self.by_connection
            .insert(connection.id, Arc::clone(&session));
        self.by_key.insert(key, session);
    }

    pub(super) fn get(&self, key: SessionKey) -> Option<Arc<Recoverable>> {
        Some(Arc::clone(self.by_key.get(&key)?.value()))
    }

    pub(super) fn of(&self, connection: ConnectionId) -> Option<Arc<Recoverable>> {
        Some(Arc::clone(self.by_connection.get(&connection)?.value()))
    }

    /// Ends a session: nobody comes back to it.
    pub(super) fn end(&self, session: &Arc<Recoverable>) {
        self.by_key
            .remove_if(&session.key, |_, kept| Arc::ptr_eq(kept, session));
        self.by_connection
            .remove_if(&session.connection_id, |_, kept| Arc::ptr_eq(kept, session));
        if let Place::Away(away) = &session.state.lock().place {
            self.away.lock().remove(&away.number);
        }
    }

    /// Takes back the end of a session whose client is away.
    pub(super) fn restore(&self, session: Arc<Recoverable>) {
        if let Place::Away(away) = &session.state.lock().place {
            let entry = (Instant::now(), session.key);
            self.away.lock().insert(away.number, entry);
        }
        self.by_connection
            .insert(session.connection_id, Arc::clone(&session));
        self.by_key.insert(session.key, session);
    }

    /// Ends the session of a connection, if it has one.
    pub fn end_of(&self, connection: ConnectionId) {
        if let Some(session) = self.of(connection) {
            self.end(&session);
        }
    }

    /// Ends the sessions that are away for too long. To be called once a second.
    pub fn sweep(&self, now: Instant) {
        loop {
            let key = {
                let away = self.away.lock();
                let Some((since, key)) = away.first_key_value().map(|(_, entry)| *entry) else {
                    return;
                };
                let is_over = now.saturating_duration_since(since) >= self.options.window;
                if !is_over && away.len() <= self.options.max_sessions {
                    return;
                }
                key
            };
            match self.get(key) {
                Some(session) => self.end(&session),
                None => {
                    self.away.lock().pop_first();
                }
            }
        }
    }
}

/// Whether a client may come back to its session although its connection was closed for this.
fn outlives(reason: Option<CloseReason>) -> bool {
    !matches!(
        reason,
        Some(
            CloseReason::Disconnected
                | CloseReason::Revoked
                | CloseReason::TokenExpired
                | CloseReason::Unauthorized
                | CloseReason::RateLimited
        )
    )
}

impl Departures for Sessions {
    fn departed(&self, departure: Departure) {
        let Some(session) = self.of(departure.connection) else {
            return;
        };
        if !outlives(departure.reason) {
            self.end(&session);
            return;
        }
        let mut state = session.state.lock();
        match &state.place {
            Place::Connected(current) if current.number == departure.number => {}
            _ => return,
        }
        let organization = &state.principal.identity.organization;
        let mut given_up_to = match self.streams.existing(organization) {
            Some(stream) => stream.delivered(),
            None => state.start,
        };
        if let Some(number) = departure.caught_up_to {
            given_up_to.seq = given_up_to.seq.min(number);
        }
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        state.place = Place::Away(Box::new(Away {
            rooms: departure.rooms,
            given_up_to,
            given: departure.given,
            owed_acks: departure.owed_acks,
            number,
        }));
        self.away
            .lock()
            .insert(number, (Instant::now(), session.key));
    }
}

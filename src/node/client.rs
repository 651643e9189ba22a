//! One client, from its connection to its end: who it is, and what it may do for that.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::Node;
use super::publish::{Publication, Receipt};
use super::sessions::SessionKey;
use super::streams::Turn;
use crate::auth::credentials::Credentials;
use crate::domain::error::{ClientError, CloseReason, Code};
use crate::domain::event::Priority;
use crate::domain::grants::Principal;
use crate::domain::room::{Channel, Place, Room, RoomName};
use crate::hub::audience::Target;
use crate::hub::connection::{Connection, NewConnection};
use crate::hub::rates::Attempts;
use crate::hub::{AuthenticatedConnection, ConnectionGuard};
use crate::metrics::rejections::Rejection;

/// Who the client is so far.
enum State {
    Anonymous(ConnectionGuard),
    Authenticated(AuthenticatedConnection),
}

/// One client of the node. Dropping it disconnects.
pub struct Client {
    node: Arc<Node>,
    connection: Arc<Connection>,
    attempts: Attempts,
    /// `None` only inside [`Client::enter`].
    state: Option<State>,
}

impl Client {
    /// Takes in a connection that has its permit.
    pub fn connect(node: &Arc<Node>, new: NewConnection) -> Self {
        let guard = node.hub.connect(new);
        Self {
            node: Arc::clone(node),
            connection: Arc::clone(guard.connection()),
            attempts: Attempts::default(),
            state: Some(State::Anonymous(guard)),
        }
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// What the client may, once it has authenticated; `UNAUTHORIZED` before.
    pub fn principal(&self) -> Result<&Principal, ClientError> {
        Ok(self.member()?.principal())
    }

    pub(super) fn member(&self) -> Result<&AuthenticatedConnection, ClientError> {
        match &self.state {
            Some(State::Authenticated(member)) => Ok(member),
            _ => Err(ClientError::unauthorized("authenticate first")),
        }
    }

    /// Becomes who the credentials say, or stays who it is with a fresh token; answers the subscriptions
    /// that ended with the old one. `welcome` runs when nothing can fail any more and no event can have
    /// come yet. Whoever is refused again and again is closed. With a `key` the client can come back to its
    /// session. Nothing is delivered in its organization until the turn is dropped.
    pub async fn authenticate(
        &mut self,
        credentials: Credentials,
        key: Option<SessionKey>,
        welcome: impl FnOnce() + Send,
    ) -> Result<(Vec<RoomName>, Turn), ClientError> {
        self.attempts
            .check(Instant::now())
            .map_err(ClientError::rate_limited)?;
        let principal = Arc::new(self.verify(credentials)?);
        let node = Arc::clone(&self.node);
        // From which position on it hears its organization is known only while nothing is delivered there.
        let turn = node.streams.turn(&principal.identity.organization).await;
        let ended = match (node.sessions.of(self.connection.id), key) {
            (Some(session), _) => {
                let ended = self.enter(Arc::clone(&principal), welcome)?;
                session.state.lock().principal = principal;
                ended
            }
            (None, Some(key)) => {
                let (own, start) = (Arc::clone(&principal), turn.position());
                let sessions = &node.sessions;
                sessions.begin(key, &self.connection, own, start, Vec::new());
                self.enter(principal, welcome)
                    .inspect_err(|_| sessions.end_of(self.connection.id))?
            }
            (None, None) => self.enter(principal, welcome)?,
        };
        // Who was revoked between the check and the entry is found here, or by the revocation.
        if let Err(error) = node
            .authenticator
            .recheck(self.principal()?, node.hub.now())
        {
            node.hub.close_now(&self.connection, CloseReason::Revoked);
            return Err(error);
        }
        Ok((ended, turn))
    }

    /// Who the credentials say.
    fn verify(&mut self, credentials: Credentials) -> Result<Principal, ClientError> {
        let verified = self
            .node
            .authenticator
            .verify(credentials, self.node.hub.now());
        verified.inspect_err(|error| self.count_refused(error))
    }

    /// The reason alone: what a token says of itself is nobody's to read in a log. Who is refused again
    /// and again is closed, but not for a key that is on its way.
    fn count_refused(&mut self, error: &ClientError) {
        let remote = self.connection.remote_address;
        let reason = error.reason.unwrap_or(error.code.as_str());
        let refused = &self.node.hub.metrics.rejections;
        refused.count(Rejection::Identity, format_args!("{remote}: {reason}"));
        if error.retry_after.is_none() && self.attempts.refuse() {
            let hub = &self.node.hub;
            hub.close(&self.connection, CloseReason::Unauthorized);
        }
    }

    pub(super) fn enter(
        &mut self,
        principal: Arc<Principal>,
        welcome: impl FnOnce(),
    ) -> Result<Vec<RoomName>, ClientError> {
        let (state, outcome) = match self.state.take() {
            Some(State::Anonymous(guard)) => match guard.authenticate(principal, welcome) {
                Ok(member) => (State::Authenticated(member), Ok(Vec::new())),
                Err((guard, error)) => (State::Anonymous(guard), Err(error)),
            },
            Some(State::Authenticated(mut member)) => {
                let outcome = member.renew(principal);
                (State::Authenticated(member), outcome)
            }
            None => {
                return Err(ClientError::new(
                    Code::InternalError,
                    "the connection is closing",
                ));
            }
        };
        self.state = Some(state);
        outcome
    }

    /// Subscribes to each channel at the place: all of them, or none and an error. Answers the rooms'
    /// names. Nothing is delivered in its organization until the turn is dropped.
    pub async fn subscribe(
        &self,
        channels: &[String],
        place: &Place,
    ) -> Result<(Vec<RoomName>, Turn), ClientError> {
        let member = self.member()?;
        let channels = self.known(channels)?;
        let own = &member.principal().identity.organization;
        let turn = self.node.streams.turn(own).await;
        let Some(session) = self.node.sessions.of(self.connection.id) else {
            return Ok((member.subscribe(&channels, place)?, turn));
        };
        let before: HashSet<RoomName> = self.connection.rooms().iter().map(Room::name).collect();
        let names = member.subscribe(&channels, place)?;
        let new: Vec<_> = names
            .iter()
            .filter(|name| !before.contains(*name))
            .collect();
        let (beginnings, seq) = (&mut session.state.lock().beginnings, turn.position().seq);
        // Most have one subscription, and each of them is kept.
        beginnings.reserve_exact(new.len());
        beginnings.extend(new.into_iter().map(|name| (name.clone(), seq)));
        Ok((names, turn))
    }

    /// Ends the subscriptions to these channels at exactly this place; answers the names of the
    /// rooms that were left. `ROOM_NOT_FOUND` if there was none.
    pub fn unsubscribe(
        &self,
        channels: &[String],
        place: &Place,
    ) -> Result<Vec<RoomName>, ClientError> {
        let member = self.member()?;
        let names = member.unsubscribe(&self.known(channels)?, place)?;
        if let Some(session) = self.node.sessions.of(self.connection.id) {
            let beginnings = &mut session.state.lock().beginnings;
            beginnings.retain(|(name, _)| !names.contains(name));
        }
        Ok(names)
    }

    fn known(&self, channels: &[String]) -> Result<Vec<Channel>, ClientError> {
        let known = |name: &String| self.node.known_channel(name, Code::SubscriptionFailed);
        channels.iter().map(known).collect()
    }

    /// Publishes an event that the token grants, at a place of the client's own organization. The
    /// catalogue decides on the channel. When it returns, every recipient has the event or has it
    /// queued.
    pub async fn publish(
        &self,
        event: String,
        payload: Box<RawValue>,
        attachments: Vec<Bytes>,
        place: Place,
    ) -> Result<Receipt, ClientError> {
        self.member()?.check_publication(&event, &place)?;
        let publication = Publication {
            event,
            payload,
            target: Target::Place(place),
            channel: None,
            priority: Priority::default(),
            requires_ack: false,
            attachments,
            cascade: false,
        };
        self.node.publish(publication).await
    }
}

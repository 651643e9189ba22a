//! One client, from its connection to its end: who it is, and what it may do for that.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::Node;
use super::publish::{Publication, Receipt};
use crate::auth::credentials::Credentials;
use crate::domain::error::{ClientError, CloseReason, Code};
use crate::domain::event::Priority;
use crate::domain::grants::Principal;
use crate::domain::room::{Channel, Place, RoomName};
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

    fn member(&self) -> Result<&AuthenticatedConnection, ClientError> {
        match &self.state {
            Some(State::Authenticated(member)) => Ok(member),
            _ => Err(ClientError::unauthorized("authenticate first")),
        }
    }

    /// Becomes who the credentials say, or stays who it is with a fresh token; answers the subscriptions
    /// that ended with the old one. `welcome` runs when nothing can fail any more and no event can have
    /// come yet. Whoever is refused again and again is closed.
    pub fn authenticate(
        &mut self,
        credentials: Credentials,
        welcome: impl FnOnce(),
    ) -> Result<Vec<RoomName>, ClientError> {
        self.attempts
            .check(Instant::now())
            .map_err(ClientError::rate_limited)?;
        let (node, hub) = (Arc::clone(&self.node), Arc::clone(&self.node.hub));
        let verified = node.authenticator.verify(credentials, hub.now());
        let principal = verified.inspect_err(|error| self.count_refused(error))?;
        let ended = self.enter(principal, welcome)?;
        // Who was revoked between the check and the entry is found here, or by the revocation.
        if let Err(error) = node.authenticator.recheck(self.principal()?, hub.now()) {
            hub.close_now(&self.connection, CloseReason::Revoked);
            return Err(error);
        }
        Ok(ended)
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

    fn enter(
        &mut self,
        principal: Principal,
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
    /// names.
    pub fn subscribe(
        &self,
        channels: &[String],
        place: &Place,
    ) -> Result<Vec<RoomName>, ClientError> {
        let member = self.member()?;
        member.subscribe(&self.known(channels)?, place)
    }

    /// Ends the subscriptions to these channels at exactly this place; answers the names of the
    /// rooms that were left. `ROOM_NOT_FOUND` if there was none.
    pub fn unsubscribe(
        &self,
        channels: &[String],
        place: &Place,
    ) -> Result<Vec<RoomName>, ClientError> {
        let member = self.member()?;
        member.unsubscribe(&self.known(channels)?, place)
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

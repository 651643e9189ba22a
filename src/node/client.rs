//! One client, from its connection to its end: who it is, and what it may do for that.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::Node;
use super::catch_up::{Answered, CatchUp, Missed};
use super::opening::{self, Kind, Newcomer, Opening, Wanted};
use super::publish::{Publication, Receipt};
use super::reading::{History, Range, Selection};
use super::sessions::SessionKey;
use super::streams::Turn;
use crate::auth::credentials::Credentials;
use crate::domain::error::{ClientError, CloseReason, Code, NotRecovered};
use crate::domain::event::Priority;
use crate::domain::grants::Principal;
use crate::domain::position::Position;
use crate::domain::room::{Channel, Place, Room, RoomName};
use crate::domain::target::Target;
use crate::hub::connection::{Connection, NewConnection};
use crate::hub::ports::HeardRoom;
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
    /// Behind this number of its stream it has what is for itself, or its whole organization.
    own_behind: u64,
    /// Boxed: many never have any.
    openings: Option<Box<Openings>>,
}

/// What a client's subscriptions open with.
#[derive(Default)]
struct Openings {
    /// Up to where it was served elsewhere.
    offset: Option<Position>,
    /// When the next one may be.
    rests_until: Option<Instant>,
}

/// What became of a subscription.
pub struct Subscription {
    /// The rooms' names.
    pub rooms: Vec<RoomName>,
    /// How many events it opens with behind an offset, if it was to; or why it can't.
    pub missed: Option<Result<usize, NotRecovered>>,
    /// How many it opens with otherwise, if it was to.
    pub replayed: Option<usize>,
    /// What is given behind the answer.
    pub catch_up: Option<CatchUp>,
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
            own_behind: 0,
            openings: None,
        }
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// What the client may, once it has authenticated; `UNAUTHORIZED` before.
    pub fn principal(&self) -> Result<&Principal, ClientError> {
        Ok(self.member()?.principal())
    }

    /// It goes on with a session that began behind this number.
    pub(super) fn begin_behind(&mut self, number: u64) {
        self.own_behind = number;
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
        if self.member().is_err() {
            self.own_behind = turn.position().seq;
        }
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
                self.remember_elsewhere();
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

    /// The client was elsewhere before, up to this offset: each subscription from now on opens with what it missed.
    pub fn go_on_behind(&mut self, offset: Position) {
        self.openings.get_or_insert_default().offset = Some(offset);
        self.remember_elsewhere();
    }

    /// Its session knows it too, should the client lose its connection before it has subscribed.
    fn remember_elsewhere(&self) {
        let offset = self
            .openings
            .as_deref()
            .and_then(|openings| openings.offset);
        let session = self.node.sessions.of(self.connection.id);
        if let (Some(session), Some(offset)) = (session, offset) {
            session.state.lock().elsewhere = Some(Box::new(offset));
        }
    }

    fn rest_for(&mut self, looked_at: usize) {
        let looked_at = u32::try_from(looked_at).unwrap_or(u32::MAX);
        if looked_at > 0 {
            let until = Instant::now() + opening::COST * looked_at;
            self.openings.get_or_insert_default().rests_until = Some(until);
        }
    }

    /// Waits until a subscription may open with what is wanted; answers the offset from which it goes on.
    async fn wait_to_open(&self, wanted: Wanted) -> Option<Position> {
        let openings = self.openings.as_deref();
        let offset = wanted
            .since
            .or(openings.and_then(|openings| openings.offset));
        if offset.is_some() || wanted.latest || wanted.history.is_some() {
            self.rest().await;
        }
        if offset.is_some() {
            // What it has got by then, and what comes in which order, is clear only when it is not behind.
            self.node.catch_ups.end_of(&self.connection).await;
        }
        offset
    }

    /// Waits until another subscription may open with something: what one looks at, all others of its organization
    /// wait for, and what it is owed is kept for it.
    async fn rest(&self) {
        let openings = self.openings.as_deref();
        if let Some(until) = openings.and_then(|openings| openings.rests_until) {
            tokio::time::sleep_until(until.into()).await;
        }
        self.node.catch_ups.room(&self.connection).await;
    }

    /// Subscribes to each channel at the place: all of them, or none and an error. What it is to open with is
    /// given behind the answer; nothing else is delivered in its organization until then.
    pub async fn subscribe(
        &mut self,
        channels: &[String],
        place: &Place,
        wanted: Wanted,
    ) -> Result<Subscription, ClientError> {
        let channels = self.known(channels)?;
        let principal = Arc::clone(self.member()?.shared_principal());
        principal.subscriptions(&channels, place)?;
        let offset = self.wait_to_open(wanted).await;
        let identity = &principal.identity;
        let turn = self.node.streams.turn(&identity.organization).await;
        let position = turn.position();
        let before = self.connection.rooms();
        let new = new_rooms(&channels, place, &before);
        let newcomer = Newcomer {
            connection: self.connection.id,
            user: &identity.user,
            new: &new,
            before: &before,
            all: &before,
            own_behind: self.own_behind,
            looked_at: Cell::new(0),
        };
        let log = &*turn.stream().log;
        // Of a client that was elsewhere, other subscriptions are still to come, which go on from the same offset.
        let goes_on = wanted.since.is_some();
        let own_up_to = self.own_behind;
        let since = offset.map(|offset| {
            let most = self.node.sessions.options().max_events;
            let kept = newcomer.since(log, offset, most)?;
            // What came already came behind it, or nothing did.
            let is_in_order = goes_on && self.connection.last_given() <= offset.seq;
            Ok((kept, offset, is_in_order))
        });
        let behind = match &since {
            Some(Ok((_, offset, _))) => offset.seq,
            _ => position.seq,
        };
        let subscribed = self.member()?.subscribe(&channels, place, behind)?;
        let mut subscription = Subscription {
            rooms: subscribed.names,
            missed: None,
            replayed: None,
            catch_up: None,
        };
        let session = self.node.sessions.of(self.connection.id);
        let mut opening = None;
        let (mut replayed, mut in_order) = (Vec::new(), None);
        match since {
            Some(Ok((kept, offset, is_in_order))) => {
                subscription.missed = Some(Ok(kept.len()));
                self.own_behind = self.own_behind.min(offset.seq);
                if is_in_order {
                    if let Some(session) = &session {
                        session.begin_earlier(offset.seq);
                    }
                    in_order = Some(Missed {
                        from: offset,
                        events: kept,
                        answered: Answered::default(),
                    });
                } else {
                    opening = Some(Kind::Since(offset.seq));
                    replayed = kept;
                }
            }
            refused => {
                subscription.missed = refused.map(|refused| refused.map(|_| 0));
                opening = match wanted {
                    Wanted { latest: true, .. } => Some(Kind::Latest),
                    Wanted { history, .. } => history.map(Kind::History),
                };
                if let Some(kind) = opening {
                    replayed = newcomer.again(log, kind, position);
                    subscription.replayed = Some(replayed.len());
                }
            }
        }
        if let Some(missed) = &subscription.missed {
            let refused = missed.as_ref().err().copied();
            self.node.hub.metrics.count_recovery(refused);
        }
        if let (Some(session), Some(kind), false) = (&session, opening, replayed.is_empty()) {
            session.state.lock().openings.push(Opening {
                rooms: subscribed.new,
                kind,
                at: position.seq,
                own_up_to: if subscription.replayed.is_none() {
                    own_up_to
                } else {
                    0
                },
            });
        }
        self.rest_for(newcomer.looked_at.get());
        let all = &self.node.catch_ups;
        let catch_up = CatchUp::new(all, &self.connection, turn, replayed, in_order);
        subscription.catch_up = Some(catch_up);
        Ok(subscription)
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
            let openings = &mut session.state.lock().openings;
            for opening in &mut *openings {
                opening.rooms.retain(|room| !names.contains(&room.name()));
            }
            openings.retain(Opening::is_of_use);
        }
        Ok(names)
    }

    /// The kept events that subscriptions to these channels at the place would have brought, and those for the user
    /// alone.
    pub async fn history(
        &mut self,
        channels: &[String],
        place: &Place,
        event: Option<String>,
        range: Range,
        limit: usize,
    ) -> Result<History, ClientError> {
        let mut channels = self.known(channels)?;
        let principal = Arc::clone(self.member()?.shared_principal());
        principal.subscriptions(&channels, place)?;
        self.rest().await;
        if channels.contains(&Channel::all()) {
            channels.clear();
        }
        let selection = Selection {
            place: place.clone(),
            channels,
            event,
            user: Some(principal.identity.user.clone()),
        };
        let history = self.node.history(&selection, range, limit).await;
        self.rest_for(history.looked_at);
        Ok(history)
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
            version: None,
        };
        self.node.publish(publication).await
    }
}

/// The rooms of a subscription that a client is not in yet.
fn new_rooms(channels: &[Channel], place: &Place, before: &[HeardRoom]) -> Vec<Room> {
    let room = |channel: &Channel| Room::Subscription(channel.clone(), place.clone());
    let mut rooms: Vec<Room> = channels.iter().map(room).collect();
    rooms.retain(|room| before.iter().all(|heard| heard.room != *room));
    rooms
}

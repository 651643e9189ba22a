//! Going on with a session: a client that comes back is who it was, hears what it heard, and gets what it
//! missed, or is told that it can't.

use std::sync::Arc;

use super::Node;
use super::catch_up::{Answered, CatchUp, Missed};
use super::client::Client;
use super::opening::{self, Opening};
use super::ports::Kept;
use super::sessions::{Away, Place, Recoverable, SessionKey};
use super::streams::Turn;
use crate::domain::error::{CloseReason, NotRecovered};
use crate::domain::grants::Principal;
use crate::domain::identity::ConnectionId;
use crate::domain::position::Position;
use crate::domain::room::{Room, RoomName};
use crate::hub::connection::NewConnection;
use crate::hub::ports::{FirstBehind, HeardRoom};

/// What a client that comes back says.
pub struct Comeback<'a> {
    pub key: SessionKey,
    /// The offset of the last event that it got; `None` if it got none that has one.
    pub offset: Option<&'a str>,
    /// Who it says to be beside that, verified.
    pub principal: Option<Principal>,
}

/// A client that goes on where it was.
pub struct Recovered {
    pub client: Client,
    pub subscriptions: Vec<RoomName>,
    /// How many events it missed.
    pub missed: usize,
    catch_up: CatchUp,
}

impl Recovered {
    /// Gives the client what it missed. To be called behind the answer to its comeback.
    pub fn deliver(self) -> Client {
        self.catch_up.deliver();
        self.client
    }
}

/// Turns that the end of an old connection may take, which another thread has begun.
const PATIENCE: usize = 10_000;

impl Client {
    /// Goes on with a session over a new connection; one that still looks alive is taken over. `welcome` runs
    /// before the first event can come. If this fails, the session is as it was; but if there was no place left for its
    /// client, its old connection has ended.
    pub async fn recover(
        node: &Arc<Node>,
        comeback: Comeback<'_>,
        new: impl FnOnce(ConnectionId) -> NewConnection + Send,
        welcome: impl FnOnce(ConnectionId) + Send,
    ) -> Result<Recovered, NotRecovered> {
        let outcome = Self::try_recover(node, comeback, new, welcome).await;
        let refused = outcome.as_ref().err().copied();
        node.hub.metrics.count_recovery(refused);
        outcome
    }

    async fn try_recover(
        node: &Arc<Node>,
        comeback: Comeback<'_>,
        new: impl FnOnce(ConnectionId) -> NewConnection + Send,
        welcome: impl FnOnce(ConnectionId) + Send,
    ) -> Result<Recovered, NotRecovered> {
        let session = node
            .sessions
            .get(comeback.key)
            .ok_or(NotRecovered::Unknown)?;
        let own = Arc::clone(&session.state.lock().principal);
        let principal = match comeback.principal {
            None => own,
            Some(principal) if principal.identity == own.identity => Arc::new(principal),
            Some(_) => return Err(NotRecovered::Identity),
        };
        let now = node.hub.now();
        let is_over = principal.expires_at.is_some_and(|end| end <= now);
        if is_over || node.authenticator.recheck(&principal, now).is_err() {
            return Err(NotRecovered::Expired);
        }
        let turn = node.streams.turn(&principal.identity.organization).await;
        // Another recovery may have gone on with it meanwhile, and stands for the session now.
        let session = node
            .sessions
            .get(comeback.key)
            .ok_or(NotRecovered::Unknown)?;
        let missed = missed(node, &session, &turn, comeback.offset)?;
        let away = take_over(node, &session)
            .await
            .ok_or(NotRecovered::Unknown)?;
        let id = session.connection_id;
        let mut client = Self::connect(node, new(id));
        client.begin_behind(session.state.lock().start.seq);
        let (start, elsewhere) = {
            let state = session.state.lock();
            (state.start, state.elsewhere.clone())
        };
        node.sessions.begin(
            comeback.key,
            client.connection(),
            Arc::clone(&principal),
            start,
            missed.openings,
        );
        if let Some(offset) = elsewhere {
            client.go_on_behind(*offset);
        }
        // Behind it, so that there is a session of this key at each moment.
        node.sessions.end(&session);
        if client
            .enter(Arc::clone(&principal), || welcome(id))
            .is_err()
        {
            node.sessions.restore(session);
            return Err(NotRecovered::Unknown);
        }
        let subscriptions = client.subscribe_again(away.rooms);
        let mut brought = missed.again.len() + missed.in_order.events.len();
        let (mut again, mut in_order) = (missed.again, Some(missed.in_order));
        // Who was revoked between the check and the entry is found here, or by the revocation. It has been
        // welcomed by then, so that it is closed like anybody else.
        if node.authenticator.recheck(&principal, now).is_err() {
            node.hub
                .close_now(client.connection(), CloseReason::Revoked);
            (brought, in_order) = (0, None);
            again.clear();
        }
        Ok(Recovered {
            subscriptions,
            missed: brought,
            catch_up: CatchUp::new(&node.catch_ups, client.connection(), turn, again, in_order),
            client,
        })
    }

    /// Subscribes to what it was subscribed to, as far as that is still granted.
    fn subscribe_again(&self, rooms: Vec<HeardRoom>) -> Vec<RoomName> {
        let again = |HeardRoom { room, behind }| match room {
            Room::Subscription(channel, place) => {
                let member = self.member().ok()?;
                let subscribed = member.subscribe(&[channel], &place, behind).ok()?;
                Some(subscribed.names)
            }
            _ => None,
        };
        rooms.into_iter().filter_map(again).flatten().collect()
    }
}

/// What a client has not got.
struct AllMissed {
    in_order: Missed,
    /// What its subscriptions opened with, and it may have.
    again: Vec<Arc<Kept>>,
    /// Those that it may not have got by then.
    openings: Vec<Opening>,
}

/// What a client at this offset has not got.
fn missed(
    node: &Node,
    session: &Recoverable,
    turn: &Turn,
    offset: Option<&str>,
) -> Result<AllMissed, NotRecovered> {
    let log = &*turn.stream().log;
    let state = session.state.lock();
    let (rooms, given_up_to, given, owed) = match &state.place {
        // While the turn is held, all that it hears was given to it, unless it is behind.
        Place::Connected(connection) => (
            connection.rooms(),
            connection.caught_up_to().unwrap_or(log.top().seq),
            connection.given(),
            connection.owed_acks(),
        ),
        Place::Away(away) => (
            away.rooms.clone(),
            away.given_up_to.seq,
            away.given,
            away.owed_acks.clone(),
        ),
    };
    let mut from = state.start;
    if let Some(text) = offset {
        let offset: Position = text.parse().map_err(|_| NotRecovered::Unknown)?;
        if offset.epoch != from.epoch {
            return Err(NotRecovered::Epoch);
        }
        // An offset from before the session means its start.
        from.seq = from.seq.max(offset.seq);
    }
    let mut openings = state.openings.clone();
    openings.retain(|opening| from.seq <= opening.at);
    // What it heard last may be forgotten long since: nothing in between was for it.
    match given.first_behind(from.seq) {
        FirstBehind::Event(first) => from.seq = from.seq.max(first - 1),
        FirstBehind::None => from.seq = from.seq.max(given_up_to),
        FirstBehind::Unknown => {}
    }
    let answered = Answered {
        up_to: given.last(),
        owed: owed.into_iter().collect(),
    };
    let identity = &state.principal.identity;
    let is_missed = |kept: &Arc<Kept>| {
        let (seq, published) = (kept.position.seq, &kept.published);
        let event = &published.event;
        let hearing = rooms.iter().filter(|heard| seq > heard.behind);
        !answered.has(kept)
            && published.target.is_heard_by(
                event.channel.as_ref(),
                published.cascade,
                session.connection_id,
                &identity.user,
                hearing.map(|heard| &heard.room),
            )
    };
    let mut events = log.since(from, usize::MAX)?;
    events.retain(is_missed);
    let client = (session.connection_id, &identity.user);
    let again = opening::again(&openings, log, client, &rooms, &events);
    if events.len() + again.len() > node.sessions.options().max_events {
        return Err(NotRecovered::TooMany);
    }
    let in_order = Missed {
        from,
        events,
        answered,
    };
    Ok(AllMissed {
        in_order,
        again,
        openings,
    })
}

/// Ends the session's old connection, if it has one; what the session had then.
async fn take_over(node: &Node, session: &Recoverable) -> Option<Away> {
    for _ in 0..PATIENCE {
        let connection = match &session.state.lock().place {
            Place::Away(away) => return Some(Away::clone(away)),
            Place::Connected(connection) => Arc::clone(connection),
        };
        node.hub.remove(&connection);
        connection.close_transport(CloseReason::GoingAway);
        // Another thread may be about to remove it.
        tokio::task::yield_now().await;
    }
    None
}

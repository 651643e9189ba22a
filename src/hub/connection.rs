//! One connection, as the hub knows it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::expiry::TokenLifetime;
use super::limits::{ConnectionPermit, SlotGuard};
use super::ports::{Deliver, Given, HeardRoom};
use super::registry::RoomEntry;
use crate::domain::error::CloseReason;
use crate::domain::event::{AckId, MessageId};
use crate::domain::grants::{Principal, TokenId};
use crate::domain::identity::{ConnectionId, Identity};
use crate::domain::room::Channel;
use crate::domain::target::Target;
use crate::domain::time::UnixMillis;

/// Which protocol a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    SocketIo,
    Websocket,
}

impl Protocol {
    pub const ALL: [Self; 2] = [Self::SocketIo, Self::Websocket];

    /// The name under which its connections are counted.
    pub fn label(self) -> &'static str {
        match self {
            Self::SocketIo => "socket-io",
            Self::Websocket => "websocket",
        }
    }
}

/// One connection. It is in the hub from [`super::Hub::connect`] until its [`super::ConnectionGuard`] is
/// dropped.
pub struct Connection {
    pub id: ConnectionId,
    /// The how many-th of this server it is, from 0 on.
    pub number: u64,
    pub protocol: Protocol,
    pub remote_address: IpAddr,
    pub connected_at: UnixMillis,
    last_activity: AtomicU64,
    /// Its slot among all connections, and its rate.
    pub(super) permit: Arc<ConnectionPermit>,
    pub(super) deliver: Arc<dyn Deliver>,
    /// Up to which number of its organization's stream it was given what it hears, while it is behind; [`NOT_BEHIND`]
    /// otherwise.
    caught_up_to: AtomicU64,
    pub(super) membership: Mutex<Membership>,
    /// A message of it was refused for its rate before it authenticated.
    was_rate_limited: AtomicBool,
}

/// The oldest first.
#[derive(Default)]
struct OutstandingAcks(VecDeque<(AckId, MessageId)>);

/// Acknowledgements that one connection may owe. Who owes more is not asked for the oldest any more.
const MAX_OUTSTANDING_ACKS: usize = 1024;

/// A connection gets events as they come.
const NOT_BEHIND: u64 = u64::MAX;

/// A room that a connection is in.
pub(super) struct Joined {
    pub entry: Arc<RoomEntry>,
    /// As in [`HeardRoom`].
    pub behind: u64,
}

impl Joined {
    pub fn heard(&self) -> HeardRoom {
        HeardRoom {
            room: self.entry.room.clone(),
            behind: self.behind,
        }
    }
}

/// Where a connection belongs. Its lock is taken before any room's.
#[derive(Default)]
pub(super) struct Membership {
    pub identity: Option<Arc<Identity>>,
    /// The token that it came with, or was last extended by.
    pub token_id: Option<TokenId>,
    /// The latest time at which one of its tokens was issued, as they say.
    pub issued_at: Option<UnixMillis>,
    pub lifetime: TokenLifetime,
    /// Its slot among the organization's connections.
    pub slot: Option<SlotGuard>,
    pub rooms: Vec<Joined>,
    /// It has left: nothing may be joined any more.
    pub closed: bool,
    /// Why the server closes it, if it does.
    pub ended_by: Option<CloseReason>,
    /// Acknowledgements that it was asked for and has not given, the oldest first. Boxed: most have none.
    outstanding_acks: Option<Box<OutstandingAcks>>,
}

impl Membership {
    /// Notes the token that the connection came with, or is extended by.
    pub fn hold(&mut self, principal: &Principal) {
        self.token_id.clone_from(&principal.token_id);
        self.issued_at = self.issued_at.max(principal.issued_at);
    }
}

/// What it takes to make a connection.
pub struct NewConnection {
    /// The id of the connection that it goes on for; a new one if it is `None`.
    pub id: Option<ConnectionId>,
    pub protocol: Protocol,
    pub remote_address: IpAddr,
    pub permit: Arc<ConnectionPermit>,
    pub deliver: Arc<dyn Deliver>,
}

impl Connection {
    pub(super) fn new(
        new: NewConnection,
        id: ConnectionId,
        number: u64,
        connected_at: UnixMillis,
    ) -> Self {
        Self {
            id,
            number,
            protocol: new.protocol,
            remote_address: new.remote_address,
            connected_at,
            last_activity: AtomicU64::new(connected_at.0),
            permit: new.permit,
            deliver: new.deliver,
            caught_up_to: AtomicU64::new(NOT_BEHIND),
            membership: Mutex::default(),
            was_rate_limited: AtomicBool::new(false),
        }
    }

    /// Notes that the connection is about to be asked for an acknowledgement.
    pub(super) fn expect_ack(&self, id: AckId, message: MessageId) {
        let mut membership = self.membership.lock();
        let outstanding = &mut membership.outstanding_acks.get_or_insert_default().0;
        if outstanding.len() == MAX_OUTSTANDING_ACKS {
            outstanding.pop_front();
        }
        outstanding.push_back((id, message));
    }

    /// Whether an acknowledgement of this number is outstanding.
    pub fn owes_ack(&self, id: AckId) -> bool {
        let membership = self.membership.lock();
        let mut outstanding = membership
            .outstanding_acks
            .iter()
            .flat_map(|acks| acks.0.iter());
        outstanding.any(|(owed, _)| *owed == id)
    }

    /// The acknowledgement of this number is not outstanding any more; answers of which message it is.
    pub fn take_ack(&self, id: AckId) -> Option<MessageId> {
        self.take_ack_if(|(owed, _)| *owed == id)
    }

    /// The same by the message; false if none was outstanding.
    pub fn take_ack_of(&self, message: MessageId) -> bool {
        self.take_ack_if(|(_, of)| *of == message).is_some()
    }

    fn take_ack_if(&self, wanted: impl Fn(&(AckId, MessageId)) -> bool) -> Option<MessageId> {
        let mut membership = self.membership.lock();
        let outstanding = &mut membership.outstanding_acks.as_mut()?.0;
        let at = outstanding.iter().position(wanted)?;
        let (_, message) = outstanding.remove(at)?;
        if outstanding.is_empty() {
            membership.outstanding_acks = None;
        }
        Some(message)
    }

    /// The messages whose acknowledgements are outstanding.
    pub fn owed_acks(&self) -> Vec<MessageId> {
        let membership = self.membership.lock();
        let outstanding = membership
            .outstanding_acks
            .iter()
            .flat_map(|acks| acks.0.iter());
        outstanding.map(|(_, message)| *message).collect()
    }

    /// The numbers of the last events that it was given, for connections that can be recovered.
    pub fn given(&self) -> Given {
        self.deliver.given()
    }

    /// The rooms that it is in.
    pub fn rooms(&self) -> Vec<HeardRoom> {
        let membership = self.membership.lock();
        membership.rooms.iter().map(Joined::heard).collect()
    }

    /// Whether it hears the event of this number.
    pub fn hears(
        &self,
        number: u64,
        target: &Target,
        channel: Option<&Channel>,
        cascade: bool,
    ) -> bool {
        let membership = self.membership.lock();
        let Some(identity) = &membership.identity else {
            return false;
        };
        let heard = membership
            .rooms
            .iter()
            .filter(|joined| number > joined.behind);
        let rooms = heard.map(|joined| &joined.entry.room);
        target.is_heard_by(channel, cascade, self.id, &identity.user, rooms)
    }

    /// Whether it has left, or is about to.
    pub fn is_closed(&self) -> bool {
        self.membership.lock().closed
    }

    /// Up to which number it was given what it hears, if it is behind: then events are not handed to it as they come.
    pub fn caught_up_to(&self) -> Option<u64> {
        let number = self.caught_up_to.load(Ordering::Acquire);
        (number != NOT_BEHIND).then_some(number)
    }

    /// From now on it is behind, or not any more. To be called while nothing is delivered in its organization, but for
    /// the progress of one that is behind.
    pub fn set_caught_up_to(&self, number: Option<u64>) {
        let number = number.unwrap_or(NOT_BEHIND);
        self.caught_up_to.store(number, Ordering::Release);
    }

    /// Whether so much waits for it that nothing should be added without need.
    pub fn is_congested(&self) -> bool {
        self.deliver.is_congested()
    }

    /// The number of the last event that it was given in the order of the stream.
    pub fn last_given(&self) -> u64 {
        self.deliver.last_given()
    }

    /// Ends what carries it, without counting why: its client is served elsewhere.
    pub fn close_transport(&self, reason: CloseReason) {
        self.deliver.close(reason);
    }

    /// Notes that a message was refused, or read late, for the connection's rate: whoever then misses the time to
    /// authenticate did not do so of its own will.
    pub fn note_rate_limited(&self) {
        self.was_rate_limited.store(true, Ordering::Relaxed);
    }

    pub(super) fn was_rate_limited(&self) -> bool {
        self.was_rate_limited.load(Ordering::Relaxed)
    }

    /// Whether it has authenticated.
    pub fn is_authenticated(&self) -> bool {
        self.membership.lock().identity.is_some()
    }

    /// The identity, once authenticated.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.membership.lock().identity.clone()
    }

    /// When the client last sent something.
    pub fn last_activity_at(&self) -> UnixMillis {
        UnixMillis(self.last_activity.load(Ordering::Relaxed))
    }

    pub(super) fn touch(&self, now: UnixMillis) {
        self.last_activity.store(now.0, Ordering::Relaxed);
    }

    pub fn transport(&self) -> &'static str {
        self.deliver.transport()
    }

    /// Whether it takes what is queued for it with requests of its own.
    pub fn is_polling(&self) -> bool {
        self.transport() == "polling"
    }
}

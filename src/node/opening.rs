//! What a subscription opens with: what was missed since an offset, the latest values, or the last events.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ports::{Kept, Lost, StreamLog};
use crate::domain::error::NotRecovered;
use crate::domain::identity::{ConnectionId, UserId};
use crate::domain::position::Position;
use crate::domain::room::Room;
use crate::domain::target::Target;
use crate::hub::outbound::Outbound;
use crate::hub::ports::HeardRoom;

/// What a client wants to have when it subscribes, beside what is published from then on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Everything behind this offset.
    pub since: Option<Position>,
    /// The latest value of each event at each place; not where everything since an offset could be had.
    pub latest: bool,
    /// Likewise the last so many events.
    pub history: Option<usize>,
}

/// The most events that a subscription may open with.
pub const MAX_HISTORY: usize = 1000;

/// Events that are read at a time from the end of a stream.
const PAGE: usize = 1000;

/// What a look at one event costs its client: how long the next subscription that opens with something waits.
pub(super) const COST: Duration = Duration::from_micros(2);

/// What a new subscription opens with, apart from its being in the order of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Since(u64),
    Latest,
    History(usize),
}

/// A subscription whose opening is sent outside the order of the stream, so that no offset shows whether its client
/// has it.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    pub rooms: Vec<Room>,
    pub kind: Kind,
    /// Where the stream was. Whoever has a later event has what came with this.
    pub at: u64,
    /// Up to this number it also brought what is for the client itself, or its whole organization.
    pub own_up_to: u64,
}

impl Opening {
    /// Whether its client still has a use for it, now that it has left some rooms.
    pub fn is_of_use(&self) -> bool {
        !self.rooms.is_empty() || self.own_up_to > 0
    }
}

/// Who new subscriptions are for, and what that client has already.
pub(super) struct Newcomer<'a> {
    pub connection: ConnectionId,
    pub user: &'a UserId,
    pub new: &'a [Room],
    /// The rooms that it was in before, which have brought what they hear.
    pub before: &'a [HeardRoom],
    /// All rooms that it is in, its own among them.
    pub all: &'a [HeardRoom],
    /// Behind this number it has what is for itself, or its whole organization.
    pub own_behind: u64,
    /// How many events were looked at for it.
    pub looked_at: Cell<usize>,
}

impl Newcomer<'_> {
    fn hears<'b>(&self, kept: &Kept, rooms: impl Iterator<Item = &'b Room>) -> bool {
        let published = &kept.published;
        let channel = published.event.channel.as_ref();
        published.target.is_heard_by(
            channel,
            published.cascade,
            self.connection,
            self.user,
            rooms,
        )
    }

    fn look_at(&self, count: usize) {
        self.looked_at.set(self.looked_at.get() + count);
    }

    /// Whether no subscription is needed to hear it.
    fn is_own(kept: &Kept) -> bool {
        let published = &kept.published;
        !matches!(published.target, Target::Place(_)) || published.event.channel.is_none()
    }

    /// Whether it is of its new subscriptions, and no earlier one has brought it.
    fn opens_with(&self, kept: &Kept) -> bool {
        if Self::is_own(kept) {
            return false;
        }
        let seq = kept.position.seq;
        let before = self.before.iter().filter(|heard| seq > heard.behind);
        self.hears(kept, self.new.iter()) && !self.hears(kept, before.map(|heard| &heard.room))
    }

    /// Whether it is for itself, or its whole organization, and it has not got it.
    fn has_missed_own(&self, kept: &Kept) -> bool {
        let rooms = self.all.iter().map(|heard| &heard.room);
        kept.position.seq <= self.own_behind && Self::is_own(kept) && self.hears(kept, rooms)
    }

    /// What it missed behind an offset, at most so many.
    pub fn since(
        &self,
        log: &dyn StreamLog,
        offset: Position,
        most: usize,
    ) -> Result<Vec<Arc<Kept>>, NotRecovered> {
        let mut kept = log.since(offset, usize::MAX)?;
        self.look_at(kept.len());
        kept.retain(|kept| self.opens_with(kept) || self.has_missed_own(kept));
        if kept.len() > most {
            return Err(NotRecovered::TooMany);
        }
        Ok(kept)
    }

    /// The latest values.
    pub fn latest(&self, log: &dyn StreamLog) -> Vec<Arc<Kept>> {
        let mut latest = log.latest();
        self.look_at(latest.len());
        latest.retain(|kept| self.opens_with(kept));
        latest
    }

    /// The last events, in the order of the stream.
    pub fn history(&self, log: &dyn StreamLog, count: usize) -> Vec<Arc<Kept>> {
        let (mut found, mut until) = (Vec::new(), log.top().seq);
        loop {
            let page = log.until(until, PAGE);
            let Some(first) = page.first() else { break };
            until = first.position.seq - 1;
            self.look_at(page.len());
            let heard = page.into_iter().rev().filter(|kept| self.opens_with(kept));
            found.extend(heard.take(count - found.len()));
            if found.len() == count {
                break;
            }
        }
        found.reverse();
        found
    }

    /// What an opening brings, once more.
    pub fn again(&self, log: &dyn StreamLog, kind: Kind, epoch: Position) -> Vec<Arc<Kept>> {
        match kind {
            Kind::Since(seq) => {
                let all = log.since(Position { seq, ..epoch }, usize::MAX);
                let mut kept = all.unwrap_or_default();
                kept.retain(|kept| self.opens_with(kept) || self.has_missed_own(kept));
                kept
            }
            Kind::Latest => self.latest(log),
            Kind::History(count) => self.history(log, count),
        }
    }
}

/// An event on its way to one connection.
pub(super) fn outbound(kept: &Kept, is_replayed: bool) -> Arc<Outbound> {
    let (event, position) = (Arc::clone(&kept.published.event), kept.position);
    Arc::new(if is_replayed {
        Outbound::replayed(event, position)
    } else {
        Outbound::new(event, Some(position), Instant::now())
    })
}

/// The openings whose events its client may not have, brought again: each event once, and none of those that come
/// in the order of the stream.
pub(super) fn again(
    openings: &[Opening],
    log: &dyn StreamLog,
    client: (ConnectionId, &UserId),
    rooms: &[HeardRoom],
    in_order: &[Arc<Kept>],
) -> Vec<Arc<Kept>> {
    let mut seen: HashSet<u64> = in_order.iter().map(|kept| kept.position.seq).collect();
    let mut found = Vec::new();
    for opening in openings {
        let mut new = opening.rooms.clone();
        new.retain(|room| rooms.iter().any(|heard| heard.room == *room));
        let newcomer = Newcomer {
            connection: client.0,
            user: client.1,
            new: &new,
            before: &[],
            all: rooms,
            own_behind: opening.own_up_to,
            looked_at: Cell::new(0),
        };
        let kept = newcomer.again(log, opening.kind, log.top());
        let kept = kept
            .into_iter()
            .filter(|kept| kept.position.seq <= opening.at);
        found.extend(kept.filter(|kept| seen.insert(kept.position.seq)));
    }
    found.sort_by_key(|kept| kept.position.seq);
    found
}

impl From<Lost> for NotRecovered {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Epoch => Self::Epoch,
            Lost::Trimmed => Self::Trimmed,
        }
    }
}

//! What the hub asks of those around it.

use std::sync::Arc;
use std::time::Instant;

use super::outbound::Outbound;
use crate::domain::error::CloseReason;
use crate::domain::event::MessageId;
use crate::domain::identity::ConnectionId;
use crate::domain::room::Room;

/// What became of one event for one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The operating system has it.
    Written,
    /// It waits in the connection's queue, in order.
    Queued,
    /// Dropped: low priority, and the connection is behind.
    Dropped,
    /// The connection's queue was full, so the connection is being closed.
    Overflow,
    /// The connection is gone already.
    Gone,
}

impl Delivery {
    /// Whether the event was queued for the connection or written to it.
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Written | Self::Queued)
    }
}

/// One client's way out, made by the protocol it speaks. No method blocks or waits; all may be
/// called from any thread, and the hub holds no lock that another connection needs meanwhile.
pub trait Deliver: Send + Sync {
    /// Reads what the next [`Self::deliver`] reads, so that it is at hand in the processor's cache:
    /// for many connections in a row, the waits for memory overlap.
    fn warm(&self) {}

    /// Sends an event behind everything sent before it.
    fn deliver(&self, outbound: &Arc<Outbound>) -> Delivery;

    /// Tells the client why and closes the connection.
    fn close(&self, reason: CloseReason);

    /// Called about once a second: heartbeats, and the end of a connection that does not move.
    /// Returns why the connection was closed, if it was.
    fn tick(&self, now: Instant) -> Option<CloseReason>;

    /// The client has authenticated: what it holds counts as that of somebody known.
    fn know(&self) {}

    /// Frames that wait to be written.
    fn waiting(&self) -> usize;

    /// Whether so much waits that nothing should be added without need.
    fn is_congested(&self) -> bool {
        false
    }

    /// The numbers of the last events that it was given, for connections that can be recovered.
    fn given(&self) -> Given {
        Given::default()
    }

    /// The number of the last event that it was given in the order of the stream.
    fn last_given(&self) -> u64 {
        self.given().last()
    }

    /// How the client is connected at this moment: `websocket` or `polling`.
    fn transport(&self) -> &'static str;
}

/// Numbers that a [`Given`] has.
const REMEMBERED: usize = 4;

/// The numbers of the last events that a connection was given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given {
    /// In a ring.
    numbers: [u64; REMEMBERED],
    count: usize,
}

/// The first event behind a number that a connection was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstBehind {
    Event(u64),
    /// It was given none.
    None,
    /// It is too long ago to say.
    Unknown,
}

impl Given {
    /// Notes the next one.
    pub fn note(&mut self, number: u64) {
        self.numbers[self.count % REMEMBERED] = number;
        self.count += 1;
    }

    pub fn last(&self) -> u64 {
        self.numbers.iter().copied().max().unwrap_or_default()
    }

    pub fn first_behind(&self, number: u64) -> FirstBehind {
        let numbers = &self.numbers[..self.count.min(REMEMBERED)];
        let is_known = self.count <= REMEMBERED || numbers.iter().any(|given| *given <= number);
        match numbers.iter().filter(|given| **given > number).min() {
            _ if !is_known => FirstBehind::Unknown,
            Some(first) => FirstBehind::Event(*first),
            None => FirstBehind::None,
        }
    }
}

/// A room, and behind which number of the organization's stream its events are heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardRoom {
    pub room: Room,
    pub behind: u64,
}

/// A connection that leaves.
#[derive(Debug)]
pub struct Departure {
    pub connection: ConnectionId,
    /// The how many-th of this server it is.
    pub number: u64,
    pub rooms: Vec<HeardRoom>,
    /// If it was behind, up to which number it was given what it hears.
    pub caught_up_to: Option<u64>,
    /// Why the server closed it, if it did.
    pub reason: Option<CloseReason>,
    pub given: Given,
    /// Messages that it got and did not acknowledge although it was asked to.
    pub owed_acks: Vec<MessageId>,
}

/// Told of authenticated connections that leave. It must neither block nor wait.
pub trait Departures: Send + Sync {
    /// Called once for each, while its rooms still have it: what was delivered to them by now, it was given.
    fn departed(&self, departure: Departure);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_behind_a_number_is_known_for_the_last_few() {
        let mut given = Given::default();
        assert_eq!(given.first_behind(0), FirstBehind::None);
        for number in (10..=100).step_by(10) {
            given.note(number);
        }
        for (number, first) in [
            (0, FirstBehind::Unknown),
            (69, FirstBehind::Unknown),
            (70, FirstBehind::Event(80)),
            (75, FirstBehind::Event(80)),
            (99, FirstBehind::Event(100)),
            (100, FirstBehind::None),
            (101, FirstBehind::None),
        ] {
            assert_eq!(given.first_behind(number), first, "{number}");
        }
        assert_eq!(given.last(), 100);
        let mut few = Given::default();
        few.note(5);
        assert_eq!(few.first_behind(0), FirstBehind::Event(5));
    }
}

//! What the hub asks of those around it.

use std::sync::Arc;
use std::time::Instant;

use super::outbound::Outbound;
use crate::domain::error::CloseReason;

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

    /// How the client is connected at this moment: `websocket` or `polling`.
    fn transport(&self) -> &'static str;
}

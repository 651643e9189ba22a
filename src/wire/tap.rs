//! What passes between a link and its owner.

use std::time::Duration;

use bytes::Bytes;

use super::inbound::{Verdict, Violation};

/// What one connection may cost.
#[derive(Debug, Clone, Copy)]
pub struct LinkOptions {
    /// Frames that may wait in the queue.
    pub max_messages: usize,
    /// Bytes that may wait in the queue.
    pub max_bytes: usize,
    /// A connection to which nothing could be written for this long is closed.
    pub write_timeout: Duration,
    /// Longest message in bytes that a client may send.
    pub max_message_size: usize,
    /// The payload from which on messages are compressed; `None` for no compression. In the options
    /// of one connection it says whether permessage-deflate was agreed on.
    pub compression_threshold: Option<usize>,
}

impl LinkOptions {
    /// The options of a connection that agreed on permessage-deflate, or did not.
    #[must_use]
    pub fn negotiated(self, deflates: bool) -> Self {
        Self {
            compression_threshold: self.compression_threshold.filter(|_| deflates),
            ..self
        }
    }
}

/// What the owner of a link is told.
pub trait Tap: Send + Sync {
    /// The frame that was waited for (see [`Link::watch`]) has passed; called with no lock held.
    fn marker_passed(&self);
    /// A queued frame was handed to the operating system after it waited this long.
    fn delivered(&self, waited: Duration);
    /// A whole message came in: its text, `None` if it is binary. Called in order, before the
    /// library above sees the message.
    fn inspect(&self, text: Option<&[u8]>) -> Verdict;
    /// A ping or pong came in. Those who see them by other means need not listen here.
    fn control(&self) {}
    /// The client broke the rules; answers the frames to send before the connection closes.
    fn violated(&self, violation: Violation) -> Bytes;
    /// The library above sent a frame that the tap may want to time.
    fn sent(&self, frames: &[u8]);
    /// The stream is gone; called once.
    fn closed(&self);
}

/// What happened to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The operating system has it.
    Written,
    /// It waits; it will be written in order or the connection closes.
    Queued,
    /// It was of low priority and the connection is behind: dropped.
    Dropped,
    /// The queue is full.
    Overflow,
    /// The connection is closed or closing.
    Closed,
}

/// Why a connection was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// Nothing could be written for too long.
    Stalled,
    /// The server closed its side, and the peer did not follow.
    Closing,
}

/// How a frame is treated when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// An answer to the client's own request: reading pauses before the queue is full.
    Reply,
    /// Overflow closes the connection.
    Event,
    /// Dropped once half of the queue is used.
    Droppable,
}

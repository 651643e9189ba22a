//! What waits to be sent to each connection, and who writes it.

pub mod counting;
mod ending;
pub mod flusher;
pub mod link;
mod outgoing;

use std::time::Duration;

/// What one connection may cost.
#[derive(Debug, Clone, Copy)]
pub struct LinkOptions {
    /// Frames that may wait for a socket. What waits for a poll is bounded by its bytes alone.
    pub max_messages: usize,
    /// Bytes that may wait in the queue.
    pub max_bytes: usize,
    /// Bytes that all connections and requests may hold together; 0 is no limit.
    pub max_buffered: usize,
    /// A connection to which nothing could be written for this long is closed.
    pub write_timeout: Duration,
    /// The payload from which on messages are compressed; `None` for no compression.
    pub compression_threshold: Option<usize>,
}

/// Told how long queued frames waited until the operating system, or a poll, took them.
pub trait Observer: Send + Sync {
    fn delivered(&self, waited: Duration);
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
    /// It held too much when all together did.
    GivenUp,
}

/// How a frame is treated when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropPolicy {
    /// An answer to the client's own request: reading pauses before the queue is full.
    Reply,
    /// Overflow closes the connection.
    Event,
    /// Dropped once half of the queue is used.
    Droppable,
}

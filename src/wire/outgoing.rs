//! What waits to be written to one connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::link::Class;

/// Events that follow each other within this time are a burst.
const BURST: Duration = Duration::from_millis(50);

/// Above this many waiting bytes or frames nothing more is read from the client, so that answers to
/// its own requests can't pile up.
const PAUSE_READING_BYTES: usize = 64 * 1024;
const PAUSE_READING_MESSAGES: usize = 256;

/// Frames written with one system call.
pub(super) const MAX_SLICES: usize = 32;

#[derive(Debug)]
pub(super) struct Waiting {
    pub frame: Bytes,
    pub since: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub queue: VecDeque<Waiting>,
    /// Bytes of the first frame that are written already.
    pub offset: usize,
    pub bytes: usize,
    /// Since when nothing could be written although something waits.
    pub blocked_since: Option<Instant>,
    /// Since when the server's side is closed, or waits for the queue to empty to close.
    pub closing_since: Option<Instant>,
    pub dead: bool,
    /// When an event was last pushed.
    pub last_event: Option<Instant>,
    /// It stands in the list of those to flush.
    pub is_listed: bool,
    /// Somebody looks after the link while it is blocked or closing.
    pub is_guarded: bool,
}

impl Outgoing {
    pub fn is_congested(&self) -> bool {
        !self.dead
            && (self.bytes > PAUSE_READING_BYTES || self.queue.len() > PAUSE_READING_MESSAGES)
    }

    /// Whether what waits has not been offered to the socket yet.
    pub fn is_postponed(&self) -> bool {
        self.blocked_since.is_none() && !self.queue.is_empty()
    }

    /// Whether one system call could hardly take more than what waits.
    pub fn is_worth_a_write(&self) -> bool {
        self.queue.len() >= MAX_SLICES || self.bytes >= PAUSE_READING_BYTES
    }

    /// Whether events follow each other so closely that they are better written several at once,
    /// by the task that goes through the list.
    pub fn is_in_a_burst(&mut self, class: Class, now: Instant) -> bool {
        if class == Class::Reply {
            return false;
        }
        let last = self.last_event.replace(now);
        last.is_some_and(|last| now.saturating_duration_since(last) < BURST)
    }
}

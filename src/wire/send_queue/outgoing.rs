//! What waits to be sent to one connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{DropPolicy, LinkOptions, Pushed};
use crate::wire::buffers::{Holding, Owner};

/// Events that follow each other within this time are a burst.
const BURST: Duration = Duration::from_millis(50);

/// Above this many waiting bytes or frames nothing more is read from the client, so that answers to
/// its own requests can't pile up.
const PAUSE_READING_BYTES: usize = 64 * 1024;
const PAUSE_READING_MESSAGES: usize = 256;

/// Answers may fill so many queues before their client is closed: it neither reads nor stops asking.
const REPLY_SLACK: usize = 8;

/// What a waiting frame takes beside its bytes, which are shared.
const BYTES_PER_MESSAGE: usize = 64;

/// Frames written with one system call.
pub(super) const MAX_SLICES: usize = 32;

/// A queue that once was longer gives its memory back when it is empty.
const KEPT_CAPACITY: usize = 4;

#[derive(Debug)]
pub(super) struct Waiting {
    pub frame: Bytes,
    pub since: Instant,
}

#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other"
)]
pub(super) struct Outgoing {
    pub queue: VecDeque<Waiting>,
    /// Bytes of the first frame that are written already.
    pub offset: usize,
    pub bytes: usize,
    /// Since when nothing could be written although something waits.
    pub blocked_since: Option<Instant>,
    /// Since when the server's side is closed, or waits for the queue to empty to close.
    pub closing_since: Option<Instant>,
    /// When an event was last pushed.
    pub last_event: Option<Instant>,
    pub dead: bool,
    /// It stands in the list of those to flush.
    pub is_listed: bool,
    /// Somebody looks after the link while it is blocked or closing.
    pub is_guarded: bool,
    /// The peer agreed on permessage-deflate.
    pub deflates: bool,
    /// Its client has authenticated.
    pub is_known: bool,
    /// It held too much when all connections together did, and is to end.
    pub is_given_up: bool,
    /// Bytes of what came from the client: of messages that are not handled yet, and of packets that
    /// are not whole.
    pub unread: usize,
    pub partial: usize,
    /// What it is counted for, if that is much.
    pub holding: Option<Box<Holding>>,
}

impl Outgoing {
    pub fn is_congested(&self) -> bool {
        !self.dead
            && (self.bytes > PAUSE_READING_BYTES || self.queue.len() > PAUSE_READING_MESSAGES)
    }

    pub fn owner(&self) -> Owner {
        if self.is_known {
            Owner::Known
        } else {
            Owner::Anonymous
        }
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
    pub fn is_in_a_burst(&mut self, policy: DropPolicy, now: Instant) -> bool {
        if policy == DropPolicy::Reply {
            return false;
        }
        let last = self.last_event.replace(now);
        last.is_some_and(|last| now.saturating_duration_since(last) < BURST)
    }

    /// Whether a frame may be queued. What waits for a poll may be many short frames, since all of
    /// them go in one answer: only what they take in memory counts.
    pub fn room_for(
        &self,
        options: &LinkOptions,
        is_polling: bool,
        length: usize,
        policy: DropPolicy,
    ) -> Pushed {
        let max_bytes = options.max_bytes;
        let messages = self.queue.len() + 1;
        let (messages, max_messages, bytes) = if is_polling {
            let overhead = messages * BYTES_PER_MESSAGE;
            (0, usize::MAX / REPLY_SLACK, self.bytes + length + overhead)
        } else {
            (messages, options.max_messages, self.bytes + length)
        };
        // One event larger than the whole queue still fits into an empty one.
        let is_first = self.queue.is_empty();
        match policy {
            DropPolicy::Reply
                if messages > max_messages.saturating_mul(REPLY_SLACK)
                    || bytes > max_bytes.saturating_mul(REPLY_SLACK) =>
            {
                Pushed::Overflow
            }
            DropPolicy::Reply => Pushed::Queued,
            _ if is_first => Pushed::Queued,
            DropPolicy::Droppable if messages * 2 > max_messages || bytes * 2 > max_bytes => {
                Pushed::Dropped
            }
            _ if messages > max_messages || bytes > max_bytes => Pushed::Overflow,
            _ => Pushed::Queued,
        }
    }

    pub fn push(&mut self, frame: Bytes, written: usize, now: Instant) {
        if self.queue.is_empty() {
            self.offset = written;
        }
        self.bytes += frame.len() - written;
        self.queue.push_back(Waiting { frame, since: now });
    }

    /// Forgets what a burst needed.
    pub fn shrink(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > KEPT_CAPACITY {
            self.queue = VecDeque::new();
        }
    }
}

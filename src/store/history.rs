//! What a stream keeps, bounded by count, bytes and age.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::position::{Epoch, Position};
use crate::domain::time::UnixMillis;
use crate::node::ports::{Kept, Lost, Published};

/// What is kept of one stream, whichever ends first.
#[derive(Debug, Clone, Copy)]
pub struct HistoryOptions {
    /// Events.
    pub size: usize,
    pub max_bytes: usize,
    pub ttl_ms: u64,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self {
            size: 20_000,
            max_bytes: 8 * 1024 * 1024,
            ttl_ms: 24 * 60 * 60 * 1000,
        }
    }
}

/// What an event takes up beside its payload: its members, its target, and their places in memory.
const OVERHEAD: usize = 512;

/// What one id of a user or a connection takes up, about.
const ID_BYTES: usize = 64;

/// Bytes that an event takes up.
pub(super) fn size(kept: &Kept) -> usize {
    let Published { event, target, .. } = &kept.published;
    let attachments: usize = event.attachments.iter().map(bytes::Bytes::len).sum();
    OVERHEAD + event.payload.get().len() + attachments + target.ids() * ID_BYTES
}

/// The kept end of one stream.
#[derive(Debug)]
pub(super) struct History {
    epoch: Epoch,
    /// The number that was given last; 0 before the first.
    top: u64,
    /// The last number of which the event was forgotten: all behind it are there.
    floor: u64,
    events: VecDeque<Arc<Kept>>,
    bytes: usize,
    last_at: UnixMillis,
}

impl History {
    pub fn new(random: u64) -> Self {
        Self {
            epoch: Epoch::from_random(random),
            top: 0,
            floor: 0,
            events: VecDeque::new(),
            bytes: 0,
            last_at: UnixMillis(0),
        }
    }

    pub fn top(&self) -> Position {
        Position {
            epoch: self.epoch,
            seq: self.top,
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When something was last published.
    pub fn last_at(&self) -> UnixMillis {
        self.last_at
    }

    /// Keeps an event under the next number.
    pub fn append(&mut self, published: Published, options: &HistoryOptions) -> Arc<Kept> {
        self.top += 1;
        self.last_at = published.event.timestamp;
        let kept = Arc::new(Kept {
            position: self.top(),
            published,
        });
        self.bytes += size(&kept);
        self.events.push_back(Arc::clone(&kept));
        self.trim(self.last_at, options);
        kept
    }

    /// Forgets what is too old or too much.
    pub fn trim(&mut self, now: UnixMillis, options: &HistoryOptions) {
        let is_over = |history: &Self, first: &Kept| {
            history.events.len() > options.size
                || history.bytes > options.max_bytes
                || now.0.saturating_sub(first.published.event.timestamp.0) >= options.ttl_ms
        };
        while let Some(first) = self.events.front() {
            if !is_over(self, first) {
                break;
            }
            self.floor = first.position.seq;
            self.bytes -= size(first);
            self.events.pop_front();
        }
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
    }

    /// Forgets all events; numbers go on.
    pub fn clear(&mut self) {
        self.floor = self.top;
        self.bytes = 0;
        self.events = VecDeque::new();
    }

    /// The first events behind a position, at most `limit`, in order.
    pub fn since(&self, position: Position, limit: usize) -> Result<Vec<Arc<Kept>>, Lost> {
        if position.epoch != self.epoch || position.seq > self.top {
            return Err(Lost::Epoch);
        }
        if position.seq < self.floor {
            return Err(Lost::Trimmed);
        }
        // Numbers have no holes behind the floor.
        let skipped = usize::try_from(position.seq - self.floor).unwrap_or(usize::MAX);
        let behind = self.events.iter().skip(skipped);
        Ok(behind.take(limit).cloned().collect())
    }

    /// The last events up to a number, at most `limit`, in order.
    pub fn until(&self, number: u64, limit: usize) -> Vec<Arc<Kept>> {
        let behind_floor = number.saturating_sub(self.floor);
        let end = usize::try_from(behind_floor)
            .map_or(self.events.len(), |end| end.min(self.events.len()));
        let begin = end.saturating_sub(limit);
        self.events.range(begin..end).cloned().collect()
    }
}

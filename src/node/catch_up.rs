//! What one connection gets out of its stream although it was published before: what it missed, or what was there
//! when it subscribed. A little of it is given at once; of more the connection takes as much as its socket takes, and
//! meanwhile what is published waits for it in the stream, not in its queue.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::Mutex;

use super::opening;
use super::ports::Kept;
use super::streams::{Stream, Streams, Turn};
use crate::domain::error::CloseReason;
use crate::domain::event::MessageId;
use crate::domain::position::Position;
use crate::hub::Hub;
use crate::hub::connection::Connection;

/// Events, and bytes of their payloads, that are given at once.
const EVENTS_AT_ONCE: usize = 64;
const BYTES_AT_ONCE: usize = 32 * 1024;

/// Events that are read from the stream at a time.
const PAGE: usize = 64;

/// How long a connection that takes no more is left alone.
const PAUSE: Duration = Duration::from_millis(10);

/// Events that one connection, and all together, may be owed outside the order of their streams before the next
/// subscription that opens with something waits.
const MAX_OWED: usize = 10_000;
const MAX_OWED_BY_ALL: usize = 4_000_000;

/// Connections that are behind.
pub struct CatchUps {
    hub: Arc<Hub>,
    streams: Arc<Streams>,
    /// By their numbers, with what they are owed outside the order of the stream. What was published since comes
    /// behind it.
    behind: DashMap<u64, Arc<Mutex<VecDeque<Arc<Kept>>>>>,
    owed: AtomicUsize,
}

impl CatchUps {
    pub fn new(hub: &Arc<Hub>, streams: &Arc<Streams>) -> Arc<Self> {
        Arc::new(Self {
            hub: Arc::clone(hub),
            streams: Arc::clone(streams),
            behind: DashMap::new(),
            owed: AtomicUsize::new(0),
        })
    }

    /// How many connections are behind.
    pub fn behind(&self) -> usize {
        self.behind.len()
    }

    /// Waits until the connection may be owed more.
    pub(super) async fn room(&self, connection: &Connection) {
        while !connection.is_closed() {
            let queue = self
                .behind
                .get(&connection.number)
                .map(|queue| Arc::clone(&queue));
            let own = queue.map_or(0, |queue| queue.lock().len());
            if own < MAX_OWED && self.owed.load(Ordering::Relaxed) < MAX_OWED_BY_ALL {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until the connection is not behind any more, or is gone.
    pub(super) async fn end_of(&self, connection: &Connection) {
        while connection.caught_up_to().is_some() && !connection.is_closed() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What a client missed in the order of the stream.
pub(super) struct Missed {
    /// It begins behind this position.
    pub from: Position,
    pub events: Vec<Arc<Kept>>,
    pub answered: Answered,
}

/// Which events with acknowledgement a client has answered.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// Of those up to this number, all ..
    pub up_to: u64,
    /// .. but these.
    pub owed: HashSet<MessageId>,
}

impl Answered {
    pub fn has(&self, kept: &Kept) -> bool {
        let event = &kept.published.event;
        event.ack_id.is_some() && kept.position.seq <= self.up_to && !self.owed.contains(&event.id)
    }
}

/// What is given to a connection behind an answer. Nothing is delivered in its organization until this is gone.
pub struct CatchUp {
    all: Arc<CatchUps>,
    connection: Arc<Connection>,
    turn: Turn,
    /// Outside the order of the stream.
    replayed: Vec<Arc<Kept>>,
    missed: Option<Missed>,
}

fn payload_bytes<'a>(events: impl Iterator<Item = &'a Arc<Kept>>) -> usize {
    events
        .map(|kept| kept.published.event.payload.get().len())
        .sum()
}

impl CatchUp {
    pub(super) fn new(
        all: &Arc<CatchUps>,
        connection: &Arc<Connection>,
        turn: Turn,
        replayed: Vec<Arc<Kept>>,
        missed: Option<Missed>,
    ) -> Self {
        Self {
            all: Arc::clone(all),
            connection: Arc::clone(connection),
            turn,
            replayed,
            missed,
        }
    }

    fn is_little(&self) -> bool {
        let missed = self.missed.iter().flat_map(|missed| &missed.events);
        let all = self.replayed.iter().chain(missed);
        all.clone().count() <= EVENTS_AT_ONCE
            && payload_bytes(all) <= BYTES_AT_ONCE
            && !self.connection.is_congested()
    }

    /// Gives it, or begins to. To be called when the answer has been sent.
    pub fn deliver(self) {
        let is_little = self.is_little();
        let Self {
            all,
            connection,
            turn,
            replayed,
            missed,
        } = self;
        // While the turn is held, nobody who is behind is found to be so no more.
        if let Some(queue) = all.behind.get(&connection.number) {
            all.owed.fetch_add(replayed.len(), Ordering::Relaxed);
            queue.lock().extend(replayed);
            return;
        }
        if is_little {
            let replayed = replayed.into_iter().map(|kept| (kept, true));
            let missed = missed.into_iter().flat_map(|missed| missed.events);
            for (kept, is_replayed) in replayed.chain(missed.map(|kept| (kept, false))) {
                let outbound = opening::outbound(&kept, is_replayed);
                if !all.hub.deliver_behind(&outbound, &connection) {
                    return;
                }
            }
            return;
        }
        let position = missed
            .as_ref()
            .map_or(turn.position(), |missed| missed.from);
        connection.set_caught_up_to(Some(position.seq));
        all.owed.fetch_add(replayed.len(), Ordering::Relaxed);
        let replayed = Arc::new(Mutex::new(VecDeque::from(replayed)));
        all.behind.insert(connection.number, Arc::clone(&replayed));
        let reader = Reader {
            all,
            connection,
            stream: Arc::clone(turn.stream()),
            replayed,
            answered: missed.map(|missed| missed.answered).unwrap_or_default(),
            page: VecDeque::new(),
            position,
        };
        tokio::spawn(reader.run());
    }
}

/// Reads for a connection that is behind, as its socket takes it.
struct Reader {
    all: Arc<CatchUps>,
    connection: Arc<Connection>,
    stream: Arc<Stream>,
    /// What it is owed outside the order of the stream, which comes first.
    replayed: Arc<Mutex<VecDeque<Arc<Kept>>>>,
    answered: Answered,
    /// Read, and not given yet.
    page: VecDeque<Arc<Kept>>,
    /// Up to here was read.
    position: Position,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.end();
        let left = self.replayed.lock().len();
        self.all.owed.fetch_sub(left, Ordering::Relaxed);
    }
}

impl Reader {
    /// Nothing is left for this reader any more; another one may read for the connection.
    fn end(&self) {
        let is_own = |_: &u64, replayed: &Arc<_>| Arc::ptr_eq(replayed, &self.replayed);
        let number = &self.connection.number;
        self.all.behind.remove_if(number, is_own);
    }

    async fn run(mut self) {
        let mut given = 0;
        while !self.connection.is_closed() {
            if self.connection.is_congested() {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let goes_on = match self.next() {
                Some((kept, is_replayed)) => {
                    let goes_on = self.give(&kept, is_replayed);
                    given += 1;
                    if given % EVENTS_AT_ONCE == 0 {
                        tokio::task::yield_now().await;
                    }
                    goes_on
                }
                None => self.read().await,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// The next event, and whether it is outside the order of the stream.
    fn next(&mut self) -> Option<(Arc<Kept>, bool)> {
        if let Some(kept) = self.replayed.lock().pop_front() {
            self.all.owed.fetch_sub(1, Ordering::Relaxed);
            return Some((kept, true));
        }
        self.page.pop_front().map(|kept| (kept, false))
    }

    /// Gives it the next event; whether it goes on after it.
    fn give(&self, kept: &Kept, is_replayed: bool) -> bool {
        let outbound = opening::outbound(kept, is_replayed);
        let goes_on = self.all.hub.deliver_behind(&outbound, &self.connection);
        if !is_replayed {
            let number = kept.position.seq;
            self.connection.set_caught_up_to(Some(number));
        }
        goes_on
    }

    /// Reads on in the stream. False once it is not behind any more, or can't be brought what it missed.
    async fn read(&mut self) -> bool {
        match self.stream.log.since(self.position, PAGE) {
            Ok(page) if page.is_empty() => {
                let turn = self.all.streams.turn_of(&self.stream).await;
                let is_done = self.replayed.lock().is_empty() && turn.position() == self.position;
                if is_done {
                    self.connection.set_caught_up_to(None);
                    // Before the turn is passed on, so that nothing is left for a reader that has ended.
                    self.end();
                }
                !is_done
            }
            Ok(page) => {
                if let Some(last) = page.last() {
                    self.position = last.position;
                }
                let connection = &self.connection;
                let is_heard = |kept: &Arc<Kept>| {
                    let published = &kept.published;
                    let (channel, seq) = (published.event.channel.as_ref(), kept.position.seq);
                    !self.answered.has(kept)
                        && connection.hears(seq, &published.target, channel, published.cascade)
                };
                let heard: Vec<_> = page.into_iter().filter(is_heard).collect();
                self.page.extend(heard);
                if self.page.is_empty() && self.replayed.lock().is_empty() {
                    connection.set_caught_up_to(Some(self.position.seq));
                }
                true
            }
            Err(_) => {
                let hub = &self.all.hub;
                hub.close_now(&self.connection, CloseReason::TooSlow);
                false
            }
        }
    }
}

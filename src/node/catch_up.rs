//! What one connection gets out of its stream although it was published before: what it missed, or what was there
//! when it subscribed. A little of it is given at once; of more the connection takes as much as its socket takes, and
//! meanwhile what is published waits for it in the stream, not in its queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::Mutex;

use super::opening::Owed;
use super::ports::Kept;
use super::streams::{Stream, Streams, Turn};
use crate::domain::error::CloseReason;
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

/// Connections that are behind, by their numbers, with what they are still owed. What was published since comes
/// behind it.
pub struct CatchUps {
    hub: Arc<Hub>,
    streams: Arc<Streams>,
    behind: DashMap<u64, Arc<Mutex<VecDeque<Owed>>>>,
}

impl CatchUps {
    pub fn new(hub: &Arc<Hub>, streams: &Arc<Streams>) -> Arc<Self> {
        Arc::new(Self {
            hub: Arc::clone(hub),
            streams: Arc::clone(streams),
            behind: DashMap::new(),
        })
    }

    /// How many connections are behind.
    pub fn behind(&self) -> usize {
        self.behind.len()
    }
}

/// What is given to a connection behind an answer. Nothing is delivered in its organization until this is gone.
pub struct CatchUp {
    all: Arc<CatchUps>,
    connection: Arc<Connection>,
    turn: Turn,
    owed: Vec<Owed>,
}

impl CatchUp {
    pub(super) fn new(
        all: &Arc<CatchUps>,
        connection: &Arc<Connection>,
        turn: Turn,
        owed: Vec<Owed>,
    ) -> Self {
        Self {
            all: Arc::clone(all),
            connection: Arc::clone(connection),
            turn,
            owed,
        }
    }

    /// Gives it, or begins to. To be called when the answer has been sent.
    pub fn deliver(self) {
        let Self {
            all,
            connection,
            turn,
            owed,
        } = self;
        if owed.is_empty() {
            return;
        }
        // While the turn is held, nobody who is behind is found to be so no more.
        if let Some(queue) = all.behind.get(&connection.number) {
            queue.lock().extend(owed);
            return;
        }
        let payloads = owed.iter().map(|owed| &owed.kept.published.event.payload);
        let bytes: usize = payloads.map(|payload| payload.get().len()).sum();
        let is_little = owed.len() <= EVENTS_AT_ONCE && bytes <= BYTES_AT_ONCE;
        if is_little && !connection.is_congested() {
            for owed in owed {
                if !all.hub.deliver_behind(&owed.outbound(), &connection) {
                    return;
                }
            }
            return;
        }
        let position = turn.position();
        let first = owed.iter().find(|owed| !owed.is_replayed);
        let given = first.map_or(position.seq, |first| first.kept.position.seq - 1);
        connection.set_caught_up_to(Some(given));
        let owed = Arc::new(Mutex::new(VecDeque::from(owed)));
        all.behind.insert(connection.number, Arc::clone(&owed));
        let reader = Reader {
            all,
            connection,
            stream: Arc::clone(turn.stream()),
            owed,
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
    owed: Arc<Mutex<VecDeque<Owed>>>,
    /// Read, and not given yet.
    page: VecDeque<Arc<Kept>>,
    /// Up to here was read.
    position: Position,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.end();
    }
}

impl Reader {
    /// Nothing is left for this reader any more; another one may read for the connection.
    fn end(&self) {
        let is_own = |_: &u64, owed: &Arc<_>| Arc::ptr_eq(owed, &self.owed);
        self.all.behind.remove_if(&self.connection.number, is_own);
    }

    async fn run(mut self) {
        let mut given = 0;
        while !self.connection.is_closed() {
            if self.connection.is_congested() {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let goes_on = match self.next() {
                Some(owed) => {
                    let goes_on = self.give(&owed);
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

    fn next(&mut self) -> Option<Owed> {
        let owed = self.owed.lock().pop_front();
        owed.or_else(|| {
            let kept = self.page.pop_front()?;
            Some(Owed {
                kept,
                is_replayed: false,
            })
        })
    }

    /// Gives it the next event; whether it goes on after it.
    fn give(&self, owed: &Owed) -> bool {
        let seq = owed.kept.position.seq;
        let goes_on = self
            .all
            .hub
            .deliver_behind(&owed.outbound(), &self.connection);
        if !owed.is_replayed {
            self.connection.set_caught_up_to(Some(seq));
        }
        goes_on
    }

    /// Reads on in the stream. False once it is not behind any more, or can't be brought what it missed.
    async fn read(&mut self) -> bool {
        match self.stream.log.since(self.position, PAGE) {
            Ok(page) if page.is_empty() => {
                let turn = self.all.streams.turn_of(&self.stream).await;
                let is_done = self.owed.lock().is_empty() && turn.position() == self.position;
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
                    connection.hears(seq, &published.target, channel, published.cascade)
                };
                self.page.extend(page.into_iter().filter(is_heard));
                if self.page.is_empty() && self.owed.lock().is_empty() {
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

//! One stream, and who acts on it: one at a time, in the order in which they came.
//!
//! A publisher that comes while another one delivers leaves its event with that one, so that several
//! become one batch; whoever needs the stream to itself, to subscribe say, waits for its turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::domain::position::Position;
use crate::domain::target::Target;
use crate::hub::deliver::Delivered;
use crate::node::ports::{Published, StreamLog};

/// An event that waits for its number.
pub struct Arrival {
    pub published: Published,
    pub accepted_at: Instant,
    /// Told what became of it, if anybody still waits for that.
    pub done: oneshot::Sender<Receipt>,
}

impl Arrival {
    /// Whether the same connections hear both.
    pub(super) fn is_heard_like(&self, other: &Self) -> bool {
        let (own, other) = (&self.published, &other.published);
        let is_alike = own.cascade == other.cascade && own.event.channel == other.event.channel;
        is_alike && matches!(own.target, Target::Place(_)) && own.target == other.target
    }
}

/// What became of an event.
#[derive(Debug, Default)]
pub struct Receipt {
    /// `None` if it was stale, and so not published.
    pub position: Option<Position>,
    pub delivered: Delivered,
}

enum Waiting {
    Arrival(Arrival),
    Turn(oneshot::Sender<Turn>),
}

/// Those who wait for the stream.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    is_taken: bool,
}

/// The stream of one organization.
pub struct Stream {
    queue: Mutex<Queue>,
    pub log: Arc<dyn StreamLog>,
    /// The organization has connections.
    pub(super) is_held: AtomicBool,
    /// The number up to which all connections were given what they hear.
    pub(super) delivered: AtomicU64,
}

impl Stream {
    pub(super) fn new(log: Arc<dyn StreamLog>) -> Self {
        Self {
            queue: Mutex::default(),
            delivered: AtomicU64::new(log.top().seq),
            log,
            is_held: AtomicBool::new(false),
        }
    }

    /// The position up to which all connections were given what they hear.
    pub fn delivered(&self) -> Position {
        Position {
            seq: self.delivered.load(Ordering::Acquire),
            ..self.log.top()
        }
    }

    /// Leaves an event for whoever has the turn; it is the caller's if nobody has it.
    pub(super) fn arrive(self: &Arc<Self>, arrival: Arrival, next: &Arc<dyn Next>) -> Option<Turn> {
        let mut queue = self.queue.lock();
        queue.waiting.push_back(Waiting::Arrival(arrival));
        self.take(&mut queue, next)
    }

    /// The stream to oneself, once all who came before are done.
    pub(super) async fn turn(self: &Arc<Self>, next: &Arc<dyn Next>) -> Turn {
        loop {
            let turn = {
                let mut queue = self.queue.lock();
                if let Some(turn) = self.take(&mut queue, next) {
                    return turn;
                }
                let (sender, turn) = oneshot::channel();
                queue.waiting.push_back(Waiting::Turn(sender));
                turn
            };
            // It is lost only where the runtime ends; then there is nobody to wait for.
            if let Ok(turn) = turn.await {
                return turn;
            }
        }
    }

    fn take(self: &Arc<Self>, queue: &mut Queue, next: &Arc<dyn Next>) -> Option<Turn> {
        let is_free = !std::mem::replace(&mut queue.is_taken, true);
        is_free.then(|| Turn::new(self, next))
    }
}

/// Who goes on where a turn ends and events wait.
pub(super) trait Next: Send + Sync {
    fn deliver(self: Arc<Self>, turn: Turn);
}

/// The stream to oneself, until it is dropped.
pub struct Turn {
    stream: Arc<Stream>,
    next: Arc<dyn Next>,
    /// It has been passed on.
    is_over: bool,
}

impl Turn {
    fn new(stream: &Arc<Stream>, next: &Arc<dyn Next>) -> Self {
        Self {
            stream: Arc::clone(stream),
            next: Arc::clone(next),
            is_over: false,
        }
    }

    /// The stream that it is of.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// The position behind which everything is heard by who joins now.
    pub fn position(&self) -> Position {
        self.stream.log.top()
    }

    /// The events that wait before anybody who wants the stream for itself.
    pub(super) fn arrivals(&self) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        let mut queue = self.stream.queue.lock();
        while let Some(Waiting::Arrival(_)) = queue.waiting.front() {
            if let Some(Waiting::Arrival(arrival)) = queue.waiting.pop_front() {
                arrivals.push(arrival);
            }
        }
        arrivals
    }

    /// Passes the turn on to who waits longest.
    fn pass_on(&self) {
        loop {
            let waiter = {
                let mut queue = self.stream.queue.lock();
                match queue.waiting.pop_front() {
                    None => {
                        queue.is_taken = false;
                        queue.waiting = VecDeque::new();
                        return;
                    }
                    Some(Waiting::Turn(waiter)) => waiter,
                    Some(arrival) => {
                        queue.waiting.push_front(arrival);
                        drop(queue);
                        Arc::clone(&self.next).deliver(Self::new(&self.stream, &self.next));
                        return;
                    }
                }
            };
            match waiter.send(Self::new(&self.stream, &self.next)) {
                Ok(()) => return,
                // Nobody waits any more; this one is not to pass itself on as well.
                Err(mut turn) => turn.is_over = true,
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            self.pass_on();
        }
    }
}

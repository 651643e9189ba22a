//! The TCP connections that speak HTTP: how many there are, in all and from one address, and which
//! of them are given up first when there is no room left.
//!
//! A connection that became a WebSocket is none of these any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a connection waits for from its peer. The first in this order are given up first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waiting {
    /// A request or its headers, or the end of the connection.
    Request,
    /// The rest of a body.
    Body,
}

/// For so long whoever waits is not given up for somebody new: a request may be on its way, and who
/// comes while there are too many waits in the system's queue instead.
const LEAST_WAIT: Duration = Duration::from_millis(500);
/// How long those that were given up are waited for.
const LONGEST_LEAVE: Duration = Duration::from_millis(100);

/// The order in which connections are given up: of those that wait for the same, who has waited
/// longest.
type Turn = (Waiting, u64);

/// All of them.
#[derive(Debug)]
pub struct Connections {
    limit_per_address: usize,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    open: usize,
    next_turn: u64,
    waiting: BTreeMap<Turn, Waiter>,
    addresses: HashMap<IpAddr, OfAddress>,
}

#[derive(Debug)]
struct Waiter {
    address: IpAddr,
    since: Instant,
    notice: Arc<Notice>,
}

#[derive(Debug, Default)]
struct OfAddress {
    open: usize,
    waiting: BTreeSet<Turn>,
}

impl Book {
    fn give_up(&mut self, turn: Turn) -> Option<Arc<Notice>> {
        let waiter = self.waiting.remove(&turn)?;
        if let Some(of_address) = self.addresses.get_mut(&waiter.address) {
            of_address.waiting.remove(&turn);
        }
        Some(waiter.notice)
    }

    /// Gives up as many as have waited long enough, the first of them first. If none has, fails with
    /// the time when one will have.
    fn give_up_ripe(&mut self, count: usize) -> Result<Vec<Arc<Notice>>, Instant> {
        let now = Instant::now();
        let of = |what| self.waiting.range((what, 0)..=(what, u64::MAX));
        let kinds = [Waiting::Request, Waiting::Body];
        let ripe = kinds
            .into_iter()
            .flat_map(|what| of(what).take_while(|(_, waiter)| waiter.since + LEAST_WAIT <= now));
        let turns: Vec<Turn> = ripe.map(|(turn, _)| *turn).take(count).collect();
        let first = kinds.into_iter().filter_map(|what| of(what).next());
        if turns.is_empty()
            && let Some(since) = first.map(|(_, waiter)| waiter.since).min()
        {
            return Err(since + LEAST_WAIT);
        }
        Ok(turns
            .into_iter()
            .filter_map(|turn| self.give_up(turn))
            .collect())
    }
}

/// What a connection is told from outside of its task, and tells.
#[derive(Debug, Default)]
struct Notice {
    is_given_up: AtomicBool,
    task: AtomicWaker,
    gone: Notify,
}

impl Notice {
    fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Connections {
    /// A limit of 0 is no limit.
    pub fn new(limit_per_address: usize) -> Self {
        Self {
            limit_per_address,
            book: Mutex::default(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.book.lock().open
    }

    /// How many one address may have; 0 is no limit.
    pub fn limit_per_address(&self) -> usize {
        self.limit_per_address
    }

    /// A place for a connection from this address. If the address has all that it may have, the one
    /// of them that has waited longest is given up for it; `None` if none waits. An address that many
    /// share is exempt.
    pub fn open(self: &Arc<Self>, address: IpAddr, is_exempt: bool) -> Option<Place> {
        let mut book = self.book.lock();
        let of_address = book.addresses.entry(address).or_default();
        let is_full = self.limit_per_address != 0 && of_address.open >= self.limit_per_address;
        let mut given_up = None;
        if is_full && !is_exempt {
            let turn = *of_address.waiting.first()?;
            given_up = book.give_up(turn);
        }
        book.addresses.entry(address).or_default().open += 1;
        book.open += 1;
        drop(book);
        if let Some(notice) = given_up {
            notice.give_up();
        }
        let mut place = Place {
            connections: Arc::clone(self),
            address,
            notice: Arc::default(),
            turn: None,
        };
        // Before anybody has looked at it.
        place.wait(Waiting::Request);
        Some(place)
    }

    /// Gives up as many of those that have waited longest, if so many wait, and ends when they have
    /// gone.
    pub async fn make_room(&self, count: usize) {
        let given_up = loop {
            let found = self.book.lock().give_up_ripe(count);
            match found {
                Ok(given_up) => break given_up,
                Err(ripe) => tokio::time::sleep_until(ripe).await,
            }
        };
        for notice in &given_up {
            notice.give_up();
        }
        let all = async {
            for notice in &given_up {
                notice.gone.notified().await;
            }
        };
        // Whoever has not gone by then goes later.
        let _ = tokio::time::timeout(LONGEST_LEAVE, all).await;
    }
}

/// The place of one connection, which is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    address: IpAddr,
    notice: Arc<Notice>,
    turn: Option<Turn>,
}

impl Place {
    /// The connection waits, from now on if it did not for this.
    pub(super) fn wait(&mut self, what: Waiting) {
        if self.turn.is_none_or(|(waiting, _)| waiting != what) {
            self.wait_anew(what);
        }
    }

    /// The connection waits from now on.
    pub(super) fn wait_anew(&mut self, what: Waiting) {
        self.leave_turn(Some(what));
    }

    /// The connection waits no longer.
    pub(super) fn work(&mut self) {
        if self.turn.is_some() {
            self.leave_turn(None);
        }
    }

    fn leave_turn(&mut self, next: Option<Waiting>) {
        let mut book = self.connections.book.lock();
        if let Some(turn) = self.turn.take() {
            book.give_up(turn);
        }
        let Some(what) = next.filter(|_| !self.is_given_up()) else {
            return;
        };
        let turn = (what, book.next_turn);
        book.next_turn += 1;
        let waiter = Waiter {
            address: self.address,
            since: Instant::now(),
            notice: Arc::clone(&self.notice),
        };
        book.waiting.insert(turn, waiter);
        if let Some(of_address) = book.addresses.get_mut(&self.address) {
            of_address.waiting.insert(turn);
        }
        self.turn = Some(turn);
    }

    /// Whether the connection is to end at once. If it is not yet, the task is woken when it is.
    pub(super) fn poll_given_up(&self, task: &Waker) -> bool {
        self.notice.task.register(task);
        self.is_given_up()
    }

    fn is_given_up(&self) -> bool {
        self.notice.is_given_up.load(Ordering::Acquire)
    }

    /// Wakes the task that was last seen in [`Self::poll_given_up`].
    pub(super) fn wake(&self) {
        self.notice.task.wake();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.work();
        self.notice.gone.notify_one();
        let mut book = self.connections.book.lock();
        book.open -= 1;
        if let Some(of_address) = book.addresses.get_mut(&self.address) {
            of_address.open -= 1;
            if of_address.open == 0 {
                book.addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn is_given_up(place: &Place) -> bool {
        place.poll_given_up(Waker::noop())
    }

    #[test]
    fn places_are_counted_and_come_back_and_addresses_are_forgotten() {
        let connections = Arc::new(Connections::new(2));
        let open = |last| {
            let mut place = connections.open(address(last), false)?;
            place.work();
            Some(place)
        };
        let first = open(1).unwrap();
        let second = open(1).unwrap();
        assert!(open(1).is_none());
        assert!(connections.open(address(1), true).is_some());
        let other = open(2).unwrap();
        assert_eq!(connections.count(), 3);
        drop(first);
        assert!(open(1).is_some());
        drop((second, other));
        assert_eq!(connections.count(), 0);
        assert!(connections.book.lock().addresses.is_empty());
    }

    #[test]
    fn an_address_that_is_full_gives_up_its_own_that_waited_longest() {
        let connections = Arc::new(Connections::new(2));
        let other = connections.open(address(2), false).unwrap();
        let mut first = connections.open(address(1), false).unwrap();
        let mut second = connections.open(address(1), false).unwrap();
        // Whoever goes on waiting keeps its turn, and whoever waits for something new has a new one.
        first.wait(Waiting::Request);
        first.wait_anew(Waiting::Request);
        let mut third = connections.open(address(1), false).unwrap();
        third.work();
        assert!(is_given_up(&second) && !is_given_up(&first) && !is_given_up(&other));
        // It has not gone yet, and has no second turn.
        second.wait_anew(Waiting::Request);
        let mut fourth = connections.open(address(1), false).unwrap();
        fourth.work();
        assert!(is_given_up(&first));
        assert!(connections.open(address(1), false).is_none());
        drop((first, second, third, fourth, other));
        assert_eq!(connections.count(), 0);
        assert!(connections.book.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_request_is_given_up_before_who_waits_for_a_body_and_who_works_is_not()
    {
        let connections = Arc::new(Connections::new(0));
        let mut places: Vec<_> = (1..=4)
            .map(|last| connections.open(address(last), false).unwrap())
            .collect();
        places[0].wait(Waiting::Body);
        let mut works = places.remove(2);
        works.work();
        tokio::time::advance(LEAST_WAIT).await;
        for expected in [1, 1, 0] {
            let mut room = Box::pin(connections.make_room(1));
            assert!((&mut room).now_or_never().is_none(), "it has not gone");
            assert!(is_given_up(&places[expected]), "{expected}");
            drop(places.remove(expected));
            assert!(room.now_or_never().is_some());
        }
        assert!(connections.make_room(3).now_or_never().is_some());
        assert!(!is_given_up(&works));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_came_just_now_has_its_time_and_room_is_waited_for() {
        let connections = Arc::new(Connections::new(0));
        let first = connections.open(address(1), false).unwrap();
        tokio::time::advance(LEAST_WAIT / 2).await;
        let second = connections.open(address(2), false).unwrap();
        let mut room = Box::pin(connections.make_room(2));
        assert!((&mut room).now_or_never().is_none());
        assert!(!is_given_up(&first));
        let begin = Instant::now();
        tokio::join!(room, async {
            tokio::time::sleep_until(begin + LEAST_WAIT).await;
            assert!(is_given_up(&first) && !is_given_up(&second));
            drop(first);
        });
        // One that does not go is not waited for longer than that.
        let begin = Instant::now();
        connections.make_room(1).await;
        assert!(is_given_up(&second));
        assert_eq!(begin.elapsed(), LONGEST_LEAVE);
    }
}

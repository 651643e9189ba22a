//! The TCP connections that speak HTTP: how many there are, in all and from one address, and which
//! of them are given up first when there is no room left.
//!
//! A connection that became a WebSocket is none of these any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What a connection waits for from its peer. The first in this order are given up first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waiting {
    /// A request or its headers, or the end of the connection.
    Request,
    /// The rest of a body.
    Body,
}

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
    waiting: BTreeMap<Turn, (IpAddr, Arc<Notice>)>,
    addresses: HashMap<IpAddr, OfAddress>,
}

#[derive(Debug, Default)]
struct OfAddress {
    open: usize,
    waiting: BTreeSet<Turn>,
}

impl Book {
    fn give_up(&mut self, turn: Turn) -> Option<Arc<Notice>> {
        let (address, notice) = self.waiting.remove(&turn)?;
        if let Some(of_address) = self.addresses.get_mut(&address) {
            of_address.waiting.remove(&turn);
        }
        Some(notice)
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
        Some(Place {
            connections: Arc::clone(self),
            address,
            notice: Arc::default(),
            turn: None,
        })
    }

    /// Gives up as many of those that have waited longest, if so many wait, and ends when they have
    /// gone. How many they were.
    pub async fn make_room(&self, count: usize) -> usize {
        let given_up: Vec<_> = {
            let mut book = self.book.lock();
            let turns: Vec<Turn> = book.waiting.keys().take(count).copied().collect();
            let notices = turns.into_iter().filter_map(|turn| book.give_up(turn));
            notices.collect()
        };
        for notice in &given_up {
            notice.give_up();
        }
        for notice in &given_up {
            notice.gone.notified().await;
        }
        given_up.len()
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
        let notice = Arc::clone(&self.notice);
        book.waiting.insert(turn, (self.address, notice));
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
        let first = connections.open(address(1), false).unwrap();
        let second = connections.open(address(1), false).unwrap();
        assert!(connections.open(address(1), false).is_none());
        assert!(connections.open(address(1), true).is_some());
        let other = connections.open(address(2), false).unwrap();
        assert_eq!(connections.count(), 3);
        drop(first);
        assert!(connections.open(address(1), false).is_some());
        drop((second, other));
        assert_eq!(connections.count(), 0);
        assert!(connections.book.lock().addresses.is_empty());
    }

    #[test]
    fn an_address_that_is_full_gives_up_its_own_that_waited_longest() {
        let connections = Arc::new(Connections::new(2));
        let mut other = connections.open(address(2), false).unwrap();
        other.wait(Waiting::Request);
        let mut first = connections.open(address(1), false).unwrap();
        let mut second = connections.open(address(1), false).unwrap();
        first.wait(Waiting::Request);
        second.wait(Waiting::Request);
        // Whoever goes on waiting keeps its turn, and whoever waits for something new has a new one.
        first.wait(Waiting::Request);
        first.wait_anew(Waiting::Request);
        let third = connections.open(address(1), false).unwrap();
        assert!(is_given_up(&second) && !is_given_up(&first) && !is_given_up(&other));
        drop(third);
        // It has not gone yet, and has no second turn.
        second.wait_anew(Waiting::Request);
        let fourth = connections.open(address(1), false).unwrap();
        assert!(is_given_up(&first));
        assert!(connections.open(address(1), false).is_none());
        drop((first, second, fourth, other));
        assert_eq!(connections.count(), 0);
        assert!(connections.book.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn who_waits_for_a_request_is_given_up_before_who_waits_for_a_body_and_who_works_is_not()
    {
        let connections = Arc::new(Connections::new(0));
        let mut places: Vec<_> = (1..=4)
            .map(|last| connections.open(address(last), false).unwrap())
            .collect();
        places[0].wait(Waiting::Body);
        places[1].wait(Waiting::Request);
        places[2].wait(Waiting::Request);
        places[2].work();
        places[3].wait(Waiting::Request);
        let works = places.remove(2);
        for expected in [1, 1, 0] {
            let mut room = Box::pin(connections.make_room(1));
            assert!((&mut room).now_or_never().is_none(), "it has not gone");
            assert!(is_given_up(&places[expected]), "{expected}");
            drop(places.remove(expected));
            assert_eq!(room.await, 1);
        }
        assert_eq!(connections.make_room(3).await, 0);
        assert!(!is_given_up(&works));
    }
}

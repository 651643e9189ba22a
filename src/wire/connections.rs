//! The TCP connections that speak HTTP: how many there are, in all and from one address, and which
//! of them are given up first when there is no room left.
//!
//! A connection that became a WebSocket is none of these any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// Since when a connection waits, and what for, in the order in which they are given up: of those that
/// wait for the same, who has waited longest. In one word, since each request changes it: the kind,
/// then nanoseconds of the server. 0 is a connection that does not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Since(u64);

const NOT_WAITING: u64 = 0;
const BODY: u64 = 1 << 63;

impl Since {
    fn new(what: Waiting, elapsed: Duration) -> Self {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let nanos = nanos.saturating_add(1) & !BODY;
        Self(match what {
            Waiting::Request => nanos,
            Waiting::Body => nanos | BODY,
        })
    }

    fn what(self) -> Waiting {
        if self.0 & BODY == 0 {
            Waiting::Request
        } else {
            Waiting::Body
        }
    }

    fn elapsed(self) -> Duration {
        Duration::from_nanos((self.0 & !BODY).saturating_sub(1))
    }
}

/// A connection's slot in the order. It may be out of date: whoever gives connections up looks at
/// what the connection says itself, and puts it where it belongs.
type Turn = (Since, u64);

/// All of them.
#[derive(Debug)]
pub struct Connections {
    limit_per_address: usize,
    begin: Instant,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    open: usize,
    next_id: u64,
    waiting: BTreeMap<Turn, Arc<Notice>>,
    addresses: HashMap<IpAddr, OfAddress>,
}

#[derive(Debug, Default)]
struct OfAddress {
    open: usize,
    waiting: BTreeSet<Turn>,
}

impl Book {
    fn list(&mut self, notice: &Arc<Notice>, since: Since) {
        let turn = (since, notice.id);
        notice.listed.store(since.0, Ordering::SeqCst);
        self.waiting.insert(turn, Arc::clone(notice));
        if let Some(of_address) = self.addresses.get_mut(&notice.address) {
            of_address.waiting.insert(turn);
        }
    }

    fn unlist(&mut self, turn: Turn) -> Option<Arc<Notice>> {
        let notice = self.waiting.remove(&turn)?;
        if let Some(of_address) = self.addresses.get_mut(&notice.address) {
            of_address.waiting.remove(&turn);
        }
        notice.listed.store(NOT_WAITING, Ordering::SeqCst);
        Some(notice)
    }

    /// The first turn that `first` finds and that is true. Those in front of it that are not are put
    /// where they belong, each at most once for each time that its connection changed its state.
    fn first(&mut self, first: impl Fn(&Self) -> Option<Turn>) -> Option<Turn> {
        loop {
            let turn = first(self)?;
            let since = self.waiting.get(&turn).and_then(|notice| notice.since());
            if since == Some(turn.0) {
                return Some(turn);
            }
            // Looked at again when it is off the list: whoever begins to wait looks at the list last.
            if let Some(notice) = self.unlist(turn)
                && let Some(since) = notice.since()
            {
                self.list(&notice, since);
            }
        }
    }

    fn give_up(&mut self, turn: Turn) -> Option<Arc<Notice>> {
        let notice = self.unlist(turn)?;
        notice.is_given_up.store(true, Ordering::SeqCst);
        Some(notice)
    }

    /// Gives up as many as have waited long enough at `now`, the first of them first. If none has,
    /// fails with the time when one will have.
    fn give_up_ripe(&mut self, count: usize, now: Duration) -> Result<Vec<Arc<Notice>>, Duration> {
        let mut given_up = Vec::new();
        let mut next = None;
        for what in [Waiting::Request, Waiting::Body] {
            let from = (Since::new(what, Duration::ZERO), 0);
            while given_up.len() < count {
                let turn = self.first(|book| {
                    let (turn, _) = book.waiting.range(from..).next()?;
                    (turn.0.what() == what).then_some(*turn)
                });
                let Some(turn) = turn else { break };
                let ripe = turn.0.elapsed() + LEAST_WAIT;
                if ripe > now {
                    next = Some(next.map_or(ripe, |next: Duration| next.min(ripe)));
                    break;
                }
                given_up.extend(self.give_up(turn));
            }
        }
        match next {
            Some(next) if given_up.is_empty() => Err(next),
            _ => Ok(given_up),
        }
    }
}

/// What a connection is told from outside of its task, and tells.
#[derive(Debug)]
struct Notice {
    id: u64,
    address: IpAddr,
    /// What it waits for, as a [`Since`].
    waiting: AtomicU64,
    /// Where it stands in the order. Changes with the book locked.
    listed: AtomicU64,
    is_given_up: AtomicBool,
    task: AtomicWaker,
    gone: Notify,
}

impl Notice {
    fn since(&self) -> Option<Since> {
        match self.waiting.load(Ordering::SeqCst) {
            NOT_WAITING => None,
            since => Some(Since(since)),
        }
    }
}

impl Connections {
    /// A limit of 0 is no limit.
    pub fn new(limit_per_address: usize) -> Self {
        Self {
            limit_per_address,
            begin: Instant::now(),
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

    /// A slot for a connection from this address. If the address has all that it may have, the one
    /// of them that has waited longest is given up for it; `None` if none waits. An address that many
    /// share is exempt.
    pub fn open(self: &Arc<Self>, address: IpAddr, is_exempt: bool) -> Option<TcpSlot> {
        let mut book = self.book.lock();
        let of_address = book.addresses.get(&address);
        let open = of_address.map_or(0, |of_address| of_address.open);
        let is_full = self.limit_per_address != 0 && open >= self.limit_per_address;
        let mut given_up = None;
        if is_full && !is_exempt {
            let turn = book.first(|book| book.addresses.get(&address)?.waiting.first().copied())?;
            given_up = book.give_up(turn);
        }
        book.addresses.entry(address).or_default().open += 1;
        book.open += 1;
        let id = book.next_id;
        book.next_id += 1;
        drop(book);
        if let Some(notice) = given_up {
            notice.task.wake();
        }
        let slot = TcpSlot {
            connections: Arc::clone(self),
            notice: Arc::new(Notice {
                id,
                address,
                waiting: AtomicU64::new(NOT_WAITING),
                listed: AtomicU64::new(NOT_WAITING),
                is_given_up: AtomicBool::new(false),
                task: AtomicWaker::new(),
                gone: Notify::new(),
            }),
        };
        // Before anybody has looked at it.
        slot.wait(Waiting::Request);
        Some(slot)
    }

    /// Gives up as many of those that have waited longest, if so many wait, and ends when they have
    /// gone.
    pub async fn make_room(&self, count: usize) {
        let given_up = loop {
            let found = self.book.lock().give_up_ripe(count, self.begin.elapsed());
            match found {
                Ok(given_up) => break given_up,
                Err(ripe) => tokio::time::sleep_until(self.begin + ripe).await,
            }
        };
        for notice in &given_up {
            notice.task.wake();
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

/// The slot of one connection, which is free again when this is dropped.
#[derive(Debug)]
pub struct TcpSlot {
    connections: Arc<Connections>,
    notice: Arc<Notice>,
}

impl TcpSlot {
    /// The connection waits, from now on if it did not for this.
    pub(super) fn wait(&self, what: Waiting) {
        let since = self.notice.since();
        if since.is_none_or(|since| since.what() != what) {
            self.wait_anew(what);
        }
    }

    /// The connection waits from now on.
    pub(super) fn wait_anew(&self, what: Waiting) {
        let since = Since::new(what, self.connections.begin.elapsed());
        self.notice.waiting.store(since.0, Ordering::SeqCst);
        if self.notice.listed.load(Ordering::SeqCst) != NOT_WAITING {
            return;
        }
        let mut book = self.connections.book.lock();
        // Once given up it has no second turn.
        let is_listed = self.notice.listed.load(Ordering::SeqCst) != NOT_WAITING;
        if !is_listed && !self.is_given_up() {
            book.list(&self.notice, since);
        }
    }

    /// The connection waits no longer. It leaves the order when somebody comes upon it there.
    pub(super) fn work(&self) {
        self.notice.waiting.store(NOT_WAITING, Ordering::SeqCst);
    }

    /// Whether the connection is to end at once. If it is not yet, the task is woken when it is.
    pub(super) fn poll_given_up(&self, task: &Waker) -> bool {
        self.notice.task.register(task);
        self.is_given_up()
    }

    fn is_given_up(&self) -> bool {
        self.notice.is_given_up.load(Ordering::SeqCst)
    }

    /// Wakes the task that was last seen in [`Self::poll_given_up`].
    pub(super) fn wake(&self) {
        self.notice.task.wake();
    }
}

impl Drop for TcpSlot {
    fn drop(&mut self) {
        self.notice.gone.notify_one();
        let mut book = self.connections.book.lock();
        let listed = self.notice.listed.load(Ordering::SeqCst);
        book.unlist((Since(listed), self.notice.id));
        book.open -= 1;
        let address = self.notice.address;
        if let Some(of_address) = book.addresses.get_mut(&address) {
            of_address.open -= 1;
            if of_address.open == 0 {
                book.addresses.remove(&address);
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

    fn is_given_up(slot: &TcpSlot) -> bool {
        slot.poll_given_up(Waker::noop())
    }

    #[test]
    fn places_are_counted_and_come_back_and_addresses_are_forgotten() {
        let connections = Arc::new(Connections::new(2));
        let open = |last| {
            let slot = connections.open(address(last), false)?;
            slot.work();
            Some(slot)
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
        let first = connections.open(address(1), false).unwrap();
        let second = connections.open(address(1), false).unwrap();
        // Whoever goes on waiting keeps its turn, and whoever waits for something new has a new one.
        first.wait(Waiting::Request);
        first.wait_anew(Waiting::Request);
        let third = connections.open(address(1), false).unwrap();
        third.work();
        assert!(is_given_up(&second) && !is_given_up(&first) && !is_given_up(&other));
        // It has not gone yet, and has no second turn.
        second.wait_anew(Waiting::Request);
        let fourth = connections.open(address(1), false).unwrap();
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
        let mut slots: Vec<_> = (1..=4)
            .map(|last| connections.open(address(last), false).unwrap())
            .collect();
        slots[0].wait(Waiting::Body);
        let works = slots.remove(2);
        works.work();
        tokio::time::advance(LEAST_WAIT).await;
        for expected in [1, 1, 0] {
            let mut room = Box::pin(connections.make_room(1));
            assert!((&mut room).now_or_never().is_none(), "it has not gone");
            assert!(is_given_up(&slots[expected]), "{expected}");
            drop(slots.remove(expected));
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

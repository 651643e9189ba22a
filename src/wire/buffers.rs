//! One budget for all that the process keeps of what is on its way in or out.
//!
//! Each connection is bounded by itself; this bounds all of them together. Counted are messages and
//! bodies that have not come whole or are not handled yet, and what waits to be sent, which is counted
//! once however many connections wait for it. Whoever has not authenticated has a share of it, and so
//! have the bodies of requests. When the budget or a share is used up, those who hold most go first.
//! What every connection takes by itself, up to a few KiB, is not counted.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

/// What is unfinished of one connection counts from this on.
const STEP: usize = 4096;

/// Whoever holds as much stands in the list of those that may have to go.
const LARGE: usize = 4 * STEP;

/// Of the budget, what those have together who have not authenticated.
const ANONYMOUS_SHARE: usize = 8;
/// Of the budget, what the bodies of requests have together.
const BODY_SHARE: usize = 2;
/// How far below a limit those are brought who are over it: a part of the limit.
const RELIEF: usize = 8;

/// Whose a buffer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A connection that has not authenticated.
    Anonymous,
    /// One that has, or all that hear an event.
    Known,
    /// A request with a body.
    Request,
}

/// Who can be made to let go of what it holds.
pub(super) trait Holder: Send + Sync {
    fn give_up(&self);
}

/// About as many bytes, an eighth more at the most: so that what grows is seldom counted anew.
pub(super) fn rounded(bytes: usize) -> usize {
    if bytes < STEP {
        return 0;
    }
    let step = STEP.max(1 << bytes.ilog2().saturating_sub(3));
    bytes.div_ceil(step) * step
}

/// The account of all buffers.
#[derive(Debug)]
pub struct Buffers {
    /// 0 is no limit.
    limit: usize,
    held: AtomicUsize,
    anonymous: AtomicUsize,
    bodies: AtomicUsize,
    large: Mutex<HashMap<u64, Large>>,
    next_id: AtomicU64,
    given_up: AtomicU64,
}

/// A connection that holds much.
#[derive(Debug)]
struct Large {
    holder: Weak<dyn Holder>,
    bytes: usize,
    owner: Owner,
}

impl Buffers {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            held: AtomicUsize::new(0),
            anonymous: AtomicUsize::new(0),
            bodies: AtomicUsize::new(0),
            large: Mutex::default(),
            next_id: AtomicU64::new(1),
            given_up: AtomicU64::new(0),
        })
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that are held now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Connections that were given up for the budget since the start.
    pub fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    fn share(&self, owner: Owner) -> Option<(&AtomicUsize, usize)> {
        match owner {
            Owner::Anonymous => Some((&self.anonymous, self.limit / ANONYMOUS_SHARE)),
            Owner::Request => Some((&self.bodies, self.limit / BODY_SHARE)),
            Owner::Known => None,
        }
    }

    fn add(&self, owner: Owner, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        if let Some((share, _)) = self.share(owner) {
            share.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn remove(&self, owner: Owner, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        if let Some((share, _)) = self.share(owner) {
            share.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// The bytes, counted as long as anybody holds them.
    pub fn counted(self: &Arc<Self>, bytes: Bytes, owner: Owner) -> Bytes {
        let charge = Charge::new(self, owner, bytes.len());
        Bytes::from_owner(Counted {
            bytes,
            _charge: charge,
        })
    }

    /// How much is held beyond the limit by those whose turn it would be to go.
    fn excess(&self) -> Option<(usize, Option<Owner>)> {
        if self.limit == 0 {
            return None;
        }
        let over = |held: &AtomicUsize, limit: usize| {
            let held = held.load(Ordering::Relaxed);
            (held > limit).then(|| held - limit + limit / RELIEF)
        };
        let share = self.limit / ANONYMOUS_SHARE;
        if let Some(excess) = over(&self.anonymous, share) {
            return Some((excess, Some(Owner::Anonymous)));
        }
        over(&self.held, self.limit).map(|excess| (excess, None))
    }

    /// Gives up those who hold most, if too much is held. To be called with nothing locked.
    pub fn settle(&self) {
        let Some((excess, of)) = self.excess() else {
            return;
        };
        // One looks, the others go on.
        let Some(mut large) = self.large.try_lock() else {
            return;
        };
        let mut largest: Vec<(usize, u64)> = large
            .iter()
            .filter(|(_, large)| of.is_none_or(|owner| large.owner == owner))
            .map(|(id, large)| (large.bytes, *id))
            .collect();
        largest.sort_unstable_by_key(|&(bytes, id)| (Reverse(bytes), id));
        let mut freed = 0;
        let mut given_up = Vec::new();
        for (bytes, id) in largest {
            if freed >= excess {
                break;
            }
            if let Some(large) = large.remove(&id) {
                freed += bytes;
                given_up.push(large.holder);
            }
        }
        drop(large);
        for holder in given_up.iter().filter_map(Weak::upgrade) {
            self.given_up.fetch_add(1, Ordering::Relaxed);
            holder.give_up();
        }
    }

    /// Whether a request may hold what it has just been counted for.
    fn has_room(&self, owner: Owner) -> bool {
        self.settle();
        let is_within =
            |(held, share): (&AtomicUsize, usize)| held.load(Ordering::Relaxed) <= share;
        self.limit == 0 || (self.held() <= self.limit && self.share(owner).is_none_or(is_within))
    }
}

/// Bytes that are counted.
struct Counted {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What one holder is counted for, until this is dropped.
#[derive(Debug)]
pub struct Charge {
    buffers: Arc<Buffers>,
    owner: Owner,
    bytes: usize,
}

impl Charge {
    pub fn new(buffers: &Arc<Buffers>, owner: Owner, bytes: usize) -> Self {
        buffers.add(owner, bytes);
        Self {
            buffers: Arc::clone(buffers),
            owner,
            bytes,
        }
    }

    fn set(&mut self, owner: Owner, bytes: usize) {
        self.buffers.add(owner, bytes);
        self.buffers.remove(self.owner, self.bytes);
        (self.owner, self.bytes) = (owner, bytes);
    }

    /// Counts more for a request. False if there is no room for it.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        self.set(self.owner, self.bytes + bytes);
        self.buffers.has_room(self.owner)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.buffers.remove(self.owner, self.bytes);
    }
}

/// What one connection is counted for beside the frames that wait for it.
#[derive(Debug)]
pub(super) struct Holding {
    charge: Charge,
    id: u64,
    all: usize,
    is_listed: bool,
}

impl Holding {
    pub fn new(buffers: &Arc<Buffers>, owner: Owner) -> Self {
        Self {
            charge: Charge::new(buffers, owner, 0),
            id: buffers.next_id.fetch_add(1, Ordering::Relaxed),
            all: 0,
            is_listed: false,
        }
    }

    /// `inbound` bytes are counted for it; with what waits for it, it holds `all`.
    pub fn set(&mut self, holder: &Weak<dyn Holder>, owner: Owner, inbound: usize, all: usize) {
        if (owner, inbound, all) == (self.charge.owner, self.charge.bytes, self.all) {
            return;
        }
        self.charge.set(owner, inbound);
        self.all = all;
        let is_large = all >= LARGE;
        if !is_large && !self.is_listed {
            return;
        }
        self.is_listed = is_large;
        let mut large = self.charge.buffers.large.lock();
        if is_large {
            let holder = Weak::clone(holder);
            let bytes = all;
            large.insert(
                self.id,
                Large {
                    holder,
                    bytes,
                    owner,
                },
            );
        } else {
            large.remove(&self.id);
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if self.is_listed {
            self.charge.buffers.large.lock().remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1 << 21;

    #[derive(Default)]
    struct Client(Mutex<Option<Holding>>);

    impl Holder for Client {
        fn give_up(&self) {
            *self.0.lock() = None;
        }
    }

    fn hold(client: &Arc<Client>, buffers: &Arc<Buffers>, owner: Owner, bytes: usize) {
        let holder: Weak<Client> = Arc::downgrade(client);
        let holder: Weak<dyn Holder> = holder;
        let mut holding = client.0.lock();
        holding
            .get_or_insert_with(|| Holding::new(buffers, owner))
            .set(&holder, owner, rounded(bytes), rounded(bytes));
    }

    fn clients() -> Vec<Arc<Client>> {
        (0..12).map(|_| Arc::default()).collect()
    }

    fn counts(buffers: &Buffers) -> [usize; 3] {
        [&buffers.held, &buffers.anonymous, &buffers.bodies]
            .map(|count| count.load(Ordering::Relaxed))
    }

    proptest! {
        /// Whatever comes and goes, the account is the sum of what is there, no limit is passed by
        /// those who can be given up, nobody goes who holds less than one that stays, and in the end
        /// nothing is left.
        #[test]
        fn the_account_is_the_sum_of_what_is_held_and_the_largest_go_first(
            steps in proptest::collection::vec((0_usize..12, any::<bool>(), 0_usize..800_000), 1..120),
        ) {
            let buffers = Buffers::new(LIMIT);
            let clients = clients();
            let mut held = [(0, Owner::Known); 12];
            for (at, is_known, bytes) in steps {
                let owner = if is_known { Owner::Known } else { Owner::Anonymous };
                hold(&clients[at], &buffers, owner, bytes);
                held[at] = (rounded(bytes), owner);
                let before = held;
                let given_up = buffers.given_up();
                buffers.settle();
                let is_gone = |at: usize| clients[at].0.lock().is_none();
                let gone: Vec<_> = (0..12).filter(|at| before[*at].0 > 0 && is_gone(*at)).collect();
                prop_assert_eq!(buffers.given_up() - given_up, gone.len() as u64);
                for &at in &gone {
                    held[at] = (0, Owner::Known);
                }
                let is_anonymous = |owner| owner == Owner::Anonymous;
                let least = gone.iter().map(|at| before[*at].0).min();
                let of = gone.first().map(|at| before[*at].1).filter(|owner| is_anonymous(*owner));
                if let Some(least) = least {
                    // Of the same kind, if it was the share of one kind that was used up.
                    let only = of.filter(|_| gone.iter().all(|at| is_anonymous(before[*at].1)));
                    let stays = held.iter().filter(|(_, owner)| only.is_none_or(|of| of == *owner));
                    let most = stays.map(|(bytes, _)| *bytes).max().unwrap_or(0);
                    prop_assert!(most <= least, "{most} stays, {least} went");
                }
                let sum: usize = held.iter().map(|(bytes, _)| bytes).sum();
                let anonymous = held.iter().filter(|(_, owner)| is_anonymous(*owner));
                let anonymous: usize = anonymous.map(|(bytes, _)| bytes).sum();
                prop_assert_eq!(counts(&buffers), [sum, anonymous, 0]);
                // One call brings one of the two limits down.
                buffers.settle();
                for (at, client) in clients.iter().enumerate() {
                    if client.0.lock().is_none() {
                        held[at] = (0, Owner::Known);
                    }
                }
                prop_assert!(buffers.held() <= LIMIT);
                prop_assert!(counts(&buffers)[1] <= LIMIT / ANONYMOUS_SHARE);
            }
            drop(clients);
            prop_assert_eq!(counts(&buffers), [0; 3]);
            prop_assert!(buffers.large.lock().is_empty());
        }
    }

    #[test]
    fn a_frame_is_counted_once_however_many_wait_for_it() {
        let buffers = Buffers::new(LIMIT);
        let frame = buffers.counted(Bytes::from(vec![0; 1000]), Owner::Known);
        let waiting: Vec<_> = (0..100).map(|at| frame.slice(at..)).collect();
        assert_eq!(counts(&buffers), [1000, 0, 0]);
        drop(frame);
        assert_eq!(counts(&buffers), [1000, 0, 0]);
        drop(waiting);
        assert_eq!(counts(&buffers), [0; 3]);
    }

    #[test]
    fn requests_have_half_of_the_budget_and_are_refused_over_it() {
        let buffers = Buffers::new(LIMIT);
        let mut first = Charge::new(&buffers, Owner::Request, 0);
        let mut second = Charge::new(&buffers, Owner::Request, 0);
        assert!(first.grow(LIMIT / 4) && second.grow(LIMIT / 4));
        assert!(!first.grow(1));
        drop(second);
        assert!(first.grow(LIMIT / 4 - 1));
        // A connection that holds much is given up for a request within its share.
        let client = Arc::<Client>::default();
        hold(&client, &buffers, Owner::Known, LIMIT / 8 * 5);
        let mut third = Charge::new(&buffers, Owner::Request, 0);
        drop(first);
        assert!(third.grow(LIMIT / 2));
        assert!(client.0.lock().is_none());
        drop(third);
        assert_eq!(counts(&buffers), [0; 3]);
        let unlimited = Buffers::new(0);
        assert!(Charge::new(&unlimited, Owner::Request, 0).grow(usize::MAX / 2));
    }
}

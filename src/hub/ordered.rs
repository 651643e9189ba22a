//! A map that can be gone through in pieces: whoever reads all of it lets others run in between, and
//! goes on where it was although entries have come and gone.

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::RwLock;

/// Entries that are looked at without a pause, for some microseconds.
pub(super) const PIECE: usize = 256;

/// Entries that are passed over without a pause.
const SKIPPED_AT_ONCE: usize = 4096;

/// Lets others run after every so many steps, each of which may take some microseconds.
#[derive(Default)]
pub(super) struct Pace(usize);

impl Pace {
    const STEPS: usize = 64;

    /// To be called after each step.
    pub async fn step(&mut self) {
        self.steps(1).await;
    }

    /// To be called after several steps.
    pub async fn steps(&mut self, steps: usize) {
        self.0 += steps;
        if self.0 >= Self::STEPS {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Entries in the order of their keys. All methods lock it for a short time.
pub(super) struct Ordered<K, V>(RwLock<BTreeMap<K, V>>);

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Ord + Clone, V: Clone> Ordered<K, V> {
    pub fn insert(&self, key: K, value: V) {
        self.0.write().insert(key, value);
    }

    pub fn remove(&self, key: &K) {
        self.0.write().remove(key);
    }

    pub fn len(&self) -> usize {
        self.0.read().len()
    }

    /// The first of those behind `after`, at most `limit`.
    pub fn piece(&self, after: Option<&K>, limit: usize) -> Vec<(K, V)> {
        let map = self.0.read();
        map.range((behind(after), Bound::Unbounded))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// The key behind which all but the first `count` are; the last one if there are not so many.
    pub async fn skip(&self, mut count: usize) -> Option<K> {
        let mut after: Option<K> = None;
        while count > 0 {
            let step = count.min(SKIPPED_AT_ONCE);
            {
                let map = self.0.read();
                let mut rest = map.range((behind(after.as_ref()), Bound::Unbounded));
                match rest.nth(step - 1) {
                    Some((key, _)) => after = Some(key.clone()),
                    None => return map.last_key_value().map(|(key, _)| key.clone()),
                }
            }
            count -= step;
            tokio::task::yield_now().await;
        }
        after
    }

    /// Every entry that is there from the begin to the end, and perhaps others; others run between
    /// two pieces.
    pub async fn each(&self, mut look: impl FnMut(&K, &V)) {
        let mut after: Option<K> = None;
        loop {
            let some = self.piece(after.as_ref(), PIECE);
            for (key, value) in &some {
                look(key, value);
            }
            match some.into_iter().last() {
                Some((last, _)) => after = Some(last),
                None => return,
            }
            tokio::task::yield_now().await;
        }
    }
}

fn behind<K>(after: Option<&K>) -> Bound<&K> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_are_seen_once_although_others_come_and_go() {
        let map = Ordered::default();
        let count = 3 * PIECE;
        for key in 0..count {
            map.insert(key, ());
        }
        let mut seen = Vec::new();
        map.each(|key, ()| {
            seen.push(*key);
            // Behind and before the place that is looked at.
            map.remove(key);
            if seen.len() == 1 {
                map.remove(&(count - 1));
                map.insert(count, ());
            }
        })
        .await;
        let expected: Vec<_> = (0..count - 1).chain([count]).collect();
        assert_eq!(seen, expected);
        assert_eq!(map.len(), 0);
    }

    #[tokio::test]
    async fn others_run_between_two_pieces() {
        let map = Ordered::default();
        for key in 0..10 * PIECE {
            map.insert(key, ());
        }
        let (mut seen, mut longest) = (0, 0);
        let progress = std::cell::Cell::new(0);
        let walk = map.each(|_, ()| progress.set(progress.get() + 1));
        let other = async {
            while seen < 10 * PIECE {
                longest = longest.max(progress.get() - seen);
                seen = progress.get();
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(walk, other);
        // Which of the two is polled first changes from one time to the next.
        assert!(longest <= 2 * PIECE, "{longest}");
    }

    #[tokio::test]
    async fn as_many_are_skipped_as_were_asked_for() {
        let map = Ordered::default();
        let count = 2 * SKIPPED_AT_ONCE + 5;
        for key in 0..count {
            map.insert(key, ());
        }
        for skipped in [1, SKIPPED_AT_ONCE, SKIPPED_AT_ONCE + 1, count] {
            assert_eq!(map.skip(skipped).await, Some(skipped - 1));
        }
        assert_eq!(map.skip(0).await, None);
        assert_eq!(map.skip(usize::MAX).await, Some(count - 1));
    }
}

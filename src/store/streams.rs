//! Streams in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use parking_lot::Mutex;

use super::history::{History, HistoryOptions};
use super::latest::{Latest, LatestOptions};
use crate::domain::identity::OrganizationId;
use crate::domain::position::Position;
use crate::domain::time::UnixMillis;
use crate::node::ports::{Broker, Kept, Lost, Published, StreamLog};

/// What streams may keep.
#[derive(Debug, Clone, Copy)]
pub struct StreamOptions {
    /// Streams; of those that nobody holds, the one that was silent longest is forgotten first.
    pub max_organizations: usize,
    /// Bytes of what all of them keep together.
    pub max_bytes: usize,
    pub history: HistoryOptions,
    pub latest: LatestOptions,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            max_organizations: 10_000,
            max_bytes: 256 * 1024 * 1024,
            history: HistoryOptions::default(),
            latest: LatestOptions::default(),
        }
    }
}

/// What is kept of one stream.
struct Content {
    history: History,
    latest: Latest,
}

impl Content {
    /// An event that is in both counts twice.
    fn bytes(&self) -> usize {
        self.history.bytes() + self.latest.bytes()
    }
}

/// One stream.
struct MemoryStream {
    history: HistoryOptions,
    latest: LatestOptions,
    content: Mutex<Content>,
    /// Bytes of all streams.
    all_bytes: Arc<AtomicUsize>,
}

impl MemoryStream {
    /// Changes what is kept, and the account of all.
    fn change<T>(&self, change: impl FnOnce(&mut Content) -> T) -> T {
        let mut content = self.content.lock();
        let before = content.bytes();
        let outcome = change(&mut content);
        let after = content.bytes();
        if after >= before {
            self.all_bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.all_bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
        outcome
    }
}

impl StreamLog for MemoryStream {
    fn append(&self, event: Published) -> Option<Arc<Kept>> {
        self.change(|content| {
            if content.latest.is_stale(&event) {
                return None;
            }
            let kept = content.history.append(event, &self.history);
            content.latest.note(&kept, &self.latest);
            Some(kept)
        })
    }

    fn top(&self) -> Position {
        self.content.lock().history.top()
    }

    fn since(&self, position: Position, limit: usize) -> Result<Vec<Arc<Kept>>, Lost> {
        self.content.lock().history.since(position, limit)
    }

    fn until(&self, number: u64, limit: usize) -> Vec<Arc<Kept>> {
        self.content.lock().history.until(number, limit)
    }

    fn latest(&self) -> Vec<Arc<Kept>> {
        self.content.lock().latest.values().cloned().collect()
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        let bytes = self.content.get_mut().bytes();
        self.all_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The streams of a node, in memory.
pub struct MemoryBroker {
    options: StreamOptions,
    streams: DashMap<OrganizationId, Arc<MemoryStream>>,
    bytes: Arc<AtomicUsize>,
}

impl MemoryBroker {
    pub fn new(options: StreamOptions) -> Self {
        Self {
            options,
            streams: DashMap::new(),
            bytes: Arc::default(),
        }
    }

    /// Forgets the streams that nobody holds, and the history of others, the longest silent first, until it is
    /// no more than allowed.
    fn forget_silent(&self) {
        let too_many = self
            .streams
            .len()
            .saturating_sub(self.options.max_organizations);
        let is_too_much = || self.bytes() > self.options.max_bytes;
        if too_many == 0 && !is_too_much() {
            return;
        }
        let mut silent: Vec<_> = self
            .streams
            .iter()
            .map(|stream| {
                let last_at = stream.content.lock().history.last_at();
                (last_at, stream.key().clone())
            })
            .collect();
        silent.sort_unstable();
        let mut forgotten = 0;
        for (_, organization) in silent {
            if forgotten >= too_many && !is_too_much() {
                return;
            }
            let is_free = |_: &OrganizationId, stream: &Arc<_>| Arc::strong_count(stream) == 1;
            if self.streams.remove_if(&organization, is_free).is_some() {
                forgotten += 1;
            } else if is_too_much()
                && let Some(stream) = self.streams.get(&organization)
            {
                stream.change(|content| {
                    content.history.clear();
                    content.latest = Latest::default();
                });
            }
        }
    }
}

impl Broker for MemoryBroker {
    fn stream(&self, organization: &OrganizationId) -> Arc<dyn StreamLog> {
        if let Some(stream) = self.streams.get(organization) {
            return Arc::clone(&stream) as _;
        }
        let stream = self.streams.entry(organization.clone()).or_insert_with(|| {
            Arc::new(MemoryStream {
                history: self.options.history,
                latest: self.options.latest,
                content: Mutex::new(Content {
                    history: History::new(rand::random()),
                    latest: Latest::default(),
                }),
                all_bytes: Arc::clone(&self.bytes),
            })
        });
        Arc::clone(&stream) as _
    }

    fn existing(&self, organization: &OrganizationId) -> Option<Arc<dyn StreamLog>> {
        let stream = self.streams.get(organization)?;
        Some(Arc::clone(&stream) as _)
    }

    fn organizations(&self) -> Vec<OrganizationId> {
        let streams = self.streams.iter();
        streams.map(|stream| stream.key().clone()).collect()
    }

    fn sweep(&self, now: UnixMillis) {
        for stream in &self.streams {
            stream.change(|content| {
                content.history.trim(now, &stream.history);
                content.latest.trim(now, &stream.latest);
            });
        }
        self.forget_silent();
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::history::size;
    use crate::store::testing::published;

    fn numbers(stream: &dyn StreamLog, seq: u64, limit: usize) -> Result<Vec<u64>, Lost> {
        let position = Position {
            seq,
            ..stream.top()
        };
        let kept = stream.since(position, limit)?;
        Ok(kept.iter().map(|kept| kept.position.seq).collect())
    }

    proptest! {
        /// Against a list that forgets nothing.
        #[test]
        fn what_is_behind_a_position_is_all_of_it_or_not_said(
            sizes in proptest::collection::vec((0_usize..2000, 0_u64..40), 0..60),
            asked in 0_u64..70,
            limit in 0_usize..60,
        ) {
            let history = HistoryOptions { size: 30, max_bytes: 20_000, ttl_ms: 500 };
            let broker = MemoryBroker::new(StreamOptions { history, ..StreamOptions::default() });
            let stream = broker.stream(&OrganizationId::new("a").unwrap());
            // What should be kept, by the definition: the longest end within all three bounds.
            let (mut now, mut top, mut ends) = (0, 0, Vec::new());
            for (bytes, later) in &sizes {
                now += later;
                top += 1;
                let kept = stream.append(published("a", now, *bytes)).unwrap();
                prop_assert_eq!(kept.position.seq, top);
                ends.push((top, now, size(&kept)));
                while ends.len() > 30
                    || ends.iter().map(|(.., size)| size).sum::<usize>() > 20_000
                    || ends.first().is_some_and(|(_, at, _)| now - at >= 500)
                {
                    ends.remove(0);
                }
            }
            prop_assert_eq!(stream.top().seq, top);
            let floor = ends.first().map_or(top, |(first, ..)| first - 1);
            let wanted: Vec<u64> = (asked + 1..=top).collect();
            let expected = if asked > top {
                Err(Lost::Epoch)
            } else if asked < floor {
                Err(Lost::Trimmed)
            } else {
                Ok(wanted.into_iter().take(limit).collect())
            };
            prop_assert_eq!(numbers(&*stream, asked, limit), expected);
            let until: Vec<u64> = stream.until(asked, limit).iter().map(|kept| kept.position.seq).collect();
            let end = asked.min(top);
            let begin = floor.max(end.saturating_sub(limit as u64)).min(end);
            prop_assert_eq!(until, (begin + 1..=end).collect::<Vec<u64>>());
            prop_assert!(broker.bytes() <= 20_000);
        }
    }

    #[test]
    fn another_numbering_is_another_epoch() {
        let broker = MemoryBroker::new(StreamOptions::default());
        let [a, b] = ["a", "b"].map(|id| broker.stream(&OrganizationId::new(id).unwrap()));
        a.append(published("a", 0, 1));
        assert_eq!(b.since(a.top(), 10).err(), Some(Lost::Epoch));
        assert_eq!(numbers(&*a, 0, 10), Ok(vec![1]));
    }

    #[test]
    fn of_too_many_streams_the_longest_silent_that_nobody_holds_goes_first() {
        let options = StreamOptions {
            max_organizations: 2,
            ..StreamOptions::default()
        };
        let broker = MemoryBroker::new(options);
        let held = broker.stream(&OrganizationId::new("held").unwrap());
        held.append(published("held", 1, 1));
        for (id, at) in [("old", 2), ("new", 4), ("middle", 3)] {
            let stream = broker.stream(&OrganizationId::new(id).unwrap());
            stream.append(published(id, at, 1));
        }
        broker.sweep(UnixMillis(5));
        let mut left: Vec<String> = broker
            .organizations()
            .iter()
            .map(ToString::to_string)
            .collect();
        left.sort();
        assert_eq!(left, ["held", "new"]);
        assert_eq!(numbers(&*held, 0, 10), Ok(vec![1]));
    }

    #[test]
    fn bytes_of_all_streams_are_bounded_and_come_back() {
        let options = StreamOptions {
            max_bytes: 50_000,
            ..StreamOptions::default()
        };
        let broker = MemoryBroker::new(options);
        let streams: Vec<_> = (0..20)
            .map(|at| {
                let id = at.to_string();
                let stream = broker.stream(&OrganizationId::new(&id).unwrap());
                for _ in 0..10 {
                    stream.append(published(&id, at, 500));
                }
                stream
            })
            .collect();
        assert!(broker.bytes() > 200_000);
        broker.sweep(UnixMillis(20));
        assert!(
            broker.bytes() <= 50_000 && broker.bytes() > 30_000,
            "{}",
            broker.bytes()
        );
        assert_eq!(numbers(&*streams[0], 0, 10), Err(Lost::Trimmed));
        assert_eq!(numbers(&*streams[19], 0, 10).unwrap().len(), 10);
        drop(streams);
        broker.streams.clear();
        assert_eq!(broker.bytes(), 0);
    }
}

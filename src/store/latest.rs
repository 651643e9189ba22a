//! The latest values of one stream: of each event that is a value, the newest at each place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::history::size;
use crate::domain::event::EventName;
use crate::domain::room::{Channel, Place};
use crate::domain::target::Target;
use crate::domain::time::UnixMillis;
use crate::node::ports::{Kept, Published};

/// Which latest values are kept of one stream, whichever ends first.
#[derive(Debug, Clone, Copy)]
pub struct LatestOptions {
    pub max_values: usize,
    pub max_bytes: usize,
    pub ttl_ms: u64,
}

impl Default for LatestOptions {
    fn default() -> Self {
        Self {
            max_values: 10_000,
            max_bytes: 8 * 1024 * 1024,
            ttl_ms: 24 * 60 * 60 * 1000,
        }
    }
}

/// What a value is the latest of.
type Key = (EventName, Option<Channel>, Place);

fn key(published: &Published) -> Option<Key> {
    let event = &published.event;
    match &published.target {
        Target::Place(place) => Some((event.name.clone(), event.channel.clone(), place.clone())),
        _ => None,
    }
}

/// The latest values, in the order of the stream.
#[derive(Debug, Default)]
pub(super) struct Latest {
    by_number: BTreeMap<u64, Arc<Kept>>,
    numbers: HashMap<Key, u64>,
    bytes: usize,
}

impl Latest {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn values(&self) -> impl Iterator<Item = &Arc<Kept>> {
        self.by_number.values()
    }

    /// Whether there is a value of this version, or a later one, already.
    pub fn is_stale(&self, published: &Published) -> bool {
        let Some(version) = published.version else {
            return false;
        };
        let number = key(published).and_then(|key| self.numbers.get(&key));
        let kept = number.and_then(|number| self.by_number.get(number));
        kept.and_then(|kept| kept.published.version)
            .is_some_and(|kept| kept >= version)
    }

    /// Keeps an event in the place of the one before it, if it is a value.
    pub fn note(&mut self, kept: &Arc<Kept>, options: &LatestOptions) {
        if !kept.published.is_value || options.max_values == 0 {
            return;
        }
        let Some(key) = key(&kept.published) else {
            return;
        };
        let number = kept.position.seq;
        if let Some(earlier) = self.numbers.insert(key, number)
            && let Some(earlier) = self.by_number.remove(&earlier)
        {
            self.bytes -= size(&earlier);
        }
        self.bytes += size(kept);
        self.by_number.insert(number, Arc::clone(kept));
        self.trim(kept.published.event.timestamp, options);
    }

    /// Forgets what is too old or too much, the oldest first.
    pub fn trim(&mut self, now: UnixMillis, options: &LatestOptions) {
        while let Some(first) = self.by_number.first_entry() {
            let timestamp = first.get().published.event.timestamp;
            let is_over = self.numbers.len() > options.max_values
                || self.bytes > options.max_bytes
                || now.0.saturating_sub(timestamp.0) >= options.ttl_ms;
            if !is_over {
                return;
            }
            let first = first.remove();
            self.bytes -= size(&first);
            if let Some(key) = key(&first.published) {
                self.numbers.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::identity::{DepartmentId, OrganizationId};
    use crate::store::testing::published_at;

    proptest! {
        /// Against the whole list of what was published.
        #[test]
        fn of_each_event_at_each_place_the_newest_is_kept(
            events in proptest::collection::vec((0_usize..3, 0_usize..4, 0_u64..30), 0..60),
        ) {
            let options = LatestOptions { max_values: 6, ttl_ms: 300, ..LatestOptions::default() };
            let mut latest = Latest::default();
            let mut expected: BTreeMap<(usize, usize), (u64, u64)> = BTreeMap::new();
            let mut now = 0;
            for (at, (name, department, later)) in events.into_iter().enumerate() {
                now += later;
                let number = at as u64 + 1;
                let place = Place {
                    organization: OrganizationId::new("a").unwrap(),
                    department: Some(DepartmentId::new(&department.to_string()).unwrap()),
                    queue: None,
                };
                let name_of = ["kpi:update", "backlog:update", "alert:triggered"][name];
                let kept = published_at(name_of, place, number, now);
                latest.note(&kept, &options);
                if name < 2 {
                    expected.insert((name, department), (number, now));
                    // What is too old goes when something comes.
                    expected.retain(|_, (_, then)| now - *then < 300);
                    while expected.len() > 6 {
                        let oldest = expected.iter().min_by_key(|(_, (number, _))| *number);
                        let oldest = *oldest.unwrap().0;
                        expected.remove(&oldest);
                    }
                }
            }
            let mut numbers: Vec<u64> = expected.values().map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            let kept: Vec<u64> = latest.values().map(|kept| kept.position.seq).collect();
            prop_assert_eq!(kept, numbers);
            prop_assert_eq!(latest.bytes(), latest.values().map(|kept| size(kept)).sum::<usize>());
            latest.trim(UnixMillis(now + 300), &options);
            prop_assert_eq!(latest.bytes(), 0);
        }
    }
}

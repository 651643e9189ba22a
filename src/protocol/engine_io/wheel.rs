//! One clock for all sessions: each stands in a slot for the next moment at which it has to be looked
//! at, so that no session has a timer or a task of its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How exact the clock is.
const TICK: Duration = Duration::from_millis(50);

/// Slots of one round; what is later waits for another round.
const SLOTS: u32 = 1024;

/// What a wheel looks at.
pub(super) trait Scheduled: Send + Sync {
    /// The tick at which it is to be looked at; other entries of it are out of date.
    fn due(&self) -> &AtomicU32;

    /// Does what is due; answers when it wants to be looked at again.
    fn check(self: &Arc<Self>, now: Instant) -> Option<Instant>;
}

pub(super) struct Wheel<T> {
    start: Instant,
    /// The tick up to which everything was looked at.
    reached: AtomicU32,
    slots: Box<[Mutex<Vec<Appointment<T>>>]>,
}

struct Appointment<T> {
    tick: u32,
    of: Weak<T>,
}

impl<T: Scheduled> Wheel<T> {
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            reached: AtomicU32::new(0),
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Looks at `item` at this time, at the latest; an earlier appointment stays.
    pub fn schedule(&self, item: &Arc<T>, at: Instant) {
        let tick = self
            .tick_after(at)
            .max(self.reached.load(Ordering::Acquire) + 1);
        let earlier = item
            .due()
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |due| {
                (due == 0 || tick < due).then_some(tick)
            });
        if earlier.is_ok() {
            let mut slot = self.slots[(tick % SLOTS) as usize].lock();
            slot.push(Appointment {
                tick,
                of: Arc::downgrade(item),
            });
        }
    }

    /// Whether the clock should have looked at `item` by now.
    pub fn is_due(&self, item: &T, now: Instant) -> bool {
        item.due().load(Ordering::Acquire) <= self.tick_before(now)
    }

    /// Looks at everything that is due. To be called by one task, every [`TICK`].
    pub fn advance(&self, now: Instant) {
        let last = self.tick_before(now);
        let reached = self.reached.load(Ordering::Acquire);
        // After a long pause each slot is gone through once.
        for tick in reached + 1..=last.min(reached.saturating_add(SLOTS)) {
            self.reached.store(tick, Ordering::Release);
            let mut slot = self.slots[(tick % SLOTS) as usize].lock();
            let (due, later) = std::mem::take(&mut *slot)
                .into_iter()
                .partition(|entry| entry.tick <= last);
            *slot = later;
            drop(slot);
            self.look(due, now);
        }
        self.reached.fetch_max(last, Ordering::AcqRel);
    }

    fn look(&self, due: Vec<Appointment<T>>, now: Instant) {
        for entry in due {
            let Some(item) = entry.of.upgrade() else {
                continue;
            };
            let is_current = item
                .due()
                .compare_exchange(entry.tick, 0, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
            if is_current && let Some(at) = item.check(now) {
                self.schedule(&item, at);
            }
        }
    }

    /// Runs for ever.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.advance(Instant::now());
        }
    }

    fn tick_before(&self, at: Instant) -> u32 {
        let elapsed = at.saturating_duration_since(self.start).as_millis() / TICK.as_millis();
        u32::try_from(elapsed).unwrap_or(u32::MAX)
    }

    fn tick_after(&self, at: Instant) -> u32 {
        self.tick_before(at).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Item {
        due: AtomicU32,
        expiries: AtomicUsize,
        again: Mutex<Option<Duration>>,
    }

    impl Scheduled for Item {
        fn due(&self) -> &AtomicU32 {
            &self.due
        }

        fn check(self: &Arc<Self>, now: Instant) -> Option<Instant> {
            self.expiries.fetch_add(1, Ordering::Relaxed);
            self.again.lock().map(|after| now + after)
        }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn an_item_is_looked_at_once_at_its_time_however_far_it_is() {
        let start = Instant::now();
        for delay in [0, 49, 50, 1000, 51_150, 51_250, 200_000] {
            let wheel = Wheel::new(start);
            let item = Arc::new(Item::default());
            wheel.schedule(&item, start + millis(delay));
            let mut looked_at = None;
            for at in (0..delay + 200).step_by(50) {
                wheel.advance(start + millis(at));
                if item.expiries.load(Ordering::Relaxed) > 0 {
                    looked_at.get_or_insert(at);
                }
            }
            let at = looked_at.unwrap();
            assert!(at >= delay && at <= delay + 50, "{delay}: {at}");
            assert_eq!(item.expiries.load(Ordering::Relaxed), 1, "{delay}");
        }
    }

    #[test]
    fn an_earlier_appointment_takes_the_place_of_a_later_one() {
        let start = Instant::now();
        let wheel = Wheel::new(start);
        let item = Arc::new(Item::default());
        wheel.schedule(&item, start + millis(1000));
        wheel.schedule(&item, start + millis(500));
        wheel.schedule(&item, start + millis(900));
        wheel.advance(start + millis(450));
        assert_eq!(item.expiries.load(Ordering::Relaxed), 0);
        wheel.advance(start + millis(600));
        assert_eq!(item.expiries.load(Ordering::Relaxed), 1);
        wheel.advance(start + millis(2000));
        assert_eq!(item.expiries.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_pause_of_the_clock_skips_nothing_and_repeats_nothing() {
        let start = Instant::now();
        let wheel = Wheel::new(start);
        let item = Arc::new(Item::default());
        *item.again.lock() = Some(millis(300));
        wheel.schedule(&item, start + millis(300));
        wheel.advance(start + millis(600_000));
        assert_eq!(item.expiries.load(Ordering::Relaxed), 1);
        wheel.advance(start + millis(600_250));
        assert_eq!(item.expiries.load(Ordering::Relaxed), 1);
        wheel.advance(start + millis(600_400));
        assert_eq!(item.expiries.load(Ordering::Relaxed), 2);
    }
}

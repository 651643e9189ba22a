//! How much may be asked for in a time: by one connection, one organization, one address.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;

/// Messages that one connection may send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateOptions {
    /// Messages a second; 0 is no limit.
    pub per_second: u32,
    /// Messages at once; 0 is the same as `per_second`.
    pub burst: u32,
    /// Messages a minute, all of which may come at once; 0 is no limit.
    pub per_minute: u32,
    /// A client that goes on over its limit for so long is closed; zero is never.
    pub close_after: Duration,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateDecision {
    Within,
    /// It is to be asked about again after this time: a client that sends a little too fast is read
    /// more slowly before anything of it is refused.
    Slow(Duration),
    /// It is not processed; the next one is allowed after this time.
    Over(Duration),
    /// The client has gone on over its limit for too long.
    Abuse,
}

/// The rate of one connection.
#[derive(Debug)]
pub struct Rate(Mutex<RateState>);

#[derive(Debug)]
struct RateState {
    close_after: Duration,
    second: Option<Box<DefaultDirectRateLimiter>>,
    minute: Option<Box<DefaultDirectRateLimiter>>,
    /// For what a connection is of no use without; made when it is needed.
    reserve: Option<Box<DefaultDirectRateLimiter>>,
    options: RateOptions,
    run: Option<Run>,
}

/// Refusals that follow each other closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    began: Instant,
    /// A refusal up to then belongs to it.
    until: Instant,
    /// How long the client was read more slowly in it.
    slowed: Duration,
}

/// How long a client must keep within its limit, beyond what it was told to wait, to be forgiven.
const QUIET: Duration = Duration::from_secs(1);

/// How long a client is read more slowly, in all, before it is refused.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes that a message may have for the price of one.
const BYTES_PER_MESSAGE: usize = 16 * 1024;

impl Run {
    /// The run that a refusal belongs to, which may be the one before.
    fn with(before: Option<Self>, now: Instant, wait: Duration) -> Self {
        let before = before.filter(|run| now <= run.until);
        Self {
            began: before.map_or(now, |run| run.began),
            until: now + wait + QUIET,
            slowed: before.map_or(Duration::ZERO, |run| run.slowed),
        }
    }
}

impl RateState {
    fn new(options: RateOptions) -> Self {
        Self {
            close_after: options.close_after,
            second: limiter(Quota::per_second, options.per_second, options.burst),
            minute: limiter(Quota::per_minute, options.per_minute, 0),
            reserve: None,
            options,
            run: None,
        }
    }
}

fn limiter(
    quota: fn(NonZeroU32) -> Quota,
    count: u32,
    burst: u32,
) -> Option<Box<DefaultDirectRateLimiter>> {
    let count = NonZeroU32::new(count)?;
    let quota = quota(count).allow_burst(NonZeroU32::new(burst).unwrap_or(count));
    Some(Box::new(RateLimiter::direct(quota)))
}

impl Rate {
    pub fn new(options: RateOptions) -> Self {
        Self(Mutex::new(RateState::new(options)))
    }

    /// Other limits hold from now on, with nothing counted against them yet.
    pub fn replace(&self, options: RateOptions) {
        *self.0.lock() = RateState::new(options);
    }

    /// Counts one message.
    pub fn check(&self, now: Instant) -> RateDecision {
        let mut state = self.0.lock();
        let wait = [&state.second, &state.minute]
            .into_iter()
            .flatten()
            .find_map(|limiter| wait_of(limiter.check()));
        let Some(wait) = wait else {
            return RateDecision::Within;
        };
        let mut run = Run::with(state.run, now, wait);
        let lasted = now.saturating_duration_since(run.began);
        let slowed = run.slowed + wait;
        let is_patient = slowed <= PATIENCE;
        if is_patient {
            run.slowed = slowed;
        }
        state.run = Some(run);
        if !state.close_after.is_zero() && lasted >= state.close_after {
            RateDecision::Abuse
        } else if is_patient {
            RateDecision::Slow(wait)
        } else {
            RateDecision::Over(wait)
        }
    }

    /// Counts one message that is over the rate against a reserve of the same size, which is there for
    /// what a connection is of no use without: to authenticate, to subscribe. True if it is allowed.
    pub fn check_reserve(&self) -> bool {
        let mut state = self.0.lock();
        let RateOptions {
            per_second, burst, ..
        } = state.options;
        if state.reserve.is_none() {
            state.reserve = limiter(Quota::per_second, per_second.max(1), burst);
        }
        state
            .reserve
            .as_ref()
            .is_some_and(|reserve| reserve.check().is_ok())
    }

    /// Counts what a large message costs beside its being one: as many messages as its bytes, inflated,
    /// would have made. Answers how long its client is to wait with the next one.
    pub fn charge(&self, bytes: usize) -> Duration {
        let Some(extra) = u32::try_from(bytes / BYTES_PER_MESSAGE)
            .ok()
            .and_then(NonZeroU32::new)
        else {
            return Duration::ZERO;
        };
        let state = self.0.lock();
        let Some(second) = &state.second else {
            return Duration::ZERO;
        };
        let burst = state.options.burst.max(state.options.per_second);
        let extra = extra.min(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
        match second.check_n(extra) {
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                drop(state);
                wait
            }
            Ok(Ok(())) | Err(_) => Duration::ZERO,
        }
    }
}

/// How often one connection may say who it is. To check a token can take milliseconds, far more than
/// any other message does.
#[derive(Debug, Default)]
pub struct Attempts {
    /// Until when those that were made would have kept to the pace.
    paid_until: Option<Instant>,
    refused: u32,
}

impl Attempts {
    /// Attempts at once; they come back one by one.
    const AT_ONCE: u32 = 10;
    const EACH: Duration = Duration::from_secs(1);
    /// Refused ones, in all, after which the connection is closed.
    const MAX_REFUSED: u32 = 10;

    /// Counts an attempt; if it is one too many, says when the next one is allowed.
    pub fn check(&mut self, now: Instant) -> Result<(), Duration> {
        let paid_until = self.paid_until.map_or(now, |until| until.max(now)) + Self::EACH;
        let ahead = paid_until.saturating_duration_since(now);
        let wait = ahead.saturating_sub(Self::EACH * Self::AT_ONCE);
        if wait.is_zero() {
            self.paid_until = Some(paid_until);
            Ok(())
        } else {
            Err(wait)
        }
    }

    /// Counts a refused one; says whether it was one too many.
    pub fn refuse(&mut self) -> bool {
        self.refused += 1;
        self.refused >= Self::MAX_REFUSED
    }
}

fn wait_of(
    checked: Result<(), governor::NotUntil<<DefaultClock as Clock>::Instant>>,
) -> Option<Duration> {
    checked
        .err()
        .map(|denied| denied.wait_time_from(DefaultClock::default().now()))
}

/// Above so many keys, new ones share one rate: nobody can fill the memory with made-up keys.
const MAX_KEYS: usize = 50_000;

/// The same rate for each of many keys, in bounded memory.
#[derive(Debug)]
pub struct KeyedRates<K: Hash + Eq + Clone>(Option<Keyed<K>>);

#[derive(Debug)]
struct Keyed<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    others: DefaultDirectRateLimiter,
    burst: NonZeroU32,
    max_keys: usize,
}

impl<K: Hash + Eq + Clone> KeyedRates<K> {
    /// `per_second` 0 is no limit; as many are allowed at once.
    pub fn new(per_second: u32) -> Self {
        Self::with_keys(per_second, MAX_KEYS)
    }

    fn with_keys(per_second: u32, max_keys: usize) -> Self {
        Self(NonZeroU32::new(per_second).map(|per_second| Keyed {
            limiter: RateLimiter::keyed(Quota::per_second(per_second)),
            others: RateLimiter::direct(Quota::per_second(per_second)),
            burst: per_second,
            max_keys,
        }))
    }

    /// Counts one use; if it is one too many, says when the next one is allowed.
    pub fn check(&self, key: &K) -> Result<(), Duration> {
        self.check_several(key, 1)
    }

    /// Counts so many uses, all or none. More than are ever allowed at once count as so many.
    pub fn check_several(&self, key: &K, count: u32) -> Result<(), Duration> {
        let (Some(keyed), Some(count)) = (&self.0, NonZeroU32::new(count)) else {
            return Ok(());
        };
        let count = count.min(keyed.burst);
        // A known key is not told from a new one: when there are too many, all share.
        let checked = if keyed.limiter.len() < keyed.max_keys {
            keyed.limiter.check_key_n(key, count)
        } else {
            keyed.others.check_n(count)
        };
        // It fails for more than the burst, which is never asked for.
        let checked = checked.unwrap_or(Ok(()));
        wait_of(checked).map_or(Ok(()), Err)
    }

    /// Forgets the keys that have their whole burst again. To be called once a second.
    pub fn forget_idle(&self) {
        if let Some(keyed) = &self.0
            && !keyed.limiter.is_empty()
        {
            keyed.limiter.retain_recent();
            keyed.limiter.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32, per_minute: u32) -> Rate {
        Rate::new(RateOptions {
            per_second,
            burst,
            per_minute,
            close_after: Duration::ZERO,
        })
    }

    fn wait(admission: RateDecision) -> Duration {
        match admission {
            RateDecision::Over(wait) | RateDecision::Slow(wait) => wait,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn zero_is_unlimited() {
        let rate = rate(0, 0, 0);
        assert!((0..10_000).all(|_| rate.check(Instant::now()) == RateDecision::Within));
        let keyed = KeyedRates::new(0);
        assert!((0..10_000).all(|_| keyed.check(&"a").is_ok()));
    }

    #[test]
    fn the_burst_is_allowed_and_the_next_message_has_to_wait() {
        let rate = rate(1, 3, 0);
        assert!((0..3).all(|_| rate.check(Instant::now()) == RateDecision::Within));
        let wait = wait(rate.check(Instant::now()));
        assert!(
            wait > Duration::from_millis(500) && wait <= Duration::from_secs(1),
            "{wait:?}"
        );
    }

    #[test]
    fn a_minute_has_a_limit_of_its_own() {
        let rate = rate(1000, 0, 20);
        assert!((0..20).all(|_| rate.check(Instant::now()) == RateDecision::Within));
        let wait = wait(rate.check(Instant::now()));
        assert!(
            wait > Duration::from_secs(2) && wait <= Duration::from_secs(3),
            "{wait:?}"
        );
    }

    #[test]
    fn other_limits_can_take_the_place_of_the_first() {
        let rate = rate(1, 0, 0);
        assert_eq!(rate.check(Instant::now()), RateDecision::Within);
        wait(rate.check(Instant::now()));
        rate.replace(RateOptions {
            per_second: 5,
            ..RateOptions::default()
        });
        assert!((0..5).all(|_| rate.check(Instant::now()) == RateDecision::Within));
    }

    #[test]
    fn who_keeps_on_over_the_limit_is_found_and_who_pauses_is_forgiven() {
        let options = RateOptions {
            per_minute: 1,
            close_after: Duration::from_secs(10),
            ..RateOptions::default()
        };
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let rate = Rate::new(options);
        assert_eq!(rate.check(at(0)), RateDecision::Within);
        for second in 0..10 {
            assert!(wait(rate.check(at(second))) > Duration::from_secs(50));
        }
        assert_eq!(rate.check(at(10)), RateDecision::Abuse);

        let wait = Duration::from_millis(10);
        let first = Run::with(None, at(0), wait);
        assert_eq!(Run::with(Some(first), at(1), wait).began, at(0));
        assert_eq!(Run::with(Some(first), at(2), wait).began, at(2));
    }

    #[test]
    fn ten_attempts_are_allowed_at_once_and_then_one_a_second() {
        let mut attempts = Attempts::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert!((0..10).all(|_| attempts.check(at(0)).is_ok()));
        assert_eq!(attempts.check(at(0)), Err(Duration::from_secs(1)));
        assert_eq!(attempts.check(at(900)), Err(Duration::from_millis(100)));
        assert_eq!(attempts.check(at(1000)), Ok(()));
        assert_eq!(attempts.check(at(1000)), Err(Duration::from_secs(1)));
        assert!((0..10).all(|_| attempts.check(at(60_000)).is_ok()));
        assert!(attempts.check(at(60_000)).is_err());
        assert!((1..10).all(|_| !attempts.refuse()));
        assert!(attempts.refuse());
    }

    #[test]
    fn several_uses_count_at_once_and_more_than_there_can_be_count_as_all() {
        let rates = KeyedRates::new(5);
        assert!(rates.check_several(&"a", 3).is_ok());
        let wait = rates.check_several(&"a", 3).unwrap_err();
        assert!(wait <= Duration::from_millis(200), "{wait:?}");
        assert!(rates.check_several(&"a", 0).is_ok());
        assert!(rates.check_several(&"a", 2).is_ok());
        assert!(rates.check_several(&"b", 1000).is_ok());
        assert!(rates.check(&"b").is_err());
    }

    #[test]
    fn each_key_has_its_own_rate_until_there_are_too_many_keys() {
        let rates = KeyedRates::with_keys(2, 3);
        for key in ["a", "b", "c"] {
            assert!(rates.check(&key).is_ok() && rates.check(&key).is_ok());
            if key != "c" {
                assert!(rates.check(&key).is_err());
            }
        }
        // Three keys are known: everybody shares now, and `c` has had one of the two.
        assert!(rates.check(&"d").is_ok());
        assert!(rates.check(&"e").is_err());
        assert_eq!(rates.0.as_ref().map(|keyed| keyed.limiter.len()), Some(3));
    }
}

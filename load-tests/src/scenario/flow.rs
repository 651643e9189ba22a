//! Publishers: as fast as it goes, or at a pace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::client::Target;
use crate::clock;
use crate::delivery_tracker::{DeliveryTracker, MOST};
use crate::error::LoadError;
use crate::publisher::Publisher;
use crate::stamp::Payload;

/// Where a publisher's messages go.
#[derive(Debug, Clone)]
pub struct Route {
    pub stream: u16,
    pub payload: Payload,
}

/// One publisher with its routes, which it takes in turn. No two publishers share a stream, since
/// only what one publisher sends is in order.
#[derive(Debug)]
pub struct Backend {
    publisher: Publisher,
    routes: Vec<Route>,
    at: usize,
    /// Receivers that may hear it although the tracker does not wait for them.
    extra: u64,
}

/// Coprime to any sensible number of routes, so that neighbours don't follow each other.
const STRIDE: usize = 7919;

/// How much of the window is left to requests that are late when a run ends.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

impl Backend {
    pub async fn connect(
        target: &Target,
        routes: Vec<Route>,
        extra: u64,
    ) -> Result<Self, LoadError> {
        let publisher = Publisher::connect(target).await?;
        Ok(Self {
            publisher,
            routes,
            at: 0,
            extra,
        })
    }

    /// Publishes the next message as sent at `sent_at`; returns the receipt's recipients.
    pub async fn publish(
        &mut self,
        tracker: &DeliveryTracker,
        sent_at: u64,
    ) -> Result<Option<u64>, LoadError> {
        self.at = (self.at + STRIDE) % self.routes.len();
        let route = &mut self.routes[self.at];
        let stamp = tracker.post(route.stream, sent_at);
        let recipients = self.publisher.kpi(route.payload.stamped(stamp)).await?;
        tracker.check_receipt(route.stream, recipients, self.extra);
        Ok(recipients)
    }
}

/// Publishes as fast as it goes with at most `window` broadcasts under way, for `time`; then awaits
/// that everything has arrived.
pub async fn flood(
    tracker: &Arc<DeliveryTracker>,
    backends: Vec<Backend>,
    window: u64,
    time: Duration,
) -> Result<(), LoadError> {
    let end = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for mut backend in backends {
        let tracker = Arc::clone(tracker);
        tasks.spawn(async move {
            while Instant::now() < end {
                tracker.room(window).await?;
                backend.publish(&tracker, clock::now()).await?;
            }
            Ok::<(), LoadError>(())
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap_or_else(|_| Err(LoadError::Usage("a publisher panicked".to_owned())))?;
    }
    tracker.settled().await
}

/// Publishes `rate` broadcasts a second for `time`, then awaits that everything has arrived. A
/// message is stamped with the time when it was due, so that a server that holds up its publisher
/// does not look better for it. `look` sees every receipt.
pub async fn pace(
    tracker: &DeliveryTracker,
    backend: &mut Backend,
    rate: f64,
    time: Duration,
    mut look: impl FnMut(Option<u64>) -> bool,
) -> Result<(), LoadError> {
    let period = Duration::from_secs_f64(1.0 / rate);
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (start, began) = (Instant::now(), clock::now());
    let mut due = 0;
    while start.elapsed() < time {
        ticks.tick().await;
        // Whoever is so far behind waits, and is measured from when the message was due.
        tracker.room(MOST).await?;
        let sent_at = began + clock::nanos(period) * due;
        due += 1;
        if look(backend.publish(tracker, sent_at).await?) {
            break;
        }
    }
    tracker.settled().await
}

/// Runs `work` while `measured` looks at it after `warm_up`; an error of either ends both.
pub async fn beside<T>(
    work: impl Future<Output = Result<(), LoadError>>,
    warm_up: Duration,
    measured: impl Future<Output = Result<T, LoadError>>,
) -> Result<T, LoadError> {
    let watch = async {
        sleep(warm_up).await;
        measured.await
    };
    tokio::pin!(work, watch);
    tokio::select! {
        outcome = &mut watch => {
            let found = outcome?;
            timeout(LAST_REQUESTS, work).await.unwrap_or_else(|_| {
                Err(LoadError::Usage("the publishers did not end".to_owned()))
            })?;
            Ok(found)
        }
        failed = &mut work => {
            failed?;
            watch.await
        }
    }
}

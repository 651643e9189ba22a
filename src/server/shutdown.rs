//! The end of a server: clients are sent away in an order that others can take them in.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use rand::Rng;
use rand::seq::SliceRandom;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::options::DrainOptions;
use crate::domain::error::CloseReason;
use crate::hub::Hub;

/// How often it is said how many are still there.
const PROGRESS: Duration = Duration::from_secs(2);
/// How often it is looked whether everybody has gone.
const LOOK: Duration = Duration::from_millis(10);
/// How often it is looked whether all who poll have gone.
const LOOK_FOR_POLLING: Duration = Duration::from_millis(50);
/// How long the next request of a client that polls may take when its last answer was taken.
const LAST_POLLS: Duration = Duration::from_millis(250);
/// How long requests may still take once every client has gone.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// Sends everybody away. Ends when all are gone, at the latest when the timeout is over.
pub(super) async fn drain(
    hub: &Hub,
    options: DrainOptions,
    stopping: &CancellationToken,
    served: &TaskTracker,
) {
    let begin = Instant::now();
    let end = begin + options.timeout;
    tracing::info!(
        connections = hub.connection_count(),
        drain_delay_ms = millis(options.delay),
        shutdown_timeout_ms = millis(options.timeout),
        "shutting down: not ready any more"
    );
    hub.begin_drain();
    let everybody = async {
        tokio::time::sleep(options.delay).await;
        tracing::info!(
            connections = hub.connection_count(),
            "letting nobody in any more, and sending the clients away"
        );
        hub.admission.close();
        tokio::join!(send_away(hub, options, end), stop_listening(hub, stopping));
        served.close();
        // Whoever is still in the middle of a request then is not worth waiting for.
        let _ = tokio::time::timeout(LAST_REQUESTS, served.wait()).await;
    };
    let outcome = tokio::select! {
        outcome = tokio::time::timeout_at(end, everybody) => outcome,
        never = say_how_far(hub) => match never {},
    };
    hub.report();
    let (connections, took_ms) = (hub.connection_count(), millis(begin.elapsed()));
    if outcome.is_ok() {
        tracing::info!(connections, took_ms, "shut down");
    } else {
        tracing::warn!(connections, took_ms, "the shutdown timeout is over");
    }
}

/// For whoever watches a shutdown that takes its time.
async fn say_how_far(hub: &Hub) -> Infallible {
    loop {
        tokio::time::sleep(PROGRESS).await;
        tracing::info!(connections = hub.connection_count(), "still shutting down");
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Lets nobody in any more. Clients that poll are waited for: what is queued for them goes with their
/// next request, which may come on a connection of its own.
async fn stop_listening(hub: &Hub, stopping: &CancellationToken) {
    let is_anybody_polling = || hub.connections().iter().any(|client| client.is_polling());
    if is_anybody_polling() {
        while is_anybody_polling() {
            tokio::time::sleep(LOOK_FOR_POLLING).await;
        }
        // The last answer ends a session, and the request behind it is to be told so.
        tokio::time::sleep(LAST_POLLS).await;
    }
    stopping.cancel();
}

/// Closes all connections, those that poll first, the batches within half of the time that is left, and waits until they
/// are gone. Those that come up meanwhile, having shaken hands before, are closed too.
async fn send_away(hub: &Hub, options: DrainOptions, end: Instant) {
    let mut told = HashSet::new();
    let half = end.saturating_duration_since(Instant::now()) / 2;
    loop {
        let mut connections = hub.connections();
        if connections.is_empty() {
            return;
        }
        connections.retain(|connection| told.insert(connection.id));
        connections.shuffle(&mut rand::rng());
        connections.sort_by_key(|client| !client.is_polling());
        let (batch, interval) = pace(connections.len(), options, half);
        for (at, some) in connections.chunks(batch).enumerate() {
            if at > 0 {
                tokio::time::sleep(jittered(interval)).await;
            }
            for connection in some {
                hub.close(connection, CloseReason::GoingAway);
            }
        }
        drop(connections);
        tokio::time::sleep(LOOK).await;
    }
}

/// The interval or up to half of it more or less: servers that end together don't send their clients
/// on in step.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.5..1.5))
}

/// Batch and interval as wanted, the batch larger if all would take longer than `time`.
fn pace(connections: usize, options: DrainOptions, time: Duration) -> (usize, Duration) {
    let interval = options.interval.max(Duration::from_millis(1));
    let intervals = usize::try_from(time.as_millis() / interval.as_millis().max(1)).unwrap_or(1);
    let batch = options
        .batch_size
        .max(connections.div_ceil(intervals.max(1)));
    (batch.max(1), interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_grow_when_there_is_no_time_for_small_ones() {
        let options = DrainOptions {
            timeout: Duration::from_secs(30),
            delay: Duration::ZERO,
            batch_size: 100,
            interval: Duration::from_millis(100),
        };
        let half = Duration::from_secs(15);
        assert_eq!(pace(5000, options, half), (100, options.interval));
        assert_eq!(pace(15_000, options, half), (100, options.interval));
        assert_eq!(pace(60_000, options, half), (400, options.interval));
        assert_eq!(pace(10, options, Duration::ZERO), (100, options.interval));
        assert_eq!(pace(0, options, half), (100, options.interval));
    }

    #[test]
    fn no_two_servers_keep_step() {
        let interval = Duration::from_millis(100);
        let pauses: HashSet<_> = (0..50).map(|_| jittered(interval)).collect();
        assert!(pauses.len() > 25, "{pauses:?}");
        let bounds = interval / 2..interval * 3 / 2;
        assert!(pauses.iter().all(|pause| bounds.contains(pause)));
    }
}

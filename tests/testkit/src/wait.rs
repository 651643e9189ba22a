//! Waiting for what must come, but not for ever.

use std::time::{Duration, Instant};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// Waits, but not for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing within 30 seconds"))
}

/// How much of a rate per second may have come back since, beside its burst.
pub fn came_back(rate: usize, since: Instant) -> usize {
    let nanos = since.elapsed().as_nanos() * rate as u128;
    usize::try_from(nanos.div_ceil(1_000_000_000)).unwrap()
}

//! What the server does for whoever asks it well: its routes, heads and bodies of requests, its
//! command line, its log and its hub. A file a topic.

#![expect(
    clippy::unwrap_used,
    reason = "a test that can't go on ends where it is"
)]

mod bodies;
mod comeback;
mod compression;
mod dashboard;
mod demo;
mod docs;
mod envelopes;
mod files;
mod history;
mod hub;
mod idempotency;
mod logs;
mod metrics;
mod openapi;
mod origins;
mod program;
mod recovery;
mod refusals;
mod requests;
mod secrets;
mod signals;
mod stats;
mod streams;
mod tls;

/// Waits for a count of what was refused. An answer comes before the end of its connection, with which
/// it may be counted.
async fn until_refused(server: &orgcast::server::Running, reason: &str, count: u64) {
    let counted = async {
        while server.hub.metrics.rejections.counts().get(reason) != Some(&count) {
            tokio::task::yield_now().await;
        }
    };
    testkit::wait::within(reason, counted).await;
}

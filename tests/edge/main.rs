//! The edge of the server: what HTTP lets in, how connections begin and end, and what an operator
//! sees of it. Everything runs on loopback, against the real server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on ends"
)]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../holds/client.rs"]
mod client;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../holds/server.rs"]
mod server;

mod bodies;
mod connections;
mod endings;
mod files;
mod logged;
mod origins;
mod raw;
mod requests;
mod secrets;
mod signals;
mod tls;

/// Waits for a count of what was refused. An answer comes before the end of its connection, with which
/// it may be counted.
async fn until_refused(server: &orgcast::app::server::Running, reason: &str, count: u64) {
    let counted = async {
        while server.hub.gate.refused.view().get(reason) != Some(&count) {
            tokio::task::yield_now().await;
        }
    };
    client::within(reason, counted).await;
}

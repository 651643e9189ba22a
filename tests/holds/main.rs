//! What the server must hold under load and against misbehaving peers.
//!
//! Limits and rates run against a server inside the test; what is about memory, descriptors and
//! exit codes runs against a server of its own. Everything is on loopback.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on ends"
)]

/// Held by tests that need the whole machine: one at a time.
static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

mod client;
mod limits;
mod proxies;
mod rates;
mod restart;
mod server;
mod sizes;
mod slow_readers;
mod slowloris;
mod storm;
mod tls;

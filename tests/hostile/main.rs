//! Attacks, a file a topic: each with the harm that it did, or would do, to others.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on ends"
)]

mod acks;
mod buffers;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../holds/client.rs"]
mod client;
mod files;
mod lists;
mod log;
mod revocations;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../holds/server.rs"]
mod server;
#[path = "../it/support.rs"]
mod support;
mod targets;
mod text;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../auth/tokens.rs"]
mod tokens;
mod tokens_again;

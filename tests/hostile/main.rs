//! Attacks, a file a topic: each with the harm that it did, or would do, to others.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends")]

mod files;
mod lists;
mod log;
mod revocations;
#[path = "../it/support.rs"]
mod support;
mod targets;
mod text;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../auth/tokens.rs"]
mod tokens;
mod tokens_again;

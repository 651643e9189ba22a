//! Integration tests: a file a topic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod compression;
mod dashboard;
mod demo;
mod docs;
mod envelopes;
mod hub;
mod logs;
mod program;
mod refusals;
mod stats;
mod support;

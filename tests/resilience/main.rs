//! What the server must hold under load and against misbehaving peers, a file a topic. Attacks come
//! with the harm that they did, or would do, to others:
//!
//! | harm | where it is shown not to be done |
//! |---|---|
//! | one client's work, cheap or dear, holds up the others | `load-tests`, `hostile`; `rates.rs` |
//! | the log can't be written | `log.rs` |
//! | targets and bodies made of work | `targets.rs` |
//! | memory for what never comes whole or is never read | `buffers.rs`, `slow_readers.rs` |
//! | one organization fills the list of revocations | `revocations.rs`, `auth::revocation` |
//! | connections that are gone stay in a list | `hub::expiry` |
//! | TCP connections without a request | `connections.rs`, `slowloris.rs` |
//! | operators' lists and statistics | `lists.rs` |
//! | names that nobody knows cost their spelling | `domain::spelling` |
//! | refused tokens, tokens from the future | `tokens_again.rs` |
//! | acknowledgements by others | `acks.rs` |
//! | files that are no files | `files.rs`, `tests/api/files.rs` |
//! | text cut in the middle of a character | `text.rs` |
//! | apps and foreign pages | `tests/api/origins.rs` |
//! | requests that do not end, or say two things | `endings.rs`; `tests/api/bodies.rs`, `requests.rs` |
//! | secrets in the log, signals | `tests/api/secrets.rs`, `signals.rs` |
//!
//! Limits and rates run against a server inside the test; what is about memory, descriptors and
//! exit codes runs against a server of its own. Everything is on loopback.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends")]

/// Held by tests that need the whole machine: one at a time.
static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

mod acks;
mod buffers;
mod connections;
mod endings;
mod files;
mod limits;
mod lists;
mod log;
mod proxies;
mod rates;
mod restart;
mod revocations;
mod sizes;
mod slow_readers;
mod slowloris;
mod storm;
mod targets;
mod text;
mod tls;
mod tokens_again;

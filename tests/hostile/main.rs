//! Attacks, a file a topic: each with the harm that it did, or would do, to others.
//!
//! | harm | where it is shown not to be done |
//! |---|---|
//! | one client's work, cheap or dear, holds up the others | `load-tests`, `hostile`; `tests/holds/rates.rs` |
//! | the log can't be written | `log.rs` |
//! | targets and bodies made of work | `targets.rs` |
//! | memory for what never comes whole or is never read | `buffers.rs`; `tests/holds/slow_readers.rs` |
//! | one organization fills the list of revocations | `revocations.rs`, `auth::revocation` |
//! | connections that are gone stay in a list | `hub::expiry` |
//! | TCP connections without a request | `tests/edge/connections.rs`, `tests/holds/slowloris.rs` |
//! | operators' lists and statistics | `lists.rs` |
//! | names that nobody knows cost their spelling | `domain::spelling` |
//! | refused tokens, tokens from the future | `tokens_again.rs` |
//! | acknowledgements by others | `acks.rs` |
//! | files that are no files | `files.rs`, `tests/edge/files.rs` |
//! | text cut in the middle of a character | `text.rs` |
//! | apps and foreign pages | `tests/edge/origins.rs` |
//! | requests that do not end, or say two things | `tests/edge/bodies.rs`, `requests.rs`, `endings.rs` |
//! | secrets in the log, signals | `tests/edge/secrets.rs`, `signals.rs` |

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

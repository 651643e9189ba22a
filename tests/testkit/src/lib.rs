//! What the tests of the server share: the program as a child process, clients that can misbehave,
//! and waiting that ends.
//!
//! It knows the server from outside only, but for what the feature `library` adds: a server in the
//! test's own process, and tokens. The load generator does without it, and without the library.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on ends where it is"
)]

pub mod client;
pub mod frame;
pub mod http;
#[cfg(feature = "library")]
pub mod in_process;
pub mod plain;
pub mod polling;
pub mod process;
pub mod raw;
#[cfg(feature = "library")]
pub mod tokens;
pub mod wait;
pub mod websocket;

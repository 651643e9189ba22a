//! What the tests of the server share: the program as a child process, clients that can misbehave,
//! and waiting that ends.
//!
//! It knows the server from outside only, so that it doesn't need the library that it helps to test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on ends where it is"
)]

pub mod client;
pub mod frame;
pub mod http;
pub mod plain;
pub mod polling;
pub mod process;
pub mod raw;
pub mod wait;
pub mod websocket;

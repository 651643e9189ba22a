//! Tokens, keys and the wall between organizations, against the real server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on ends where it is"
)]

mod algorithms;
mod api_keys;
mod attempts;
mod command_line;
mod hostile;
mod isolation;
mod jwks;
mod life;
mod server;

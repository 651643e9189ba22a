//! orgcast: a Socket.IO-compatible real-time server with hierarchical rooms.
//!
//! Modules lie in layers; each may use the ones before it and none of its own layer's siblings,
//! which `tests/architecture.rs` holds:
//!
//! | layer | modules | what they are |
//! |---|---|---|
//! | 0 | [`domain`] | pure: identities, rooms, events, errors |
//! | 1 | [`metrics`] | what was done, counted |
//! | 2 | [`wire`], [`auth`] | bytes; claims |
//! | 3 | [`hub`] | who is where |
//! | 4 | [`node`] | what is done for clients and backends |
//! | 5 | [`protocol`], [`store`] | Socket.IO and plain JSON; what is kept |
//! | 6 | [`http`] | routes |
//! | 7 | [`config`] | keys, values, and what is made of them |
//! | 8 | [`server`] | what runs |
//! | 9 | [`cli`] | the command line |

pub mod auth;
pub mod cli;
pub mod config;
pub mod domain;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod hub;
pub mod metrics;
pub mod node;
pub mod protocol;
pub mod server;
pub mod store;
pub mod wire;

//! The configuration: its keys, where their values come from, what is wrong with them, and what the
//! modules of a server make of it.

pub mod auth;
pub mod error;
pub mod files;
mod json_schema;
mod kind;
pub mod names;
pub mod options;
pub mod schema;
pub mod sources;
mod suggest;
#[cfg(test)]
mod tests;
pub mod tls;

pub use json_schema::json_schema;
pub use kind::Secret;
pub use schema::auth::ApiKeyConfig;
pub use schema::limits::OrgLimits;
pub use schema::tls::TlsConfig;
pub use schema::{Config, LogFormat};

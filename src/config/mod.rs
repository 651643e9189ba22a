//! The configuration: its keys, where their values come from, what is wrong with them, and what the
//! modules of a server make of it.

pub mod auth;
pub mod error;
pub mod files;
pub mod keys;
pub mod load;
pub mod options;
mod rules;
pub mod tls;
pub mod values;

pub use values::{ApiKeyConfig, Config, Envelope, LogFormat, OrgLimits, Secret, TlsConfig};

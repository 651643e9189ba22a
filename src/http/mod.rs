//! The HTTP side: broadcasts from backends, what operators read, and the clients' path.

mod api;
mod assets;
pub mod client_ip;
mod extract;
mod middleware;
mod openapi;
pub mod options;
pub mod origin_pattern;
pub mod realtime;
mod response;
pub mod router;
mod state;
mod upgrade;

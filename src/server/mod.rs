//! The running server: what it is put together from, what goes on in it, and how it ends.

mod accept;
mod auth_start;
mod banner;
pub mod clock;
pub(crate) mod compose;
mod descriptors;
mod housekeeping;
pub mod log;
mod log_filter;
pub mod run;
mod shutdown;
mod signals;
mod supervise;
mod tls;
mod unread;

pub use run::{Running, ServerError, start};

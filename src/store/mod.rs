//! What the node has kept for it, behind its ports: here in memory, which a restart forgets.

mod history;
mod revocations;
pub mod streams;

pub use history::HistoryOptions;

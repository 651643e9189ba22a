//! What the node has kept for it, behind its ports: here in memory, which a restart forgets.

mod history;
mod latest;
mod revocations;
pub mod streams;
#[cfg(test)]
mod testing;

pub use history::HistoryOptions;
pub use latest::LatestOptions;

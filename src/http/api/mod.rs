//! The routes of backends and operators, a file a topic.

pub(super) mod broadcast;
pub(super) mod connections;
pub(super) mod disconnect;
pub(super) mod health;
pub(super) mod history;
pub(super) mod metrics;
mod page;
pub(super) mod revocations;
pub(super) mod rooms;
pub(super) mod stats;

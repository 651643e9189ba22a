//! The pure core: no IO, no runtime, no clock of its own.

pub mod error;
pub mod event;
pub mod fields;
pub mod grants;
pub mod identity;
pub mod json;
pub mod position;
pub mod room;
pub mod suggest;
pub mod target;
pub mod time;

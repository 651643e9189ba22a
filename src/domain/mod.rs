//! The pure core: no IO, no runtime, no clock of its own.

pub mod error;
pub mod event;
pub mod grants;
pub mod identity;
pub mod json;
pub mod room;
pub mod spelling;
pub mod time;
pub mod words;

//! The HTTP side: broadcasts from backends, what operators read, and the doors to `/ws`.

pub mod address;
mod body;
mod broadcast;
mod compression;
mod dashboard;
mod gateway;
pub mod guard;
mod head;
mod info;
mod limit;
pub mod origin;
pub mod origin_pattern;
mod query;
pub mod realtime;
mod reply;
mod revoke;
pub mod router;
mod target;

//! Who is told of connections that leave.

use super::connection::Connection;
use crate::domain::error::CloseReason;
use crate::domain::room::Room;

/// Told of authenticated connections that leave. It must neither block nor wait.
pub trait Departures: Send + Sync {
    /// Called once for each, while its rooms still have it: what was delivered to them by now, it was given.
    fn departed(&self, connection: &Connection, rooms: Vec<Room>, reason: Option<CloseReason>);
}

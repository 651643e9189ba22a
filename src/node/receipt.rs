//! What a publisher is told.

use crate::domain::event::MessageId;
use crate::domain::position::Position;
use crate::domain::time::UnixMillis;

/// What became of a broadcast.
#[derive(Debug, Clone, Copy)]
pub struct Receipt {
    pub message_id: MessageId,
    pub timestamp: UnixMillis,
    /// Where it stands in its organization's stream, if it is for one organization.
    pub offset: Option<Position>,
    /// Connections it was queued for or written to.
    pub recipients: usize,
    /// Connections that were behind and did not get it, its priority being low.
    pub dropped: usize,
    /// It was not published: there is a value of its version already, or of a later one.
    pub is_stale: bool,
}

//! What the plain protocol can be told.

use std::time::Duration;

use crate::protocol::envelope::Envelope;

/// What the plain side is configured with.
#[derive(Debug, Clone, Copy)]
pub struct PlainOptions {
    pub default_envelope: Envelope,
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    pub max_message_size: usize,
}

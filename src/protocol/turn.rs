//! How long a client's messages may keep a worker to themselves.

use std::time::{Duration, Instant};

/// After so much work for one client, others run.
const LONGEST: Duration = Duration::from_micros(500);

/// After so many messages of one client, however cheap, others run.
const MOST: u32 = 32;

/// One client's turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    began: Option<Instant>,
    spent: Duration,
    messages: u32,
}

impl Turn {
    /// A message is about to be handled.
    pub fn begin(&mut self) {
        self.began = Some(Instant::now());
    }

    /// It was handled: lets others run if it is their turn.
    pub async fn end(&mut self) {
        self.messages += 1;
        self.spent += self
            .began
            .take()
            .map_or(Duration::ZERO, |began| began.elapsed());
        if self.messages >= MOST || self.spent >= LONGEST {
            *self = Self::default();
            tokio::task::yield_now().await;
        }
    }
}

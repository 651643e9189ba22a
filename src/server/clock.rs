//! The clock of the machine, read here alone.

use std::time::SystemTime;

use crate::domain::time::{Clock, UnixMillis};

/// The time of day as the operating system has it.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::from_system(SystemTime::now())
    }
}

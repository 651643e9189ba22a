//! What is measured. Each scenario starts its server, loads it, and reports figures and faults.

use std::time::Instant;

use crate::error::LoadError;
use crate::process::{self, Server};

pub mod acks;
pub mod churn;
pub mod fanout;
pub mod flow;
pub mod hierarchy;
pub mod hostile;
pub mod idle;
pub mod ping;
pub mod rooms;
pub mod stalled;
pub mod storm;

/// Reads the clocks of a span.
#[derive(Debug)]
pub struct Meter<'a> {
    server: &'a Server,
    start: Instant,
    server_cpu: u64,
    own_cpu: u64,
}

/// What a span took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub seconds: f64,
    /// Processor time of the server, in microseconds.
    pub server_cpu_us: f64,
    /// Processor time of this program, in microseconds.
    pub own_cpu_us: f64,
}

impl<'a> Meter<'a> {
    pub fn start(server: &'a Server) -> Result<Self, LoadError> {
        Ok(Self {
            server,
            server_cpu: server.cpu()?,
            own_cpu: process::own_cpu(),
            start: Instant::now(),
        })
    }

    pub fn read(&self) -> Result<Cost, LoadError> {
        Ok(Cost {
            seconds: self.start.elapsed().as_secs_f64(),
            server_cpu_us: micros(self.server.cpu()?.saturating_sub(self.server_cpu)),
            own_cpu_us: micros(process::own_cpu().saturating_sub(self.own_cpu)),
        })
    }
}

fn micros(nanos: u64) -> f64 {
    real(nanos) / 1000.0
}

/// A count as a real number.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^52"
)]
pub fn real(count: u64) -> f64 {
    count as f64
}

/// A number of streams as stream numbers; they are 16 bits wide.
pub fn streams(count: usize) -> Result<u16, LoadError> {
    u16::try_from(count)
        .map_err(|_| LoadError::Usage(format!("{count} rooms or targets are more than 65,535")))
}

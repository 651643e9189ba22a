//! Memory of idle connections: the slope between points, so that the server's own share drops out.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::time::sleep;

use super::real;
use crate::client_pool::{ClientPool, Filter, Persona};
use crate::delivery_tracker::DeliveryTracker;
use crate::error::LoadError;
use crate::limit;
use crate::options::Run;
use crate::process::Memory;
use crate::progress;
use crate::report::Report;
use crate::sequence_checker::SequenceChecker;

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Numbers of connections at which memory is read, rising
    #[arg(long, value_delimiter = ',', default_value = "1000,5000,15000")]
    pub connections: Vec<usize>,
    /// Seconds between the last connection and the reading
    #[arg(long, default_value = "5")]
    pub settle: f64,
    /// Connections that subscribe to the same queue
    #[arg(long, default_value = "100")]
    pub room: usize,
}

pub async fn run(run: &Run, options: &Options) -> Result<Report, LoadError> {
    if !options.connections.is_sorted_by(|one, next| one < next) {
        return Err(LoadError::Usage("--connections must rise".to_owned()));
    }
    limit::connections(options.connections.last().copied().unwrap_or(0))?;
    let server = run.start()?;
    let tracker = Arc::new(DeliveryTracker::new(&[], run.threads));
    let pool = ClientPool::new(run.threads)?;
    let mut report = Report::new("idle", run.subject_name(), &run.protocol_name());
    let mut points: Vec<(usize, Memory)> = Vec::new();
    let empty = server.memory()?;
    report.count("server_resident_bytes_at_0", empty.resident);
    let mut connected = 0;
    for &connections in &options.connections {
        let members = (connected..connections)
            .map(|user| {
                let queue = Filter::queue(format!("queue-{}", user / options.room.max(1)));
                let filters = vec![queue];
                (Persona { user, filters }, SequenceChecker::new([]))
            })
            .collect();
        pool.gather(&server.target, run.dial, connected, members, &tracker)
            .await?;
        connected = connections;
        let settle = sleep(Duration::from_secs_f64(options.settle));
        progress::during(|| format!("{connected} connections settle"), settle).await;
        let memory = server.memory()?;
        report.count(
            format!("server_resident_bytes_at_{connected}"),
            memory.resident,
        );
        points.push((connected, memory));
    }
    for pair in points.windows(2) {
        if let [(few, before), (many, after)] = pair {
            let slope = slope((*few, before.resident), (*many, after.resident));
            report.add(format!("bytes_per_connection_{few}_to_{many}"), slope);
        }
    }
    if let (Some((few, before)), Some((many, after))) = (points.first(), points.last())
        && few < many
    {
        let between = |read: fn(&Memory) -> u64| slope((*few, read(before)), (*many, read(after)));
        report.add("bytes_per_connection", between(|memory| memory.resident));
        report.add(
            "private_bytes_per_connection",
            between(|memory| memory.private),
        );
        report.add(
            "proportional_bytes_per_connection",
            between(|memory| memory.proportional),
        );
    }
    report.faults = tracker.faults();
    Ok(report)
}

fn slope((few, before): (usize, u64), (many, after): (usize, u64)) -> f64 {
    (real(after) - real(before)) / real((many - few) as u64)
}

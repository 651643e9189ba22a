//! Everybody comes at once: connect, authenticate and subscribe.

use std::sync::Arc;

use clap::Args;

use super::{Meter, real};
use crate::client_pool::{ClientPool, Filter, Persona};
use crate::delivery_tracker::DeliveryTracker;
use crate::error::LoadError;
use crate::limit;
use crate::options::Run;
use crate::report::Report;
use crate::sequence_checker::SequenceChecker;

#[derive(Debug, Clone, Args)]
pub struct Options {
    #[arg(long, default_value = "10000")]
    pub connections: usize,
    /// Connections that subscribe to the same queue
    #[arg(long, default_value = "100")]
    pub room: usize,
}

pub async fn run(run: &Run, options: &Options) -> Result<Report, LoadError> {
    limit::connections(options.connections)?;
    let server = run.start()?;
    let tracker = Arc::new(DeliveryTracker::new(&[], run.threads));
    let pool = ClientPool::new(run.threads)?;
    let members = (0..options.connections)
        .map(|user| {
            let queue = Filter::queue(format!("queue-{}", user / options.room.max(1)));
            let filters = vec![queue];
            (Persona { user, filters }, SequenceChecker::new([]))
        })
        .collect();
    let meter = Meter::start(&server)?;
    let time = pool
        .gather(&server.target, run.dial, 0, members, &tracker)
        .await?;
    let cost = meter.read()?;
    let connections = real(options.connections as u64);
    let mut report = Report::new("storm", run.subject_name(), &run.protocol_name());
    report.count("connections", options.connections as u64);
    report.add("connections_per_second", connections / time.as_secs_f64());
    report.add(
        "server_cpu_us_per_connection",
        cost.server_cpu_us / connections,
    );
    report.add(
        "generator_cpu_us_per_connection",
        cost.own_cpu_us / connections,
    );
    report.add("server_cpus", cost.server_cpu_us / 1e6 / cost.seconds);
    report.add("generator_cpus", cost.own_cpu_us / 1e6 / cost.seconds);
    report.add("seconds", time.as_secs_f64());
    report.count("server_resident_bytes", server.memory()?.resident);
    report.faults = tracker.faults();
    Ok(report)
}

//! One room, many members: as fast as it goes, or paced.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::time::sleep;

use super::flow::{Backend, Route, beside, flood, pace};
use super::{Cost, Meter, real, streams};
use crate::client_pool::{ClientPool, Filter, Persona};
use crate::delivery_tracker::DeliveryTracker;
use crate::error::LoadError;
use crate::options::Run;
use crate::process::Server;
use crate::progress;
use crate::report::{Report, number};
use crate::sequence_checker::SequenceChecker;
use crate::stamp::Payload;

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Members of the room
    #[arg(long, default_value = "1000")]
    pub members: usize,
    /// Bytes of a payload
    #[arg(long, default_value = "200")]
    pub size: usize,
    /// How long to measure
    #[arg(long, default_value = "5")]
    pub seconds: f64,
    /// Broadcasts a second; without it, as fast as it goes
    #[arg(long)]
    pub paced: Option<f64>,
    /// Backends that publish at the same time, as fast as it goes
    #[arg(long, default_value = "4")]
    pub publishers: usize,
    /// Broadcasts that may be under way, as fast as it goes
    #[arg(long, default_value = "16")]
    pub window: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            members: 1000,
            size: 200,
            seconds: 5.0,
            paced: None,
            publishers: 4,
            window: 16,
        }
    }
}

/// What is published before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);

pub async fn run(run: &Run, options: &Options) -> Result<Report, LoadError> {
    let server = run.start()?;
    let publishers = if options.paced.is_some() {
        1
    } else {
        options.publishers.max(1)
    };
    let count = streams(publishers)?;
    let filter = Filter::queue("room");
    let members: Vec<_> = (0..options.members)
        .map(|user| {
            let filters = vec![filter.clone()];
            (Persona { user, filters }, SequenceChecker::new(0..count))
        })
        .collect();
    let tracker = DeliveryTracker::for_ears(
        members.iter().map(|(_, checker)| checker),
        count,
        run.threads,
    );
    let tracker = Arc::new(tracker);
    let pool = ClientPool::new(run.threads)?;
    pool.gather(&server.target, run.dial, 0, members, &tracker)
        .await?;

    let payload = Payload::new(&filter.fields(), options.size);
    let mut backends = Vec::new();
    for stream in 0..count {
        let payload = payload.clone();
        let routes = vec![Route { stream, payload }];
        backends.push(Backend::connect(&server.target, routes, 0).await?);
    }
    let time = Duration::from_secs_f64(options.seconds);
    let work = async {
        let whole = WARM_UP + time;
        match (options.paced, backends.pop()) {
            (Some(rate), Some(mut one)) => pace(&tracker, &mut one, rate, whole, |_| false).await,
            (_, last) => {
                backends.extend(last);
                flood(&tracker, backends, options.window, whole).await
            }
        }
    };
    let watched = beside(work, WARM_UP, measure(&server, &tracker, time));
    let say = || format!("{} deliveries", number(real(tracker.deliveries())));
    let outcome = progress::during(say, watched).await;

    let scenario = if options.paced.is_some() {
        "fanout-paced"
    } else {
        "fanout"
    };
    let mut report = Report::new(scenario, run.subject_name(), &run.protocol_name());
    report.faults = tracker.faults();
    let span = match outcome {
        Ok(span) => span,
        Err(error) => {
            report.faults.push(error.to_string());
            return Ok(report);
        }
    };
    report.count("members", options.members as u64);
    report.count("payload_bytes", payload.size() as u64);
    span.report(&mut report);
    report.latencies("latency", &tracker.latencies());
    let memory = server.memory()?;
    report.count("server_resident_bytes", memory.resident);
    Ok(report)
}

/// What happened in a measured span.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub cost: Cost,
    pub deliveries: u64,
    pub broadcasts: u64,
}

/// Measures for `time`.
pub async fn measure(
    server: &Server,
    tracker: &DeliveryTracker,
    time: Duration,
) -> Result<Span, LoadError> {
    tracker.start_recording();
    let (deliveries, broadcasts) = (tracker.deliveries(), tracker.completed());
    let meter = Meter::start(server)?;
    sleep(time).await;
    let cost = meter.read()?;
    tracker.stop_recording();
    Ok(Span {
        cost,
        deliveries: tracker.deliveries() - deliveries,
        broadcasts: tracker.completed() - broadcasts,
    })
}

impl Span {
    pub fn report(&self, report: &mut Report) {
        let Cost {
            seconds,
            server_cpu_us,
            own_cpu_us,
        } = self.cost;
        let (deliveries, broadcasts) = (real(self.deliveries), real(self.broadcasts));
        report.add("deliveries_per_second", deliveries / seconds);
        report.add("broadcasts_per_second", broadcasts / seconds);
        if self.deliveries > 0 {
            report.add("server_cpu_us_per_delivery", server_cpu_us / deliveries);
            report.add("generator_cpu_us_per_delivery", own_cpu_us / deliveries);
        }
        if self.broadcasts > 0 {
            report.add("server_cpu_us_per_broadcast", server_cpu_us / broadcasts);
        }
        report.add("server_cpus", server_cpu_us / 1e6 / seconds);
        report.add("generator_cpus", own_cpu_us / 1e6 / seconds);
        report.add("seconds", seconds);
    }
}

//! One reader that stops reading, among many that go on: what the others feel, and when the server
//! lets go of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;

use super::flow::{Backend, Route, pace};
use super::real;
use crate::client::{Dial, Protocol};
use crate::client_pool::{Client, ClientPool, Filter, Persona};
use crate::delivery_tracker::DeliveryTracker;
use crate::error::LoadError;
use crate::options::Run;
use crate::progress;
use crate::report::{Report, number};
use crate::sequence_checker::SequenceChecker;
use crate::stamp::Payload;

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Members who read
    #[arg(long, default_value = "500")]
    pub members: usize,
    /// Broadcasts a second
    #[arg(long, default_value = "200")]
    pub paced: f64,
    /// Bytes of a payload
    #[arg(long, default_value = "2048")]
    pub size: usize,
    /// How long to measure without the stalled reader, and at least with it
    #[arg(long, default_value = "5")]
    pub seconds: f64,
    /// How many seconds to wait until the server lets go of the stalled reader
    #[arg(long, default_value = "45")]
    pub patience: f64,
}

/// The receive buffer of the stalled reader, in bytes: its window closes at once.
const RECEIVE_BUFFER: u32 = 4096;

pub async fn run(run: &Run, options: &Options) -> Result<Report, LoadError> {
    if run.dial.protocol == Protocol::Polling {
        return Err(LoadError::Usage("stalled is about WebSocket".to_owned()));
    }
    let server = run.start()?;
    let filter = Filter::queue("room");
    let members: Vec<_> = (0..options.members)
        .map(|user| {
            let filters = vec![filter.clone()];
            (Persona { user, filters }, SequenceChecker::new([0]))
        })
        .collect();
    let tracker =
        DeliveryTracker::for_ears(members.iter().map(|(_, checker)| checker), 1, run.threads);
    let tracker = Arc::new(tracker);
    let pool = ClientPool::new(run.threads)?;
    pool.gather(&server.target, run.dial, 0, members, &tracker)
        .await?;

    let payload = Payload::new(&filter.fields(), options.size);
    let routes = vec![Route { stream: 0, payload }];
    let mut backend = Backend::connect(&server.target, routes, 1).await?;
    let time = Duration::from_secs_f64(options.seconds);
    let say = || format!("{} deliveries", number(real(tracker.deliveries())));
    let warm_up = Duration::from_secs(1);
    pace(&tracker, &mut backend, options.paced, warm_up, |_| false).await?;
    tracker.start_recording();
    let calm = pace(&tracker, &mut backend, options.paced, time, |_| false);
    progress::during(say, calm).await?;
    let without = tracker.latencies();
    let memory_without = server.memory()?;

    let dial = Dial {
        receive_buffer: Some(RECEIVE_BUFFER),
        ..run.dial
    };
    let persona = Persona {
        user: options.members,
        filters: vec![filter],
    };
    // It never reads again, and stays until the end of the run.
    let stalled = Client::join(&server.target, options.members, dial, &persona).await?;
    let start = Instant::now();
    let members = options.members as u64;
    let (mut evicted, mut most) = (None, memory_without.resident);
    tracker.start_recording();
    let patience = Duration::from_secs_f64(options.patience);
    let disturbed = pace(
        &tracker,
        &mut backend,
        options.paced,
        patience,
        |recipients| {
            if let Ok(memory) = server.memory()
                && start.elapsed().subsec_millis() < 50
            {
                most = most.max(memory.resident);
            }
            if recipients == Some(members) {
                evicted.get_or_insert_with(|| start.elapsed());
            }
            evicted.is_some() && start.elapsed() >= time
        },
    );
    let outcome = progress::during(say, disturbed).await;
    drop(stalled);

    let mut report = Report::new("stalled", run.subject_name(), &run.protocol_name());
    report.faults = tracker.faults();
    report
        .faults
        .extend(outcome.err().map(|error| error.to_string()));
    report.count("members", members);
    report.latencies("latency_without", &without);
    let with = tracker.latencies();
    report.latencies("latency_with", &with);
    report.add("p99_ratio", p99(&with) / p99(&without).max(1.0));
    match evicted {
        Some(after) => report.add("let_go_after_seconds", after.as_secs_f64()),
        None => report.faults.push(format!(
            "the server held on to the stalled reader for {} s",
            options.patience
        )),
    }
    report.count("server_resident_bytes_without", memory_without.resident);
    report.count("server_resident_bytes_most", most);
    report.count("server_resident_bytes_at_end", server.memory()?.resident);
    Ok(report)
}

fn p99(latencies: &Histogram<u64>) -> f64 {
    real(latencies.value_at_quantile(0.99))
}

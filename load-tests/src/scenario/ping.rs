//! Clients that ask: `client:ping` with an acknowledgement, each with one request under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::{Meter, real};
use crate::client_pool::{Client, ClientPool, Persona, all_joined};
use crate::clock;
use crate::delivery_tracker::DeliveryTracker;
use crate::error::LoadError;
use crate::options::Run;
use crate::progress;
use crate::report::{Report, number};

#[derive(Debug, Clone, Args)]
pub struct Options {
    #[arg(long, default_value = "100")]
    pub connections: usize,
    /// How long to measure
    #[arg(long, default_value = "5")]
    pub seconds: f64,
}

pub async fn run(run: &Run, options: &Options) -> Result<Report, LoadError> {
    let server = run.start()?;
    let pool = ClientPool::new(run.threads)?;
    let tracker = Arc::new(DeliveryTracker::new(&[], run.threads));
    let answered = Arc::new(AtomicU64::new(0));
    let (starter, begun) = watch::channel(false);
    let (done, outcomes) = mpsc::unbounded_channel();
    for index in 0..options.connections {
        let (target, dial, thread) = (server.target.clone(), run.dial, pool.thread(index));
        let (tracker, answered) = (Arc::clone(&tracker), Arc::clone(&answered));
        let (mut signal, done) = (begun.clone(), done.clone());
        pool.spawn(index, async move {
            let persona = Persona {
                user: index,
                filters: Vec::new(),
            };
            let joined = Client::join(&target, index, dial, &persona).await;
            let mut client = match joined {
                Ok(client) => client,
                Err(error) => {
                    let _ = done.send(Err(error));
                    return;
                }
            };
            let _ = done.send(Ok(()));
            drop(done);
            // An error says that the run is over.
            let _ = signal.wait_for(|begun| *begun).await;
            loop {
                let sent_at = clock::now();
                if let Err(error) = client.command("client:ping", "{\"n\":1}").await {
                    tracker.count_closed(&error);
                    return;
                }
                answered.fetch_add(1, Ordering::Relaxed);
                tracker.record(sent_at, thread);
            }
        });
    }
    drop(done);
    all_joined(outcomes, options.connections).await?;
    let _ = starter.send(true);
    let measured = async {
        sleep(Duration::from_millis(500)).await;
        tracker.start_recording();
        let before = answered.load(Ordering::Relaxed);
        let meter = Meter::start(&server)?;
        sleep(Duration::from_secs_f64(options.seconds)).await;
        let cost = meter.read()?;
        Ok::<_, LoadError>((answered.load(Ordering::Relaxed) - before, cost))
    };
    let say = || format!("{} answers", number(real(answered.load(Ordering::Relaxed))));
    let (requests, cost) = progress::during(say, measured).await?;

    let mut report = Report::new("ping", run.subject_name(), &run.protocol_name());
    report.faults = tracker.faults();
    if requests == 0 {
        report.faults.push("no request was answered".to_owned());
        return Ok(report);
    }
    report.count("connections", options.connections as u64);
    report.add("requests_per_second", real(requests) / cost.seconds);
    report.add(
        "server_cpu_us_per_request",
        cost.server_cpu_us / real(requests),
    );
    report.add(
        "generator_cpu_us_per_request",
        cost.own_cpu_us / real(requests),
    );
    report.latencies("latency", &tracker.latencies());
    Ok(report)
}

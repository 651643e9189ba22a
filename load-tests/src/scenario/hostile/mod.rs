//! Attacks, one kind after the other and then all at once, beside many who listen: whether these lose
//! anything, what they feel, how long an operator waits for an answer, and what memory comes back.

mod attacks;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::task::JoinSet;

use super::flow::{Backend, Route, pace};
use super::real;
use crate::client::Target;
use crate::client_pool::{ClientPool, Filter, Persona};
use crate::delivery_tracker::DeliveryTracker;
use crate::error::LoadError;
use crate::options::Run;
use crate::process::Server;
use crate::progress;
use crate::report::{Report, number};
use crate::sequence_checker::SequenceChecker;
use crate::stamp::Payload;
use attacks::{ALL, Attack};

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Members who listen
    #[arg(long, default_value = "500")]
    pub members: usize,
    /// Broadcasts a second
    #[arg(long, default_value = "20")]
    pub paced: f64,
    /// Bytes of a payload
    #[arg(long, default_value = "2048")]
    pub size: usize,
    /// How long each attack goes on
    #[arg(long, default_value = "10")]
    pub seconds: f64,
    /// How long after an attack memory is looked at
    #[arg(long, default_value = "8")]
    pub settle: f64,
}

/// Limits that hold in the field, and that other loads do without.
const LIMITS: [&str; 4] = [
    "--rate-limit-messages-per-second=100",
    "--rate-limit-requests-per-second=1000",
    "--auth-timeout-ms=10000",
    "--max-connections-per-address=0",
];

pub async fn run(run: &Run, options: &Options) -> Result<Report, LoadError> {
    let mut run = run.clone();
    let limits = LIMITS.iter().map(|limit| (*limit).to_owned());
    run.server_under_test.arguments.splice(..0, limits);
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
    // Those who are stalled hear it, too, as long as they are there.
    let extra = attacks::STALLED as u64;
    let mut backend = Backend::connect(&server.target, routes, extra).await?;

    let mut report = Report::new("hostile", run.subject_name(), &run.protocol_name());
    report.count("members", options.members as u64);
    let calm = phase(&server, &tracker, &mut backend, options, &[]).await?;
    let calm_p99 = calm.tell(&mut report, "calm");
    let each = ALL
        .iter()
        .map(|attack| (attack.name(), std::slice::from_ref(attack)));
    for (name, attacks) in each.chain([("everything", &ALL[..])]) {
        let say = || format!("{name}: {} deliveries", number(real(tracker.deliveries())));
        let attacked = phase(&server, &tracker, &mut backend, options, attacks);
        let felt = progress::during(say, attacked).await?;
        let p99 = felt.tell(&mut report, name);
        report.add(format!("{name}_p99_ratio"), p99 / calm_p99.max(1.0));
    }
    report.faults = tracker.faults();
    Ok(report)
}

/// What was seen during an attack.
struct Felt {
    p50: u64,
    p99: u64,
    probe_max: Duration,
    most: u64,
    after: u64,
}

impl Felt {
    /// Answers the 99th percentile in microseconds.
    fn tell(&self, report: &mut Report, name: &str) -> f64 {
        report.count(format!("{name}_p50_us"), self.p50);
        report.count(format!("{name}_p99_us"), self.p99);
        let millis = self.probe_max.as_secs_f64() * 1000.0;
        report.add(format!("{name}_healthz_max_ms"), millis);
        report.count(format!("{name}_resident_bytes_most"), self.most);
        report.count(format!("{name}_resident_bytes_after"), self.after);
        real(self.p99)
    }
}

async fn phase(
    server: &Server,
    tracker: &DeliveryTracker,
    backend: &mut Backend,
    options: &Options,
    attacks: &[Attack],
) -> Result<Felt, LoadError> {
    let time = Duration::from_secs_f64(options.seconds);
    let mut attackers = JoinSet::new();
    for attack in attacks {
        attack.begin(&mut attackers, &server.target, time);
    }
    tracker.start_recording();
    let mut most = 0;
    let mut look = Instant::now();
    let probes = tokio::spawn(probe(server.target.clone(), time));
    pace(tracker, backend, options.paced, time, |_| {
        if look.elapsed() > Duration::from_millis(200)
            && let Ok(memory) = server.memory()
        {
            look = Instant::now();
            most = most.max(memory.resident);
        }
        false
    })
    .await?;
    let latencies = tracker.latencies();
    let probe_max = probes.await.unwrap_or(Ok(Duration::MAX))?;
    attackers.shutdown().await;
    tokio::time::sleep(Duration::from_secs_f64(options.settle)).await;
    Ok(Felt {
        p50: latencies.value_at_quantile(0.5) / 1000,
        p99: latencies.value_at_quantile(0.99) / 1000,
        probe_max,
        most,
        after: server.memory()?.resident,
    })
}

/// The longest that an operator waits for a probe, each on a connection of its own.
async fn probe(target: Target, time: Duration) -> Result<Duration, LoadError> {
    let begin = Instant::now();
    let mut longest = Duration::ZERO;
    while begin.elapsed() < time {
        let asked = Instant::now();
        let answered = attacks::healthz(target.address).await;
        answered.map_err(|error| LoadError::Measure("the health", error))?;
        longest = longest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(longest)
}

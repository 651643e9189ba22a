//! Connections that come and go under a broadcast to those who stay; and the same for long, with
//! an eye on memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tokio::time::{interval, sleep, timeout};

use super::fanout::measure;
use super::flow::{Backend, Route, beside, pace};
use super::real;
use crate::client::{Dial, Heard, Target};
use crate::client_pool::{Client, ClientPool, Filter, Persona};
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
    /// Members who stay
    #[arg(long, default_value = "500")]
    pub members: usize,
    /// Connections a second that join the same room and leave it again
    #[arg(long, default_value = "200")]
    pub churn: f64,
    /// Seconds for which they stay
    #[arg(long, default_value = "1")]
    pub stay: f64,
    /// Broadcasts a second
    #[arg(long, default_value = "50")]
    pub paced: f64,
    /// Bytes of a payload
    #[arg(long, default_value = "200")]
    pub size: usize,
    /// How long to measure
    #[arg(long, default_value = "10")]
    pub seconds: f64,
}

#[derive(Debug, Clone, Args)]
pub struct SoakOptions {
    /// How long to measure
    #[arg(long, default_value = "10")]
    pub minutes: f64,
    /// Members who stay
    #[arg(long, default_value = "500")]
    pub members: usize,
    /// Connections a second that join the same room and leave it again
    #[arg(long, default_value = "50")]
    pub churn: f64,
    /// Broadcasts a second
    #[arg(long, default_value = "20")]
    pub paced: f64,
    /// Fail if resident memory grows faster than this many bytes a minute
    #[arg(long)]
    pub max_growth: Option<f64>,
}

const WARM_UP: Duration = Duration::from_secs(1);

/// How often a soak looks at the memory, more often in a short one; and how much of its beginning it
/// leaves out of the slope.
const SAMPLE: Duration = Duration::from_secs(2);
const FEWEST_SAMPLES: u32 = 20;
const SETTLING: f64 = 0.25;

pub async fn run(run: &Run, options: &Options) -> Result<Report, LoadError> {
    churn(run, options, "churn").await.map(|(report, _)| report)
}

pub async fn soak(run: &Run, options: &SoakOptions) -> Result<Report, LoadError> {
    if run.url.is_some() {
        let problem = "a soak is about memory, and that of a server at a URL is unknown; see churn";
        return Err(LoadError::Usage(problem.to_owned()));
    }
    let churning = Options {
        members: options.members,
        churn: options.churn,
        stay: 1.0,
        paced: options.paced,
        size: 200,
        seconds: options.minutes * 60.0,
    };
    let (mut report, samples) = churn(run, &churning, "soak").await?;
    if samples.is_empty() {
        // The run broke off, and the report says why.
        return Ok(report);
    }
    let from = churning.seconds * SETTLING;
    let late: Samples = samples.into_iter().filter(|(at, _)| *at >= from).collect();
    judge_growth(&mut report, &late, options.max_growth);
    Ok(report)
}

/// Adds the slope of the memory; it is a fault if it is steeper than `most` bytes a minute.
fn judge_growth(report: &mut Report, samples: &[(f64, f64)], most: Option<f64>) {
    report.count("memory_samples", samples.len() as u64);
    if samples.len() < 2 {
        let problem = "the run is too short for a slope of the memory".to_owned();
        report.faults.push(problem);
        return;
    }
    let slope = slope(samples) * 60.0;
    report.add("resident_growth_bytes_per_minute", slope);
    report.add("resident_growth_bytes_per_hour", slope * 60.0);
    if let Some(most) = most.filter(|most| slope > *most) {
        let (slope, most) = (number(slope), number(most));
        report.faults.push(format!(
            "memory grows by {slope} bytes a minute, more than {most}"
        ));
    }
}

type Samples = Vec<(f64, f64)>;

async fn churn(
    run: &Run,
    options: &Options,
    scenario: &str,
) -> Result<(Report, Samples), LoadError> {
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
    // Whoever comes and goes hears it, too.
    let mut backend = Backend::connect(&server.target, routes, u64::from(u32::MAX)).await?;
    let passers = Passers {
        target: server.target.clone(),
        dial: run.dial,
        stay: Duration::from_secs_f64(options.stay),
        tracker: Arc::clone(&tracker),
        stayed: Arc::new(AtomicU64::new(0)),
        filter,
    };
    let stayed = Arc::clone(&passers.stayed);
    let time = Duration::from_secs_f64(options.seconds);
    let come_and_go = passers.come(&pool, options.members, options.churn);
    let publish = pace(
        &tracker,
        &mut backend,
        options.paced,
        WARM_UP + time,
        |_| false,
    );
    let work = async {
        tokio::select! {
            outcome = publish => outcome,
            () = come_and_go => Ok(()),
        }
    };
    let watched = async {
        let samples = sample(&server, time);
        let (span, samples) = tokio::join!(measure(&server, &tracker, time), samples);
        Ok((span?, samples?))
    };
    let say = || {
        let (deliveries, stayed) = (tracker.deliveries(), stayed.load(Ordering::Relaxed));
        format!(
            "{} deliveries, {} came and went",
            number(real(deliveries)),
            stayed
        )
    };
    let outcome = progress::during(say, beside(work, WARM_UP, watched)).await;

    let mut report = Report::new(scenario, run.subject_name(), &run.protocol_name());
    report.faults = tracker.faults();
    report.count("members", options.members as u64);
    report.count("came_and_went", stayed.load(Ordering::Relaxed));
    let samples = match outcome {
        Ok((span, samples)) => {
            span.report(&mut report);
            samples
        }
        Err(error) => {
            report.faults.push(error.to_string());
            Vec::new()
        }
    };
    report.latencies("latency", &tracker.latencies());
    report.count("server_resident_bytes", server.memory()?.resident);
    Ok((report, samples))
}

/// Those who come, stay a moment, and go.
struct Passers {
    target: Target,
    dial: Dial,
    stay: Duration,
    tracker: Arc<DeliveryTracker>,
    stayed: Arc<AtomicU64>,
    filter: Filter,
}

impl Passers {
    /// Never ends by itself.
    async fn come(&self, pool: &ClientPool, first: usize, rate: f64) {
        let mut ticks = interval(Duration::from_secs_f64(1.0 / rate.max(0.001)));
        for index in first.. {
            ticks.tick().await;
            let (target, dial, stay) = (self.target.clone(), self.dial, self.stay);
            let (tracker, stayed) = (Arc::clone(&self.tracker), Arc::clone(&self.stayed));
            let (filters, thread) = (vec![self.filter.clone()], pool.thread(index));
            pool.spawn(index, async move {
                let persona = Persona {
                    user: index,
                    filters,
                };
                let mut checker = SequenceChecker::late([0]);
                let outcome = match Client::join(&target, index, dial, &persona).await {
                    Ok(mut client) => {
                        let listening = client.listen(|text| {
                            tracker.hear(&mut checker, text, thread);
                            Heard::More
                        });
                        timeout(stay, listening).await.unwrap_or(Ok(()))
                    }
                    Err(error) => Err(error),
                };
                match outcome {
                    Ok(()) => {
                        stayed.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => tracker.count_closed(&error),
                }
            });
        }
    }
}

/// Resident bytes over seconds.
async fn sample(server: &Server, time: Duration) -> Result<Samples, LoadError> {
    let pause = SAMPLE.min(time / FEWEST_SAMPLES);
    let start = Instant::now();
    let mut samples = Vec::new();
    while start.elapsed() < time {
        let memory = server.memory()?;
        samples.push((start.elapsed().as_secs_f64(), real(memory.resident)));
        sleep(pause.min(time.saturating_sub(start.elapsed()))).await;
    }
    Ok(samples)
}

/// The slope of the line with the least squares; 0 if there is none.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = real(samples.len() as u64);
    let mean = |read: fn(&(f64, f64)) -> f64| samples.iter().map(read).sum::<f64>() / count;
    let (middle_x, middle_y) = (mean(|(x, _)| *x), mean(|(_, y)| *y));
    let (mut up, mut along) = (0.0, 0.0);
    for (x, y) in samples {
        up += (x - middle_x) * (y - middle_y);
        along += (x - middle_x).powi(2);
    }
    if along > 0.0 { up / along } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_a_line_is_found() {
        let line: Vec<_> = (0..10)
            .map(|x| (f64::from(x), 5.0 + 3.0 * f64::from(x)))
            .collect();
        assert!((slope(&line) - 3.0).abs() < 1e-9);
        assert!(slope(&line[..1]).abs() < 1e-9);
        assert!(slope(&[]).abs() < 1e-9);
    }

    #[test]
    fn memory_that_grows_too_fast_is_a_fault() {
        let samples: Vec<_> = (0..10)
            .map(|x| (f64::from(x), 1000.0 + 10.0 * f64::from(x)))
            .collect();
        for (most, is_fault) in [(None, false), (Some(601.0), false), (Some(599.0), true)] {
            let mut report = Report::default();
            judge_growth(&mut report, &samples, most);
            assert_eq!(report.is_failed(), is_fault, "{most:?}: {report}");
            let hourly = report.figure("resident_growth_bytes_per_hour").unwrap();
            assert!((hourly - 36_000.0).abs() < 1e-6, "{hourly}");
        }
        let mut report = Report::default();
        judge_growth(&mut report, &samples[..1], None);
        assert!(report.is_failed(), "{report}");
    }
}

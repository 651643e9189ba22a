//! Departments and queues with overlapping subscriptions: everybody gets what their filters say,
//! and gets it once.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::fanout::measure;
use super::flow::{Backend, Route, beside, flood};
use super::{real, streams};
use crate::client_pool::{ClientPool, Filter, Persona};
use crate::delivery_tracker::DeliveryTracker;
use crate::error::LoadError;
use crate::options::Run;
use crate::progress;
use crate::report::{Report, number};
use crate::sequence_checker::SequenceChecker;
use crate::stamp::Payload;

#[derive(Debug, Clone, Args)]
pub struct Options {
    #[arg(long, default_value = "1000")]
    pub connections: usize,
    #[arg(long, default_value = "4")]
    pub departments: usize,
    #[arg(long, default_value = "10")]
    pub queues: usize,
    /// Bytes of a payload
    #[arg(long, default_value = "200")]
    pub size: usize,
    /// How long to measure
    #[arg(long, default_value = "5")]
    pub seconds: f64,
    /// Backends that publish at the same time
    #[arg(long, default_value = "4")]
    pub publishers: usize,
    /// Broadcasts that may be under way
    #[arg(long, default_value = "16")]
    pub window: u64,
}

const WARM_UP: Duration = Duration::from_millis(500);

pub async fn run(run: &Run, options: &Options) -> Result<Report, LoadError> {
    let server = run.start()?;
    let targets = places(options.departments.max(1), options.queues.max(1));
    let count = streams(targets.len())?;
    let people: Vec<_> = (0..options.connections)
        .map(|user| {
            let filters = filters(user, options.departments.max(1), options.queues.max(1));
            let heard = (0..count).filter(|stream| {
                let target = &targets[usize::from(*stream)];
                filters.iter().any(|filter| hears(filter, target))
            });
            let checker = SequenceChecker::new(heard);
            (Persona { user, filters }, checker)
        })
        .collect();
    let tracker = DeliveryTracker::for_ears(
        people.iter().map(|(_, checker)| checker),
        count,
        run.threads,
    );
    let tracker = Arc::new(tracker);
    let pool = ClientPool::new(run.threads)?;
    pool.gather(&server.target, run.dial, 0, people, &tracker)
        .await?;

    let mut shares: Vec<Vec<Route>> = vec![Vec::new(); options.publishers.clamp(1, targets.len())];
    let publishers = shares.len();
    for (stream, target) in (0..count).zip(&targets) {
        let payload = Payload::new(&target.fields(), options.size);
        shares[usize::from(stream) % publishers].push(Route { stream, payload });
    }
    let mut backends = Vec::new();
    for routes in shares {
        backends.push(Backend::connect(&server.target, routes, 0).await?);
    }
    let time = Duration::from_secs_f64(options.seconds);
    let work = flood(&tracker, backends, options.window, WARM_UP + time);
    let watched = beside(work, WARM_UP, measure(&server, &tracker, time));
    let say = || format!("{} deliveries", number(real(tracker.deliveries())));
    let outcome = progress::during(say, watched).await;

    let mut report = Report::new("hierarchy", run.subject_name(), &run.protocol_name());
    report.faults = tracker.faults();
    report.count("connections", options.connections as u64);
    report.count("targets", count.into());
    match outcome {
        Ok(span) => span.report(&mut report),
        Err(error) => report.faults.push(error.to_string()),
    }
    report.latencies("latency", &tracker.latencies());
    Ok(report)
}

fn place(channel: &'static str, department: Option<usize>, queue: Option<usize>) -> Filter {
    Filter {
        channel,
        department: department.map(|at| format!("department-{at}")),
        queue: queue.map(|at| format!("queue-{at}")),
    }
}

/// The organization, each department, each queue, and each queue of each department.
fn places(departments: usize, queues: usize) -> Vec<Filter> {
    let departments = || std::iter::once(None).chain((0..departments).map(Some));
    let queues = || std::iter::once(None).chain((0..queues).map(Some));
    departments()
        .flat_map(|department| queues().map(move |queue| place("kpi", department, queue)))
        .collect()
}

/// What a user subscribes to: alone or overlapping, by turns.
fn filters(user: usize, departments: usize, queues: usize) -> Vec<Filter> {
    let department = Some((user / 7) % departments);
    let queue = Some((user / 7 / departments) % queues);
    match user % 7 {
        0 => vec![place("kpi", None, None)],
        1 => vec![place("kpi", department, None)],
        2 => vec![place("kpi", None, queue)],
        3 => vec![place("kpi", department, queue)],
        4 => vec![place("all", None, None)],
        5 => vec![place("kpi", department, None), place("kpi", None, queue)],
        _ => vec![
            place("kpi", None, None),
            place("all", department, None),
            place("kpi", department, queue),
            place("all", None, queue),
        ],
    }
}

/// The definition of a subscription, written naively: every field it names equals the target's.
fn hears(filter: &Filter, target: &Filter) -> bool {
    (filter.department.is_none() || filter.department == target.department)
        && (filter.queue.is_none() || filter.queue == target.queue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broad_filter_hears_narrow_targets_and_not_the_other_way_round() {
        let (all, queue) = (place("all", None, None), place("kpi", Some(1), Some(2)));
        assert!(hears(&all, &queue) && !hears(&queue, &all));
        assert_eq!(places(4, 10).len(), 55);
        assert!((0..7).all(|user| !filters(user, 4, 10).is_empty()));
    }
}

//! Many rooms with few members: what a broadcast costs.

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
    #[arg(long, default_value = "100")]
    pub rooms: usize,
    /// Members of each room
    #[arg(long, default_value = "10")]
    pub members: usize,
    /// Connections, which share the rooms evenly
    #[arg(long, default_value = "1000")]
    pub connections: usize,
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

const WARM_UP: Duration = Duration::from_secs(1);

pub async fn run(run: &Run, options: &Options) -> Result<Report, LoadError> {
    let server = run.start()?;
    let Options {
        rooms,
        members,
        connections,
        ..
    } = *options;
    if members > connections || rooms == 0 || connections == 0 {
        let problem = "a room can't have more members than there are connections".to_owned();
        return Err(LoadError::Usage(problem));
    }
    let count = streams(rooms)?;
    // Member m of room r is connection r * members + m, round and round.
    let mut joined: Vec<Vec<u16>> = vec![Vec::new(); connections];
    let mut at = 0;
    for room in 0..count {
        for _ in 0..members {
            joined[at % connections].push(room);
            at += 1;
        }
    }
    let people: Vec<_> = joined
        .into_iter()
        .enumerate()
        .map(|(user, rooms)| {
            let filters = rooms.iter().map(|room| filter(*room)).collect();
            (Persona { user, filters }, SequenceChecker::new(rooms))
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
    let memory = server.memory()?;

    let mut shares: Vec<Vec<Route>> = vec![Vec::new(); options.publishers.clamp(1, rooms)];
    let publishers = shares.len();
    for stream in 0..count {
        let payload = Payload::new(&filter(stream).fields(), options.size);
        shares[usize::from(stream) % publishers].push(Route { stream, payload });
    }
    let mut backends = Vec::new();
    for routes in shares {
        backends.push(Backend::connect(&server.target, routes, 0).await?);
    }
    let time = Duration::from_secs_f64(options.seconds);
    let work = flood(&tracker, backends, options.window, WARM_UP + time);
    let watched = beside(work, WARM_UP, measure(&server, &tracker, time));
    let say = || format!("{} broadcasts", number(real(tracker.completed())));
    let outcome = progress::during(say, watched).await;

    let mut report = Report::new("rooms", run.subject_name(), &run.protocol_name());
    report.faults = tracker.faults();
    report.count("rooms", rooms as u64);
    report.count("members", members as u64);
    report.count("connections", connections as u64);
    match outcome {
        Ok(span) => span.report(&mut report),
        Err(error) => report.faults.push(error.to_string()),
    }
    report.latencies("latency", &tracker.latencies());
    report.count("server_resident_bytes", memory.resident);
    Ok(report)
}

fn filter(room: u16) -> Filter {
    Filter::queue(format!("room-{room}"))
}

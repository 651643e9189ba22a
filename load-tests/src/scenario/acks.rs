//! Nothing that a client sends right after it is connected may be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clap::Args;
use tokio::sync::{Barrier, Semaphore, mpsc};

use super::real;
use crate::client::{Dial, Heard, Protocol, Target};
use crate::client_pool::{ClientPool, JOINING, Persona};
use crate::delivery_tracker::DeliveryTracker;
use crate::error::{ClientError, LoadError};
use crate::limit;
use crate::options::Run;
use crate::report::Report;
use crate::socket::Socket;

#[derive(Debug, Clone, Copy, Args)]
pub struct Options {
    #[arg(long, default_value = "18000")]
    pub connections: usize,
    /// Send `authenticate` in the same TCP write as CONNECT, ahead of its acknowledgement, which the
    /// plain protocol allows and Socket.IO's own server answers by closing the connection
    #[arg(long)]
    pub eager: bool,
    /// Open all transports first, then let everybody CONNECT at the same moment
    #[arg(long)]
    pub together: bool,
}

pub async fn run(run: &Run, options: &Options) -> Result<Report, LoadError> {
    if run.dial.protocol == Protocol::Polling {
        return Err(LoadError::Usage("acks is about WebSocket".to_owned()));
    }
    limit::connections(options.connections)?;
    let server = run.start()?;
    let pool = ClientPool::new(run.threads)?;
    let tracker = Arc::new(DeliveryTracker::new(&[], run.threads));
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let places = Arc::new(Semaphore::new(JOINING));
    let gate = options
        .together
        .then(|| Arc::new(Barrier::new(options.connections)));
    let (done, mut outcomes) = mpsc::unbounded_channel();
    let start = Instant::now();
    for index in 0..options.connections {
        let client = Emitter {
            target: server.target.clone(),
            dial: run.dial,
            index,
            eager: options.eager,
            places: Arc::clone(&places),
            gate: gate.clone(),
        };
        let (done, acknowledged) = (done.clone(), Arc::clone(&acknowledged));
        let tracker = Arc::clone(&tracker);
        pool.spawn(index, async move {
            let outcome = client.emit().await;
            let joined = match outcome {
                Ok(socket) => {
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    Ok(socket)
                }
                Err(error) => Err(error.to_string()),
            };
            // The reader of the channel outlives the clients' joining.
            match joined {
                Ok(mut socket) => {
                    let _ = done.send(None);
                    drop(done);
                    if let Err(error) = socket.listen(|_| Heard::More).await {
                        tracker.count_closed(&error);
                    }
                }
                Err(error) => {
                    let _ = done.send(Some(error));
                }
            }
        });
    }
    drop(done);
    let mut first_failure = None;
    let collect = async {
        for _ in 0..options.connections {
            match outcomes.recv().await {
                Some(Some(error)) => {
                    first_failure.get_or_insert(error);
                }
                Some(None) => {}
                None => break,
            }
        }
    };
    let say = || format!("{} acknowledged", acknowledged.load(Ordering::Relaxed));
    crate::progress::during(say, collect).await;
    let seconds = start.elapsed().as_secs_f64();

    let count = acknowledged.load(Ordering::Relaxed);
    let scenario = if options.eager { "acks-eager" } else { "acks" };
    let mut report = Report::new(scenario, run.subject_name(), &run.protocol_name());
    report.count("connections", options.connections as u64);
    report.count("acknowledged", count as u64);
    report.add("acknowledged_per_second", real(count as u64) / seconds);
    report.add("seconds", seconds);
    report.faults = tracker.faults();
    if count != options.connections {
        let missing = options.connections - count;
        report.faults.push(format!(
            "{missing} of {} clients got no ack",
            options.connections
        ));
    }
    report
        .faults
        .extend(first_failure.map(|first| format!("the first: {first}")));
    Ok(report)
}

/// A client that sends `authenticate` in the same moment in which it is connected.
struct Emitter {
    target: Target,
    dial: Dial,
    index: usize,
    eager: bool,
    places: Arc<Semaphore>,
    gate: Option<Arc<Barrier>>,
}

impl Emitter {
    async fn emit(self) -> Result<Socket, ClientError> {
        const EVENT: &str = "authenticate";
        let place = self.places.acquire_owned().await;
        let opened = Socket::open(&self.target, self.index, self.dial).await;
        let place = if let Some(gate) = self.gate {
            // Everybody must come to the gate, even who has failed.
            drop(place);
            gate.wait().await;
            None
        } else {
            Some(place)
        };
        let mut socket = opened?;
        let persona = Persona {
            user: self.index,
            filters: Vec::new(),
        };
        let identity = persona.identity();
        if self.eager {
            socket.connect_with(&[(EVENT, &identity)]).await?;
            socket.connected().await?;
            socket.replied(EVENT, 0).await?;
        } else {
            socket.connect_with(&[]).await?;
            socket.connected().await?;
            socket.command(EVENT, &identity).await?;
        }
        drop(place);
        Ok(socket)
    }
}

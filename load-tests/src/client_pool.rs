//! Many clients on few threads.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::client::{Dial, Heard, Protocol, Rooms, Target};
use crate::delivery_tracker::DeliveryTracker;
use crate::error::{ClientError, LoadError};
use crate::nchan;
use crate::polling::Polling;
use crate::progress;
use crate::sequence_checker::SequenceChecker;
use crate::socket::Socket;

/// How many clients join at the same time: fewer than the backlog of any server's socket.
pub const JOINING: usize = 256;

/// The organization of everybody, where a scenario does not name another.
pub const ORGANIZATION: &str = "load";

/// What a client subscribes to; all within its organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub channel: &'static str,
    pub department: Option<String>,
    pub queue: Option<String>,
}

impl Filter {
    pub fn queue(queue: impl Into<String>) -> Self {
        Self {
            channel: "kpi",
            department: None,
            queue: Some(queue.into()),
        }
    }

    /// The members of a JSON object that name the place.
    pub fn fields(&self) -> String {
        let mut fields = format!("\"organization_id\":\"{ORGANIZATION}\"");
        let names = [
            ("department_id", &self.department),
            ("queue_name", &self.queue),
        ];
        for (name, value) in names {
            if let Some(value) = value {
                // Writing to a text does not fail.
                let _ = write!(fields, ",\"{name}\":\"{value}\"");
            }
        }
        fields
    }

    fn subscription(&self) -> String {
        format!("{{\"channels\":[\"{}\"],{}}}", self.channel, self.fields())
    }
}

/// Who a client is, and what it subscribes to.
#[derive(Debug, Clone)]
pub struct Persona {
    pub user: usize,
    pub filters: Vec<Filter>,
}

impl Persona {
    pub fn identity(&self) -> String {
        format!(
            "{{\"user_id\":\"user-{}\",\"organization_id\":\"{ORGANIZATION}\"}}",
            self.user
        )
    }

    /// The queue, for a server that gives a connection one room.
    fn only_queue(&self) -> Result<&str, ClientError> {
        match &self.filters[..] {
            [
                Filter {
                    department: None,
                    queue: Some(queue),
                    ..
                },
            ] => Ok(queue),
            _ => Err(ClientError::OneRoom),
        }
    }
}

/// A client that has joined, on any transport.
#[derive(Debug)]
pub enum Client {
    Socket(Socket),
    Polling(Polling),
}

impl Client {
    /// Connects, authenticates and subscribes; each is awaited. Where a room is a path, connecting is
    /// all of it.
    pub async fn join(
        target: &Target,
        index: usize,
        dial: Dial,
        persona: &Persona,
    ) -> Result<Self, ClientError> {
        if target.rooms == Rooms::Path {
            let room = Target {
                path: nchan::subscription(persona.only_queue()?),
                ..target.clone()
            };
            return Ok(Self::Socket(Socket::open(&room, index, dial).await?));
        }
        let mut client = if dial.protocol == Protocol::Polling {
            Self::Polling(Polling::open(target, index).await?)
        } else {
            let mut socket = Socket::open(target, index, dial).await?;
            socket.connect_with(&[]).await?;
            socket.connected().await?;
            Self::Socket(socket)
        };
        client.command("authenticate", &persona.identity()).await?;
        for filter in &persona.filters {
            client.command("subscribe", &filter.subscription()).await?;
        }
        Ok(client)
    }

    pub async fn command(&mut self, event: &'static str, data: &str) -> Result<(), ClientError> {
        match self {
            Self::Socket(socket) => socket.command(event, data).await,
            Self::Polling(polling) => polling.command(event, data).await,
        }
    }

    pub async fn listen(&mut self, hear: impl FnMut(&[u8]) -> Heard) -> Result<(), ClientError> {
        match self {
            Self::Socket(socket) => socket.listen(hear).await,
            Self::Polling(polling) => polling.listen(hear).await,
        }
    }

    /// Listens until the connection ends, which is noted.
    pub async fn attend(
        mut self,
        tracker: &DeliveryTracker,
        mut checker: SequenceChecker,
        thread: usize,
    ) {
        let outcome = self.listen(|text| {
            tracker.hear(&mut checker, text, thread);
            Heard::More
        });
        if let Err(error) = outcome.await {
            tracker.count_closed(&error);
        }
    }
}

#[derive(Debug)]
struct Thread {
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    joined: Option<JoinHandle<()>>,
}

/// Threads with clients on them. Dropping it closes all their connections.
#[derive(Debug)]
pub struct ClientPool {
    threads: Vec<Thread>,
}

impl ClientPool {
    pub fn new(threads: usize) -> Result<Self, LoadError> {
        let threads = (0..threads)
            .map(|_| Thread::start())
            .collect::<Result<_, _>>()?;
        Ok(Self { threads })
    }

    /// The thread of the `index`th client.
    pub fn thread(&self, index: usize) -> usize {
        index % self.threads.len()
    }

    /// Runs something on the thread of the `index`th client.
    pub fn spawn(&self, index: usize, task: impl Future<Output = ()> + Send + 'static) {
        self.threads[self.thread(index)].runtime.spawn(task);
    }

    /// Lets everybody join, some at a time, and then listen for the rest of the run. Returns how
    /// long it took until all had joined.
    pub async fn gather(
        &self,
        target: &Target,
        dial: Dial,
        first: usize,
        members: Vec<(Persona, SequenceChecker)>,
        tracker: &Arc<DeliveryTracker>,
    ) -> Result<Duration, LoadError> {
        let start = Instant::now();
        let asked = members.len();
        let (done, outcomes) = mpsc::unbounded_channel();
        let places = Arc::new(Semaphore::new(JOINING));
        for (index, (persona, checker)) in members.into_iter().enumerate() {
            let index = first + index;
            let (target, tracker, done) = (target.clone(), Arc::clone(tracker), done.clone());
            let (places, thread) = (Arc::clone(&places), self.thread(index));
            self.spawn(index, async move {
                let place = places.acquire_owned().await;
                let joined = Client::join(&target, index, dial, &persona).await;
                drop((place, persona, target));
                match joined {
                    Ok(client) => {
                        // Whoever does not listen any more has given up.
                        let _ = done.send(Ok(()));
                        drop(done);
                        client.attend(&tracker, checker, thread).await;
                    }
                    Err(error) => {
                        let _ = done.send(Err(error));
                    }
                }
            });
        }
        all_joined(outcomes, asked).await?;
        Ok(start.elapsed())
    }
}

/// Awaits the outcome of everybody's joining.
pub async fn all_joined<T>(
    mut outcomes: mpsc::UnboundedReceiver<Result<T, ClientError>>,
    asked: usize,
) -> Result<Vec<T>, LoadError> {
    let seen = AtomicUsize::new(0);
    let collect = async {
        let (mut joined, mut failed, mut first) = (Vec::with_capacity(asked), 0, None);
        while seen.load(Ordering::Relaxed) < asked {
            match outcomes.recv().await {
                Some(Ok(one)) => joined.push(one),
                Some(Err(error)) => {
                    failed += 1;
                    first.get_or_insert(error);
                }
                None => break,
            }
            seen.fetch_add(1, Ordering::Relaxed);
        }
        match first {
            None => Ok(joined),
            Some(first) => Err(LoadError::Joining {
                failed,
                asked,
                first,
            }),
        }
    };
    progress::during(
        || format!("joined {} of {asked}", seen.load(Ordering::Relaxed)),
        collect,
    )
    .await
}

impl Thread {
    fn start() -> Result<Self, LoadError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .event_interval(31)
            .build()
            .map_err(LoadError::Thread)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let joined = std::thread::Builder::new()
            .name("pool".to_owned())
            .spawn(move || {
                // An error says that the pool is gone, which ends it as well.
                let _ = runtime.block_on(stopped);
            })
            .map_err(LoadError::Thread)?;
        Ok(Self {
            runtime: handle,
            stop: Some(stop),
            joined: Some(joined),
        })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(joined) = self.joined.take() {
            // A panic in it was printed when it happened.
            let _ = joined.join();
        }
    }
}

//! One stream for each organization: what is accepted for it gets a number, is kept for a while, and is
//! delivered in this order.

mod history;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use futures_util::FutureExt;

pub use history::{HistoryOptions, Kept, Lost};
pub use stream::{Arrival, Published, Stream, Turn};

use crate::domain::identity::OrganizationId;
use crate::domain::position::Position;
use crate::domain::time::UnixMillis;
use crate::hub::Hub;
use crate::hub::deliver::Delivered;
use crate::hub::outbound::Outbound;
use stream::Next;

/// After so many deliveries, some milliseconds, a publisher lets others run. To pause more often costs
/// more: others then go on with it on another processor.
const DELIVERIES_AT_ONCE: usize = 1024;

/// The same for large events.
const BYTES_AT_ONCE: usize = 16 * 1024 * 1024;

/// What the streams of a node may keep.
#[derive(Debug, Clone, Copy)]
pub struct StreamOptions {
    /// Streams; the one that was silent longest is forgotten first.
    pub max_organizations: usize,
    /// Bytes of what all of them keep together.
    pub max_bytes: usize,
    pub history: HistoryOptions,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            max_organizations: 10_000,
            max_bytes: 256 * 1024 * 1024,
            history: HistoryOptions::default(),
        }
    }
}

/// Lets others run between many deliveries.
#[derive(Default)]
struct Pause {
    deliveries: usize,
    bytes: usize,
}

impl Pause {
    /// How many events of this size may be delivered before the next pause; at least one.
    fn allowed(&self, bytes: usize) -> usize {
        let by_bytes = BYTES_AT_ONCE.saturating_sub(self.bytes) / bytes.max(1);
        by_bytes.min(DELIVERIES_AT_ONCE - self.deliveries).max(1)
    }

    async fn after(&mut self, deliveries: usize, bytes: usize) {
        self.deliveries += deliveries;
        self.bytes += deliveries * bytes;
        if self.deliveries >= DELIVERIES_AT_ONCE || self.bytes >= BYTES_AT_ONCE {
            *self = Self::default();
            tokio::task::yield_now().await;
        }
    }
}

impl Next for Streams {
    fn deliver(self: Arc<Self>, turn: Turn) {
        if tokio::runtime::Handle::try_current().is_ok() {
            tokio::spawn(self.deliver_all(turn));
        } else {
            // The server has ended: whoever waits is told that nothing came of it.
            drop(turn.arrivals());
        }
    }
}

/// The streams of a node.
pub struct Streams {
    hub: Arc<Hub>,
    options: StreamOptions,
    by_organization: DashMap<OrganizationId, Arc<Stream>>,
    /// Bytes that all histories hold.
    bytes: AtomicUsize,
}

impl Streams {
    pub fn new(hub: Arc<Hub>, options: StreamOptions) -> Arc<Self> {
        Arc::new(Self {
            hub,
            options,
            by_organization: DashMap::new(),
            bytes: AtomicUsize::new(0),
        })
    }

    /// The stream of an organization, which comes to be when it is first asked for.
    fn of(&self, organization: &OrganizationId) -> Arc<Stream> {
        if let Some(stream) = self.existing(organization) {
            return stream;
        }
        let entry = self.by_organization.entry(organization.clone());
        Arc::clone(&entry.or_insert_with(|| Arc::new(Stream::new(organization.clone()))))
    }

    /// The stream of an organization, if it has one.
    pub fn existing(&self, organization: &OrganizationId) -> Option<Arc<Stream>> {
        let stream = self.by_organization.get(organization)?;
        Some(Arc::clone(&stream))
    }

    pub fn organizations(&self) -> Vec<OrganizationId> {
        let streams = self.by_organization.iter();
        streams.map(|stream| stream.key().clone()).collect()
    }

    /// Bytes that are kept, of all organizations.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Leaves an event for the stream of its organization. It is numbered and delivered whether the caller
    /// goes on or not.
    pub fn publish(self: &Arc<Self>, organization: &OrganizationId, arrival: Arrival) {
        let next: Arc<dyn Next> = Arc::clone(self) as _;
        if let Some(turn) = self.of(organization).arrive(arrival, &next) {
            let mut delivery = Box::pin(Arc::clone(self).deliver_all(turn));
            // Most are done without a pause; what is left is nobody's to give up.
            if (&mut delivery).now_or_never().is_none() {
                tokio::spawn(delivery);
            }
        }
    }

    /// The stream of an organization to oneself: nothing is delivered meanwhile.
    pub async fn turn(self: &Arc<Self>, organization: &OrganizationId) -> Turn {
        let next: Arc<dyn Next> = Arc::clone(self) as _;
        self.of(organization).turn(&next).await
    }

    /// Numbers and delivers what waits, then passes the turn on.
    async fn deliver_all(self: Arc<Self>, turn: Turn) {
        let mut pause = Pause::default();
        loop {
            let arrivals = turn.arrivals();
            if arrivals.is_empty() {
                return;
            }
            for arrival in arrivals {
                self.deliver_one(&turn, arrival, &mut pause).await;
            }
        }
    }

    async fn deliver_one(&self, turn: &Turn, arrival: Arrival, pause: &mut Pause) {
        let Arrival {
            event,
            target,
            cascade,
            accepted_at,
            done,
        } = arrival;
        let channel = event.channel.as_ref();
        let recipients = self.hub.audience(&target, channel, cascade).await;
        let Some(stream) = turn.stream() else { return };
        let kept = self.append(stream, |position| Kept {
            position,
            event,
            target,
            cascade,
        });
        let (event, position) = (Arc::clone(&kept.event), kept.position);
        let bytes = event.payload.get().len();
        let outbound = Arc::new(Outbound::new(event, Some(position), accepted_at));
        let mut delivered = Delivered::default();
        let mut rest = &recipients[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(pause.allowed(bytes).min(rest.len()));
            delivered.add(&self.hub.deliver_local(&outbound, now));
            rest = later;
            pause.after(now.len(), bytes).await;
        }
        // The caller may have hung up.
        let _ = done.send(Published {
            position,
            delivered,
        });
    }

    /// Keeps an event under the next number.
    fn append(&self, stream: &Stream, event: impl FnOnce(Position) -> Kept) -> Arc<Kept> {
        let mut history = stream.history.lock();
        let before = history.bytes();
        let kept = history.append(event, &self.options.history);
        self.account(before, history.bytes());
        kept
    }

    fn account(&self, before: usize, after: usize) {
        if after >= before {
            self.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Forgets what is too old or too much, the streams that were silent longest first. To be called once a
    /// second.
    pub fn sweep(&self, now: UnixMillis) {
        for stream in &self.by_organization {
            let mut history = stream.history.lock();
            let before = history.bytes();
            history.trim(now, &self.options.history);
            self.account(before, history.bytes());
        }
        let too_many = self
            .by_organization
            .len()
            .saturating_sub(self.options.max_organizations);
        if too_many == 0 && self.bytes() <= self.options.max_bytes {
            return;
        }
        let mut silent: Vec<_> = self
            .by_organization
            .iter()
            .map(|stream| (stream.history.lock().last_at(), stream.key().clone()))
            .collect();
        silent.sort_unstable();
        for (at, (_, organization)) in silent.into_iter().enumerate() {
            if at >= too_many && self.bytes() <= self.options.max_bytes {
                return;
            }
            self.forget(&organization);
        }
    }

    /// Forgets a stream that nobody uses at this moment; one that is used loses its history alone.
    fn forget(&self, organization: &OrganizationId) {
        let removed = self
            .by_organization
            .remove_if(organization, |_, stream| Arc::strong_count(stream) == 1);
        let stream = match removed {
            Some((_, stream)) => stream,
            None => match self.existing(organization) {
                Some(stream) => stream,
                None => return,
            },
        };
        let mut history = stream.history.lock();
        let before = history.bytes();
        history.clear();
        self.account(before, history.bytes());
    }
}

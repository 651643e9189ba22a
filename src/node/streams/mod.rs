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

/// Events that a connection gets at once, at the most.
const EVENTS_AT_ONCE: usize = 64;

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
    /// To how many connections so many events of so many bytes may be delivered before the next pause; at
    /// least to one.
    fn allowed(&self, events: usize, bytes: usize) -> usize {
        let by_bytes = BYTES_AT_ONCE.saturating_sub(self.bytes) / bytes.max(1);
        let by_count = DELIVERIES_AT_ONCE.saturating_sub(self.deliveries) / events.max(1);
        by_bytes.min(by_count).max(1)
    }

    async fn after(&mut self, deliveries: usize, bytes: usize) {
        self.deliveries += deliveries;
        self.bytes += bytes;
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
            let mut arrivals = turn.arrivals().into_iter().peekable();
            if arrivals.peek().is_none() {
                return;
            }
            while let Some(first) = arrivals.next() {
                let mut alike = vec![first];
                while alike.len() < EVENTS_AT_ONCE
                    && let Some(next) = arrivals.next_if(|next| next.is_heard_like(&alike[0]))
                {
                    alike.push(next);
                }
                self.deliver_alike(&turn, alike, &mut pause).await;
            }
        }
    }

    /// Numbers and delivers events that the same connections hear, to each connection all at once.
    async fn deliver_alike(&self, turn: &Turn, arrivals: Vec<Arrival>, pause: &mut Pause) {
        let (Some(stream), Some(first)) = (turn.stream(), arrivals.first()) else {
            return;
        };
        let channel = first.event.channel.as_ref();
        let recipients = self
            .hub
            .audience(&first.target, channel, first.cascade)
            .await;
        let mut events = Vec::with_capacity(arrivals.len());
        let mut done = Vec::with_capacity(arrivals.len());
        let mut bytes = 0;
        for arrival in arrivals {
            let kept = self.append(stream, |position| Kept {
                position,
                event: arrival.event,
                target: arrival.target,
                cascade: arrival.cascade,
            });
            bytes += kept.event.payload.get().len();
            let (event, position) = (Arc::clone(&kept.event), Some(kept.position));
            events.push(Arc::new(Outbound::new(
                event,
                position,
                arrival.accepted_at,
            )));
            done.push((kept.position, arrival.done));
        }
        let mut delivered = vec![Delivered::default(); events.len()];
        let mut rest = &recipients[..];
        while !rest.is_empty() {
            let count = pause.allowed(events.len(), bytes).min(rest.len());
            let (now, later) = rest.split_at(count);
            self.hub.deliver_local(&events, now, &mut delivered);
            rest = later;
            pause.after(count * events.len(), count * bytes).await;
        }
        for ((position, done), delivered) in done.into_iter().zip(delivered) {
            // The caller may have hung up.
            let _ = done.send(Published {
                position,
                delivered,
            });
        }
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

//! One stream for each organization: what is accepted for it gets a number, is kept by the broker, and is
//! delivered in this order.

mod stream;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dashmap::DashMap;
use futures_util::FutureExt;

pub use stream::{Arrival, Receipt, Stream, Turn};

use crate::domain::identity::OrganizationId;
use crate::domain::time::UnixMillis;
use crate::hub::Hub;
use crate::hub::deliver::Delivered;
use crate::hub::outbound::Outbound;
use crate::node::ports::{Broker, Published, StreamLog};
use stream::Next;

/// After so many deliveries, some milliseconds, a publisher lets others run. To pause more often costs
/// more: others then go on with it on another processor.
const DELIVERIES_AT_ONCE: usize = 1024;

/// The same for large events.
const BYTES_AT_ONCE: usize = 16 * 1024 * 1024;

/// Events that a connection gets at once, at the most.
const EVENTS_AT_ONCE: usize = 64;

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
    broker: Arc<dyn Broker>,
    by_organization: DashMap<OrganizationId, Arc<Stream>>,
}

impl Streams {
    pub fn new(hub: Arc<Hub>, broker: Arc<dyn Broker>) -> Arc<Self> {
        Arc::new(Self {
            hub,
            broker,
            by_organization: DashMap::new(),
        })
    }

    /// The stream of an organization, which comes to be when it is first asked for.
    fn of(&self, organization: &OrganizationId) -> Arc<Stream> {
        if let Some(stream) = self.existing(organization) {
            return stream;
        }
        let entry = self.by_organization.entry(organization.clone());
        let stream = entry.or_insert_with(|| {
            let log = self.broker.stream(organization);
            Arc::new(Stream::new(log))
        });
        Arc::clone(&stream)
    }

    /// The stream of an organization, if it has one.
    pub fn existing(&self, organization: &OrganizationId) -> Option<Arc<Stream>> {
        let stream = self.by_organization.get(organization)?;
        Some(Arc::clone(&stream))
    }

    /// What is kept of an organization, with connections or without.
    pub fn log(&self, organization: &OrganizationId) -> Option<Arc<dyn StreamLog>> {
        self.broker.existing(organization)
    }

    /// Bytes of what is kept.
    pub fn bytes(&self) -> usize {
        self.broker.bytes()
    }

    /// The organizations that have a stream, with connections or without.
    pub fn organizations(&self) -> Vec<OrganizationId> {
        self.broker.organizations()
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

    /// The same for a stream at hand.
    pub async fn turn_of(self: &Arc<Self>, stream: &Arc<Stream>) -> Turn {
        let next: Arc<dyn Next> = Arc::clone(self) as _;
        stream.turn(&next).await
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
        let Some(first) = arrivals.first() else {
            return;
        };
        let stream = turn.stream();
        let Published {
            event,
            target,
            cascade,
            ..
        } = &first.published;
        let channel = event.channel.as_ref();
        let recipients = self.hub.audience(target, channel, *cascade).await;
        let mut events = Vec::with_capacity(arrivals.len());
        let mut done = Vec::with_capacity(arrivals.len());
        let mut bytes = 0;
        for arrival in arrivals {
            let Some(kept) = stream.log.append(arrival.published) else {
                // The caller may have hung up.
                let _ = arrival.done.send(Receipt::default());
                continue;
            };
            let (event, position) = (Arc::clone(&kept.published.event), Some(kept.position));
            bytes += event.payload.get().len();
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
        if let Some((position, _)) = done.last() {
            stream.delivered.store(position.seq, Ordering::Release);
        }
        for ((position, done), delivered) in done.into_iter().zip(delivered) {
            // The caller may have hung up.
            let _ = done.send(Receipt {
                position: Some(position),
                delivered,
            });
        }
    }

    /// Holds the stream of an organization for as long as it has connections.
    pub fn hold(&self, organization: &OrganizationId) {
        self.of(organization).is_held.store(true, Ordering::Relaxed);
    }

    /// The organizations whose streams are held.
    pub fn held(&self) -> Vec<OrganizationId> {
        let streams = self.by_organization.iter();
        let held = streams.filter(|stream| stream.is_held.load(Ordering::Relaxed));
        held.map(|stream| stream.key().clone()).collect()
    }

    /// The organization has no connections any more.
    pub fn release(&self, organization: &OrganizationId) {
        if let Some(stream) = self.existing(organization) {
            stream.is_held.store(false, Ordering::Relaxed);
        }
    }

    /// Lets go of streams that nobody uses, which the broker keeps as long as it can. To be called once a second.
    pub fn sweep(&self, now: UnixMillis) {
        self.by_organization.retain(|_, stream| {
            stream.is_held.load(Ordering::Relaxed) || Arc::strong_count(stream) > 1
        });
        self.broker.sweep(now);
    }
}

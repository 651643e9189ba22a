//! From a backend's broadcast to the connections that hear it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::Hub;
use super::audience::Audience;
use super::connection::Connection;
use super::outbound::Outbound;
use super::ports::Delivery;
use crate::domain::event::{Entry, Event, MessageId, Priority};
use crate::domain::fault::{CloseReason, Code, Fault};
use crate::domain::identity::{ConnectionId, OrganizationId, UserId};
use crate::domain::room::{Channel, Place};
use crate::domain::time::UnixMillis;

/// Whom a broadcast is for.
#[derive(Debug, Clone)]
pub enum Target {
    /// The subscribers at a place; without a channel and with only an organization, everybody in it.
    Place(Place),
    /// All connections of some users.
    Users(OrganizationId, Vec<UserId>),
    /// Single connections, of this organization if one is named.
    Connections(Option<OrganizationId>, Vec<ConnectionId>),
    /// Every authenticated connection, of this organization if one is named, but those of these
    /// users.
    Everyone {
        within: Option<OrganizationId>,
        except: HashSet<UserId>,
    },
}

impl Target {
    /// The one organization that it is about.
    pub fn organization(&self) -> Option<&OrganizationId> {
        match self {
            Self::Place(place) => Some(&place.organization),
            Self::Users(organization, _) => Some(organization),
            Self::Connections(organization, _)
            | Self::Everyone {
                within: organization,
                ..
            } => organization.as_ref(),
        }
    }
}

/// What a backend wants to be told.
#[derive(Debug)]
pub struct Publication {
    pub event: String,
    pub payload: Box<RawValue>,
    pub target: Target,
    /// Takes the place of the catalogue's channel.
    pub channel: Option<String>,
    pub priority: Priority,
    pub requires_ack: bool,
    /// Binary data that the payload has placeholders for.
    pub attachments: Vec<Bytes>,
    /// Also reach every subscription beneath the target.
    pub cascade: bool,
}

/// What became of a broadcast.
#[derive(Debug, Clone, Copy)]
pub struct Receipt {
    pub message_id: MessageId,
    pub timestamp: UnixMillis,
    /// Connections it was queued for or written to.
    pub recipients: usize,
    /// Connections that were behind and did not get it, its priority being low.
    pub dropped: usize,
}

impl Receipt {
    fn with(mut self, tally: &Tally) -> Self {
        self.recipients = tally.accepted;
        self.dropped = tally.dropped;
        self
    }
}

/// An event with those who are to have it.
struct Prepared {
    outbound: Arc<Outbound>,
    recipients: Vec<Arc<Connection>>,
    receipt: Receipt,
}

/// After so many deliveries, some milliseconds, a publisher lets others run. To pause more often costs
/// more: others then go on with it on another processor.
const DELIVERIES_AT_ONCE: usize = 1024;

/// The same for large events.
const BYTES_AT_ONCE: usize = 16 * 1024 * 1024;

/// So many connections' data fits into the processor's nearest cache.
const WARMED_AT_ONCE: usize = 16;

/// Who publishes again so soon after a delivery had more waiting than that one.
const CLOSE_BEHIND: Duration = Duration::from_micros(500);

/// The deliveries of a server: how many are under way, and when one last came to its end.
#[derive(Debug)]
pub(super) struct Deliveries {
    begin: Instant,
    under_way: AtomicUsize,
    /// Nanoseconds after `begin`.
    ended_at: AtomicU64,
}

impl Deliveries {
    pub fn new(begin: Instant) -> Self {
        Self {
            begin,
            under_way: AtomicUsize::new(0),
            ended_at: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn begin(&self) -> Turn<'_> {
        let is_first = self.under_way.fetch_add(1, Ordering::Relaxed) == 0;
        let ended_at = self.ended_at.load(Ordering::Relaxed);
        let pause = Duration::from_nanos(self.now().saturating_sub(ended_at));
        Turn {
            deliveries: self,
            is_alone: is_first && pause > CLOSE_BEHIND,
        }
    }
}

/// A delivery under way.
struct Turn<'a> {
    deliveries: &'a Deliveries,
    /// Nothing is delivered beside it, and nothing was just before.
    is_alone: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let now = self.deliveries.now();
        self.deliveries.ended_at.store(now, Ordering::Relaxed);
        self.deliveries.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hub {
    /// Publishes an event. When it returns, the event is queued for every connection that hears it,
    /// each once. Events published one after the other arrive in that order. A caller that is
    /// dropped while it waits does not stop a broadcast half-way.
    pub async fn publish(self: &Arc<Self>, publication: Publication) -> Result<Receipt, Fault> {
        let entry = self.entry(&publication.event)?;
        let channel = self.channel(entry, &publication)?;
        let recipients = self.recipients(channel.as_ref(), &publication).await?;
        let Prepared {
            outbound,
            recipients,
            receipt,
        } = self.prepare(publication, entry, channel, recipients);
        let payload = outbound.event.payload.get().len();
        let at_once = (BYTES_AT_ONCE / payload.max(1)).clamp(1, DELIVERIES_AT_ONCE);
        let tally = if recipients.len() <= at_once {
            self.deliver(&outbound, &recipients)
        } else {
            let hub = Arc::clone(self);
            let whole = tokio::spawn(async move {
                let mut tally = Tally::default();
                for some in recipients.chunks(at_once) {
                    tally.add(&hub.deliver(&outbound, some));
                    tokio::task::yield_now().await;
                }
                tally
            });
            whole
                .await
                .map_err(|_| Fault::new(Code::InternalError, "the broadcast failed"))?
        };
        Ok(receipt.with(&tally))
    }

    /// As [`Self::publish`], without letting others run between deliveries: for a client's own event,
    /// which is for a place alone.
    pub(super) fn publish_at_once(
        &self,
        publication: Publication,
        place: &Place,
    ) -> Result<Receipt, Fault> {
        let entry = self.entry(&publication.event)?;
        let channel = self.channel(entry, &publication)?;
        let mut audience = Audience::default();
        self.members_at(channel.as_ref(), place, &mut audience)?;
        let prepared = self.prepare(publication, entry, channel, audience.list);
        let tally = self.deliver(&prepared.outbound, &prepared.recipients);
        Ok(prepared.receipt.with(&tally))
    }

    fn prepare(
        &self,
        publication: Publication,
        entry: &Entry,
        channel: Option<Channel>,
        recipients: Vec<Arc<Connection>>,
    ) -> Prepared {
        let accepted_at = Instant::now();
        self.stats.count_published(entry, accepted_at);
        let organization = publication.target.organization().cloned();
        let event = Event {
            id: MessageId::now_v7(),
            name: entry.name.clone(),
            channel,
            priority: publication.priority,
            ack_id: publication.requires_ack.then(|| self.acks.next_id()),
            organization,
            payload: publication.payload,
            attachments: publication.attachments,
            timestamp: self.now(),
        };
        let receipt = Receipt {
            message_id: event.id,
            timestamp: event.timestamp,
            recipients: 0,
            dropped: 0,
        };
        if event.ack_id.is_some() {
            self.acks.open(event.id, accepted_at);
        }
        Prepared {
            outbound: Arc::new(Outbound::new(event, accepted_at)),
            recipients,
            receipt,
        }
    }

    /// Waits until all recipients have acknowledged, at most `time`; says how many did.
    pub async fn wait_for_acks(&self, receipt: &Receipt, time: Duration) -> usize {
        let time = time.min(self.options.ack_timeout);
        self.acks
            .wait(receipt.message_id, receipt.recipients, time)
            .await
    }

    fn entry(&self, event: &str) -> Result<&Entry, Fault> {
        self.catalogue.event(event).ok_or_else(|| {
            let hint = self
                .catalogue
                .nearest(event)
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let event: String = event.chars().take(128).collect();
            Fault::invalid(format!("event `{event}` is not in the catalogue{hint}"))
        })
    }

    fn channel(&self, entry: &Entry, publication: &Publication) -> Result<Option<Channel>, Fault> {
        let Some(name) = &publication.channel else {
            return Ok(entry.channel.clone());
        };
        self.known_channel(name, Code::InvalidMessage).map(Some)
    }

    /// The channel of this name; an error with `code` that names the channels there are.
    pub fn known_channel(&self, name: &str, code: Code) -> Result<Channel, Fault> {
        self.catalogue.channel(name).ok_or_else(|| {
            let known: Vec<&str> = self.catalogue.channels().map(Channel::as_str).collect();
            let name: String = name.chars().take(64).collect();
            Fault::new(
                code,
                format!("no channel `{name}`; there are: {}", known.join(", ")),
            )
        })
    }

    fn deliver(&self, outbound: &Arc<Outbound>, recipients: &[Arc<Connection>]) -> Tally {
        let mut tally = Tally::default();
        let turn = self.deliveries.begin();
        outbound.is_alone.store(turn.is_alone, Ordering::Relaxed);
        for (at, connection) in recipients.iter().enumerate() {
            if at % WARMED_AT_ONCE == 0 {
                let end = recipients.len().min(at + WARMED_AT_ONCE);
                for next in &recipients[at..end] {
                    next.deliver.warm();
                }
            }
            // Before it is delivered: the acknowledgement may be quicker than this thread.
            if let Some(id) = outbound.event.ack_id {
                connection.expect_ack(id, outbound.event.id);
            }
            let delivery = connection.deliver.deliver(outbound);
            if let Some(id) = outbound.event.ack_id.filter(|_| !delivery.is_accepted()) {
                connection.take_ack(id);
            }
            match delivery {
                Delivery::Written => {
                    let time = outbound.accepted_at.elapsed();
                    tally.accepted += 1;
                    tally.written += 1;
                    tally.time += time;
                    tally.longest = tally.longest.max(time);
                }
                Delivery::Queued => tally.accepted += 1,
                Delivery::Dropped => tally.dropped += 1,
                Delivery::Overflow => {
                    self.closes(connection, CloseReason::TooSlow);
                    self.disconnect(connection);
                }
                Delivery::Gone => {}
            }
        }
        self.stats
            .delivered
            .fetch_add(tally.accepted as u64, Ordering::Relaxed);
        self.stats
            .dropped
            .fetch_add(tally.dropped as u64, Ordering::Relaxed);
        if tally.written > 0 {
            self.stats
                .publish_to_socket
                .record_many(tally.time, tally.longest, tally.written);
        }
        tally
    }
}

/// What became of an event for some connections.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    dropped: usize,
    written: u64,
    time: Duration,
    longest: Duration,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.dropped += other.dropped;
    }
}

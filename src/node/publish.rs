//! From a broadcast to the connections that hear it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::Node;
use crate::domain::error::{ClientError, Code};
use crate::domain::event::{Entry, Event, MessageId, Priority};
use crate::domain::room::Channel;
use crate::domain::time::UnixMillis;
use crate::hub::audience::Target;
use crate::hub::connection::Connection;
use crate::hub::deliver::Delivered;
use crate::hub::outbound::Outbound;

/// What a backend, or a client, wants to be told.
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
    fn with(mut self, delivered: &Delivered) -> Self {
        self.recipients = delivered.accepted;
        self.dropped = delivered.dropped;
        self
    }
}

/// After so many deliveries, some milliseconds, a publisher lets others run. To pause more often costs
/// more: others then go on with it on another processor.
const DELIVERIES_AT_ONCE: usize = 1024;

/// The same for large events.
const BYTES_AT_ONCE: usize = 16 * 1024 * 1024;

impl Node {
    /// Publishes an event. When it returns, the event is queued for every connection that hears it,
    /// each once. Events published one after the other arrive in that order. A caller that is
    /// dropped while it waits does not stop a broadcast half-way.
    pub async fn publish(&self, publication: Publication) -> Result<Receipt, ClientError> {
        let entry = self.entry(&publication.event)?;
        let channel = self.channel(entry, &publication)?;
        let recipients = self
            .hub
            .audience(&publication.target, channel.as_ref(), publication.cascade)
            .await?;
        let (outbound, receipt) = self.accept(publication, entry, channel);
        let delivered = self.deliver(outbound, recipients).await?;
        Ok(receipt.with(&delivered))
    }

    /// From here on the event has its id and its time, and acknowledgements of it are collected.
    fn accept(
        &self,
        publication: Publication,
        entry: &Entry,
        channel: Option<Channel>,
    ) -> (Arc<Outbound>, Receipt) {
        let accepted_at = Instant::now();
        self.hub.metrics.count_published(entry, accepted_at);
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
            timestamp: self.hub.now(),
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
        (Arc::new(Outbound::new(event, accepted_at)), receipt)
    }

    async fn deliver(
        &self,
        outbound: Arc<Outbound>,
        recipients: Vec<Arc<Connection>>,
    ) -> Result<Delivered, ClientError> {
        let payload = outbound.event.payload.get().len();
        let at_once = (BYTES_AT_ONCE / payload.max(1)).clamp(1, DELIVERIES_AT_ONCE);
        if recipients.len() <= at_once {
            return Ok(self.hub.deliver_local(&outbound, &recipients));
        }
        let hub = Arc::clone(&self.hub);
        let whole = tokio::spawn(async move {
            let mut delivered = Delivered::default();
            for some in recipients.chunks(at_once) {
                delivered.add(&hub.deliver_local(&outbound, some));
                tokio::task::yield_now().await;
            }
            delivered
        });
        whole.await.map_err(|error| {
            tracing::error!(error = %error, "a broadcast ended half-way");
            ClientError::new(Code::InternalError, "the broadcast failed")
        })
    }

    /// Waits until all recipients have acknowledged, at most `time`; says how many did.
    pub async fn wait_for_acks(&self, receipt: &Receipt, time: Duration) -> usize {
        let time = time.min(self.options.ack_timeout);
        self.acks
            .wait(receipt.message_id, receipt.recipients, time)
            .await
    }

    fn entry(&self, event: &str) -> Result<&Entry, ClientError> {
        let catalogue = self.hub.catalogue();
        catalogue.event(event).ok_or_else(|| {
            let hint = catalogue
                .nearest(event)
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let event: String = event.chars().take(128).collect();
            ClientError::invalid(format!("event `{event}` is not in the catalogue{hint}"))
        })
    }

    fn channel(
        &self,
        entry: &Entry,
        publication: &Publication,
    ) -> Result<Option<Channel>, ClientError> {
        let Some(name) = &publication.channel else {
            return Ok(entry.channel.clone());
        };
        self.known_channel(name, Code::InvalidMessage).map(Some)
    }
}

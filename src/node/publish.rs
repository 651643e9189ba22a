//! From a broadcast to the connections that hear it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::Node;
use super::idempotency::IdempotencyKey;
use super::ports::Published;
pub use super::receipt::Receipt;
use super::streams::Arrival;
use crate::domain::error::{ClientError, Code};
use crate::domain::event::{CatalogueEntry, Event, MessageId, Priority};
use crate::domain::identity::OrganizationId;
use crate::domain::room::Channel;
use crate::domain::target::Target;

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
    /// Of a value: it is published only if this is greater than the version of the one before it.
    pub version: Option<u64>,
}

/// What went wrong is in the log.
fn failed() -> ClientError {
    ClientError::new(Code::InternalError, "the broadcast failed")
}

impl Node {
    /// Publishes an event. When it returns, the event is queued for every connection that hears it,
    /// each once. All connections of an organization get its events in one order, that of their offsets. A
    /// caller that is dropped while it waits does not stop a broadcast half-way.
    pub async fn publish(
        self: &Arc<Self>,
        publication: Publication,
    ) -> Result<Receipt, ClientError> {
        let entry = self.entry(&publication.event)?;
        let channel = self.channel(entry, &publication)?;
        publication.target.check(channel.as_ref())?;
        self.check_version(entry, &publication)?;
        if publication.target.organization().is_some() {
            self.publish_to(publication, entry.clone(), channel).await
        } else {
            let (node, entry) = (Arc::clone(self), entry.clone());
            let all = async move { node.publish_to(publication, entry, channel).await };
            tokio::spawn(all).await.unwrap_or_else(|error| {
                tracing::error!(error = %error, "a broadcast ended half-way");
                Err(failed())
            })
        }
    }

    /// Publishes what `asked` says, once for each key: who asks again gets the first receipt, and waits for it if
    /// need be. `CONFLICT` if something else was asked for under the key. What fails is not kept.
    pub async fn publish_once(
        self: &Arc<Self>,
        key: IdempotencyKey,
        asked: &[u8],
        publication: Publication,
    ) -> Result<Receipt, ClientError> {
        let first = self.idempotency.first(&key, asked)?;
        let node = Arc::clone(self);
        // A caller that hangs up would otherwise leave a broadcast behind that nobody knows of.
        let published = tokio::spawn(async move {
            let publish = || node.publish(publication);
            let receipt = first.receipt.get_or_try_init(publish).await.copied();
            receipt.inspect_err(|_| node.idempotency.forget(&key, &first))
        });
        published.await.unwrap_or_else(|error| {
            tracing::error!(error = %error, "a broadcast ended half-way");
            Err(failed())
        })
    }

    async fn publish_to(
        &self,
        publication: Publication,
        entry: CatalogueEntry,
        channel: Option<Channel>,
    ) -> Result<Receipt, ClientError> {
        let Publication {
            target, cascade, ..
        } = publication;
        let parts = self.parts(target.clone()).await;
        let accepted_at = Instant::now();
        self.hub.metrics.count_published(&entry, accepted_at);
        let event = Arc::new(Event {
            id: MessageId::now_v7(),
            name: entry.name.clone(),
            channel,
            priority: publication.priority,
            ack_id: publication.requires_ack.then(|| self.acks.next_id()),
            organization: target.organization().cloned(),
            payload: publication.payload,
            attachments: publication.attachments,
            timestamp: self.hub.now(),
        });
        if event.ack_id.is_some() {
            self.acks.open(event.id, accepted_at);
        }
        let mut receipt = Receipt {
            message_id: event.id,
            timestamp: event.timestamp,
            offset: None,
            recipients: 0,
            dropped: 0,
            is_stale: false,
        };
        let single = parts.len() == 1;
        for (organization, target) in parts {
            let (done, published) = oneshot::channel();
            let arrival = Arrival {
                published: Published {
                    event: Arc::clone(&event),
                    target,
                    cascade,
                    is_value: entry.is_value,
                    version: publication.version,
                },
                accepted_at,
                done,
            };
            self.streams.publish(&organization, arrival);
            let published = published.await.map_err(|_| failed())?;
            receipt.offset = published.position.filter(|_| single);
            receipt.is_stale |= published.position.is_none();
            receipt.recipients += published.delivered.accepted;
            receipt.dropped += published.delivered.dropped;
        }
        Ok(receipt)
    }

    /// The organizations that an event is published in, each with its part of the target. What is for
    /// everyone is also for those that are away.
    async fn parts(&self, target: Target) -> Vec<(OrganizationId, Target)> {
        if let Some(organization) = target.organization() {
            return vec![(organization.clone(), target)];
        }
        match target {
            Target::Connections(_, ids) => {
                let parts = self.hub.by_organization(&ids).await.into_iter();
                let part = |(id, ids): (OrganizationId, _)| {
                    (id.clone(), Target::Connections(Some(id), ids))
                };
                parts.map(part).collect()
            }
            Target::Everyone { except, .. } => {
                let there = self.hub.organizations().await;
                let all: BTreeSet<_> = there
                    .into_iter()
                    .chain(self.streams.organizations())
                    .collect();
                let part = |id: OrganizationId| {
                    let (within, except) = (Some(id.clone()), Arc::clone(&except));
                    (id, Target::Everyone { within, except })
                };
                all.into_iter().map(part).collect()
            }
            // These name their organization.
            Target::Place(_) | Target::Users(..) => Vec::new(),
        }
    }

    /// Waits until all recipients have acknowledged, at most `time`; says how many did.
    pub async fn wait_for_acks(&self, receipt: &Receipt, time: Duration) -> usize {
        let time = time.min(self.options.ack_timeout);
        self.acks
            .wait(receipt.message_id, receipt.recipients, time)
            .await
    }

    fn entry(&self, event: &str) -> Result<&CatalogueEntry, ClientError> {
        let catalogue = self.hub.catalogue();
        catalogue.event(event).ok_or_else(|| {
            let hint = catalogue
                .nearest(event)
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let event: String = event.chars().take(128).collect();
            ClientError::invalid(format!("event `{event}` is not in the catalogue{hint}"))
        })
    }

    fn check_version(
        &self,
        entry: &CatalogueEntry,
        publication: &Publication,
    ) -> Result<(), ClientError> {
        let is_at_place = matches!(publication.target, Target::Place(_));
        if publication.version.is_none() || (entry.is_value && is_at_place) {
            return Ok(());
        }
        let values = self.hub.catalogue().events().filter(|entry| entry.is_value);
        let names: BTreeSet<&str> = values.map(|entry| entry.name.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        Err(ClientError::invalid(format!(
            "a `version` is for a value at a place of one organization; values are: {}",
            names.join(", ")
        )))
    }

    fn channel(
        &self,
        entry: &CatalogueEntry,
        publication: &Publication,
    ) -> Result<Option<Channel>, ClientError> {
        let Some(name) = &publication.channel else {
            return Ok(entry.channel.clone());
        };
        self.known_channel(name, Code::InvalidMessage).map(Some)
    }
}

//! What a client is answered that reads events of before.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::error::NotRecovered;
use crate::domain::event::{MessageId, Priority};
use crate::domain::identity::{DepartmentId, QueueName};
use crate::domain::position::Position;
use crate::domain::room::Channel;
use crate::domain::target::Target;
use crate::domain::time::UnixMillis;
use crate::node::ports::Kept;
use crate::node::reading::History;

/// Bytes of payloads that one answer has, unless one event alone has more.
const MAX_BYTES: usize = 256 * 1024;

#[derive(Serialize)]
pub(super) struct HistoryReply<'a> {
    success: bool,
    events: Vec<KeptEvent<'a>>,
    next: Option<Position>,
    top: Option<Position>,
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[derive(Serialize)]
struct KeptEvent<'a> {
    id: MessageId,
    event: &'a str,
    channel: Option<&'a Channel>,
    data: &'a RawValue,
    timestamp: UnixMillis,
    priority: Priority,
    offset: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    department_id: Option<&'a DepartmentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_name: Option<&'a QueueName>,
}

impl<'a> KeptEvent<'a> {
    fn of(kept: &'a Kept) -> Self {
        let event = &*kept.published.event;
        let place = match &kept.published.target {
            Target::Place(place) => Some(place),
            _ => None,
        };
        Self {
            id: event.id,
            event: event.name.as_str(),
            channel: event.channel.as_ref(),
            data: &event.payload,
            timestamp: event.timestamp,
            priority: event.priority,
            offset: kept.position,
            department_id: place.and_then(|place| place.department.as_ref()),
            queue_name: place.and_then(|place| place.queue.as_ref()),
        }
    }
}

impl<'a> From<&'a History> for HistoryReply<'a> {
    fn from(history: &'a History) -> Self {
        let (mut events, mut bytes) = (Vec::new(), 0);
        let mut next = history.next;
        for kept in &history.events {
            bytes += kept.published.event.payload.get().len();
            if bytes > MAX_BYTES
                && let Some(KeptEvent { offset, .. }) = events.last()
            {
                next = Some(*offset);
                break;
            }
            events.push(KeptEvent::of(kept));
        }
        Self {
            success: true,
            events,
            next,
            top: history.top,
            complete: history.incomplete.is_none(),
            reason: history.incomplete.map(NotRecovered::label),
        }
    }
}

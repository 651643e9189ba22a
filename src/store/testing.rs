//! Events for tests of what is kept.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::domain::event::{Catalogue, Event, MessageId, Priority};
use crate::domain::identity::OrganizationId;
use crate::domain::position::{Epoch, Position};
use crate::domain::room::Place;
use crate::domain::target::Target;
use crate::domain::time::UnixMillis;
use crate::node::ports::{Kept, Published};

fn event(name: &str, target: Target, at: u64, bytes: usize) -> Published {
    let catalogue = Catalogue::new([], []).unwrap();
    let entry = catalogue.event(name).unwrap();
    let payload = format!("\"{}\"", "x".repeat(bytes));
    Published {
        event: Arc::new(Event {
            id: MessageId::nil(),
            name: entry.name.clone(),
            channel: entry.channel.clone(),
            priority: Priority::Medium,
            ack_id: None,
            organization: target.organization().cloned(),
            payload: RawValue::from_string(payload).unwrap(),
            attachments: Vec::new(),
            timestamp: UnixMillis(at),
        }),
        target,
        cascade: false,
        is_value: entry.is_value,
        version: None,
    }
}

pub fn published(organization: &str, at: u64, bytes: usize) -> Published {
    let organization = OrganizationId::new(organization).unwrap();
    event(
        "kpi:update",
        Target::Users(organization, Vec::new()),
        at,
        bytes,
    )
}

/// An event at a place under this number.
pub fn published_at(name: &str, place: Place, seq: u64, at: u64) -> Arc<Kept> {
    let epoch = Epoch::from_random(0);
    Arc::new(Kept {
        position: Position { epoch, seq },
        published: event(name, Target::Place(place), at, 10),
    })
}

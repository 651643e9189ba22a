//! What goes out to a Socket.IO client, and how much of it the library may hold.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::event::Priority;
use crate::hub::outbound::{Encoding, Outbound};
use crate::protocol::{envelope, outgoing};
use crate::wire::link::{Class, Link, Pushed};

/// Something to send.
#[derive(Debug)]
pub(super) enum Item {
    Event(Arc<Outbound>),
    /// An event that answers a command of a client that asked for no acknowledgement.
    Reply(&'static str, Box<RawValue>),
    /// An acknowledgement.
    Ack(i64, Box<RawValue>),
}

impl Item {
    pub fn reply(event: &'static str, object: &impl Serialize) -> Self {
        Self::Reply(event, raw(object))
    }

    pub fn ack(id: i64, object: &impl Serialize) -> Self {
        Self::Ack(id, raw(object))
    }

    pub fn class(&self) -> Class {
        match self {
            Self::Event(outbound) if outbound.event.priority == Priority::Low => Class::Droppable,
            Self::Event(_) => Class::Event,
            Self::Reply(..) | Self::Ack(..) => Class::Reply,
        }
    }

    /// What its packet takes, at the most.
    pub fn size(&self) -> usize {
        let object = match self {
            Self::Event(outbound) => &outbound.event.payload,
            Self::Reply(_, object) | Self::Ack(_, object) => object,
        };
        object.get().len() + PACKET_BYTES
    }

    pub fn push(&self, link: &Link, class: Class) -> Pushed {
        let reply = match self {
            Self::Event(outbound) => {
                return link.push(outgoing(link, outbound, Encoding::SocketIo), class);
            }
            Self::Reply(event, object) => envelope::socket_io_event(event, &(object,)),
            Self::Ack(id, object) => envelope::socket_io_ack(*id, object),
        };
        link.push(&link.fitted(reply), class)
    }

    pub fn needs_library(&self) -> bool {
        matches!(self, Self::Event(outbound) if outbound.event.requires_ack)
    }
}

/// A value is always written: its keys are strings. `null` stands in a place that can't be reached.
fn raw(object: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(object).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The most that a packet has beside its payload: an event's name, and its meta.
const PACKET_BYTES: usize = 512;

/// Items in the library's queue that no poll may have taken yet: those given since the last poll
/// ended, and those given since the one before, of which it may have missed the newest.
#[derive(Debug, Default)]
pub(super) struct Load {
    items: [usize; 2],
    bytes: [usize; 2],
}

impl Load {
    pub fn add(&mut self, item: &Item) {
        self.items[0] += 1;
        self.bytes[0] += item.size();
    }

    pub fn poll_ended(&mut self) {
        self.items = [0, self.items[0]];
        self.bytes = [0, self.bytes[0]];
    }

    /// The library loses a packet if more than one payload waits when the client moves to
    /// WebSocket, and can't move it at all while its queue of 128 is full.
    pub fn has_room_for(&self, item: &Item, max_payload: usize) -> bool {
        let items: usize = self.items.iter().sum();
        let bytes: usize = self.bytes.iter().sum();
        items == 0 || (items < 96 && bytes + item.size() <= max_payload / 2)
    }
}

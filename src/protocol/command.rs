//! What a client can ask for, read from an event's name and data.

use std::collections::HashSet;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::event::MessageId;
use crate::domain::fault::{Code, Fault};
use crate::domain::identity::OrganizationId;
use crate::domain::room::Place;
use crate::domain::words::{self, Word};
use crate::hub::stats::Received;

/// The events that clients may send. Each has one name for its reply (protocol, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Authenticate,
    Subscribe,
    Unsubscribe,
    /// `client:ping`, `ping` and `heartbeat`, which differ in what answers them.
    Ping(PingKind),
    Ack,
    /// A client's own event.
    Publish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingKind {
    Client,
    Short,
    Heartbeat,
}

const NAMES: &str =
    "authenticate, subscribe, unsubscribe, publish, client:ping, ping, heartbeat, ack";

impl Verb {
    pub fn parse(event: &str) -> Result<Self, Fault> {
        Ok(match event {
            "authenticate" => Self::Authenticate,
            "subscribe" | "client:subscribe" => Self::Subscribe,
            "unsubscribe" | "client:unsubscribe" => Self::Unsubscribe,
            "client:ping" => Self::Ping(PingKind::Client),
            "ping" => Self::Ping(PingKind::Short),
            "heartbeat" => Self::Ping(PingKind::Heartbeat),
            "ack" => Self::Ack,
            "publish" | "client:publish" => Self::Publish,
            other => {
                let shown: String = other.chars().take(64).collect();
                return Err(Fault::invalid(format!(
                    "unknown event `{shown}`; clients may send: {NAMES}"
                )));
            }
        })
    }

    /// The event that carries the reply.
    pub fn reply(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticated",
            Self::Subscribe => "client:subscribe",
            Self::Unsubscribe => "client:unsubscribe",
            Self::Ping(PingKind::Client) => "client:pong",
            Self::Ping(PingKind::Short) => "pong",
            Self::Ping(PingKind::Heartbeat) => "heartbeat",
            Self::Ack => "ack",
            Self::Publish => "client:publish",
        }
    }

    pub fn counted_as(self) -> Received {
        match self {
            Self::Authenticate => Received::Authenticate,
            Self::Subscribe => Received::Subscribe,
            Self::Unsubscribe => Received::Unsubscribe,
            Self::Ping(_) => Received::Ping,
            Self::Ack => Received::Ack,
            Self::Publish => Received::Publish,
        }
    }
}

/// The object that a command needs.
pub fn object(data: Option<Value>, event: &str) -> Result<Map<String, Value>, Fault> {
    match data {
        Some(Value::Object(object)) => Ok(object),
        None | Some(Value::Null) => Err(Fault::invalid(format!(
            "`{event}` needs an object as its data"
        ))),
        Some(other) => Err(Fault::invalid(format!(
            "`{event}` needs an object as its data, not {}",
            words::kind_of(&other)
        ))),
    }
}

/// The channels of a subscription: a list, or a single name.
pub fn channels(object: &Map<String, Value>) -> Result<Vec<String>, Fault> {
    let mut channels = words::texts(object, Word(&["channels", "channel"]))?.unwrap_or_default();
    let mut seen = HashSet::new();
    channels.retain(|channel| seen.insert(channel.clone()));
    if channels.is_empty() {
        return Err(Fault::new(
            Code::SubscriptionFailed,
            "`channels` must name at least one channel",
        ));
    }
    Ok(channels)
}

/// The filter of a subscription: its own fields, or those of the object under `filters`.
pub fn filter(mut object: Map<String, Value>) -> Result<Map<String, Value>, Fault> {
    match object.remove("filters").or_else(|| object.remove("filter")) {
        None | Some(Value::Null) => Ok(object),
        Some(Value::Object(filters)) => {
            for (name, value) in filters {
                let earlier = object.insert(name.clone(), value);
                if earlier.is_some_and(|earlier| object.get(&name) != Some(&earlier)) {
                    return Err(Fault::invalid(format!(
                        "`{name}` is given twice, inside `filters` and beside it"
                    )));
                }
            }
            Ok(object)
        }
        Some(other) => Err(Fault::invalid(format!(
            "`filters` must be an object, not {}",
            words::kind_of(&other)
        ))),
    }
}

/// A client's own event, as it asks for it.
pub struct OwnEvent {
    pub event: String,
    pub payload: Box<RawValue>,
    pub place: Place,
}

/// Reads `{event, data, target?}`; without a target it is for the client's own organization.
pub fn publication(object: &Map<String, Value>, own: &OrganizationId) -> Result<OwnEvent, Fault> {
    if let Some(name) = object
        .keys()
        .find(|name| !["event", "data", "target"].contains(&name.as_str()))
    {
        let name: String = name.chars().take(64).collect();
        return Err(Fault::invalid(format!(
            "`publish` takes event, data and target, not `{name}`"
        )));
    }
    let event = object
        .get("event")
        .and_then(Value::as_str)
        .ok_or_else(|| Fault::invalid("`publish` needs the name of an `event`"))?;
    let payload = serde_json::value::to_raw_value(object.get("data").unwrap_or(&Value::Null))
        .map_err(|error| Fault::invalid(error.to_string()))?;
    let place = match object.get("target") {
        None | Some(Value::Null) => None,
        Some(Value::Object(target)) => {
            let words = [words::ORGANIZATION, words::DEPARTMENT, words::QUEUE];
            if target
                .keys()
                .any(|name| !words.iter().any(|word| word.0.contains(&name.as_str())))
            {
                return Err(Fault::invalid(
                    "a client's `target` is an organization_id, department_id and queue_name",
                ));
            }
            words::place(target, Some(own))?
        }
        Some(other) => {
            let kind = words::kind_of(other);
            return Err(Fault::invalid(format!(
                "`target` must be an object, not {kind}"
            )));
        }
    };
    Ok(OwnEvent {
        event: event.to_owned(),
        payload,
        place: place.unwrap_or_else(|| Place::organization(own.clone())),
    })
}

/// The message that is acknowledged.
pub fn acknowledged(object: &Map<String, Value>) -> Result<MessageId, Fault> {
    object
        .get("id")
        .and_then(Value::as_str)
        .and_then(|id| MessageId::try_parse(id).ok())
        .ok_or_else(|| Fault::invalid("`ack` needs the `id` of the message that it acknowledges"))
}

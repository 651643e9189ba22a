//! The JSON around an event: Socket.IO's, and the three envelopes of the plain protocol with the
//! fields that the systems which used them had (protocol, sections 3 and 4).

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::domain::event::{Event, MessageId, Priority};
use crate::domain::fault::Fault;
use crate::domain::identity::OrganizationId;
use crate::domain::json::{self, Members};
use crate::domain::room::Channel;
use crate::domain::time::UnixMillis;
use crate::domain::words::{self, ORGANIZATION};
use crate::hub::outbound::Encoding;
use crate::wire::frame::{Opcode, server_frame};

/// Which members carry an event's name and its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// `{"event", "data"}`
    Event,
    /// `{"type", "data"}`
    TypeData,
    /// `{"type", "payload"}`
    TypePayload,
}

impl Envelope {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "event" => Some(Self::Event),
            "type_data" => Some(Self::TypeData),
            "type_payload" => Some(Self::TypePayload),
            _ => None,
        }
    }
}

/// How a client names its tenant, which tells two systems with the same envelope apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tenant {
    #[default]
    Other,
    /// `storeId`: timestamps are texts, the tenant is `storeId`.
    Store,
    /// `tenant_id`: timestamps are texts, the tenant is `tenant_id`.
    Tenant,
}

impl Tenant {
    /// From the spelling that an object uses for the organization.
    pub fn of(object: &Map<String, Value>) -> Self {
        match ORGANIZATION.find(object) {
            Ok(Some((name, _))) => Self::of_alias(name),
            _ => Self::Other,
        }
    }

    /// From one spelling of the organization.
    pub fn of_alias(name: &str) -> Self {
        if name.starts_with("store") {
            Self::Store
        } else if name.starts_with("tenant") {
            Self::Tenant
        } else {
            Self::Other
        }
    }
}

/// The form in which a plain client reads events.
pub fn encoding(envelope: Envelope, tenant: Tenant) -> Encoding {
    match (envelope, tenant) {
        (Envelope::Event, _) => Encoding::Event,
        (Envelope::TypeData, Tenant::Store) => Encoding::TypeDataStore,
        (Envelope::TypeData, _) => Encoding::TypeData,
        (Envelope::TypePayload, Tenant::Tenant) => Encoding::TypePayloadTenant,
        (Envelope::TypePayload, _) => Encoding::TypePayload,
    }
}

/// What comes beside an event's payload on Socket.IO.
#[derive(Debug, Serialize)]
pub struct Meta<'a> {
    pub id: MessageId,
    pub channel: Option<&'a Channel>,
    pub timestamp: UnixMillis,
    pub priority: Priority,
}

impl<'a> Meta<'a> {
    pub fn of(event: &'a Event) -> Self {
        Self {
            id: event.id,
            channel: event.channel.as_ref(),
            timestamp: event.timestamp,
            priority: event.priority,
        }
    }
}

/// The WebSocket frame of an event in this encoding.
pub fn event_frame(encoding: Encoding, event: &Event) -> Bytes {
    match encoding {
        Encoding::SocketIo => {
            socket_io_event(event.name.as_str(), &(&event.payload, Meta::of(event)))
        }
        _ => text_frame(&Plain::event(encoding, event)),
    }
}

/// `42["name",...arguments]`; the arguments are a tuple or another sequence.
pub fn socket_io_event(name: &str, arguments: &impl Serialize) -> Bytes {
    let mut text = b"42[".to_vec();
    write_json(&mut text, &name);
    let sequence = json_bytes(arguments);
    // The sequence's own brackets give way to those of the packet.
    if let Some(inner) = sequence
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"))
    {
        text.push(b',');
        text.extend_from_slice(inner);
    }
    text.push(b']');
    server_frame(Opcode::Text, &text)
}

/// `43id[object]`
pub fn socket_io_ack(id: i64, object: &impl Serialize) -> Bytes {
    let mut text = format!("43{id}[").into_bytes();
    write_json(&mut text, object);
    text.push(b']');
    server_frame(Opcode::Text, &text)
}

fn json_bytes(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_json(&mut bytes, value);
    bytes
}

/// Everything that is sent has string keys and writes to memory, so this does not fail; `null`
/// stands in a place that can't be reached.
fn write_json(into: &mut Vec<u8>, value: &impl Serialize) {
    let start = into.len();
    if serde_json::to_writer(&mut *into, value).is_err() {
        into.truncate(start);
        into.extend_from_slice(b"null");
    }
}

fn text_frame(value: &impl Serialize) -> Bytes {
    server_frame(Opcode::Text, &json_bytes(value))
}

/// Some systems count milliseconds, some write ISO 8601.
#[derive(Serialize)]
#[serde(untagged)]
enum Timestamp {
    Text(UnixMillis),
    Millis(u64),
}

/// A message of the plain protocol.
#[derive(Serialize)]
struct Plain<'a, D: Serialize> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    #[serde(rename = "id", skip_serializing_if = "Option::is_none")]
    message_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a D>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a D>,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a Channel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    requires_ack: bool,
    #[serde(flatten)]
    tenant: Option<TenantField<'a>>,
}

#[derive(Serialize)]
enum TenantField<'a> {
    #[serde(rename = "organization_id")]
    Organization(&'a OrganizationId),
    #[serde(rename = "companyId")]
    Company(&'a OrganizationId),
    #[serde(rename = "storeId")]
    Store(&'a OrganizationId),
    #[serde(rename = "tenant_id")]
    Tenant(&'a OrganizationId),
}

impl<'a, D: Serialize> Plain<'a, D> {
    fn new(encoding: Encoding, name: &'a str, data: &'a D, timestamp: UnixMillis) -> Self {
        let is_event = encoding == Encoding::Event;
        let is_payload = matches!(
            encoding,
            Encoding::TypePayload | Encoding::TypePayloadTenant
        );
        let counts_millis = matches!(encoding, Encoding::TypeData | Encoding::TypePayload);
        Self {
            id: None,
            message_id: None,
            event: is_event.then_some(name),
            kind: (!is_event).then_some(name),
            data: (!is_payload).then_some(data),
            payload: is_payload.then_some(data),
            timestamp: if counts_millis {
                Timestamp::Millis(timestamp.0)
            } else {
                Timestamp::Text(timestamp)
            },
            channel: None,
            priority: None,
            requires_ack: false,
            tenant: None,
        }
    }
}

impl<'a> Plain<'a, Box<RawValue>> {
    fn event(encoding: Encoding, event: &'a Event) -> Self {
        let tenant = |organization| match encoding {
            Encoding::Event | Encoding::SocketIo => TenantField::Organization(organization),
            Encoding::TypeData | Encoding::TypePayload => TenantField::Company(organization),
            Encoding::TypeDataStore => TenantField::Store(organization),
            Encoding::TypePayloadTenant => TenantField::Tenant(organization),
        };
        Self {
            message_id: Some(event.id),
            channel: event.channel.as_ref(),
            priority: Some(event.priority),
            requires_ack: event.requires_ack,
            tenant: event.organization.as_ref().map(tenant),
            ..Self::new(
                encoding,
                event.name.as_str(),
                &event.payload,
                event.timestamp,
            )
        }
    }
}

/// The frame of a reply; `id` is the one of the message that it answers.
pub fn reply_frame(
    encoding: Encoding,
    event: &str,
    data: &impl Serialize,
    id: Option<&Value>,
    timestamp: UnixMillis,
) -> Bytes {
    text_frame(&Plain {
        id,
        ..Plain::new(encoding, event, data, timestamp)
    })
}

/// A message from a plain client.
#[derive(Debug)]
pub struct Inbound {
    pub event: String,
    /// As it was written.
    pub data: Option<Box<RawValue>>,
    pub id: Option<Value>,
    /// What the message shows of the client's envelope. A `type` with nothing beside it shows only
    /// that it is not `event`.
    pub envelope: Option<Envelope>,
}

/// Reads one message. The id, if it could be read, comes with an error too.
pub fn read(text: &str) -> Result<Inbound, (Fault, Option<Value>)> {
    let without_id = |fault| (fault, None);
    let message = json::parse("the message", text.as_bytes()).map_err(without_id)?;
    let mut members = Members::of("the message", message).map_err(|_| {
        let kind = json::kind_of(message);
        without_id(Fault::invalid(format!(
            "a message is a JSON object, not {kind}"
        )))
    })?;
    let id = match members.take("id").filter(|id| id.get() != "null") {
        None => None,
        Some(id) => Some(read_id(id).map_err(without_id)?),
    };
    match read_rest(&mut members, id.as_ref()) {
        Ok((event, data, envelope)) => Ok(Inbound {
            event,
            data,
            id,
            envelope,
        }),
        Err(fault) => Err((fault, id)),
    }
}

fn read_id(id: &RawValue) -> Result<Value, Fault> {
    match json::value("`id`", id)? {
        Value::String(text) if text.len() > 128 => {
            Err(Fault::invalid("`id` is longer than 128 bytes"))
        }
        id @ (Value::String(_) | Value::Number(_)) => Ok(id),
        other => {
            let kind = words::kind_of(&other);
            Err(Fault::invalid(format!(
                "`id` must be a string or a number, not {kind}"
            )))
        }
    }
}

type Rest = (String, Option<Box<RawValue>>, Option<Envelope>);

/// Reads what is beside the id.
fn read_rest(members: &mut Members<'_>, id: Option<&Value>) -> Result<Rest, Fault> {
    let (name, is_event) = match (members.take("event"), members.take("type")) {
        (Some(name), None) => (name, true),
        (None, Some(name)) => (name, false),
        (None, None) => {
            return Err(Fault::invalid("a message needs an `event` or a `type`"));
        }
        (Some(_), Some(_)) => {
            return Err(Fault::invalid(
                "a message has an `event` or a `type`, not both",
            ));
        }
    };
    let member = if is_event { "`event`" } else { "`type`" };
    let event = match json::value(member, name)? {
        Value::String(event) => event,
        other => {
            let kind = words::kind_of(&other);
            return Err(Fault::invalid(format!(
                "{member} must be a string, not {kind}"
            )));
        }
    };
    let (data, payload) = (members.take("data"), members.take("payload"));
    let envelope = match (is_event, data, payload) {
        (true, ..) => Some(Envelope::Event),
        (false, _, Some(_)) => Some(Envelope::TypePayload),
        (false, Some(_), None) => Some(Envelope::TypeData),
        (false, None, None) => None,
    };
    let data = match (data, payload) {
        (Some(_), Some(_)) => {
            return Err(Fault::invalid(
                "a message has `data` or a `payload`, not both",
            ));
        }
        (Some(data), None) | (None, Some(data)) => Some(data.to_owned()),
        // Written by hand, the fields often stand beside the name.
        (None, None) if !members.is_empty() => Some(members.to_raw()?),
        // An acknowledgement names the message by the id itself.
        (None, None) if event == "ack" => {
            id.and_then(|id| to_raw_value(&serde_json::json!({ "id": id })).ok())
        }
        (None, None) => None,
    };
    Ok((event, data, envelope))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::domain::event::Catalogue;

    fn event() -> Event {
        let catalogue = Catalogue::new([], []).unwrap();
        let entry = catalogue.event("kpi:update").unwrap().clone();
        Event {
            id: MessageId::nil(),
            name: entry.name,
            channel: entry.channel,
            priority: Priority::High,
            requires_ack: false,
            organization: Some(OrganizationId::new("acme").unwrap()),
            payload: RawValue::from_string(r#"{"health_score": 85.0}"#.into()).unwrap(),
            timestamp: UnixMillis(1_705_314_600_000),
        }
    }

    fn text(frame: &[u8]) -> String {
        let start = if frame[1] == 126 { 4 } else { 2 };
        String::from_utf8(frame[start..].to_vec()).unwrap()
    }

    #[test]
    fn a_socket_io_event_has_the_payload_untouched_and_the_meta_beside_it() {
        assert_eq!(
            text(&event_frame(Encoding::SocketIo, &event())),
            r#"42["kpi:update",{"health_score": 85.0},{"id":"00000000-0000-0000-0000-000000000000","channel":"kpi","timestamp":"2024-01-15T10:30:00.000Z","priority":"high"}]"#
        );
        assert_eq!(
            text(&socket_io_event("error", &(json!({"a": 1}),))),
            r#"42["error",{"a":1}]"#
        );
        assert_eq!(text(&socket_io_ack(7, &json!({"a": 1}))), r#"437[{"a":1}]"#);
    }

    #[test]
    fn each_envelope_has_the_fields_of_its_system() {
        for (encoding, expected) in [
            (
                Encoding::Event,
                json!({"event": "kpi:update", "data": {"health_score": 85.0}, "timestamp": "2024-01-15T10:30:00.000Z", "organization_id": "acme"}),
            ),
            (
                Encoding::TypeData,
                json!({"type": "kpi:update", "data": {"health_score": 85.0}, "timestamp": 1_705_314_600_000_u64, "companyId": "acme"}),
            ),
            (
                Encoding::TypeDataStore,
                json!({"type": "kpi:update", "data": {"health_score": 85.0}, "timestamp": "2024-01-15T10:30:00.000Z", "storeId": "acme"}),
            ),
            (
                Encoding::TypePayload,
                json!({"type": "kpi:update", "payload": {"health_score": 85.0}, "timestamp": 1_705_314_600_000_u64, "companyId": "acme"}),
            ),
            (
                Encoding::TypePayloadTenant,
                json!({"type": "kpi:update", "payload": {"health_score": 85.0}, "timestamp": "2024-01-15T10:30:00.000Z", "tenant_id": "acme"}),
            ),
        ] {
            let mut expected = expected;
            let object = expected.as_object_mut().unwrap();
            object.insert("id".into(), json!(MessageId::nil()));
            object.insert("channel".into(), json!("kpi"));
            object.insert("priority".into(), json!("high"));
            let sent: Value =
                serde_json::from_str(&text(&event_frame(encoding, &event()))).unwrap();
            assert_eq!(sent, expected, "{encoding:?}");
        }
    }

    #[test]
    fn a_reply_echoes_the_id_and_always_has_a_timestamp() {
        let frame = reply_frame(
            Encoding::Event,
            "client:pong",
            &json!({"a": 1}),
            Some(&json!("x")),
            UnixMillis(0),
        );
        assert_eq!(
            text(&frame),
            r#"{"id":"x","event":"client:pong","data":{"a":1},"timestamp":"1970-01-01T00:00:00.000Z"}"#
        );
    }

    #[test]
    fn the_three_envelopes_are_read() {
        for (message, envelope) in [
            (
                r#"{"event":"subscribe","data":{"channels":["kpi"]},"id":1}"#,
                Some(Envelope::Event),
            ),
            (
                r#"{"type":"subscribe","data":{"channels":["kpi"]},"id":1}"#,
                Some(Envelope::TypeData),
            ),
            (
                r#"{"type":"subscribe","payload":{"channels":["kpi"]},"id":1}"#,
                Some(Envelope::TypePayload),
            ),
            (r#"{"type":"subscribe","channels":["kpi"],"id":1}"#, None),
        ] {
            let inbound = read(message).unwrap();
            let data = inbound.data.as_deref().map(RawValue::get);
            assert_eq!(data, Some(r#"{"channels":["kpi"]}"#), "{message}");
            assert_eq!(inbound.event, "subscribe");
            assert_eq!(inbound.id, Some(json!(1)));
            assert_eq!(inbound.envelope, envelope, "{message}");
        }
    }

    #[test]
    fn data_stays_as_it_was_written_and_a_name_or_an_id_must_be_text() {
        let data = r#"{ "b": 1.0e0, "a": "\ud83d", "n\ud83d": [1e999] }"#;
        for member in ["data", "payload"] {
            let message = format!(r#"{{"type":"publish","{member}":{data} }}"#);
            assert_eq!(read(&message).unwrap().data.unwrap().get(), data);
        }
        let beside = read(r#"{"type":"ping","x":"\ude00" ,"y":1.0}"#).unwrap();
        assert_eq!(beside.data.unwrap().get(), r#"{"x":"\ude00","y":1.0}"#);
        for message in [
            r#"{"event":"\ud83d","data":1}"#,
            r#"{"event":"ping","id":"\ud83d"}"#,
            r#"{"type":"ping","\ud83d":1}"#,
        ] {
            let (fault, _) = read(message).unwrap_err();
            assert!(
                fault.message.contains("half of a character"),
                "{message}: {fault}"
            );
        }
    }

    #[test]
    fn messages_that_are_none_say_what_is_wrong() {
        for (message, problem) in [
            ("{", "the message is not JSON"),
            ("[1]", "a message is a JSON object, not an array"),
            (r#"{"data":1}"#, "needs an `event` or a `type`"),
            (r#"{"event":"a","type":"b"}"#, "not both"),
            (r#"{"event":7}"#, "`event` must be a string, not a number"),
            (r#"{"type":"a","data":1,"payload":2}"#, "not both"),
            (
                r#"{"event":"a","id":{}}"#,
                "`id` must be a string or a number, not an object",
            ),
        ] {
            let (fault, _) = read(message).unwrap_err();
            assert!(fault.message.contains(problem), "{message}: {fault}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC{0,80}") {
            let _ = read(&text);
        }
    }
}

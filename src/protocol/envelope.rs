//! The JSON around an event: Socket.IO's, and the three envelopes of the plain protocol with the
//! fields that the systems which used them had (protocol, sections 3 and 4).

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::members::MAX_MEMBERS;
use crate::domain::error::ClientError;
use crate::domain::event::{Event, MessageId, Priority};
use crate::domain::fields::Tenant;
use crate::domain::identity::OrganizationId;
use crate::domain::json::{self, Members};
use crate::domain::position::Position;
use crate::domain::room::Channel;
use crate::domain::time::UnixMillis;
use crate::hub::outbound::Encoding;
use crate::wire::websocket::frame::{Opcode, server_frame};

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

/// Where an event stands in its stream, as a client is told.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct StreamPlace {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<Position>,
    /// It comes outside the order of the stream.
    #[serde(rename = "replayed", skip_serializing_if = "std::ops::Not::not")]
    pub is_replayed: bool,
}

impl StreamPlace {
    /// The offset from which a client may go on that has this event.
    pub fn moving_offset(self) -> Option<Position> {
        self.offset.filter(|_| !self.is_replayed)
    }
}

/// The WebSocket frame of an event in this encoding of the plain protocol.
pub fn event_frame(encoding: Encoding, event: &Event, place: StreamPlace) -> Bytes {
    let payload = with_base64(event);
    text_frame(&Plain {
        offset: place.moving_offset(),
        meta: place.is_replayed.then_some(place),
        ..Plain::event(encoding, event, &payload)
    })
}

/// The payload, with `{"base64": ".."}` in the place of each binary attachment.
fn with_base64(event: &Event) -> Cow<'_, RawValue> {
    fn fill(value: &mut Value, attachments: &[Bytes]) {
        match value {
            Value::Array(values) => values.iter_mut().for_each(|value| fill(value, attachments)),
            Value::Object(object) if object.get("_placeholder") == Some(&Value::Bool(true)) => {
                let data = object
                    .get("num")
                    .and_then(Value::as_u64)
                    .and_then(|at| attachments.get(usize::try_from(at).ok()?));
                if let Some(data) = data {
                    *value = serde_json::json!({ "base64": BASE64_STANDARD.encode(data) });
                }
            }
            Value::Object(object) => object
                .values_mut()
                .for_each(|value| fill(value, attachments)),
            _ => {}
        }
    }
    if event.attachments.is_empty() {
        return Cow::Borrowed(&event.payload);
    }
    let filled = serde_json::from_str(event.payload.get()).and_then(|mut payload| {
        fill(&mut payload, &event.attachments);
        serde_json::value::to_raw_value(&payload)
    });
    filled.map_or(Cow::Borrowed(&event.payload), Cow::Owned)
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

/// The frame of a text that is this value.
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
struct Plain<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    #[serde(rename = "id", skip_serializing_if = "Option::is_none")]
    message_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a Channel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    requires_ack: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<StreamPlace>,
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

impl<'a> Plain<'a> {
    fn new(encoding: Encoding, name: &'a str, data: &'a RawValue, timestamp: UnixMillis) -> Self {
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
            offset: None,
            meta: None,
            tenant: None,
        }
    }

    fn event(encoding: Encoding, event: &'a Event, payload: &'a RawValue) -> Self {
        let tenant = |organization| match encoding {
            Encoding::TypeData | Encoding::TypePayload => TenantField::Company(organization),
            Encoding::TypeDataStore => TenantField::Store(organization),
            Encoding::TypePayloadTenant => TenantField::Tenant(organization),
            _ => TenantField::Organization(organization),
        };
        Self {
            message_id: Some(event.id),
            channel: event.channel.as_ref(),
            priority: Some(event.priority),
            requires_ack: event.ack_id.is_some(),
            tenant: event.organization.as_ref().map(tenant),
            ..Self::new(encoding, event.name.as_str(), payload, event.timestamp)
        }
    }
}

/// The frame of a reply; `id` is the one of the message that it answers.
pub fn reply_frame(
    encoding: Encoding,
    event: &str,
    data: &RawValue,
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
pub struct ClientMessage {
    pub event: String,
    pub data: Option<Box<RawValue>>,
    pub id: Option<Value>,
    /// What the message shows of the client's envelope. A `type` with nothing beside it shows only
    /// that it is not `event`.
    pub envelope: Option<Envelope>,
    /// What its data shows of the client's tenant.
    pub tenant: Tenant,
}

/// Reads one message. The id, if it could be read, comes with an error too.
pub fn read(text: &str) -> Result<ClientMessage, (ClientError, Option<Value>)> {
    let mut members = Members::read("message", text, MAX_MEMBERS).map_err(|error| (error, None))?;
    let id = read_id(members.take("id")).map_err(|error| (error, None))?;
    read_members(members, id.as_ref()).map_err(|error| (error, id.clone()))
}

fn read_id(id: Option<&RawValue>) -> Result<Option<Value>, ClientError> {
    const LONGEST: usize = 128;
    let Some(id) = id.filter(|id| id.get() != "null") else {
        return Ok(None);
    };
    let kind = json::kind_of(id);
    if !matches!(kind, "a string" | "a number") {
        return Err(ClientError::invalid(format!(
            "`id` must be a string or a number, not {kind}"
        )));
    }
    let too_long = || ClientError::invalid(format!("`id` is longer than {LONGEST} bytes"));
    // A number of any length would be kept, too.
    if id.get().len() > 6 * LONGEST + 2 {
        return Err(too_long());
    }
    match json::value("`id`", id)? {
        Value::String(text) if text.len() > LONGEST => Err(too_long()),
        value => Ok(Some(value)),
    }
}

fn read_members(
    mut members: Members<'_>,
    id: Option<&Value>,
) -> Result<ClientMessage, ClientError> {
    let (name, member) = match (members.take("event"), members.take("type")) {
        (Some(name), None) => (name, "event"),
        (None, Some(name)) => (name, "type"),
        (None, None) => {
            return Err(ClientError::invalid(
                "a message needs an `event` or a `type`",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(ClientError::invalid(
                "a message has an `event` or a `type`, not both",
            ));
        }
    };
    let is_event = member == "event";
    let event = json::text(&format!("`{member}`"), name)?;
    let (data, payload) = (members.take("data"), members.take("payload"));
    let envelope = match (is_event, &data, &payload) {
        (true, ..) => Some(Envelope::Event),
        (false, _, Some(_)) => Some(Envelope::TypePayload),
        (false, Some(_), None) => Some(Envelope::TypeData),
        (false, None, None) => None,
    };
    let data = match (data, payload) {
        (Some(_), Some(_)) => {
            return Err(ClientError::invalid(
                "a message has `data` or a `payload`, not both",
            ));
        }
        (Some(data), None) | (None, Some(data)) => Some(data.to_owned()),
        // Written by hand, the fields often stand beside the name.
        (None, None) if !members.is_empty() => Some(members.to_raw()?),
        // An acknowledgement names the message by the id itself.
        (None, None) if event == "ack" => {
            id.and_then(|id| serde_json::value::to_raw_value(&serde_json::json!({ "id": id })).ok())
        }
        (None, None) => None,
    };
    let tenant = data
        .as_ref()
        .filter(|data| data.get().starts_with('{'))
        .and_then(|data| Members::read("data", data.get(), MAX_MEMBERS).ok())
        .map_or(Tenant::Other, |data| Tenant::of_names(data.names()));
    Ok(ClientMessage {
        event,
        data,
        id: id.cloned(),
        envelope,
        tenant,
    })
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
            ack_id: None,
            attachments: Vec::new(),
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
    fn binary_data_is_base64_in_its_place() {
        let mut event = event();
        let payload =
            r#"{"file":{"_placeholder":true,"num":0},"n":[{"_placeholder":true,"num":7}]}"#;
        event.payload = RawValue::from_string(payload.into()).unwrap();
        event.attachments = vec![Bytes::from_static(&[1, 2, 3])];
        let sent: Value = serde_json::from_str(&text(&event_frame(
            Encoding::Event,
            &event,
            StreamPlace::default(),
        )))
        .unwrap();
        let expected = json!({"file": {"base64": "AQID"}, "n": [{"_placeholder": true, "num": 7}]});
        assert_eq!(sent["data"], expected);
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
            let sent: Value = serde_json::from_str(&text(&event_frame(
                encoding,
                &event(),
                StreamPlace::default(),
            )))
            .unwrap();
            assert_eq!(sent, expected, "{encoding:?}");
        }
    }

    #[test]
    fn a_reply_echoes_the_id_and_always_has_a_timestamp() {
        let data = RawValue::from_string(r#"{"a":1}"#.into()).unwrap();
        let frame = reply_frame(
            Encoding::Event,
            "client:pong",
            &data,
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
            assert_eq!(inbound.event, "subscribe", "{message}");
            assert_eq!(
                inbound.data.unwrap().get(),
                r#"{"channels":["kpi"]}"#,
                "{message}"
            );
            assert_eq!(
                (inbound.id, inbound.envelope),
                (Some(json!(1)), envelope),
                "{message}"
            );
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
            let (error, _) = read(message).unwrap_err();
            assert!(
                error.message.contains("half of a character"),
                "{message}: {error}"
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
            let (error, _) = read(message).unwrap_err();
            assert!(error.message.contains(problem), "{message}: {error}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC{0,80}") {
            let _ = read(&text);
        }
    }
}

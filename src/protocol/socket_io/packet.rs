//! Socket.IO packets (v5, and v4 of 2.x clients): read by the crate's parser, written here, since what
//! goes to many is written once.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::event::{Event, MessageId, Priority};
use crate::domain::room::Channel;
use crate::domain::time::UnixMillis;
use crate::protocol::engine_io::ProtocolVersion;
use crate::protocol::engine_io::packet::binary_frame;
use crate::protocol::envelope::StreamPlace;
use crate::wire::websocket::frame::{Opcode, server_frame};

/// The events of clients that the reference implementation takes for a broken packet.
pub const RESERVED_EVENTS: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// What comes beside an event's payload.
#[derive(Debug, Serialize)]
pub struct Meta<'a> {
    pub id: MessageId,
    pub channel: Option<&'a Channel>,
    pub timestamp: UnixMillis,
    pub priority: Priority,
    #[serde(flatten)]
    pub place: StreamPlace,
}

impl<'a> Meta<'a> {
    pub fn of(event: &'a Event, place: StreamPlace) -> Self {
        Self {
            place,
            id: event.id,
            channel: event.channel.as_ref(),
            timestamp: event.timestamp,
            priority: event.priority,
        }
    }
}

/// What an event has beside its payload.
#[derive(Debug, Clone, Copy)]
pub(in crate::protocol) enum Beside {
    Nothing,
    /// Its meta, with its position in the stream if it has one.
    Meta(StreamPlace),
    /// The same, and the position once more as the last argument, where stock clients look for it.
    MetaAndOffset(StreamPlace),
}

/// The frames of an event: `42["name",payload,meta]`, with an acknowledgement's number and attachments
/// where there are any.
pub(in crate::protocol) fn event(version: ProtocolVersion, event: &Event, beside: Beside) -> Bytes {
    let mut text = head('2', '5', event.attachments.len());
    if let Some(id) = event.ack_id {
        text.extend_from_slice(id.to_string().as_bytes());
    }
    text.push(b'[');
    write_json(&mut text, &event.name.as_str());
    text.push(b',');
    text.extend_from_slice(event.payload.get().as_bytes());
    if let Beside::Meta(place) | Beside::MetaAndOffset(place) = beside {
        text.push(b',');
        write_json(&mut text, &Meta::of(event, place));
    }
    if let Beside::MetaAndOffset(place) = beside
        && let Some(offset) = place.moving_offset()
    {
        text.push(b',');
        write_json(&mut text, &offset);
    }
    text.push(b']');
    with_attachments(version, &text, &event.attachments)
}

fn head(plain: char, binary: char, attachments: usize) -> Vec<u8> {
    if attachments == 0 {
        format!("4{plain}").into_bytes()
    } else {
        format!("4{binary}{attachments}-").into_bytes()
    }
}

/// Header and attachments are one item: nothing may come between them.
fn with_attachments(version: ProtocolVersion, text: &[u8], attachments: &[Bytes]) -> Bytes {
    let header = server_frame(Opcode::Text, text);
    if attachments.is_empty() {
        return header;
    }
    let mut item = BytesMut::from(&header[..]);
    for data in attachments {
        item.extend_from_slice(&binary_frame(version, data));
    }
    item.freeze()
}

/// `42["name",object]`
pub(super) fn reply(name: &str, object: &RawValue) -> Bytes {
    let mut text = b"42[".to_vec();
    write_json(&mut text, &name);
    text.push(b',');
    text.extend_from_slice(object.get().as_bytes());
    text.push(b']');
    server_frame(Opcode::Text, &text)
}

/// `43id[object]`
pub(super) fn ack(id: u64, object: &RawValue) -> Bytes {
    let text = format!("43{id}[{}]", object.get());
    server_frame(Opcode::Text, text.as_bytes())
}

/// `40{"sid":"…","pid":"…"}`, the `pid` for clients that can come back to their session; for 2.x clients without
/// the object.
pub(super) fn connected(version: ProtocolVersion, sid: &str, pid: Option<&str>) -> Bytes {
    let text = match (version, pid) {
        (ProtocolVersion::V3, _) => "40".to_owned(),
        (ProtocolVersion::V4, None) => format!("40{{\"sid\":\"{sid}\"}}"),
        (ProtocolVersion::V4, Some(pid)) => format!("40{{\"sid\":\"{sid}\",\"pid\":\"{pid}\"}}"),
    };
    server_frame(Opcode::Text, text.as_bytes())
}

/// `44/namespace,{"message":"…","data":…}`; for 2.x clients the message alone.
pub(super) fn connect_error(
    version: ProtocolVersion,
    namespace: &str,
    message: &str,
    data: Option<&impl Serialize>,
) -> Bytes {
    #[derive(Serialize)]
    struct ConnectError<'a, D: Serialize> {
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a D>,
    }
    let mut text = b"44".to_vec();
    if namespace != "/" {
        text.extend_from_slice(namespace.as_bytes());
        text.push(b',');
    }
    match version {
        ProtocolVersion::V3 => write_json(&mut text, &message),
        ProtocolVersion::V4 => write_json(&mut text, &ConnectError { message, data }),
    }
    server_frame(Opcode::Text, &text)
}

/// The packet after which a client does not come back by itself.
pub(super) fn disconnect() -> Bytes {
    server_frame(Opcode::Text, b"41")
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

/// An event's name and its first argument, as it was written. `None` if the reference implementation
/// would take it for a broken packet.
pub(super) fn read_event(text: &str) -> Option<(Cow<'_, str>, Option<&RawValue>)> {
    let arguments: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    let mut arguments = arguments.into_iter();
    let name = arguments.next()?.get();
    let name = if name.starts_with('"') {
        let Text(name) = serde_json::from_str(name).ok()?;
        name
    } else {
        // A number can be a name, too.
        name.parse::<f64>().ok()?;
        Cow::Borrowed(name)
    };
    (!RESERVED_EVENTS.contains(&&*name)).then(|| (name, arguments.next()))
}

/// A string, borrowed where it has no escape in it.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What can be said of a packet that is not parsed: it came over its sender's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Glance {
    /// A CONNECT.
    Connect,
    /// An event, with the number of the acknowledgement that it wants; and whether its connection is of
    /// no use without it.
    Event { ack: Option<u64>, is_needed: bool },
    /// The header of an event with attachments.
    Binary {
        ack: Option<u64>,
        attachments: usize,
    },
    /// An acknowledgement, and the attachments that follow it.
    Ack { id: u64, attachments: usize },
    /// A DISCONNECT, or a packet of Engine.IO's own.
    Other,
}

/// Bytes that are looked at, at the most.
const GLANCE: usize = 128;

/// Looks at the first bytes of an Engine.IO packet.
pub(super) fn glance(packet: &[u8]) -> Glance {
    let packet = &packet[..packet.len().min(GLANCE)];
    match packet {
        [b'4', b'0', ..] => Glance::Connect,
        [b'4', b'2', rest @ ..] => {
            let (ack, json) = digits(after_namespace(rest));
            let is_needed = [
                "[\"authenticate\"",
                "[\"subscribe\"",
                "[\"client:subscribe\"",
            ]
            .iter()
            .any(|start| json.starts_with(start.as_bytes()));
            Glance::Event { ack, is_needed }
        }
        [b'4', b'3', rest @ ..] => match digits(after_namespace(rest)) {
            (Some(id), _) => Glance::Ack { id, attachments: 0 },
            (None, _) => Glance::Other,
        },
        [b'4', kind @ (b'5' | b'6'), rest @ ..] => {
            let (attachments, rest) = digits(rest);
            let attachments = attachments.map_or(0, |count| usize::try_from(count).unwrap_or(0));
            let rest = rest.strip_prefix(b"-").unwrap_or(rest);
            let (id, _) = digits(after_namespace(rest));
            match (kind, id) {
                (b'6', Some(id)) => Glance::Ack { id, attachments },
                _ => Glance::Binary {
                    ack: id,
                    attachments,
                },
            }
        }
        _ => Glance::Other,
    }
}

/// Skips `/namespace,`.
fn after_namespace(packet: &[u8]) -> &[u8] {
    if packet.first() != Some(&b'/') {
        return packet;
    }
    match packet.iter().position(|byte| *byte == b',') {
        Some(comma) => &packet[comma + 1..],
        None => &[],
    }
}

/// The number in front, if there is one, and what stands behind it.
fn digits(packet: &[u8]) -> (Option<u64>, &[u8]) {
    let count = packet
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = packet.split_at(count);
    let number = std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok());
    (number, rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::event::Catalogue;
    use crate::domain::identity::OrganizationId;
    use crate::domain::position::{Epoch, Position};

    fn an_event() -> Event {
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
    fn an_event_has_the_payload_untouched_and_the_meta_beside_it() {
        let v4 = ProtocolVersion::V4;
        let mut sent = an_event();
        assert_eq!(
            text(&event(v4, &sent, Beside::Meta(StreamPlace::default()))),
            r#"42["kpi:update",{"health_score": 85.0},{"id":"00000000-0000-0000-0000-000000000000","channel":"kpi","timestamp":"2024-01-15T10:30:00.000Z","priority":"high"}]"#
        );
        let alone = r#"42["kpi:update",{"health_score": 85.0}]"#;
        assert_eq!(text(&event(v4, &sent, Beside::Nothing)), alone);
        let position = Position {
            epoch: Epoch::from_random(0),
            seq: 7,
        };
        let mut place = StreamPlace {
            offset: Some(position),
            is_replayed: false,
        };
        let whole = text(&event(v4, &sent, Beside::MetaAndOffset(place)));
        let end = r#""priority":"high","offset":"000000000000-7"},"000000000000-7"]"#;
        assert!(whole.ends_with(end), "{whole}");
        place.is_replayed = true;
        let replayed = text(&event(v4, &sent, Beside::MetaAndOffset(place)));
        let end = r#""offset":"000000000000-7","replayed":true}]"#;
        assert!(replayed.ends_with(end), "{replayed}");
        let nowhere = Beside::MetaAndOffset(StreamPlace::default());
        assert!(!text(&event(v4, &sent, nowhere)).contains("offset"));
        sent.ack_id = Some(17);
        let acked = r#"4217["kpi:update",{"health_score": 85.0}]"#;
        assert_eq!(text(&event(v4, &sent, Beside::Nothing)), acked);
    }

    #[test]
    fn attachments_follow_their_header_in_one_item() {
        let mut sent = an_event();
        sent.payload = RawValue::from_string(r#"{"_placeholder":true,"num":0}"#.into()).unwrap();
        sent.attachments = vec![Bytes::from_static(b"ab")];
        let header = r#"451-["kpi:update",{"_placeholder":true,"num":0}]"#;
        for (version, attachment) in [
            (ProtocolVersion::V4, &b"\x82\x02ab"[..]),
            (ProtocolVersion::V3, b"\x82\x03\x04ab"),
        ] {
            let item = event(version, &sent, Beside::Nothing);
            let frame = server_frame(Opcode::Text, header.as_bytes());
            assert_eq!(item, [&frame, attachment].concat(), "{version:?}");
        }
    }

    #[test]
    fn replies_acknowledgements_and_connect_errors() {
        let object = RawValue::from_string(r#"{"a":1}"#.into()).unwrap();
        assert_eq!(text(&reply("error", &object)), r#"42["error",{"a":1}]"#);
        assert_eq!(text(&ack(7, &object)), r#"437[{"a":1}]"#);
        let (v3, v4) = (ProtocolVersion::V3, ProtocolVersion::V4);
        let data = Some(&json!({"code": "X"}));
        let nothing: Option<&()> = None;
        for (frame, expected) in [
            (
                connect_error(v4, "/", "no", data),
                r#"44{"message":"no","data":{"code":"X"}}"#,
            ),
            (
                connect_error(v4, "/a", "no", nothing),
                r#"44/a,{"message":"no"}"#,
            ),
            (connect_error(v3, "/a", "no", data), r#"44/a,"no""#),
            (connected(v4, "x", None), r#"40{"sid":"x"}"#),
            (
                connected(v4, "x", Some("secret")),
                r#"40{"sid":"x","pid":"secret"}"#,
            ),
            (connected(v3, "x", None), "40"),
        ] {
            assert_eq!(text(&frame), expected);
        }
    }

    #[test]
    fn an_event_is_read_as_the_reference_implementation_reads_it() {
        let read = |text: &str| {
            let (name, data) = read_event(text)?;
            Some((name.into_owned(), data.map(|data| data.get().to_owned())))
        };
        let deep = format!("[\"a\",{}1{}]", "[".repeat(120), "]".repeat(120));
        assert!(read(&deep).is_some());
        for (text, name, data) in [
            (r#"["a"]"#, "a", None),
            (r#"["\u0061\n", {"b" : 1},2]"#, "a\n", Some(r#"{"b" : 1}"#)),
            (r#"[7,"x"]"#, "7", Some("\"x\"")),
            (r#"["a","\ud83d"]"#, "a", Some(r#""\ud83d""#)),
        ] {
            assert_eq!(
                read(text),
                Some((name.into(), data.map(str::to_owned))),
                "{text}"
            );
        }
        for text in [
            "",
            "{}",
            "[]",
            "[",
            "[null]",
            "[{}]",
            "[\"a\"",
            "\"a\"",
            "[\"connect\"]",
            "[\"disconnecting\",1]",
            "[\"\\ud83d\"]",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_glance_tells_what_a_packet_is_without_parsing_it() {
        let event = |ack, is_needed| Glance::Event { ack, is_needed };
        for (packet, expected) in [
            ("40", Glance::Connect),
            ("40/admin,{", Glance::Connect),
            (r#"42["a"]"#, event(None, false)),
            (r#"4217["authenticate",{"#, event(Some(17), true)),
            (r#"42/admin,3["subscribe"]"#, event(Some(3), true)),
            (
                r#"431["ok"]"#,
                Glance::Ack {
                    id: 1,
                    attachments: 0,
                },
            ),
            ("43[1]", Glance::Other),
            (
                r#"451-9["a",{}]"#,
                Glance::Binary {
                    ack: Some(9),
                    attachments: 1,
                },
            ),
            (
                "462-9[{}]",
                Glance::Ack {
                    id: 9,
                    attachments: 2,
                },
            ),
            (
                "45",
                Glance::Binary {
                    ack: None,
                    attachments: 0,
                },
            ),
            ("41", Glance::Other),
            ("3", Glance::Other),
            ("", Glance::Other),
        ] {
            assert_eq!(glance(packet.as_bytes()), expected, "{packet}");
        }
        glance("4299999999999999999999999999999999[\"a\"]".as_bytes());
    }
}

//! What `fuzz/` runs on bytes from anywhere. Each function panics if a promise is broken.

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderValue, SEC_WEBSOCKET_EXTENSIONS};
use serde_json::value::RawValue;

use crate::auth::claim::Claim;
use crate::domain::identity::{DepartmentId, OrganizationId, QueueName, UserId};
use crate::domain::json::Members;
use crate::domain::room::{Channel, Place, Room};
use crate::protocol::envelope;
pub use crate::protocol::socket_io::fuzz_packets as packets;
use crate::wire::websocket::deflate::{compress_frame, inflate};
use crate::wire::websocket::frame::{Opcode, server_frame};
use crate::wire::websocket::negotiation;
use crate::wire::websocket::read::{FrameReader, Kind};

/// A client's frames: they mean the same however they are cut, and no message is over the limit.
pub fn frames(input: &[u8]) {
    let Some((&settings, bytes)) = input.split_first() else {
        return;
    };
    let limit = 16 << (settings & 0x07);
    let inflates = settings & 0x80 != 0;
    let read = |cut: usize| {
        let mut frames = FrameReader::new(inflates);
        let mut messages = Vec::new();
        for mut part in bytes.chunks(cut) {
            loop {
                match frames.next(&mut part, limit) {
                    Ok(None) => break,
                    Ok(Some(message)) => {
                        let kind = message.kind;
                        let bytes = message.into_bytes(limit);
                        // A control frame has a bound of its own (RFC 6455 section 5.5).
                        let most = match kind {
                            Kind::Text | Kind::Binary => limit,
                            Kind::Ping | Kind::Pong | Kind::Close => 125,
                        };
                        assert!(bytes.as_ref().map_or(0, Vec::len) <= most);
                        messages.push((kind, bytes));
                    }
                    Err(violation) => return (Err(violation), messages),
                }
            }
        }
        (Ok(()), messages)
    };
    let whole = read(bytes.len().max(1));
    assert_eq!(whole, read(1));
    assert_eq!(whole, read(usize::from(settings >> 3 & 0x0f) + 2));
}

/// A compressed message: bounded, and what was read can be sent.
pub fn inflate_message(input: &[u8]) {
    let Some((&settings, payload)) = input.split_first() else {
        return;
    };
    let limit = 16 << (settings & 0x0f);
    if let Ok(text) = inflate(payload, limit) {
        assert!(text.len() <= limit);
        round_trip(&text);
    }
    round_trip(payload);
}

fn round_trip(text: &[u8]) {
    let plain = server_frame(Opcode::Text, text);
    let Some(frame) = compress_frame(&plain, 0) else {
        return;
    };
    assert!(frame.len() < plain.len());
    let start = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    assert_eq!(inflate(&frame[start..], text.len()).as_deref(), Ok(text));
}

/// Text from a plain client, and what stands in a handshake.
pub fn envelopes(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(inbound) = envelope::read(text)
        && let Some(data) = &inbound.data
        && let Ok(members) = Members::of("the data", data)
    {
        // What is passed on is JSON, as it was written or put together.
        assert!(serde_json::from_str::<&RawValue>(data.get()).is_ok());
        // A claim or a reason, but no panic.
        if let Ok(object) = members.values(|_| true) {
            let _ = Claim::from_object(&object);
        }
    }
    let _ = Claim::from_handshake(text, &HeaderMap::new(), None);
    if let Ok(value) = HeaderValue::from_str(text) {
        for name in [AUTHORIZATION, COOKIE] {
            let headers = HeaderMap::from_iter([(name, value.clone())]);
            let _ = Claim::from_handshake("", &headers, Some("token"));
        }
        let headers = HeaderMap::from_iter([(SEC_WEBSOCKET_EXTENSIONS, value)]);
        if let Some(answer) = negotiation::answer(&headers) {
            assert!(text.to_ascii_lowercase().contains("permessage-deflate"));
            // The answer is an offer that can be met.
            let headers = HeaderMap::from_iter([(SEC_WEBSOCKET_EXTENSIONS, answer.clone())]);
            assert_eq!(negotiation::answer(&headers), Some(answer));
        }
    }
}

/// Room names: one room, one name, both ways.
pub fn rooms(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(room) = Room::parse(text) {
        assert_eq!(room.name().as_str(), text);
    }
    let mut parts = text.split('\n');
    let mut next = || parts.next().unwrap_or_default();
    let (organization, user, channel) = (next(), next(), next());
    let (department, queue) = (next(), next());
    let Ok(organization) = OrganizationId::new(organization) else {
        return;
    };
    let mut rooms = vec![Room::Organization(organization.clone())];
    if let Ok(user) = UserId::new(user) {
        rooms.push(Room::User(organization.clone(), user));
    }
    if let Ok(channel) = Channel::new(channel) {
        let place = Place {
            organization,
            department: DepartmentId::new(department).ok(),
            queue: QueueName::new(queue).ok(),
        };
        rooms.push(Room::Subscription(channel, place));
    }
    for room in &rooms {
        assert_eq!(Room::parse(room.name().as_str()).as_ref(), Ok(room));
    }
}

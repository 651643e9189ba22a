//! What `fuzz/` runs on bytes from anywhere. Each function panics if a promise is broken.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use axum::body::Body;
use http::header::{AUTHORIZATION, COOKIE, HOST, HeaderValue, SEC_WEBSOCKET_EXTENSIONS};
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use serde_json::value::RawValue;
use tokio::runtime::Runtime;

use crate::auth::credentials::Credentials;
use crate::config::Config;
use crate::config::options::Options;
use crate::domain::identity::{DepartmentId, OrganizationId, QueueName, UserId};
use crate::domain::json::Members;
use crate::domain::room::{Channel, Place, Room};
use crate::protocol::envelope;
pub use crate::protocol::socket_io::fuzz_packets as packets;
use crate::server::compose::{Composed, compose};
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
        // Credentials or a reason, but no panic.
        if let Ok(object) = members.values(|_| true) {
            let _ = Credentials::from_object(&object);
        }
    }
    let _ = Credentials::from_handshake(text, &HeaderMap::new(), None);
    if let Ok(value) = HeaderValue::from_str(text) {
        for name in [AUTHORIZATION, COOKIE] {
            let headers = HeaderMap::from_iter([(name, value.clone())]);
            let _ = Credentials::from_handshake("", &headers, Some("token"));
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

/// Requests to the clients' path, one after the other: a line with the query each, then its body, with
/// 0xff between two. `$` in a query is the session that was opened last. A query that begins with `G`
/// is a GET and with anything else a POST.
pub fn gateway(input: &[u8]) {
    static HOUSE: LazyLock<(Runtime, Composed)> = LazyLock::new(house);
    let (runtime, house) = &*HOUSE;
    runtime.block_on(async {
        let mut sids: Vec<String> = Vec::new();
        for request in input.split(|byte| *byte == 0xff).take(16) {
            let mut lines = request.splitn(2, |byte| *byte == b'\n');
            let line = String::from_utf8_lossy(lines.next().unwrap_or_default());
            let (method, query) = match line.strip_prefix('G') {
                Some(query) => (Method::GET, query),
                None => (Method::POST, line.get(1..).unwrap_or_default()),
            };
            let sid = sids.last().map_or("", String::as_str);
            let query = query.replace('$', sid);
            let body = lines.next().unwrap_or_default();
            let Some(body) = ask(house, &method, &query, body).await else {
                continue;
            };
            if let Some(sid) = opened(&body)
                && !sids.contains(&sid)
            {
                sids.push(sid);
            }
            assert!(
                house.hub.admission.taken() <= sids.len(),
                "{} places for {} sessions",
                house.hub.admission.taken(),
                sids.len()
            );
        }
        for sid in &sids {
            for version in [3, 4] {
                let query = format!("EIO={version}&transport=polling&sid={sid}");
                let close: &[u8] = if version == 3 { b"1:1" } else { b"1" };
                let _ = ask(house, &Method::POST, &query, close).await;
                // One that the server has closed ends with the poll that takes the last of it.
                let _ = ask(house, &Method::GET, &query, b"").await;
                let _ = ask(house, &Method::GET, &query, b"").await;
            }
        }
        // A client of 2.x connects in a task of its own.
        for _ in 0..64 {
            if house.hub.admission.taken() == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} places are still taken", house.hub.admission.taken());
    });
}

/// The session that an answer opened, for JSONP or not.
fn opened(answer: &str) -> Option<String> {
    let (_, rest) = answer.split_once("sid")?;
    let is_of_sid = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    let rest = rest.trim_start_matches(|character| !is_of_sid(character));
    let sid: String = rest.chars().take_while(|c| is_of_sid(*c)).collect();
    (answer.contains("upgrades") && sid.len() == 16).then_some(sid)
}

/// The body of a good answer; `None` if there is none yet, and nobody waits for it, or another answer.
async fn ask(house: &Composed, method: &Method, query: &str, body: &[u8]) -> Option<String> {
    let request = Request::builder()
        .method(method)
        .uri(format!("/ws/?{query}"))
        .header(HOST, "localhost")
        .body(Body::from(body.to_vec()))
        .ok()?;
    let remote = SocketAddr::from(([127, 0, 0, 1], 1));
    let answered = house.site.serve(remote, request);
    let answer = tokio::time::timeout(Duration::ZERO, answered).await.ok()?;
    let status = answer.status().as_u16();
    let known = [200, 400, 401, 403, 404, 405, 408, 413, 429, 503];
    assert!(known.contains(&status), "{status}");
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    (status == 200).then(|| String::from_utf8_lossy(&body).into_owned())
}

fn house() -> (Runtime, Composed) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
    let config = Config {
        handshakes_per_second: 0,
        handshakes_per_second_per_address: 0,
        max_message_size_bytes: 4096,
        ..Config::default()
    };
    let house = runtime.block_on(async {
        let options = Options::of(&config).unwrap_or_else(|error| panic!("{error}"));
        compose(&options)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    });
    (runtime, house)
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

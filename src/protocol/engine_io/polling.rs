//! HTTP long-polling: one GET at a time takes what was sent, one POST at a time brings packets.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use engineioxide_core::payload::decoder;
use engineioxide_core::{Packet, ProtocolVersion, TransportType};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Collected, Full, Limited};

use super::packet::{Payload, frame, parse, payload, split};
use super::query::{Query, Transport};
use super::session::{Farewell, Polled};
use super::{Application, HandshakeRequest, Peek, Refusal, Session, Shared, handle};
use crate::domain::error::CloseReason;
use crate::protocol::turn::Turn;
use crate::wire::send_queue::DropPolicy;
use crate::wire::websocket::violation::ProtocolViolation;

const BINARY: &str = "application/octet-stream";

pub(super) async fn serve<A: Application>(
    shared: &Arc<Shared<A>>,
    query: &Query,
    request: Request<Body>,
    remote_address: IpAddr,
) -> Result<Response<Body>, Refusal> {
    let version = query.version()?;
    if query.transport()? != Transport::Polling {
        return Err(Refusal::BadRequest);
    }
    let method = request.method().clone();
    let Some(sid) = query.sid() else {
        return match method {
            Method::GET => Ok(open(shared, version, query, &request, remote_address)),
            _ => Err(Refusal::BadHandshakeMethod),
        };
    };
    let session = shared.session(sid, version)?;
    match method {
        Method::GET => {
            // The poll may wait for long, with nothing of the request but its session.
            drop(request);
            get(&session, query).await
        }
        Method::POST => Box::pin(post(&session, query, request)).await,
        _ => Err(Refusal::BadRequest),
    }
}

fn open<A: Application>(
    shared: &Arc<Shared<A>>,
    version: ProtocolVersion,
    query: &Query,
    request: &Request<Body>,
    remote_address: IpAddr,
) -> Response<Body> {
    let handshake = HandshakeRequest {
        version,
        query: request.uri().query().unwrap_or_default(),
        headers: request.headers(),
        remote_address,
    };
    let connection = match shared.application.admit(&handshake) {
        Ok(connection) => connection,
        Err(response) => return *response,
    };
    let session = Session::new(shared, version, !query.is_base64(), connection, None);
    shared.sessions.insert(session.sid, Arc::clone(&session));
    let open = frame(shared.open(&session, &[TransportType::Websocket]));
    let payload = payload(version, false, &[open]);
    shared.application.opened(&session);
    answer(query, payload)
}

async fn get<A: Application>(
    session: &Arc<Session<A>>,
    query: &Query,
) -> Result<Response<Body>, Refusal> {
    let guard = session.begin_poll()?;
    let polled = poll_fn(|cx| session.poll_answer(cx)).await;
    guard.answered();
    let supports_binary = session.supports_binary && !query.is_base64();
    let payload = match polled {
        Polled::Taken(items) => payload(session.version, supports_binary, &items),
        Polled::Noop => payload(session.version, false, &[frame(Packet::Noop)]),
        Polled::Over(Farewell::ClosePacket) => {
            payload(session.version, false, &[frame(Packet::Close)])
        }
        Polled::Over(Farewell::UnknownSession) => return Err(Refusal::UnknownSession),
    };
    Ok(answer(query, payload))
}

/// Hands on the packets of a request one after the other; whoever sends faster than it polls for the
/// answers waits.
async fn post<A: Application>(
    session: &Arc<Session<A>>,
    query: &Query,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let guard = session.begin_post()?;
    let is_binary = is_binary(request.headers()) && session.version == ProtocolVersion::V3;
    let limit = session.shared.options.max_payload;
    let limited = Limited::new(request.into_body(), limit);
    let Ok(body) = limited.collect().await.map(Collected::to_bytes) else {
        guard.done();
        let mut response = Refusal::BadRequest.response();
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(response);
    };
    let handled = if is_binary {
        post_binary(session, body).await
    } else if query.jsonp().is_some() {
        match jsonp_data(&body) {
            Some(data) => post_text(session, data.as_bytes()).await,
            None => Err(Malformed),
        }
    } else {
        post_text(session, &body).await
    };
    guard.done();
    if let Err(Malformed) = handled {
        session.close(CloseReason::ProtocolError);
        return Err(Refusal::BadRequest);
    }
    let mut response = Response::new(Body::from("ok"));
    let html = HeaderValue::from_static("text/html");
    set_headers(response.headers_mut(), html);
    Ok(response)
}

/// The body, or a packet in it, is not as Engine.IO wants it.
struct Malformed;

async fn post_text<A: Application>(
    session: &Arc<Session<A>>,
    body: &[u8],
) -> Result<(), Malformed> {
    let packets = split(session.version, body).ok_or(Malformed)?;
    let application = &session.shared.application;
    let mut turn = Turn::default();
    for packet in packets {
        if !may_go_on(session).await {
            break;
        }
        turn.begin();
        let peek = match packet.first() {
            Some(b'b') => Peek::Binary,
            _ => Peek::Text(Some(packet)),
        };
        if !application.is_within_rate(session, peek).await {
            continue;
        }
        if packet.len() > application.max_message(session) {
            too_large(session);
        } else {
            let text = String::from_utf8(packet.to_vec()).map_err(|_| Malformed)?;
            let packet = parse(session.version, text).map_err(|_| Malformed)?;
            handle(session, packet).await;
        }
        turn.end().await;
    }
    Ok(())
}

async fn post_binary<A: Application>(
    session: &Arc<Session<A>>,
    body: Bytes,
) -> Result<(), Malformed> {
    let application = &session.shared.application;
    let content_type = HeaderValue::from_static(BINARY);
    let length = body.len() as u64;
    let body = Full::new(body);
    let packets = decoder(body, Some(&content_type), session.version, length);
    let mut packets = std::pin::pin!(packets);
    let mut turn = Turn::default();
    while let Some(packet) = packets.next().await {
        let packet = packet.map_err(|_| Malformed)?;
        if !may_go_on(session).await {
            break;
        }
        turn.begin();
        let peek = match &packet {
            Packet::BinaryV3(_) | Packet::Binary(_) => Peek::Binary,
            // Without its type, which says that it is text of the application.
            _ => Peek::Text(None),
        };
        if !application.is_within_rate(session, peek).await {
            continue;
        }
        if packet.get_size_hint(false) > application.max_message(session) + 2 {
            too_large(session);
        } else {
            handle(session, packet).await;
        }
        turn.end().await;
    }
    Ok(())
}

/// Waits until the answers to what came before no longer pile up. False if the session has ended, as one
/// does that sends without taking its answers.
async fn may_go_on<A: Application>(session: &Arc<Session<A>>) -> bool {
    if session.link().is_congested() {
        let uncongested = poll_fn(|cx| session.link().poll_uncongested(cx));
        let patience = session.shared.options.ping_timeout;
        if tokio::time::timeout(patience, uncongested).await.is_err() {
            session.kill(CloseReason::TooSlow);
        }
    }
    !session.is_closing()
}

fn too_large<A: Application>(session: &Arc<Session<A>>) {
    let application = &session.shared.application;
    let (frames, reason) = application.violated(session, ProtocolViolation::TooLarge);
    session.push(&frames, DropPolicy::Reply);
    session.close(reason);
}

fn is_binary(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == BINARY)
}

/// The payload in a form that a script posted, in which the client doubled what a browser would take
/// for the end of a line.
fn jsonp_data(body: &[u8]) -> Option<String> {
    let (_, data) = form_urlencoded::parse(body).find(|(name, _)| name == "d")?;
    let mut text = String::with_capacity(data.len());
    let mut rest = &*data;
    while let Some(at) = rest.find('\\') {
        let escapes = rest[at..].bytes().take_while(|byte| *byte == b'\\').count();
        let (before, after) = rest.split_at(at + escapes);
        text.push_str(&before[..at]);
        let (kept, tail) = match after.strip_prefix('n') {
            // `\\n` is a backslash and an `n`, `\n` is the end of a line.
            Some(tail) if escapes >= 2 => (&before[at + 1..], tail),
            Some(tail) => {
                text.push('\n');
                rest = tail;
                continue;
            }
            None => (&before[at..], after),
        };
        text.push_str(kept);
        if after.starts_with('n') {
            text.push('n');
        }
        rest = tail;
    }
    text.push_str(rest);
    Some(text)
}

/// The answer to a poll, as the client reads it.
fn answer(query: &Query, payload: Payload) -> Response<Body> {
    let (body, kind) = match query.jsonp() {
        Some(callback) => {
            let text = String::from_utf8_lossy(&payload.body);
            let script = format!("___eio[{callback}]({});", as_script(&text));
            (Bytes::from(script), "text/javascript; charset=UTF-8")
        }
        None if payload.is_binary => (payload.body, BINARY),
        None => (payload.body, "text/plain; charset=UTF-8"),
    };
    let mut response = Response::new(Body::from(body));
    set_headers(response.headers_mut(), HeaderValue::from_static(kind));
    response
}

/// A string of JavaScript: JSON, but for two ends of lines that it may have in it.
fn as_script(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// What was one client's is nobody else's, and a page that shows it runs nothing of it.
fn set_headers(headers: &mut HeaderMap, kind: HeaderValue) {
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_carries_is_read_as_the_reference_implementation_reads_it() {
        let data = |body: &str| jsonp_data(body.as_bytes());
        assert_eq!(data("d=2%3A4a").as_deref(), Some("2:4a"));
        assert_eq!(data("d=a%5Cnb").as_deref(), Some("a\nb"));
        assert_eq!(data("d=a%5C%5Cnb").as_deref(), Some("a\\nb"));
        assert_eq!(data("d=a%5Cb%5C%5C").as_deref(), Some("a\\b\\\\"));
        assert_eq!(data("e=x"), None);
    }

    #[test]
    fn a_script_can_not_be_broken_out_of() {
        assert_eq!(as_script("a\"b\u{2028}\n"), "\"a\\\"b\\u2028\\n\"");
    }
}

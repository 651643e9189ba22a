//! What clients speak: Socket.IO and plain JSON over WebSocket, with one session behind both.

mod command;
mod dialect;
pub mod engine_io;
pub mod envelope;
mod members;
pub mod plain;
mod reading;
pub mod session;
pub mod socket_io;
mod turn;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::domain::error::{ClientError, CloseReason, Code};
use crate::domain::event::Priority;
use crate::hub::Hub;
use crate::hub::limits::{ConnectionPermit, SlotGuard};
use crate::hub::outbound::{Encoding, Outbound};
use crate::hub::ports::Delivery;
use crate::wire::buffers::Owner;
use crate::wire::send_queue::link::Link;
use crate::wire::send_queue::{DropPolicy, Observer, Overdue, Pushed};
use crate::wire::websocket::deflate::compress_frame;
use crate::wire::websocket::violation::ProtocolViolation;
use engine_io::ProtocolVersion;
use envelope::{StreamPlace, event_frame};
use socket_io::{Beside, event_frames};

/// Tells the hub's statistics how long events waited.
pub struct DeliveryTimes(pub Arc<Hub>);

impl Observer for DeliveryTimes {
    fn delivered(&self, waited: Duration) {
        self.0.metrics.publish_to_socket.record(waited);
    }
}

/// An event as this link's client reads it; encoded and compressed once for all clients.
fn outgoing<'a>(link: &Link, outbound: &'a Outbound, encoding: Encoding) -> &'a Bytes {
    // As long as it waits for anybody it is held once.
    let counted = |frame| link.buffers().counted(frame, Owner::Known);
    let encode = |outbound: &_| counted(encode(encoding, outbound));
    match link.compression_threshold() {
        None => outbound.frame(encoding, encode),
        Some(threshold) => outbound.compressed(encoding, encode, |frame| {
            compress_frame(frame, threshold).map(counted)
        }),
    }
}

fn encode(encoding: Encoding, outbound: &Outbound) -> Bytes {
    let event = &outbound.event;
    let place = StreamPlace {
        offset: outbound.position,
        is_replayed: outbound.is_replayed,
    };
    let meta = Beside::Meta(place);
    match encoding {
        Encoding::SocketIo => event_frames(ProtocolVersion::V4, event, meta),
        Encoding::SocketIoPayload => event_frames(ProtocolVersion::V4, event, Beside::Nothing),
        Encoding::SocketIoOffset => {
            event_frames(ProtocolVersion::V4, event, Beside::MetaAndOffset(place))
        }
        Encoding::SocketIoV3 => event_frames(ProtocolVersion::V3, event, meta),
        Encoding::SocketIoV3Payload => event_frames(ProtocolVersion::V3, event, Beside::Nothing),
        _ => event_frame(encoding, event, place),
    }
}

/// What becomes of an event for a client that is behind.
fn policy(outbound: &Outbound) -> DropPolicy {
    match outbound.event.priority {
        Priority::Low => DropPolicy::Droppable,
        _ => DropPolicy::Event,
    }
}

fn push_event(link: &Link, frame: &Bytes, outbound: &Outbound) -> Pushed {
    if outbound.is_alone.load(Ordering::Relaxed) {
        link.push_alone(frame, policy(outbound))
    } else {
        link.push(frame, policy(outbound))
    }
}

fn delivery(pushed: Pushed) -> Delivery {
    match pushed {
        Pushed::Written => Delivery::Written,
        Pushed::Queued => Delivery::Queued,
        Pushed::Dropped => Delivery::Dropped,
        Pushed::Overflow => Delivery::Overflow,
        Pushed::Closed => Delivery::Gone,
    }
}

/// Why a connection ended whose link did not go on; `None` if it was about to end.
fn close_reason_of(overdue: Overdue) -> Option<CloseReason> {
    match overdue {
        Overdue::Stalled => Some(CloseReason::TooSlow),
        Overdue::GivenUp => Some(CloseReason::Overloaded),
        Overdue::Closing => None,
    }
}

/// What a client that broke the rules of the wire is told, and why its connection ends.
fn violation_of(
    hub: &Hub,
    violation: ProtocolViolation,
    max_message_size: usize,
) -> (ClientError, CloseReason) {
    hub.metrics.count_error();
    match violation {
        ProtocolViolation::TooLarge => (
            ClientError::too_large(max_message_size),
            CloseReason::MessageTooLarge,
        ),
        ProtocolViolation::Framing => (
            ClientError::invalid("a frame is not as RFC 6455 wants it"),
            CloseReason::ProtocolError,
        ),
        ProtocolViolation::Utf8 => (
            ClientError::invalid("a text frame must be UTF-8"),
            CloseReason::InvalidUtf8,
        ),
        ProtocolViolation::Deflate => (
            ClientError::invalid("a compressed message is broken or cut off"),
            CloseReason::InvalidCompression,
        ),
    }
}

/// Whether a client is let in.
enum Admitted {
    Yes(Arc<ConnectionPermit>),
    /// Why not, with a place to tell it in the client's own protocol.
    ToBeTold(ClientError, SlotGuard),
}

/// Lets a client in, or has it told why not. If there is not even a place for that, the error is for its
/// handshake.
fn admit(hub: &Hub, address: IpAddr) -> Result<Admitted, ClientError> {
    match hub.admission.admit(address) {
        Ok(permit) => Ok(Admitted::Yes(permit)),
        Err(error) => match hub.admission.slot_to_refuse() {
            Some(slot) => Ok(Admitted::ToBeTold(error, slot)),
            None => Err(error),
        },
    }
}

/// An error as an HTTP answer: its status, and `Retry-After` where there is one.
pub fn error_response(error: &ClientError) -> Response<Body> {
    let body = serde_json::json!({ "success": false, "error": error });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() =
        StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let retry_after = match (error.retry_after, error.code) {
        (Some(time), _) => Some(time.as_secs() + u64::from(time.subsec_nanos() > 0)),
        (None, Code::ConnectionLimit) => Some(1),
        (None, _) => None,
    };
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

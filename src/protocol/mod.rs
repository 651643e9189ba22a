//! What clients speak: Socket.IO and plain JSON over WebSocket, with one session behind both.

mod command;
pub mod envelope;
pub mod plain;
pub mod session;
pub mod socket_io;
mod speech;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::domain::fault::{CloseReason, Fault};
use crate::hub::Hub;
use crate::hub::limits::{Lease, Ticket};
use crate::hub::outbound::{Encoding, Outbound};
use crate::wire::deflate::compress_frame;
use crate::wire::frame::close_frame;
use crate::wire::inbound::Violation;
use crate::wire::link::Link;
use envelope::event_frame;

/// An event as this link's client reads it; encoded and compressed once for all clients.
fn outgoing<'a>(link: &Link, outbound: &'a Outbound, encoding: Encoding) -> &'a Bytes {
    let encode = |event: &_| event_frame(encoding, event);
    match link.compression_threshold() {
        None => outbound.frame(encoding, encode),
        Some(threshold) => {
            outbound.compressed(encoding, encode, |frame| compress_frame(frame, threshold))
        }
    }
}

/// The last frames for a client that broke the rules of the wire: what it is told, in a frame of its
/// own protocol, and the close. Both are counted.
fn last_frames(
    hub: &Hub,
    violation: Violation,
    max_message_size: usize,
    frame_of: impl FnOnce(Fault) -> Bytes,
) -> Bytes {
    let (fault, reason) = match violation {
        Violation::TooLarge => (
            Fault::too_large(max_message_size),
            CloseReason::MessageTooLarge,
        ),
        Violation::Framing => (
            Fault::invalid("a frame is not as RFC 6455 wants it"),
            CloseReason::ProtocolError,
        ),
        Violation::Deflate => (
            Fault::invalid("a compressed message is broken or cut off"),
            CloseReason::InvalidCompression,
        ),
    };
    hub.stats.count_error();
    hub.stats.count_close(reason);
    let mut frames = frame_of(fault).to_vec();
    frames.extend_from_slice(&close_frame(reason.code(), reason.text()));
    frames.into()
}

/// A client's ticket; or, if there is none for it, why, with a place to tell it in the client's own
/// protocol. If even of those there is none, the error is for its handshake.
fn enter(hub: &Hub, address: IpAddr) -> Result<Result<Arc<Ticket>, (Fault, Lease)>, Fault> {
    match hub.gate.admit(address) {
        Ok(ticket) => Ok(Ok(ticket)),
        Err(fault) => match hub.gate.place_to_refuse() {
            Some(lease) => Ok(Err((fault, lease))),
            None => Err(fault),
        },
    }
}

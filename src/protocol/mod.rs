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

/// What a client that broke the rules of the wire is told, and why it is closed.
fn refusal(violation: Violation, max_message_size: usize) -> (Fault, CloseReason) {
    match violation {
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
    }
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

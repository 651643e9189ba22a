//! Bytes only: RFC 6455 handshakes and frames, and the TCP stream under both protocols.

pub mod connections;
pub mod deflate;
mod ending;
pub mod flusher;
pub mod frame;
pub mod http_stream;
pub mod inbound;
pub mod link;
pub mod negotiation;
mod outgoing;
mod request_bounds;
pub mod stream;
mod tap;
#[cfg(test)]
pub mod testing;
pub mod tls;
pub mod transport;
pub mod upgrade;

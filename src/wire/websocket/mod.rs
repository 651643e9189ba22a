//! RFC 6455 and RFC 7692: the handshake, frames both ways, whole messages, compression.

pub mod deflate;
pub mod frame;
pub mod handshake;
pub mod negotiation;
pub mod read;
pub mod stream;
pub mod violation;

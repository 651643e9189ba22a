//! Bytes only: transports, WebSocket handshakes and messages, and what waits to be sent.

pub mod buffers;
pub mod connections;
pub mod http_stream;
mod request_bounds;
pub mod send_queue;
#[cfg(test)]
pub mod testing;
pub mod tls;
pub mod transport;
pub mod websocket;

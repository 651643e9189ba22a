//! What the tests of several modules put around a stream.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};

use super::inbound::{Verdict, Violation};
use super::link::{LinkOptions, Tap};

/// An owner that lets everything pass, and counts the queued frames that were written.
#[derive(Default)]
pub struct QuietTap {
    pub delivered: AtomicUsize,
}

impl Tap for QuietTap {
    fn marker_passed(&self) {}
    fn delivered(&self, _waited: Duration) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }
    fn inspect(&self, _text: Option<&[u8]>) -> Verdict {
        Verdict::Pass
    }
    fn violated(&self, _violation: Violation) -> Bytes {
        Bytes::new()
    }
    fn sent(&self, _frames: &[u8]) {}
    fn closed(&self) {}
}

pub const OPTIONS: LinkOptions = LinkOptions {
    max_messages: 1000,
    max_bytes: 1 << 20,
    write_timeout: Duration::from_secs(10),
    max_message_size: 1 << 20,
    compression_threshold: None,
};

/// A server's end that can be written to, and its client.
pub async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (server, _) = accepted.unwrap();
    server.writable().await.unwrap();
    (server, client.unwrap())
}

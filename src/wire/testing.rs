//! What the tests of several modules put around a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::send_queue::flusher::SendQueues;
use super::send_queue::{LinkOptions, Observer};

/// Counts the queued frames that were written.
#[derive(Default)]
pub struct Counter(pub AtomicUsize);

impl Observer for Counter {
    fn delivered(&self, _waited: Duration) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub const OPTIONS: LinkOptions = LinkOptions {
    max_messages: 1000,
    max_bytes: 1 << 20,
    max_buffered: 0,
    write_timeout: Duration::from_secs(10),
    compression_threshold: None,
};

pub fn queues_with(options: LinkOptions, counter: &Arc<Counter>) -> Arc<SendQueues> {
    let observer = Arc::clone(counter);
    SendQueues::new(options, observer)
}

/// A server's end that can be written to, and its client.
pub async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (server, _) = accepted.unwrap();
    server.writable().await.unwrap();
    (server, client.unwrap())
}

//! Who writes what bursts leave behind.
//!
//! While events follow each other closely, a publisher only queues them, and each connection with
//! something to write stands once in a list. A task goes through the list and writes to every socket
//! all that has come together for it: with one system call where each event alone would take one.
//! The longer the list, the more comes together.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::link::Link;

/// Connections that a list's task writes to before it lets others run.
const AT_ONCE: usize = 32;

/// The lists, one for each processor. Clones share them.
#[derive(Clone)]
pub struct Flusher {
    lists: Arc<[Arc<List>]>,
    next: Arc<AtomicUsize>,
}

/// A list of connections with something to write, and whether a task goes through it.
#[derive(Default)]
pub(super) struct List {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Arc<Link>>,
    is_running: bool,
}

/// A task that goes through a list; should it end before its time, the next may begin.
struct Running<'a> {
    list: &'a List,
    is_done: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.list.state.lock().is_running = false;
        }
    }
}

impl Default for Flusher {
    fn default() -> Self {
        let lists = std::thread::available_parallelism().map_or(1, Into::into);
        Self {
            lists: (0..lists).map(|_| Arc::default()).collect(),
            next: Arc::default(),
        }
    }
}

impl fmt::Debug for Flusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flusher")
            .field("lists", &self.lists.len())
            .finish_non_exhaustive()
    }
}

impl Flusher {
    /// The list of the next connection, which stays with it.
    pub(super) fn list(&self) -> Arc<List> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.lists[next % self.lists.len()])
    }
}

impl List {
    /// Sees that the link is flushed soon. False without a runtime to do it.
    pub fn add(self: &Arc<Self>, link: Arc<Link>) -> bool {
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        let mut state = self.state.lock();
        state.waiting.push_back(link);
        if !state.is_running {
            state.is_running = true;
            runtime.spawn(Arc::clone(self).run());
        }
        true
    }

    async fn run(self: Arc<Self>) {
        let mut running = Running {
            list: &self,
            is_done: false,
        };
        let mut links = Vec::with_capacity(AT_ONCE);
        loop {
            {
                let mut state = self.state.lock();
                let count = state.waiting.len().min(AT_ONCE);
                links.extend(state.waiting.drain(..count));
                if links.is_empty() {
                    // As long as a burst's audience, it would keep its memory for ever.
                    state.waiting = VecDeque::new();
                    state.is_running = false;
                    running.is_done = true;
                    return;
                }
            }
            for link in links.drain(..) {
                link.flush_listed();
            }
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    use super::*;
    use crate::wire::link::{Class, LinkOptions, Pushed};
    use crate::wire::stream::Stream;
    use crate::wire::testing::{OPTIONS, QuietTap, tcp_pair};
    use crate::wire::transport::Transport;

    /// A connection whose own task does nothing, and its client.
    async fn connection(flusher: &Flusher) -> (Stream, Arc<QuietTap>, TcpStream) {
        connection_with(flusher, OPTIONS).await
    }

    async fn connection_with(
        flusher: &Flusher,
        options: LinkOptions,
    ) -> (Stream, Arc<QuietTap>, TcpStream) {
        let (server, client) = tcp_pair().await;
        let counter = Arc::new(QuietTap::default());
        let tap = Arc::clone(&counter);
        let stream = Stream::new(
            Transport::Tcp(server),
            Bytes::new(),
            b"",
            options,
            flusher,
            tap,
        );
        (stream, counter, client)
    }

    #[tokio::test]
    async fn a_burst_reaches_every_connection_in_order_without_its_own_task() {
        let flusher = Flusher::default();
        let mut crowd = Vec::new();
        for _ in 0..=2 * AT_ONCE {
            crowd.push(connection(&flusher).await);
        }
        for number in 0..100_u8 {
            let frame = Bytes::from(vec![number]);
            for (stream, _, _) in &crowd {
                stream.link().push(&frame, Class::Event);
            }
        }
        let sent: Vec<u8> = (0..100).collect();
        for (stream, counter, client) in &mut crowd {
            let mut heard = vec![0; 100];
            client.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, sent);
            assert_eq!(stream.link().waiting(), (0, 0));
            assert!(
                counter.delivered.load(Ordering::Relaxed) > 90,
                "most of it was queued"
            );
        }
    }

    #[tokio::test]
    async fn a_client_that_reads_is_not_too_slow_however_long_a_burst_is() {
        let flusher = Flusher::default();
        for (messages, bytes) in [(20, 1 << 20), (1000, 5000)] {
            let options = LinkOptions {
                max_messages: messages,
                max_bytes: bytes,
                ..OPTIONS
            };
            let (stream, _, mut client) = connection_with(&flusher, options).await;
            // The list's task does not run between these.
            for number in 0..5000_u32 {
                let frame = Bytes::copy_from_slice(&number.to_be_bytes());
                let class = if number % 2 == 0 {
                    Class::Event
                } else {
                    Class::Droppable
                };
                let pushed = stream.link().push(&frame, class);
                assert!(
                    matches!(pushed, Pushed::Written | Pushed::Queued),
                    "{number}: {pushed:?}"
                );
            }
            for number in 0..5000 {
                assert_eq!(client.read_u32().await.unwrap(), number);
            }
        }
    }

    #[tokio::test]
    async fn an_answer_does_not_wait_in_a_burst_and_passes_nothing() {
        let flusher = Flusher::default();
        let (stream, _, client) = connection(&flusher).await;
        let link = stream.link();
        for (frame, class) in [
            (&b"a"[..], Class::Event),
            (b"b", Class::Event),
            (b"c", Class::Reply),
        ] {
            link.push(&Bytes::from_static(frame), class);
        }
        assert_eq!(link.waiting(), (0, 0), "the list's task has not run yet");
        client.readable().await.unwrap();
        let mut heard = [0; 8];
        assert_eq!(client.try_read(&mut heard).unwrap(), 3);
        assert_eq!(&heard[..3], b"abc");
    }
}

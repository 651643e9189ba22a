//! Who writes what bursts leave behind, and what all send queues of a server share.
//!
//! While events follow each other closely, a publisher only queues them, and each connection with
//! something to write stands once in a list. A task goes through the list, round by round, and writes
//! to every socket all that has come together for it: with one system call where each event alone
//! would take one. Where rounds find several frames for each connection, the task waits a moment
//! before the next one, so that still more come together, as a network card moderates its
//! interrupts; a lone event never waits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::link::Link;
use super::{LinkOptions, Observer};
use crate::wire::buffers::Buffers;

/// Connections that a list's task writes to before it lets others run.
const AT_ONCE: usize = 32;

/// How long a list's task waits for more to come together.
const MODERATION: Duration = Duration::from_millis(2);

/// What the send queues of one server share.
pub struct SendQueues {
    pub options: LinkOptions,
    /// What all of them hold, and what clients have sent that is not handled yet.
    pub buffers: Arc<Buffers>,
    pub(super) observer: Arc<dyn Observer>,
    /// One for each processor.
    lists: Box<[Arc<List>]>,
    next: AtomicUsize,
}

impl fmt::Debug for SendQueues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendQueues")
            .field("options", &self.options)
            .field("lists", &self.lists.len())
            .finish_non_exhaustive()
    }
}

impl SendQueues {
    pub fn new(options: LinkOptions, observer: Arc<dyn Observer>) -> Arc<Self> {
        let lists = std::thread::available_parallelism().map_or(1, Into::into);
        Arc::new(Self {
            buffers: Buffers::new(options.max_buffered),
            options,
            observer,
            lists: (0..lists).map(|_| Arc::default()).collect(),
            next: AtomicUsize::new(0),
        })
    }

    /// The list of the next connection, which stays with it.
    pub(super) fn next_list(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.lists.len()
    }

    /// Whether a burst is being written.
    pub(super) fn is_flushing(&self) -> bool {
        let is_running = |list: &Arc<List>| list.is_running.load(Ordering::Relaxed);
        self.lists.iter().any(is_running)
    }

    pub(super) fn list(&self, at: usize) -> &Arc<List> {
        &self.lists[at]
    }
}

/// A list of connections with something to write, and whether a task goes through it.
#[derive(Default)]
pub(super) struct List {
    state: Mutex<State>,
    /// The same as in the state, for whoever only looks.
    is_running: AtomicBool,
}

#[derive(Default)]
struct State {
    waiting: Vec<Arc<Link>>,
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
            self.list.end(&mut self.list.state.lock());
        }
    }
}

impl List {
    /// Sees that the link is flushed soon. False without a runtime to do it.
    pub fn add(self: &Arc<Self>, link: Arc<Link>) -> bool {
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        let mut state = self.state.lock();
        state.waiting.push(link);
        if !state.is_running {
            state.is_running = true;
            self.is_running.store(true, Ordering::Relaxed);
            runtime.spawn(Arc::clone(self).run());
        }
        true
    }

    fn end(&self, state: &mut State) {
        state.is_running = false;
        self.is_running.store(false, Ordering::Relaxed);
    }

    async fn run(self: Arc<Self>) {
        let mut running = Running {
            list: &self,
            is_done: false,
        };
        loop {
            let round = {
                let mut state = self.state.lock();
                // As long as a burst's audience, it would keep its memory for ever.
                let round = std::mem::take(&mut state.waiting);
                if round.is_empty() {
                    self.end(&mut state);
                    running.is_done = true;
                    return;
                }
                round
            };
            let (links, mut frames) = (round.len(), 0);
            for (at, link) in round.into_iter().enumerate() {
                frames += link.flush_listed();
                if at % AT_ONCE == AT_ONCE - 1 {
                    tokio::task::yield_now().await;
                }
            }
            if is_worth_waiting(links, frames) && !self.state.lock().waiting.is_empty() {
                tokio::time::sleep(MODERATION).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Whether several events came together in the last round, so that as much may be expected of the next. A
/// publisher that waits for its answers never makes it so: its events are written one by one.
fn is_worth_waiting(links: usize, frames: usize) -> bool {
    frames > links + links / 8
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    use super::*;
    use crate::wire::send_queue::{DropPolicy, Pushed};
    use crate::wire::testing::{Counter, OPTIONS, queues_with, tcp_pair};
    use crate::wire::transport::Transport;

    /// A connection whose own task does nothing, and its client.
    async fn connection(queues: &Arc<SendQueues>) -> (Arc<Link>, TcpStream) {
        let (server, client) = tcp_pair().await;
        (Link::over(queues, Transport::Tcp(server), false), client)
    }

    #[tokio::test]
    async fn a_burst_reaches_every_connection_in_order_without_its_own_task() {
        let counter = Arc::new(Counter::default());
        let queues = queues_with(OPTIONS, &counter);
        let mut crowd = Vec::new();
        for _ in 0..=2 * AT_ONCE {
            crowd.push(connection(&queues).await);
        }
        for number in 0..100_u8 {
            let frame = Bytes::from(vec![number]);
            for (link, _) in &crowd {
                link.push(&frame, DropPolicy::Event);
            }
        }
        let sent: Vec<u8> = (0..100).collect();
        for (link, client) in &mut crowd {
            let mut heard = vec![0; 100];
            client.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, sent);
            assert_eq!(link.waiting(), (0, 0));
        }
        assert!(
            counter.0.load(Ordering::Relaxed) > 90 * crowd.len(),
            "most of it was queued"
        );
    }

    #[tokio::test]
    async fn an_event_alone_is_written_at_once_unless_a_burst_is_being_written() {
        let queues = queues_with(OPTIONS, &Arc::default());
        let (link, _client) = connection(&queues).await;
        let (other, _reader) = connection(&queues).await;
        let frame = Bytes::from_static(b"frame");
        for _ in 0..3 {
            assert_eq!(link.push_alone(&frame, DropPolicy::Event), Pushed::Written);
        }
        // The second of these waits for the list's task, which has not run yet.
        other.push(&frame, DropPolicy::Event);
        assert_eq!(other.push(&frame, DropPolicy::Event), Pushed::Queued);
        assert!(queues.is_flushing());
        assert_eq!(link.push_alone(&frame, DropPolicy::Event), Pushed::Queued);
        while queues.is_flushing() {
            tokio::task::yield_now().await;
        }
        assert_eq!(link.push_alone(&frame, DropPolicy::Event), Pushed::Written);
    }

    #[tokio::test]
    async fn a_client_that_reads_is_not_too_slow_however_long_a_burst_is() {
        for (messages, bytes) in [(20, 1 << 20), (1000, 5000)] {
            let options = LinkOptions {
                max_messages: messages,
                max_bytes: bytes,
                ..OPTIONS
            };
            let queues = queues_with(options, &Arc::default());
            let (link, mut client) = connection(&queues).await;
            // The list's task does not run between these.
            for number in 0..5000_u32 {
                let frame = Bytes::copy_from_slice(&number.to_be_bytes());
                let policy = if number % 2 == 0 {
                    DropPolicy::Event
                } else {
                    DropPolicy::Droppable
                };
                let pushed = link.push(&frame, policy);
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
        let queues = queues_with(OPTIONS, &Arc::default());
        let (link, client) = connection(&queues).await;
        for (frame, policy) in [
            (&b"a"[..], DropPolicy::Event),
            (b"b", DropPolicy::Event),
            (b"c", DropPolicy::Reply),
        ] {
            link.push(&Bytes::from_static(frame), policy);
        }
        assert_eq!(link.waiting(), (0, 0), "the list's task has not run yet");
        client.readable().await.unwrap();
        let mut heard = [0; 8];
        assert_eq!(client.try_read(&mut heard).unwrap(), 3);
        assert_eq!(&heard[..3], b"abc");
    }

    #[test]
    fn only_rounds_that_found_several_frames_for_each_connection_are_followed_by_a_wait() {
        assert!(!is_worth_waiting(1, 1));
        assert!(
            !is_worth_waiting(1000, 1000),
            "one publisher that waits for its answers"
        );
        assert!(
            !is_worth_waiting(1000, 1125),
            "some twice, where rounds overlap"
        );
        assert!(is_worth_waiting(1000, 1126));
    }
}

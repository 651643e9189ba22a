//! The sending half of a connection, shared by everybody who has something to send.
//!
//! Every connection has one queue of ready WebSocket frames, whatever it is on. With a socket under
//! it, a publisher writes a frame straight to the socket while nothing waits in front of it; only
//! what the socket would not take is queued, and only then the connection's own task is woken to
//! write the rest. A frame is never torn: whoever finds the queue in use queues behind it. Without a
//! socket (long-polling) frames wait until a poll takes them; when the client moves to a WebSocket,
//! the same queue goes on there.

use std::hint::black_box;
use std::io::{self, IoSlice};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::flusher::SendQueues;
use super::outgoing::{MAX_SLICES, Outgoing};
use super::{DropPolicy, Pushed};
use crate::wire::transport::Transport;
use crate::wire::websocket::deflate::compress_frames;

/// The sending half. All methods are cheap, never block and may be called from any thread.
pub struct Link {
    pub(super) me: Weak<Self>,
    pub(super) queues: Arc<SendQueues>,
    /// Which list of the flusher it stands in when it is in a burst.
    list: usize,
    pub(super) transport: OnceLock<Transport>,
    pub(super) outgoing: Mutex<Outgoing>,
    /// The task that reads and that writes what is queued, or the poll that waits for something.
    pub(super) reader: AtomicWaker,
    /// Whoever waits until less is queued.
    room: AtomicWaker,
}

/// What a poll takes.
#[derive(Debug, Default)]
pub struct Taken {
    pub frames: Vec<Bytes>,
    /// Nothing comes behind it any more.
    pub is_last: bool,
}

impl Link {
    /// A link without a socket.
    pub fn new(queues: &Arc<SendQueues>) -> Arc<Self> {
        Self::make(queues, OnceLock::new(), false)
    }

    /// A link over a socket; `deflates` if permessage-deflate was agreed on.
    pub fn over(queues: &Arc<SendQueues>, transport: Transport, deflates: bool) -> Arc<Self> {
        Self::make(queues, OnceLock::from(transport), deflates)
    }

    fn make(queues: &Arc<SendQueues>, transport: OnceLock<Transport>, deflates: bool) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            queues: Arc::clone(queues),
            list: queues.next_list(),
            transport,
            outgoing: Mutex::new(Outgoing {
                deflates,
                ..Outgoing::default()
            }),
            reader: AtomicWaker::new(),
            room: AtomicWaker::new(),
        })
    }

    /// Goes on over a socket, which first gets what waits; a link that is finished already ends there,
    /// with this `last` frame. The socket comes back if the link is dead or has one already.
    pub fn attach(
        &self,
        transport: Transport,
        deflates: bool,
        last: Option<&Bytes>,
    ) -> Result<(), Transport> {
        let mut out = self.outgoing.lock();
        if out.dead {
            return Err(transport);
        }
        self.transport.set(transport)?;
        out.deflates = deflates;
        if out.closing_since.is_some() {
            let now = Instant::now();
            if let Some(frame) = last {
                out.push(frame.clone(), 0, now);
            }
            out.closing_since = Some(now);
            self.guard(&mut out);
        }
        drop(out);
        self.flush();
        Ok(())
    }

    /// The socket, once there is one.
    pub fn transport(&self) -> Option<&Transport> {
        self.transport.get()
    }

    /// The payload from which on this connection's messages are compressed; `None` if they are not.
    pub fn compression_threshold(&self) -> Option<usize> {
        let threshold = self.queues.options.compression_threshold?;
        self.outgoing.lock().deflates.then_some(threshold)
    }

    /// A frame, or several, as this connection gets them: compressed if that was agreed on and is
    /// worth it. For what goes to one connection alone; what goes to many is compressed once.
    pub fn fitted(&self, frames: Bytes) -> Bytes {
        self.queues
            .options
            .compression_threshold
            .filter(|threshold| frames.len() >= *threshold)
            .and_then(|_| self.compression_threshold())
            .and_then(|threshold| compress_frames(&frames, threshold))
            .unwrap_or(frames)
    }

    /// Reads what a push reads first.
    pub fn warm(&self) {
        black_box(self.outgoing.is_locked());
    }

    /// Sends one item: one whole frame, or several that nothing may come between. Items pushed one
    /// after the other arrive in that order. On overflow the item is not sent; the caller says how
    /// the connection ends.
    pub fn push(&self, item: &Bytes, policy: DropPolicy) -> Pushed {
        self.push_or_postpone(item, policy, true)
    }

    /// The same for an event that nothing else is published beside. However soon it follows the one
    /// before, it is written at once, unless bursts are being written.
    pub fn push_alone(&self, item: &Bytes, policy: DropPolicy) -> Pushed {
        self.push_or_postpone(item, policy, self.queues.is_flushing())
    }

    fn push_or_postpone(&self, item: &Bytes, policy: DropPolicy, may_postpone: bool) -> Pushed {
        let pushed = match self.push_if_room(item, policy, may_postpone) {
            // Nobody is behind yet whose queue is full of what only waits for more to come.
            Pushed::Dropped | Pushed::Overflow if self.is_postponed() => {
                self.flush();
                self.push_if_room(item, policy, may_postpone)
            }
            pushed => pushed,
        };
        if pushed == Pushed::Queued {
            self.queues.buffers.settle();
        }
        pushed
    }

    fn is_postponed(&self) -> bool {
        self.transport.get().is_some() && self.outgoing.lock().is_postponed()
    }

    fn push_if_room(&self, item: &Bytes, policy: DropPolicy, may_postpone: bool) -> Pushed {
        let mut out = self.outgoing.lock();
        let is_refused = out.is_given_up && policy != DropPolicy::Reply;
        if out.dead || out.closing_since.is_some() || is_refused {
            return Pushed::Closed;
        }
        let now = Instant::now();
        let transport = self.transport.get();
        let is_first = out.queue.is_empty();
        let mut written = 0;
        let mut is_postponed = false;
        if !is_first || transport.is_none() {
            let options = &self.queues.options;
            match out.room_for(options, transport.is_none(), item.len(), policy) {
                Pushed::Queued => {}
                refused => return refused,
            }
        }
        if is_first {
            is_postponed = out.is_in_a_burst(policy, now) && may_postpone;
        }
        if is_first
            && !is_postponed
            && let Some(transport) = transport
        {
            match transport.try_write(item) {
                Ok(count) if count == item.len() => {
                    if transport.has_unsent() {
                        self.blocked(&mut out, now);
                        drop(out);
                        self.reader.wake();
                    }
                    return Pushed::Written;
                }
                Ok(count) => {
                    written = count;
                    self.blocked(&mut out, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked(&mut out, now);
                }
                Err(_) => {
                    drop(out);
                    self.kill();
                    return Pushed::Closed;
                }
            }
        }
        let frame = if policy == DropPolicy::Reply {
            // Of nobody else; events are counted where they are made.
            let owner = out.owner();
            self.queues.buffers.counted(item.clone(), owner)
        } else {
            item.clone()
        };
        out.push(frame, written, now);
        self.count(&mut out);
        // Events wait for more to come, but not so long that a system call could not take them all,
        // and a client that asks is not kept waiting by them.
        let is_urgent =
            out.is_postponed() && (policy == DropPolicy::Reply || out.is_worth_a_write());
        let is_new = is_postponed && !std::mem::replace(&mut out.is_listed, true);
        drop(out);
        if is_new {
            let me = self.me.upgrade();
            if !me.is_some_and(|me| self.queues.list(self.list).add(me)) {
                self.outgoing.lock().is_listed = false;
                self.reader.wake();
            }
        }
        if is_urgent {
            self.flush();
        } else if is_first && !is_postponed {
            self.reader.wake();
        }
        // Whoever queued the first frame has seen to its writer, which takes what it finds.
        Pushed::Queued
    }

    /// The list has come to this link; answers how many frames waited.
    pub(super) fn flush_listed(&self) -> usize {
        let waited = {
            let mut out = self.outgoing.lock();
            out.is_listed = false;
            out.queue.len()
        };
        self.flush();
        waited
    }

    /// Writes what waits, and has the connection's own task write what the socket does not take.
    /// Without a socket the poll is woken.
    pub(super) fn flush(&self) {
        if self.transport.get().is_none() || self.drain().is_ok_and(|is_empty| !is_empty) {
            self.reader.wake();
        }
    }

    /// Notes that the peer takes nothing at this moment, and sees that somebody watches it.
    fn blocked(&self, out: &mut Outgoing, now: Instant) {
        out.blocked_since.get_or_insert(now);
        self.guard(out);
    }

    /// Whether so much waits that reading from the client pauses.
    pub fn is_congested(&self) -> bool {
        self.outgoing.lock().is_congested()
    }

    /// Ready when what waits is little enough that more may be asked for.
    pub fn poll_uncongested(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.room.register(cx.waker());
        if self.is_congested() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Frames and bytes that wait.
    pub fn waiting(&self) -> (usize, usize) {
        let out = self.outgoing.lock();
        (out.queue.len(), out.bytes)
    }

    /// The task, or the poll, that is woken when there is something for it.
    pub fn register_reader(&self, waker: &Waker) {
        self.reader.register(waker);
    }

    /// Wakes whoever was registered.
    pub fn wake_reader(&self) {
        self.reader.wake();
    }

    /// What a poll may have: at least one item, of all of them at most `max_bytes`. With a socket
    /// there is nothing for a poll.
    pub fn take(&self, max_bytes: usize) -> Taken {
        let mut out = self.outgoing.lock();
        if self.transport.get().is_some() {
            return Taken::default();
        }
        let now = Instant::now();
        let was_congested = out.is_congested();
        let mut taken = Taken::default();
        let mut bytes = 0;
        while let Some(front) = out.queue.front() {
            bytes += front.frame.len();
            if bytes > max_bytes && !taken.frames.is_empty() {
                break;
            }
            let waited = now.saturating_duration_since(front.since);
            self.queues.observer.delivered(waited);
            if let Some(front) = out.queue.pop_front() {
                out.bytes -= front.frame.len();
                taken.frames.push(front.frame);
            }
        }
        out.shrink();
        self.count(&mut out);
        taken.is_last = out.queue.is_empty() && (out.dead || out.closing_since.is_some());
        let is_relieved = was_congested && !out.is_congested();
        drop(out);
        if is_relieved {
            self.room.wake();
        }
        taken
    }

    /// Writes what waits, as far as the socket takes it; asks to be woken for the rest.
    pub fn poll_drain(&self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(transport) = self.transport.get() else {
            return Ok(());
        };
        loop {
            match self.drain() {
                Ok(true) => return Ok(()),
                Ok(false) => match transport.poll_write_ready(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => {
                        self.kill();
                        return Err(error);
                    }
                    Poll::Pending => return Ok(()),
                },
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes until the queue is empty (true) or the socket is full (false).
    pub(super) fn drain(&self) -> io::Result<bool> {
        let Some(transport) = self.transport.get() else {
            return Ok(false);
        };
        let mut out = self.outgoing.lock();
        if out.dead {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let was_congested = out.is_congested();
        while !out.queue.is_empty() {
            match write_front(transport, &out) {
                Ok(count) => self.advance(&mut out, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked(&mut out, Instant::now());
                    let is_relieved = was_congested && !out.is_congested();
                    drop(out);
                    self.relieved(is_relieved);
                    return Ok(false);
                }
                Err(error) => {
                    drop(out);
                    self.kill();
                    return Err(error);
                }
            }
        }
        out.shrink();
        match transport.try_flush() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked(&mut out, Instant::now());
                drop(out);
                // The queue is empty, whatever waits beneath it.
                self.relieved(was_congested);
                return Ok(false);
            }
            Err(error) => {
                drop(out);
                self.kill();
                return Err(error);
            }
        }
        out.blocked_since = None;
        if out.closing_since.is_some() {
            // Nothing is left to be told: the peer's answer, or its absence, ends the connection.
            transport.close_write();
        }
        drop(out);
        self.relieved(was_congested);
        Ok(true)
    }

    /// Reading and writing may go on.
    pub(super) fn relieved(&self, is_relieved: bool) {
        if is_relieved {
            self.reader.wake();
            self.room.wake();
        }
    }

    fn advance(&self, out: &mut Outgoing, written: usize) {
        let now = Instant::now();
        out.blocked_since = None;
        out.bytes -= written;
        let mut left = out.offset + written;
        while let Some(front) = out.queue.front() {
            if left < front.frame.len() {
                break;
            }
            left -= front.frame.len();
            let waited = now.saturating_duration_since(front.since);
            self.queues.observer.delivered(waited);
            out.queue.pop_front();
        }
        out.offset = left;
        self.count(out);
    }
}

fn write_front(transport: &Transport, out: &Outgoing) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let mut count = 0;
    for (slot, waiting) in slices.iter_mut().zip(&out.queue) {
        let skip = if count == 0 { out.offset } else { 0 };
        *slot = IoSlice::new(&waiting.frame[skip..]);
        count += 1;
    }
    transport.try_write_vectored(&slices[..count])
}

//! The sending half of a WebSocket connection, shared by everybody who has something to send.
//!
//! A publisher writes a ready frame straight to the socket while nothing waits in front of it.
//! Only what the socket would not take is queued, and only then the connection's own task is woken
//! to write the rest. A frame is never torn: whoever finds the queue in use queues behind it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::deflate::compress_frames;
use super::outgoing::{Outgoing, Waiting};
pub use super::tap::{Class, LinkOptions, Overdue, Pushed, Tap};
use super::transport::Transport;

/// Answers may fill so many queues before their client is closed: it neither reads nor stops asking.
const REPLY_SLACK: usize = 8;

/// How long a peer may take to close its side after the server closed its own.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// How long a peer that was given up may take to read so far that it can be told why.
const ABANDON_GRACE: Duration = Duration::from_millis(500);

/// Frames written with one system call.
const MAX_SLICES: usize = 32;

/// The sending half. All methods are cheap, never block and may be called from any thread.
pub struct Link {
    me: Weak<Self>,
    transport: Transport,
    outgoing: Mutex<Outgoing>,
    /// The task that reads, and that writes what is queued.
    reader: AtomicWaker,
    /// A task that waits for room in the queue.
    writer: AtomicWaker,
    watching: AtomicBool,
    options: LinkOptions,
    tap: Arc<dyn Tap>,
}

/// Ends a link that nobody else ends in time: one that no publisher and no library holds to its
/// deadlines. They have theirs a little earlier, and count what they close.
async fn look_after(link: Weak<Link>) {
    let mut look = tokio::time::interval(Duration::from_secs(1));
    look.tick().await;
    loop {
        look.tick().await;
        let Some(link) = link.upgrade() else { return };
        // An error means that the connection is gone.
        let _ = link.drain();
        let overdue = Instant::now().checked_sub(Duration::from_secs(2));
        if overdue.and_then(|now| link.kill_if_overdue(now)).is_some() {
            return;
        }
        let mut out = link.outgoing.lock();
        if out.dead || (out.blocked_since.is_none() && out.closing_since.is_none()) {
            out.is_guarded = false;
            return;
        }
    }
}

impl Link {
    pub(super) fn new(transport: Transport, options: LinkOptions, tap: Arc<dyn Tap>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            transport,
            outgoing: Mutex::default(),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            watching: AtomicBool::new(false),
            options,
            tap,
        })
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(super) fn tap(&self) -> &dyn Tap {
        &*self.tap
    }

    /// The payload from which on this connection's messages are compressed; `None` if they are not.
    pub fn compression_threshold(&self) -> Option<usize> {
        self.options.compression_threshold
    }

    /// A frame, or several, as this connection gets them: compressed if that was agreed on and is
    /// worth it. For what goes to one connection alone; what goes to many is compressed once.
    pub fn fitted(&self, frames: Bytes) -> Bytes {
        self.options
            .compression_threshold
            .and_then(|threshold| compress_frames(&frames, threshold))
            .unwrap_or(frames)
    }

    /// Sends one whole frame. Frames pushed one after the other arrive in that order. On overflow
    /// the frame is not sent; the caller says how the connection ends.
    pub fn push(&self, frame: &Bytes, class: Class) -> Pushed {
        let mut out = self.outgoing.lock();
        if out.dead || out.closing_since.is_some() {
            return Pushed::Closed;
        }
        let now = Instant::now();
        let mut written = 0;
        let is_first = out.queue.is_empty();
        if !is_first {
            match self.room_for(&out, frame.len(), class) {
                Pushed::Queued => {}
                refused => return refused,
            }
        } else if !out.is_in_a_burst(class, now) {
            match self.transport.try_write(frame) {
                Ok(count) if count == frame.len() => {
                    if self.transport.has_unsent() {
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
        if is_first {
            out.offset = written;
        }
        out.bytes += frame.len() - written;
        out.queue.push_back(Waiting {
            frame: frame.clone(),
            since: now,
        });
        drop(out);
        // Whoever queued the first frame has woken the writing task; it takes what it finds.
        if is_first {
            self.reader.wake();
        }
        Pushed::Queued
    }

    fn room_for(&self, out: &Outgoing, length: usize, class: Class) -> Pushed {
        let (messages, bytes) = (out.queue.len() + 1, out.bytes + length);
        let LinkOptions {
            max_messages,
            max_bytes,
            ..
        } = self.options;
        match class {
            Class::Reply
                if messages > max_messages * REPLY_SLACK || bytes > max_bytes * REPLY_SLACK =>
            {
                Pushed::Overflow
            }
            Class::Reply => Pushed::Queued,
            Class::Droppable if messages * 2 > max_messages || bytes * 2 > max_bytes => {
                Pushed::Dropped
            }
            _ if messages > max_messages || bytes > max_bytes => Pushed::Overflow,
            _ => Pushed::Queued,
        }
    }

    /// Notes that the peer takes nothing at this moment, and sees that somebody watches it.
    fn blocked(&self, out: &mut Outgoing, now: Instant) {
        out.blocked_since.get_or_insert(now);
        self.guard(out);
    }

    /// A blocked or closing link has a task that ends it in time, whoever else has forgotten it.
    fn guard(&self, out: &mut Outgoing) {
        if out.is_guarded {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            out.is_guarded = true;
            runtime.spawn(look_after(Weak::clone(&self.me)));
        }
    }

    /// Accepts bytes that are whole frames, in order with everything pushed. Pending while too much
    /// waits; the caller then writes what waits itself, should nobody else be there to do it.
    pub(super) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
        frames: &[u8],
    ) -> Poll<io::Result<usize>> {
        if frames.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.is_congested() {
            self.writer.register(cx.waker());
            self.poll_drain(cx)?;
            if self.is_congested() {
                return Poll::Pending;
            }
        }
        match self.push(&self.fitted(Bytes::copy_from_slice(frames)), Class::Reply) {
            Pushed::Closed | Pushed::Overflow => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Pushed::Written | Pushed::Queued | Pushed::Dropped => Poll::Ready(Ok(frames.len())),
        }
    }

    /// Watch the accepted frames for the marker: it is swallowed, and the tap is told, once.
    pub fn watch(&self) {
        self.watching.store(true, Ordering::Release);
    }

    pub fn is_watching(&self) -> bool {
        self.watching.load(Ordering::Acquire)
    }

    pub(super) fn marker_seen(&self) {
        self.watching.store(false, Ordering::Release);
        self.tap.marker_passed();
    }

    /// Whether so much waits that reading from the client pauses.
    pub fn is_congested(&self) -> bool {
        self.outgoing.lock().is_congested()
    }

    /// Frames and bytes that wait.
    pub fn waiting(&self) -> (usize, usize) {
        let out = self.outgoing.lock();
        (out.queue.len(), out.bytes)
    }

    pub(super) fn register_reader(&self, waker: &Waker) {
        self.reader.register(waker);
    }

    /// Writes what waits, as far as the socket takes it; asks to be woken for the rest.
    pub(super) fn poll_drain(&self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            match self.drain() {
                Ok(true) => return Ok(()),
                Ok(false) => match self.transport.poll_write_ready(cx) {
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
        let mut out = self.outgoing.lock();
        if out.dead {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let had_something = !out.queue.is_empty() || out.blocked_since.is_some();
        let was_congested = out.is_congested();
        while !out.queue.is_empty() {
            match self.write_front(&out) {
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
        match self.transport.try_flush() {
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
        if had_something {
            out.blocked_since = None;
            if out.queue.capacity() > 64 {
                out.queue = VecDeque::new();
            }
        }
        if out.closing_since.is_some() {
            // Nothing is left to be told: the peer's answer, or its absence, ends the connection.
            self.transport.close_write();
        }
        drop(out);
        self.relieved(was_congested);
        Ok(true)
    }

    /// Reading and writing may go on.
    fn relieved(&self, is_relieved: bool) {
        if is_relieved {
            self.reader.wake();
            self.writer.wake();
        }
    }

    fn write_front(&self, out: &Outgoing) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        for (slot, waiting) in slices.iter_mut().zip(&out.queue) {
            let skip = if count == 0 { out.offset } else { 0 };
            *slot = IoSlice::new(&waiting.frame[skip..]);
            count += 1;
        }
        self.transport.try_write_vectored(&slices[..count])
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
            self.tap
                .delivered(now.saturating_duration_since(front.since));
            out.queue.pop_front();
        }
        out.offset = left;
    }

    /// Sends a last frame, if any, and closes this side once everything is written. The peer then
    /// has five seconds to close its own.
    pub fn finish(&self, last: Option<&Bytes>) {
        if let Some(frame) = last {
            self.push(frame, Class::Reply);
        }
        self.closing(&mut self.outgoing.lock());
        // An error means that the connection is gone, which is what was wanted.
        let _ = self.drain();
        self.reader.wake();
    }

    fn closing(&self, out: &mut Outgoing) {
        if !out.dead {
            out.closing_since.get_or_insert_with(Instant::now);
            self.guard(out);
        }
    }

    /// Gives up what waits, but for a frame that is on its way already, and closes with this frame.
    pub fn abandon(&self, last: &Bytes) {
        let mut out = self.outgoing.lock();
        let begun = usize::from(out.offset > 0);
        out.queue.truncate(begun);
        out.bytes = out
            .queue
            .front()
            .map_or(0, |front| front.frame.len() - out.offset);
        drop(out);
        self.finish(Some(last));
        if self.waiting().0 == 0 {
            return;
        }
        // Its place is needed by others.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let link = Weak::clone(&self.me);
            runtime.spawn(async move {
                tokio::time::sleep(ABANDON_GRACE).await;
                if let Some(link) = link.upgrade().filter(|link| link.waiting().0 > 0) {
                    link.kill();
                }
            });
        }
    }

    /// Closes the connection at once; what waits is lost.
    pub fn kill(&self) {
        let mut out = self.outgoing.lock();
        if out.dead {
            return;
        }
        *out = Outgoing {
            dead: true,
            ..Outgoing::default()
        };
        drop(out);
        self.transport.close();
        self.reader.wake();
        self.writer.wake();
    }

    pub fn is_dead(&self) -> bool {
        self.outgoing.lock().dead
    }

    /// Kills the connection if its peer has taken nothing for the write timeout, or did not close
    /// its side in time.
    pub fn kill_if_overdue(&self, now: Instant) -> Option<Overdue> {
        let older = |since: Option<Instant>, limit| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
        };
        let overdue = {
            let out = self.outgoing.lock();
            if older(out.blocked_since, self.options.write_timeout) {
                Some(Overdue::Stalled)
            } else if out.queue.is_empty() && older(out.closing_since, CLOSE_GRACE) {
                Some(Overdue::Closing)
            } else {
                None
            }
        };
        if overdue.is_some() {
            self.kill();
        }
        overdue
    }
}

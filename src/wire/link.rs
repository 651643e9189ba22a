//! The sending half of a WebSocket connection, shared by everybody who has something to send.
//!
//! A publisher writes a ready frame straight to the socket while nothing waits in front of it.
//! Only what the socket would not take is queued, and only then the connection's own task is woken
//! to write the rest. A frame is never torn: whoever finds the queue in use queues behind it.

use std::collections::VecDeque;
use std::hint::black_box;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::deflate::compress_frames;
use super::flusher::{Flusher, List};
use super::outgoing::{MAX_SLICES, Outgoing, Waiting};
pub use super::tap::{Class, LinkOptions, Overdue, Pushed, Tap};
use super::transport::Transport;

/// Answers may fill so many queues before their client is closed: it neither reads nor stops asking.
const REPLY_SLACK: usize = 8;

/// The sending half. All methods are cheap, never block and may be called from any thread.
pub struct Link {
    pub(super) me: Weak<Self>,
    pub(super) transport: Transport,
    pub(super) outgoing: Mutex<Outgoing>,
    /// The task that reads, and that writes what is queued.
    pub(super) reader: AtomicWaker,
    /// A task that waits for room in the queue.
    pub(super) writer: AtomicWaker,
    watching: AtomicBool,
    /// Where it stands in a burst.
    list: Arc<List>,
    pub(super) options: LinkOptions,
    tap: Arc<dyn Tap>,
}

impl Link {
    pub(super) fn new(
        transport: Transport,
        options: LinkOptions,
        flusher: &Flusher,
        tap: Arc<dyn Tap>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            transport,
            outgoing: Mutex::default(),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            watching: AtomicBool::new(false),
            list: flusher.list(),
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

    /// Reads what a push reads first.
    pub fn warm(&self) {
        black_box(self.outgoing.is_locked());
    }

    /// Sends one whole frame. Frames pushed one after the other arrive in that order. On overflow
    /// the frame is not sent; the caller says how the connection ends.
    pub fn push(&self, frame: &Bytes, class: Class) -> Pushed {
        match self.push_if_room(frame, class) {
            // Nobody is behind yet whose queue is full of what only waits for more to come.
            Pushed::Dropped | Pushed::Overflow if self.outgoing.lock().is_postponed() => {
                self.flush();
                self.push_if_room(frame, class)
            }
            pushed => pushed,
        }
    }

    fn push_if_room(&self, frame: &Bytes, class: Class) -> Pushed {
        let mut out = self.outgoing.lock();
        if out.dead || out.closing_since.is_some() {
            return Pushed::Closed;
        }
        let now = Instant::now();
        let mut written = 0;
        let is_first = out.queue.is_empty();
        let mut is_postponed = false;
        if !is_first {
            match self.room_for(&out, frame.len(), class) {
                Pushed::Queued => {}
                refused => return refused,
            }
        } else if out.is_in_a_burst(class, now) {
            is_postponed = true;
        } else {
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
        // Events wait for more to come, but not so long that a system call could not take them all,
        // and a client that asks is not kept waiting by them.
        let is_urgent = out.is_postponed() && (class == Class::Reply || out.is_worth_a_write());
        let is_new = is_postponed && !std::mem::replace(&mut out.is_listed, true);
        drop(out);
        if is_new {
            let me = self.me.upgrade();
            if !me.is_some_and(|me| self.list.add(me)) {
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

    /// The list has come to this link.
    pub(super) fn flush_listed(&self) {
        self.outgoing.lock().is_listed = false;
        self.flush();
    }

    /// Writes what waits, and has the connection's own task write what the socket does not take.
    pub(super) fn flush(&self) {
        if self.drain().is_ok_and(|is_empty| !is_empty) {
            self.reader.wake();
        }
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
}

//! A connection under HTTP, with a limit to how long each of its states may last: the wait for a
//! request, its headers, the peer's taking of a response, and the end.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::connections::{TcpSlot, Waiting};
pub use super::request_bounds::BodyLength;
use super::request_bounds::RequestBounds;
use super::transport::Transport;

/// How long a connection that ends is still read from, for a peer that has not yet sent all of what
/// nobody wants: a socket that is closed with unread bytes is reset, and the answer lost with it.
const LINGER_TIME: Duration = Duration::from_secs(3);
/// How much is read and thrown away in this time.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// How long each state may last.
#[derive(Debug, Clone, Copy)]
pub struct HttpTimeouts {
    /// From a request's first byte to the end of its headers; for the first request from the
    /// connection's beginning on, which includes a TLS handshake.
    pub header: Duration,
    /// From a response to the next request's first byte.
    pub keep_alive: Duration,
    /// While the peer takes nothing of a response.
    pub write: Duration,
}

/// Why a stream ended itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The headers took too long.
    Header,
    /// The next request did not come in time.
    KeepAlive,
    /// The peer took nothing for too long.
    Write,
    /// It was given up for another connection.
    GivenUp,
}

/// What a connection does, as the service above and its stream tell each other.
#[derive(Debug)]
pub struct Phase(Mutex<State>);

#[derive(Debug)]
struct State {
    serving: usize,
    /// Requests that were begun to be served since the stream last looked, and the last one's body.
    begun: usize,
    last: BodyLength,
    body: BodyState,
    /// When the last request that was served came to its end.
    idle_since: Instant,
    /// The stream's own timer has it look at the time in time.
    is_timed: bool,
    ended: Option<Ended>,
    slot: TcpSlot,
}

/// Of the last request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyState {
    Read,
    Coming,
    /// Nobody wants what is still to come.
    Unwanted,
}

/// A request is being served as long as this lives.
pub struct Serving(Arc<Phase>);

impl Phase {
    pub fn new(slot: TcpSlot) -> Self {
        Self(Mutex::new(State {
            serving: 0,
            begun: 0,
            last: BodyLength::NONE,
            body: BodyState::Read,
            idle_since: Instant::now(),
            is_timed: false,
            ended: None,
            slot,
        }))
    }

    pub fn serve(self: &Arc<Self>, body: BodyLength) -> Serving {
        let mut state = self.0.lock();
        state.serving += 1;
        state.begun += 1;
        state.last = body;
        state.body = if body == BodyLength::NONE {
            BodyState::Read
        } else {
            BodyState::Coming
        };
        state.slot.work();
        Serving(Arc::clone(self))
    }

    /// The body of the request that is being served came to its end.
    pub fn body_is_read(&self) {
        let mut state = self.0.lock();
        state.body = BodyState::Read;
        if state.serving > 0 {
            state.slot.work();
        }
    }

    /// The request is answered without the rest of its body, and the connection ends with it.
    pub fn body_is_unwanted(&self) {
        self.0.lock().body = BodyState::Unwanted;
    }

    fn end(&self, why: Ended) -> io::Error {
        self.0.lock().ended = Some(why);
        io::ErrorKind::TimedOut.into()
    }

    /// Why the stream ended itself, if it did.
    pub fn ended(&self) -> Option<Ended> {
        self.0.lock().ended
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.serving -= 1;
        if state.serving > 0 {
            return;
        }
        state.idle_since = Instant::now();
        state.slot.wait_anew(Waiting::Request);
        // Between two requests HTTP does not read by itself, so somebody has to have the stream look at
        // the time.
        if !state.is_timed {
            state.slot.wake();
        }
    }
}

/// What is waited for while no request is being served; a body has a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Nothing of the next request has come.
    Idle,
    Headers,
}

/// The stream that HTTP runs on.
pub struct HttpStream {
    transport: Transport,
    phase: Arc<Phase>,
    timeouts: HttpTimeouts,
    reading: Reading,
    bounds: RequestBounds,
    /// The end of the state that reading is in.
    deadline: Instant,
    /// Wakes at the deadline or before it: most states end long before theirs, and a timer that is set
    /// anew for each request costs more than one that fires for nothing now and then.
    timer: Pin<Box<Sleep>>,
    /// The timer wakes this stream's task.
    is_timed: bool,
    /// The end of a write that makes no progress.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Once this side is closed, how much may still be thrown away.
    lingering: Option<usize>,
}

impl HttpStream {
    pub fn new(transport: Transport, timeouts: HttpTimeouts, phase: Arc<Phase>) -> Self {
        let deadline = Instant::now() + timeouts.header;
        Self {
            transport,
            phase,
            timeouts,
            reading: Reading::Headers,
            bounds: RequestBounds::default(),
            deadline,
            timer: Box::pin(tokio::time::sleep_until(deadline)),
            is_timed: false,
            stalled: None,
            lingering: None,
        }
    }

    pub(super) fn into_transport(self) -> Transport {
        self.transport
    }

    fn limit(&mut self, time: Duration) {
        self.deadline = Instant::now() + time;
        self.phase.0.lock().slot.wait_anew(Waiting::Request);
    }

    /// While a request is served there is no deadline, but afterwards there is one, and nobody else may
    /// see to it that it is kept. No deadline is shorter than this.
    fn keep_timed(&mut self, cx: &mut Context<'_>) {
        let now = Instant::now();
        let latest = now + self.timeouts.header.min(self.timeouts.keep_alive);
        let end = self.timer.deadline();
        if self.is_timed && now < end && end <= latest {
            return;
        }
        if end > latest {
            self.timer.as_mut().reset(latest);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            self.timer.as_mut().reset(latest);
        }
        self.set_timed();
    }

    fn set_timed(&mut self) {
        if !self.is_timed {
            self.is_timed = true;
            self.phase.0.lock().is_timed = true;
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline < self.timer.deadline() {
            self.timer.as_mut().reset(self.deadline);
        }
        self.set_timed();
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.deadline <= self.timer.deadline() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.deadline);
        }
    }

    /// Looks whether requests were served since it last looked, and nothing is served any more. Fails
    /// once the connection is given up; else its task is woken when it is.
    fn look_around(&mut self, cx: &Context<'_>) -> io::Result<()> {
        let mut state = self.phase.0.lock();
        if state.slot.poll_given_up(cx.waker()) {
            drop(state);
            return Err(self.phase.end(Ended::GivenUp));
        }
        if state.serving > 0 || state.begun == 0 {
            return Ok(());
        }
        let (begun, last, idle_since) = (
            std::mem::take(&mut state.begun),
            state.last,
            state.idle_since,
        );
        drop(state);
        let is_more = self.bounds.served(begun, last);
        self.reading = if is_more {
            Reading::Headers
        } else {
            Reading::Idle
        };
        let time = if is_more {
            self.timeouts.header
        } else {
            self.timeouts.keep_alive
        };
        self.deadline = idle_since + time;
        Ok(())
    }

    /// Whether a request is being served. If its body is waited for, then with the turn of those.
    fn is_serving(&self, is_waiting: bool) -> bool {
        let state = self.phase.0.lock();
        let is_serving = state.serving > 0;
        if is_serving && is_waiting && state.body == BodyState::Coming {
            state.slot.wait(Waiting::Body);
        }
        is_serving
    }

    /// Whether the peer may be sending what nobody reads any more.
    fn must_linger(&mut self, cx: &Context<'_>) -> bool {
        if self.look_around(cx).is_err() {
            return false;
        }
        let body = self.phase.0.lock().body;
        body == BodyState::Unwanted || !self.bounds.is_at_start()
    }

    fn watch_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let timeout = self.timeouts.write;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(self.phase.end(Ended::Write))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.look_around(cx)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.transport).poll_read(cx, buffer);
        if read.is_ready() {
            this.bounds.pass(&mut buffer.filled_mut()[before..]);
        }
        if this.is_serving(read.is_pending()) {
            if read.is_pending() {
                this.keep_timed(cx);
            }
            return read;
        }
        if read.is_ready() {
            if this.reading == Reading::Idle {
                this.reading = Reading::Headers;
                this.limit(this.timeouts.header);
            }
            return read;
        }
        match this.poll_deadline(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                let why = match this.reading {
                    Reading::Headers => Ended::Header,
                    Reading::Idle => Ended::KeepAlive,
                };
                Poll::Ready(Err(this.phase.end(why)))
            }
        }
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.transport).poll_write(cx, bytes);
        this.watch_write(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.transport).poll_write_vectored(cx, slices);
        this.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.transport).poll_flush(cx);
        this.watch_write(cx, flushed)
    }

    /// Closes this side behind everything that was written. If the peer is still sending, that is
    /// read and thrown away until it closes its side too, for a while.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.transport).poll_shutdown(cx))?;
            if !this.must_linger(cx) {
                return Poll::Ready(Ok(()));
            }
            this.limit(LINGER_TIME);
        }
        let mut left = this.lingering.unwrap_or(LINGER_BYTES);
        let mut scrap = [0; 4096];
        while left > 0 && !this.phase.0.lock().slot.poll_given_up(cx.waker()) {
            this.lingering = Some(left);
            let mut buffer = ReadBuf::new(&mut scrap);
            match Pin::new(&mut this.transport).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    left = left.saturating_sub(buffer.filled().len());
                }
                // It has closed its side, or is gone.
                Poll::Ready(_) => break,
                Poll::Pending => {
                    ready!(this.poll_deadline(cx));
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

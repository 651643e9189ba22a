//! A connection under HTTP, with a limit to how long each of its states may last: the wait for a
//! request, its headers, and the peer's taking of a response.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::transport::Transport;

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

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimedOut {
    Header,
    KeepAlive,
    Write,
}

/// What a connection does, as the service above and its stream tell each other.
#[derive(Debug, Default)]
pub struct Phase {
    serving: AtomicUsize,
    /// Requests that were ever begun to be served.
    served: AtomicUsize,
    timed_out: AtomicU8,
    /// The task of the stream: between two requests HTTP does not read by itself, so the end of one
    /// has it look at the time.
    reader: AtomicWaker,
}

/// A request is being served as long as this lives.
pub struct Serving(Arc<Phase>);

impl Phase {
    pub fn serve(self: &Arc<Self>) -> Serving {
        self.served.fetch_add(1, Ordering::Relaxed);
        self.serving.fetch_add(1, Ordering::Relaxed);
        Serving(Arc::clone(self))
    }

    fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Acquire) > 0
    }

    fn time_out(&self, what: TimedOut) -> io::Error {
        self.timed_out.store(what as u8 + 1, Ordering::Relaxed);
        io::ErrorKind::TimedOut.into()
    }

    /// Why the stream ended itself, if it did.
    pub fn timed_out(&self) -> Option<TimedOut> {
        match self.timed_out.load(Ordering::Relaxed) {
            1 => Some(TimedOut::Header),
            2 => Some(TimedOut::KeepAlive),
            3 => Some(TimedOut::Write),
            _ => None,
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::Release);
        self.0.reader.wake();
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
    /// Of [`Phase::served`], what was seen here.
    served: usize,
    /// The end of the state that reading is in.
    deadline: Pin<Box<Sleep>>,
    /// The end of a write that makes no progress.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl HttpStream {
    pub fn new(transport: Transport, timeouts: HttpTimeouts, phase: Arc<Phase>) -> Self {
        Self {
            transport,
            phase,
            timeouts,
            reading: Reading::Headers,
            served: 0,
            deadline: Box::pin(tokio::time::sleep(timeouts.header)),
            stalled: None,
        }
    }

    pub(super) fn into_transport(self) -> Transport {
        self.transport
    }

    fn limit(&mut self, reading: Reading, time: Duration) {
        self.reading = reading;
        self.deadline.as_mut().reset(Instant::now() + time);
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
            Poll::Ready(()) => Poll::Ready(Err(self.phase.time_out(TimedOut::Write))),
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
        this.phase.reader.register(cx.waker());
        let read = Pin::new(&mut this.transport).poll_read(cx, buffer);
        if this.phase.is_serving() {
            return read;
        }
        let served = this.phase.served.load(Ordering::Relaxed);
        if served != this.served {
            this.served = served;
            this.limit(Reading::Idle, this.timeouts.keep_alive);
        }
        if read.is_ready() {
            if this.reading == Reading::Idle {
                this.limit(Reading::Headers, this.timeouts.header);
            }
            return read;
        }
        match this.deadline.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                let what = match this.reading {
                    Reading::Headers => TimedOut::Header,
                    Reading::Idle => TimedOut::KeepAlive,
                };
                Poll::Ready(Err(this.phase.time_out(what)))
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

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}

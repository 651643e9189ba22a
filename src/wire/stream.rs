//! The stream under a WebSocket library: `AsyncRead` and `AsyncWrite` over a transport, sharing its sending
//! half with publishers through a [`Link`].
//!
//! The library above must write whole frames with each call, as tungstenite does (it encodes a
//! frame into its buffer and then writes the buffer out); the stream takes a call's bytes wholly or
//! not at all, so frames of the library and frames of publishers never mix.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::flusher::Flusher;
use super::frame;
use super::inbound::Inbound;
use super::link::{Class, Link, LinkOptions, Tap};
use super::transport::Transport;

/// How much is read from the socket at once; the space is on the stack.
const READ_BYTES: usize = 4096;

/// The owner's half of a connection; dropping it closes the connection.
pub struct Stream {
    link: Arc<Link>,
    marker: &'static [u8],
    read_ahead: Bytes,
    inbound: Inbound,
    /// Whole messages for the library above, and how much of them it has read.
    ready: Vec<u8>,
    taken: usize,
    /// The client broke the rules: what it sends is read and thrown away.
    is_deaf: bool,
}

impl Stream {
    /// `read_ahead` is what the client sent behind its handshake; `marker` the text of the frame
    /// that [`Link::watch`] waits for.
    pub fn new(
        transport: Transport,
        read_ahead: Bytes,
        marker: &'static [u8],
        options: LinkOptions,
        flusher: &Flusher,
        tap: Arc<dyn Tap>,
    ) -> Self {
        Self {
            link: Link::new(transport, options, flusher, tap),
            marker,
            read_ahead,
            inbound: Inbound::new(
                options.max_message_size,
                options.compression_threshold.is_some(),
            ),
            ready: Vec::new(),
            taken: 0,
            is_deaf: false,
        }
    }

    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    fn feed(&mut self, bytes: &[u8]) {
        let tap = self.link.tap();
        let fed = self
            .inbound
            .feed(bytes, &mut self.ready, |text| tap.inspect(text));
        for _ in 0..self.inbound.take_controls() {
            tap.control();
        }
        if let Err(violation) = fed {
            self.is_deaf = true;
            self.link.finish(Some(&tap.violated(violation)));
        }
    }

    /// Hands out what is ready. False if nothing is.
    fn hand_out(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let left = &self.ready[self.taken..];
        if left.is_empty() {
            return false;
        }
        let count = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..count]);
        self.taken += count;
        if self.taken == self.ready.len() {
            (self.ready, self.taken) = (Vec::new(), 0);
        }
        true
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // What waits gets its last chance; an error only says that the peer is gone.
        let _ = self.link.drain();
        self.link.kill();
        self.link.tap().closed();
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.link.register_reader(cx.waker());
        this.link.poll_drain(cx)?;
        if this.hand_out(buffer) {
            return Poll::Ready(Ok(()));
        }
        if this.link.is_congested() {
            return Poll::Pending;
        }
        let read_ahead = std::mem::take(&mut this.read_ahead);
        this.feed(&read_ahead);
        let mut chunk = [0; READ_BYTES];
        while !this.hand_out(buffer) {
            ready!(this.link.transport().poll_read_ready(cx))?;
            match this.link.transport().try_read(&mut chunk) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(_) if this.is_deaf => {}
                Ok(count) => this.feed(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        frames: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.link.is_watching()
            && let Some((before, after)) = frame::split_at_text(frames, self.marker)
        {
            // The marker itself never leaves the server. What stood before it goes first, then what
            // the tap sends, then the rest.
            ready!(self.link.poll_accept(cx, before))?;
            self.link.marker_seen();
            if !after.is_empty() {
                let after = self.link.fitted(Bytes::copy_from_slice(after));
                self.link.push(&after, Class::Reply);
            }
            return Poll::Ready(Ok(frames.len()));
        }
        let accepted = self.link.poll_accept(cx, frames);
        if accepted.is_ready() {
            self.link.tap().sent(frames);
        }
        accepted
    }

    /// Everything accepted is in the link's queue, which writes itself: there is nothing to wait for.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.drain()?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.finish(None);
        Poll::Ready(Ok(()))
    }
}

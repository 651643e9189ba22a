//! What a connection's own task does: it reads messages, and meanwhile writes what is queued.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};
use std::time::Duration;

use super::read::{Message, MessageReader, ReadError};
use crate::wire::buffers::rounded;
use crate::wire::send_queue::counting::HeldInput;
use crate::wire::send_queue::link::Link;
use crate::wire::transport::Transport;

/// How long a client may take to read what it is told last.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// The next message of at most `limit` bytes, or `None` at the end of the stream. While the client
/// takes too little of what it is sent, nothing more is read from it.
pub async fn next_message(
    link: &Link,
    reader: &mut MessageReader,
    limit: usize,
) -> Result<Option<Message>, ReadError> {
    poll_fn(|cx| {
        link.register_reader(cx.waker());
        if link.is_given_up() {
            return Poll::Ready(Err(ReadError::GivenUp));
        }
        link.poll_drain(cx)?;
        let polled = match link.transport() {
            Some(transport) if !link.is_congested() => reader.poll_next(cx, transport, limit),
            Some(_) => Poll::Pending,
            None => Poll::Ready(Ok(None)),
        };
        let message = match &polled {
            Poll::Ready(Ok(Some(message))) => message.length(),
            _ => 0,
        };
        let held = rounded(reader.held() + message);
        if held != reader.counted {
            reader.counted = held;
            link.hold(HeldInput::Unread, held);
            if link.is_given_up() {
                return Poll::Ready(Err(ReadError::GivenUp));
            }
        }
        polled
    })
    .await
}

/// Lets the peer read what it is told last: closing a socket with unread input would reset it.
pub async fn linger(link: &Link) {
    let mut scrap = [0; 1024];
    let until_closed = poll_fn(|cx| {
        link.register_reader(cx.waker());
        let Some(transport) = link.transport() else {
            return Poll::Ready(());
        };
        loop {
            if link.poll_drain(cx).is_err() {
                return Poll::Ready(());
            }
            if ready!(transport.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match transport.try_read(&mut scrap) {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    });
    // Who does not close in time is cut off.
    let _ = tokio::time::timeout(CLOSE_GRACE, until_closed).await;
}

/// Writes all of it, for whoever has no queue yet.
pub async fn write_all(transport: &Transport, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    poll_fn(|cx| {
        loop {
            let is_last = rest.is_empty();
            let step = if is_last {
                transport.try_flush()
            } else {
                transport.try_write(rest).map(|count| rest = &rest[count..])
            };
            match step {
                Ok(()) if is_last => return Poll::Ready(Ok(())),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(transport.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    })
    .await
}

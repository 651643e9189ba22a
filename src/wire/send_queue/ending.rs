//! How a link ends: told why and closed, given up, or closed at once; and who sees to it in time.

use std::sync::Weak;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::link::Link;
use super::outgoing::Outgoing;
use super::{DropPolicy, Overdue};

/// How long a peer may take to close its side after the server closed its own.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// How long a peer that was given up may take to read so far that it can be told why.
const ABANDON_GRACE: Duration = Duration::from_millis(500);

/// Ends a link that nobody else ends in time: one whose owner does not hold it to its deadlines. Owners
/// have theirs a little earlier, and count what they close.
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
    /// A blocked or closing link has a task that ends it in time, whoever else has forgotten it.
    pub(super) fn guard(&self, out: &mut Outgoing) {
        if out.is_guarded {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            out.is_guarded = true;
            runtime.spawn(look_after(Weak::clone(&self.me)));
        }
    }

    /// Sends a last frame, if any, and closes this side once everything is written. The peer then
    /// has five seconds to close its own. Without a socket, a poll that takes the last that waits is
    /// told so.
    pub fn finish(&self, last: Option<&Bytes>) {
        if let Some(frame) = last {
            self.push(frame, DropPolicy::Reply);
        }
        self.closing(&mut self.outgoing.lock());
        // An error means that the connection is gone, which is what was wanted.
        let _ = self.drain();
        self.reader.wake();
    }

    fn closing(&self, out: &mut Outgoing) {
        if !out.dead {
            out.closing_since.get_or_insert_with(Instant::now);
            if self.transport.get().is_some() {
                self.guard(out);
            }
        }
    }

    /// Gives up what waits, but for a frame that is on its way already, and closes with this frame.
    pub fn abandon(&self, last: &Bytes) {
        self.clear(&mut self.outgoing.lock());
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

    /// Forgets what waits, but for a frame that is on its way already.
    pub(super) fn clear(&self, out: &mut Outgoing) {
        let begun = usize::from(out.offset > 0);
        out.queue.truncate(begun);
        out.bytes = out
            .queue
            .front()
            .map_or(0, |front| front.frame.len() - out.offset);
        out.shrink();
        self.count(out);
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
        if let Some(transport) = self.transport.get() {
            transport.close();
        }
        self.reader.wake();
        self.relieved(true);
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
            if older(out.blocked_since, self.queues.options.write_timeout) {
                Some(Overdue::Stalled)
            } else if out.is_given_up {
                Some(Overdue::GivenUp)
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

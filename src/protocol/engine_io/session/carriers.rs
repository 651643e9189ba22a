//! What a session rides on: polls and posts, one of each at a time, and the WebSocket that it moves to.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{
    Application, Carrier, CloseReason, Farewell, Polled, Probe, Refusal, Session, Socket,
    last_frame,
};
use crate::wire::transport::Transport;

/// How often a poll is answered with nothing while the client's probe is good.
pub(super) const NOOP_INTERVAL: Duration = Duration::from_millis(100);

impl<A: Application> Session<A> {
    /// A poll begins. A second one beside it ends the session, as in the reference implementation:
    /// one of them would get what belongs to the other.
    pub(in crate::protocol::engine_io) fn begin_poll(
        self: &Arc<Self>,
    ) -> Result<PollGuard<A>, Refusal> {
        self.check_due();
        {
            let mut state = self.state.lock();
            match state.carrier {
                Carrier::Closed(_) => return Err(Refusal::UnknownSession),
                Carrier::WebSocket => return Err(Refusal::BadRequest),
                Carrier::Polling if !state.is_polled => {
                    state.is_polled = true;
                    return Ok(PollGuard {
                        session: Arc::clone(self),
                        is_answered: false,
                    });
                }
                Carrier::Polling => {}
            }
        }
        self.end(Some(CloseReason::ProtocolError), Socket::Cut);
        Err(Refusal::BadRequest)
    }

    pub(in crate::protocol::engine_io) fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Polled> {
        self.link.register_reader(cx.waker());
        let taken = self.link.take(self.shared.options.max_answer);
        if taken.is_last
            && let Some(closing) = self.closing()
        {
            let farewell = Farewell::of(closing);
            if taken.frames.is_empty() {
                self.end(None, Socket::Cut);
                return Poll::Ready(Polled::Over(farewell));
            }
            // A close packet in the same answer would be handled before what stands in front of it: a
            // stock client reads its messages a tick later.
            if farewell == Farewell::UnknownSession {
                self.end(None, Socket::Cut);
            }
        }
        if !taken.frames.is_empty() {
            return Poll::Ready(Polled::Taken(taken.frames));
        }
        let mut state = self.state.lock();
        match state.carrier {
            Carrier::Closed(Some(farewell)) => return Poll::Ready(Polled::Over(farewell)),
            Carrier::Closed(None) | Carrier::WebSocket => return Poll::Ready(Polled::Noop),
            Carrier::Polling => {}
        }
        let now = Instant::now();
        match &mut state.probe {
            Some(probe) if probe.is_answered && probe.may_release(now) => {
                probe.released_at = Some(now);
                Poll::Ready(Polled::Noop)
            }
            _ => Poll::Pending,
        }
    }

    fn closing(&self) -> Option<CloseReason> {
        self.state.lock().closing.map(|closing| closing.reason)
    }

    /// A request with packets begins. A second one beside it ends the session, as above.
    pub(in crate::protocol::engine_io) fn begin_post(
        self: &Arc<Self>,
    ) -> Result<PostGuard<A>, Refusal> {
        self.check_due();
        {
            let mut state = self.state.lock();
            match state.carrier {
                Carrier::Closed(_) => return Err(Refusal::UnknownSession),
                Carrier::WebSocket => return Err(Refusal::BadRequest),
                Carrier::Polling if !state.is_posting => {
                    state.is_posting = true;
                    return Ok(PostGuard {
                        session: Arc::clone(self),
                        is_done: false,
                    });
                }
                Carrier::Polling => {}
            }
        }
        self.end(Some(CloseReason::ProtocolError), Socket::Cut);
        Err(Refusal::BadRequest)
    }

    /// A WebSocket comes for a session that polls. `None` if there is one already: it has to go.
    pub(in crate::protocol::engine_io) fn begin_probe(
        self: &Arc<Self>,
    ) -> Result<Option<ProbeGuard<A>>, Refusal> {
        self.check_due();
        let mut state = self.state.lock();
        match state.carrier {
            Carrier::Closed(_) => return Err(Refusal::UnknownSession),
            Carrier::WebSocket => return Err(Refusal::BadRequest),
            Carrier::Polling if state.closing.is_some() => return Err(Refusal::BadRequest),
            Carrier::Polling => {}
        }
        if state.probe.is_some() {
            return Ok(None);
        }
        state.probes = state.probes.wrapping_add(1);
        let number = state.probes;
        state.probe = Some(Probe {
            number,
            is_answered: false,
            released_at: None,
        });
        Ok(Some(ProbeGuard {
            session: Arc::clone(self),
            number,
        }))
    }
}

impl Probe {
    fn may_release(&self, now: Instant) -> bool {
        self.released_at
            .is_none_or(|at| now.saturating_duration_since(at) >= NOOP_INTERVAL)
    }
}

/// A poll under way. If it is dropped unanswered, the client has given it up, as a page does that goes
/// away, and the session ends.
pub(in crate::protocol::engine_io) struct PollGuard<A: Application> {
    session: Arc<Session<A>>,
    is_answered: bool,
}

impl<A: Application> PollGuard<A> {
    pub fn answered(mut self) {
        self.is_answered = true;
    }
}

impl<A: Application> Drop for PollGuard<A> {
    fn drop(&mut self) {
        self.session.state.lock().is_polled = false;
        if !self.is_answered {
            self.session.left();
        }
    }
}

/// A request with packets under way. If it is dropped in the middle, what came of it is unknown to
/// the client, and the session ends.
pub(in crate::protocol::engine_io) struct PostGuard<A: Application> {
    session: Arc<Session<A>>,
    is_done: bool,
}

impl<A: Application> PostGuard<A> {
    pub fn done(mut self) {
        self.is_done = true;
    }
}

impl<A: Application> Drop for PostGuard<A> {
    fn drop(&mut self) {
        self.session.state.lock().is_posting = false;
        if !self.is_done {
            self.session.left();
        }
    }
}

/// A WebSocket that a session may move to. The session goes on as it was if this is dropped.
pub(in crate::protocol::engine_io) struct ProbeGuard<A: Application> {
    pub session: Arc<Session<A>>,
    number: u32,
}

impl<A: Application> ProbeGuard<A> {
    /// The probe was answered: the poll that waits is released, so that the client can move.
    pub fn answered(&self) {
        {
            let mut state = self.session.state.lock();
            match &mut state.probe {
                Some(probe) if probe.number == self.number => probe.is_answered = true,
                _ => return,
            }
        }
        self.session.link.wake_reader();
    }

    /// The client has moved: what waits goes to the socket, and so does everything after it, or the end
    /// of a session that the server has closed meanwhile. The socket comes back if the session is over.
    pub fn moved(&self, transport: Transport, deflates: bool) -> Result<(), Transport> {
        let mut state = self.session.state.lock();
        if state.carrier != Carrier::Polling {
            return Err(transport);
        }
        let last = state.closing.map(|closing| last_frame(closing.reason));
        let link = &self.session.link;
        link.attach(transport, deflates, last.as_ref())?;
        state.carrier = Carrier::WebSocket;
        drop(state);
        // A poll that still waits is released.
        self.session.link.wake_reader();
        Ok(())
    }
}

impl<A: Application> Drop for ProbeGuard<A> {
    fn drop(&mut self) {
        let mut state = self.session.state.lock();
        if state.probe.is_some_and(|probe| probe.number == self.number) {
            state.probe = None;
        }
    }
}

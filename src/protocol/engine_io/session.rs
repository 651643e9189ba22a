//! One session, from its handshake to its end, whatever transport it is on.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engineioxide_core::{Packet, ProtocolVersion, Sid};
use parking_lot::Mutex;

use super::wheel::Scheduled;
use super::{Application, Refusal, Shared, packet};
use crate::domain::fault::CloseReason;
use crate::wire::send_queue::link::Link;
use crate::wire::send_queue::{DropPolicy, Pushed};
use crate::wire::transport::Transport;
use crate::wire::websocket::frame::close_frame;

/// How long a session lives whose poll was given up by the client, as a page does that goes away.
const ABANDONED_GRACE: Duration = Duration::from_millis(200);

/// How often a poll is answered with nothing while the client's probe is good.
const NOOP_INTERVAL: Duration = Duration::from_millis(100);

/// One session of Engine.IO.
pub struct Session<A: Application> {
    me: Weak<Self>,
    pub sid: Sid,
    pub version: ProtocolVersion,
    /// What the application knows of the client.
    pub connection: A::Connection,
    link: Arc<Link>,
    pub(super) shared: Arc<Shared<A>>,
    due: AtomicU32,
    state: Mutex<State>,
}

/// What carries the session at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Polling,
    WebSocket,
    /// The session is over. The poll that still waits is told so, or only released.
    Closed(Option<Farewell>),
}

#[derive(Debug)]
struct State {
    carrier: Carrier,
    /// A poll waits, or is being answered.
    is_polled: bool,
    is_posting: bool,
    /// Since when no poll waits because the client gave one up.
    abandoned_since: Option<Instant>,
    /// The WebSocket that the client wants to move to, by its number.
    probe: Option<Probe>,
    probes: u32,
    heartbeat: Heartbeat,
    /// The server has closed, and what was sent before is still on its way.
    closing: Option<Closing>,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    number: u32,
    /// Its `2probe` was answered: the poll that waits is to be released.
    is_answered: bool,
    released_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Heartbeat {
    /// v4: the server pings when this time has come.
    Due(Instant),
    /// v4: it has, and waits for the pong.
    Pinged(Instant),
    /// v3: the client pings, and did so then.
    Heard(Instant),
}

#[derive(Debug, Clone, Copy)]
struct Closing {
    since: Instant,
    reason: CloseReason,
}

/// What answers a poll.
#[derive(Debug)]
pub(super) enum Polled {
    /// What was sent; behind the last of it the session ends, as is said.
    Taken(Vec<Bytes>, Option<Farewell>),
    /// The client is to stop polling, or to poll again.
    Noop,
    /// The session has ended.
    Over(Farewell),
}

/// How a client that polls learns that the server has closed its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// By the close packet. Clients in several languages take it as the end and stay away.
    ClosePacket,
    /// By its next request, which is of no session that is known. Every client comes back after that.
    UnknownSession,
}

impl Farewell {
    fn of(reason: CloseReason) -> Self {
        if reason.should_reconnect() {
            Self::UnknownSession
        } else {
            Self::ClosePacket
        }
    }
}

/// What becomes of the socket under a session that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Socket {
    /// It is told the reason, behind everything that waits for it.
    Told,
    Cut,
}

impl<A: Application> Session<A> {
    pub(super) fn new(
        shared: &Arc<Shared<A>>,
        version: ProtocolVersion,
        connection: A::Connection,
        socket: Option<(Transport, bool)>,
    ) -> Arc<Self> {
        let now = Instant::now();
        let carrier = if socket.is_some() {
            Carrier::WebSocket
        } else {
            Carrier::Polling
        };
        let link = match socket {
            Some((transport, deflates)) => Link::over(&shared.queues, transport, deflates),
            None => Link::new(&shared.queues),
        };
        let heartbeat = match version {
            ProtocolVersion::V3 => Heartbeat::Heard(now),
            ProtocolVersion::V4 => Heartbeat::Due(now + shared.options.ping_interval),
        };
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            sid: Sid::new(),
            version,
            connection,
            link,
            shared: Arc::clone(shared),
            due: AtomicU32::new(0),
            state: Mutex::new(State {
                carrier,
                is_polled: false,
                is_posting: false,
                abandoned_since: None,
                probe: None,
                probes: 0,
                heartbeat,
                closing: None,
            }),
        })
    }

    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub fn is_polling(&self) -> bool {
        self.state.lock().carrier == Carrier::Polling
    }

    /// Whether the server has closed it, or it is over.
    pub fn is_closing(&self) -> bool {
        let state = self.state.lock();
        state.closing.is_some() || matches!(state.carrier, Carrier::Closed(_))
    }

    pub fn is_over(&self) -> bool {
        matches!(self.state.lock().carrier, Carrier::Closed(_))
    }

    /// Sends frames of [`packet`] that nothing may come between.
    pub fn push(&self, item: &Bytes, policy: DropPolicy) -> Pushed {
        self.link.push(item, policy)
    }

    /// Sends a packet of the server's own.
    pub(super) fn send(&self, packet: Packet) {
        self.link.push(&packet::frame(packet), DropPolicy::Reply);
    }

    /// Looks at the session at this time, at the latest.
    pub fn look_again(&self, at: Instant) {
        if let Some(me) = self.me.upgrade() {
            self.shared.wheel.schedule(&me, at);
        }
    }

    pub fn application(&self) -> &A {
        &self.shared.application
    }

    // How a session ends.

    /// Closes the session behind everything that was sent: a WebSocket with the reason's code, polling
    /// with the answer that takes the last of it.
    pub fn close(&self, reason: CloseReason) {
        let now = Instant::now();
        let (carrier, is_polled) = {
            let mut state = self.state.lock();
            if state.closing.is_some() {
                return;
            }
            state.closing = Some(Closing { since: now, reason });
            (state.carrier, state.is_polled)
        };
        match carrier {
            Carrier::Closed(_) => {}
            Carrier::WebSocket => self.link.finish(Some(&last_frame(reason))),
            Carrier::Polling if !is_polled && self.link.waiting().0 == 0 => {
                self.end(Some(reason), Socket::Cut);
            }
            Carrier::Polling => {
                self.link.finish(None);
                self.look_again(now + self.shared.queues.options.write_timeout);
            }
        }
    }

    /// Ends the session now, and has a socket told why behind everything that waits for it.
    pub fn finish(&self, reason: CloseReason) {
        self.end(Some(reason), Socket::Told);
    }

    /// Ends the session because of what its client sent, behind the answers to what it sent before.
    pub fn fail(&self, reason: CloseReason) {
        if self.is_polling() {
            self.close(reason);
        } else {
            self.finish(reason);
        }
    }

    /// Closes a client that does not take what it is sent, and tells it so if it reads on.
    pub fn abandon(&self, reason: CloseReason) {
        if self.state.lock().carrier == Carrier::WebSocket {
            self.link.abandon(&last_frame(reason));
            self.end(Some(reason), Socket::Told);
        } else {
            self.end(Some(reason), Socket::Cut);
        }
    }

    /// Ends the session at once; what waits is lost.
    pub fn kill(&self, reason: CloseReason) {
        self.end(Some(reason), Socket::Cut);
    }

    /// The client has closed it, or is gone.
    pub(super) fn left(&self) {
        self.end(None, Socket::Cut);
    }

    /// The client has closed it and waits for the end of its socket.
    pub(super) fn left_politely(&self, answer: &Bytes) {
        self.link.finish(Some(answer));
        self.end(None, Socket::Told);
    }

    /// The end, once; without a reason it was the client's will.
    fn end(&self, reason: Option<CloseReason>, socket: Socket) {
        let (reason, before) = {
            let mut state = self.state.lock();
            if matches!(state.carrier, Carrier::Closed(_)) {
                return;
            }
            let reason = state.closing.map(|closing| closing.reason).or(reason);
            let farewell = reason.map(Farewell::of);
            let before = std::mem::replace(&mut state.carrier, Carrier::Closed(farewell));
            (reason, before)
        };
        self.shared.sessions.remove(&self.sid);
        match (before, socket, reason) {
            (Carrier::WebSocket, Socket::Told, Some(reason)) => {
                self.link.finish(Some(&last_frame(reason)));
            }
            (Carrier::WebSocket, Socket::Told, None) => {}
            _ => self.link.kill(),
        }
        // Whoever drops the last of it has no more use for it.
        if let Some(me) = self.me.upgrade() {
            self.shared.application.closed(&me, reason);
        }
    }

    // Polling.

    /// A poll begins. A second one beside it ends the session, as in the reference implementation:
    /// one of them would get what belongs to the other.
    pub(super) fn begin_poll(self: &Arc<Self>) -> Result<PollGuard<A>, Refusal> {
        self.check_due();
        {
            let mut state = self.state.lock();
            match state.carrier {
                Carrier::Closed(_) => return Err(Refusal::UnknownSession),
                Carrier::WebSocket => return Err(Refusal::BadRequest),
                Carrier::Polling if !state.is_polled => {
                    state.is_polled = true;
                    state.abandoned_since = None;
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

    pub(super) fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Polled> {
        self.link.register_reader(cx.waker());
        let taken = self.link.take(self.shared.options.max_answer);
        if taken.is_last
            && let Some(closing) = self.closing()
        {
            let farewell = Farewell::of(closing);
            self.end(None, Socket::Cut);
            return Poll::Ready(if taken.frames.is_empty() {
                Polled::Over(farewell)
            } else {
                Polled::Taken(taken.frames, Some(farewell))
            });
        }
        if !taken.frames.is_empty() {
            return Poll::Ready(Polled::Taken(taken.frames, None));
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
    pub(super) fn begin_post(self: &Arc<Self>) -> Result<PostGuard<A>, Refusal> {
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

    // Moving to a WebSocket.

    /// A WebSocket comes for a session that polls. `None` if there is one already: it has to go.
    pub(super) fn begin_probe(self: &Arc<Self>) -> Result<Option<ProbeGuard<A>>, Refusal> {
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

    // Heartbeats and deadlines.

    /// The client's ping (v3), which is answered.
    pub(super) fn pinged(&self) {
        self.state.lock().heartbeat = Heartbeat::Heard(Instant::now());
        self.send(Packet::Pong);
    }

    /// The client's pong (v4).
    pub(super) fn ponged(&self) {
        let now = Instant::now();
        let next = now + self.shared.options.ping_interval;
        let before = {
            let mut state = self.state.lock();
            std::mem::replace(&mut state.heartbeat, Heartbeat::Due(next))
        };
        if let Heartbeat::Pinged(at) = before {
            let time = now.saturating_duration_since(at);
            self.shared.application.round_trip(time);
        }
        self.look_again(next);
    }

    /// A deadline holds for whoever comes late, however late the clock is.
    fn check_due(&self) {
        let now = Instant::now();
        let me = self.me.upgrade();
        if let Some(next) = me.and_then(|me| me.check(now)) {
            self.look_again(next);
        }
    }

    /// What the heartbeat wants now, and when it wants to be looked at again.
    fn beat(&self, state: &mut State, now: Instant) -> Result<Instant, CloseReason> {
        let options = &self.shared.options;
        match state.heartbeat {
            Heartbeat::Due(at) if now >= at => {
                state.heartbeat = Heartbeat::Pinged(now);
                Ok(now + options.ping_timeout)
            }
            Heartbeat::Due(at) => Ok(at),
            Heartbeat::Pinged(at) | Heartbeat::Heard(at) => {
                let patience = match self.version {
                    ProtocolVersion::V3 => options.ping_interval + options.ping_timeout,
                    ProtocolVersion::V4 => options.ping_timeout,
                };
                let end = at + patience;
                if now >= end {
                    Err(CloseReason::PingTimeout)
                } else {
                    Ok(end)
                }
            }
        }
    }
}

fn last_frame(reason: CloseReason) -> Bytes {
    close_frame(reason.code(), reason.text())
}

impl Probe {
    fn may_release(&self, now: Instant) -> bool {
        self.released_at
            .is_none_or(|at| now.saturating_duration_since(at) >= NOOP_INTERVAL)
    }
}

impl<A: Application> Scheduled for Session<A> {
    fn due(&self) -> &AtomicU32 {
        &self.due
    }

    fn check(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        let mut wants_ping = false;
        let mut is_gone = false;
        let outcome = {
            let mut state = self.state.lock();
            if let Carrier::Closed(_) = state.carrier {
                return None;
            }
            if let Some(closing) = state.closing {
                // On a WebSocket the link has its own deadline for this.
                let end = closing.since + self.shared.queues.options.write_timeout;
                if state.carrier == Carrier::WebSocket || now < end {
                    return (state.carrier == Carrier::Polling).then_some(end);
                }
                Err(closing.reason)
            } else {
                let abandoned = state.abandoned_since.map(|since| since + ABANDONED_GRACE);
                is_gone = abandoned.is_some_and(|end| now >= end);
                let before = matches!(state.heartbeat, Heartbeat::Due(_));
                let next = self.beat(&mut state, now);
                wants_ping = before && matches!(state.heartbeat, Heartbeat::Pinged(_));
                let release = match state.probe {
                    Some(probe) if probe.is_answered && state.is_polled => {
                        probe.released_at.map(|at| at + NOOP_INTERVAL)
                    }
                    _ => None,
                };
                next.map(|next| {
                    [abandoned, release]
                        .into_iter()
                        .flatten()
                        .fold(next, Instant::min)
                })
            }
        };
        if is_gone {
            self.left();
            return None;
        }
        match outcome {
            Err(reason) => {
                self.end(Some(reason), Socket::Told);
                None
            }
            Ok(next) => {
                if wants_ping {
                    self.send(Packet::Ping);
                }
                // The poll that waits looks for itself whether it is to be released.
                self.link.wake_reader();
                let application = &self.shared.application;
                let of_application = application.check(self, now);
                Some(of_application.map_or(next, |at| next.min(at)).max(now))
            }
        }
    }
}

/// A poll under way. One that is dropped unanswered was given up by the client.
pub(super) struct PollGuard<A: Application> {
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
        let now = Instant::now();
        let mut state = self.session.state.lock();
        state.is_polled = false;
        if !self.is_answered && state.carrier == Carrier::Polling {
            state.abandoned_since = Some(now);
            drop(state);
            self.session.look_again(now + ABANDONED_GRACE);
        }
    }
}

/// A request with packets under way. If it is dropped in the middle, what came of it is unknown to
/// the client, and the session ends.
pub(super) struct PostGuard<A: Application> {
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
pub(super) struct ProbeGuard<A: Application> {
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

    /// The client has moved: what waits goes to the socket, and so does everything after it. The socket
    /// comes back if the session is over.
    pub fn moved(&self, transport: Transport, deflates: bool) -> Result<(), Transport> {
        let mut state = self.session.state.lock();
        if state.carrier != Carrier::Polling || state.closing.is_some() {
            return Err(transport);
        }
        self.session.link.attach(transport, deflates)?;
        state.carrier = Carrier::WebSocket;
        state.abandoned_since = None;
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

//! One session, from its handshake to its end, whatever transport it is on.

mod carriers;
mod heartbeat;

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use engineioxide_core::{Packet, ProtocolVersion, Sid};
use parking_lot::Mutex;

pub(super) use carriers::ProbeGuard;
use heartbeat::Heartbeat;

use super::{Application, Refusal, Shared, packet};
use crate::domain::error::CloseReason;
use crate::wire::send_queue::link::Link;
use crate::wire::send_queue::{DropPolicy, Pushed};
use crate::wire::transport::Transport;
use crate::wire::websocket::frame::close_frame;

/// One session of Engine.IO.
pub struct Session<A: Application> {
    me: Weak<Self>,
    pub sid: Sid,
    pub version: ProtocolVersion,
    /// Whether the client reads binary answers to its polls, which only its handshake says.
    pub(super) supports_binary: bool,
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
struct Closing {
    since: Instant,
    reason: CloseReason,
}

/// What answers a poll.
#[derive(Debug)]
pub(super) enum Polled {
    /// What was sent.
    Taken(Vec<Bytes>),
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
        supports_binary: bool,
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
        let heartbeat = Heartbeat::begin(version, &shared.options, now);
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            sid: Sid::new(),
            version,
            supports_binary,
            connection,
            link,
            shared: Arc::clone(shared),
            due: AtomicU32::new(0),
            state: Mutex::new(State {
                carrier,
                is_polled: false,
                is_posting: false,
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
    /// with the answer that takes the last of it, and in between by whichever comes first.
    pub fn close(&self, reason: CloseReason) {
        let now = Instant::now();
        let (carrier, is_awaited) = {
            let mut state = self.state.lock();
            if state.closing.is_some() {
                return;
            }
            state.closing = Some(Closing { since: now, reason });
            // A client that is about to move has stopped to poll, and hears it on its WebSocket.
            let is_moving = state.probe.is_some_and(|probe| probe.is_answered);
            (state.carrier, state.is_polled || is_moving)
        };
        match carrier {
            Carrier::Closed(_) => {}
            Carrier::WebSocket => self.link.finish(Some(&last_frame(reason))),
            Carrier::Polling if !is_awaited && self.link.waiting().0 == 0 => {
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
}

fn last_frame(reason: CloseReason) -> Bytes {
    close_frame(reason.code(), reason.text())
}

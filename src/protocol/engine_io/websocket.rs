//! The WebSocket transport: a session that opens on one, and one that moves to it.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use engineioxide_core::{Packet, ProtocolVersion};

use super::packet::{frame, parse};
use super::session::ProbeGuard;
use super::{Application, Peek, Session, Shared, handle};
use crate::domain::error::CloseReason;
use crate::protocol::turn::Turn;
use crate::wire::send_queue::DropPolicy;
use crate::wire::send_queue::counting::HeldInput;
use crate::wire::transport::Transport;
use crate::wire::websocket::frame::{Opcode, server_frame};
use crate::wire::websocket::read::{Kind, Message, MessageReader, ReadError};
use crate::wire::websocket::stream::{linger, next_message, write_all};
use crate::wire::websocket::violation::ProtocolViolation;

/// The longest message of a probe.
const MAX_PROBE: usize = 64;

/// An accepted WebSocket handshake that awaits its stream.
pub struct Upgrade<A: Application> {
    shared: Arc<Shared<A>>,
    kind: UpgradeKind<A>,
}

enum UpgradeKind<A: Application> {
    Open(ProtocolVersion, A::Connection),
    /// `None` where another one is under way already.
    Probe(Option<ProbeGuard<A>>),
}

impl<A: Application> Upgrade<A> {
    pub(super) fn open(
        shared: &Arc<Shared<A>>,
        version: ProtocolVersion,
        connection: A::Connection,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            kind: UpgradeKind::Open(version, connection),
        }
    }

    pub(super) fn probe(shared: &Arc<Shared<A>>, probe: Option<ProbeGuard<A>>) -> Self {
        Self {
            shared: Arc::clone(shared),
            kind: UpgradeKind::Probe(probe),
        }
    }

    /// Serves the WebSocket in a task of its own, which is much smaller than the caller's; `deflates`
    /// if permessage-deflate was agreed on.
    pub fn serve(self, transport: Transport, read_ahead: &Bytes, deflates: bool) {
        let reader = MessageReader::new(deflates, read_ahead);
        match self.kind {
            UpgradeKind::Open(version, connection) => {
                let socket = Some((transport, deflates));
                let session = Session::new(&self.shared, version, true, connection, socket);
                let open = frame(self.shared.open(&session, &[]));
                session.push(&open, DropPolicy::Reply);
                self.shared.application.opened(&session);
                tokio::spawn(serve(session, Box::new(reader)));
            }
            UpgradeKind::Probe(Some(probe)) => {
                tokio::spawn(run_probe(self.shared, probe, transport, reader, deflates));
            }
            // Dropped with its socket: only this WebSocket ends.
            UpgradeKind::Probe(None) => {}
        }
    }
}

/// A WebSocket that is to become the transport of a session that polls. Whatever goes wrong ends it
/// alone.
async fn run_probe<A: Application>(
    shared: Arc<Shared<A>>,
    probe: ProbeGuard<A>,
    transport: Transport,
    mut reader: MessageReader,
    deflates: bool,
) {
    let patience = shared.options.upgrade_timeout;
    let agreed = agree(&probe, &transport, &mut reader);
    // A socket that is dropped here is closed, and so is the probe.
    if tokio::time::timeout(patience, Box::pin(agreed)).await != Ok(Some(())) {
        return;
    }
    let session = Arc::clone(&probe.session);
    let moved = probe.moved(transport, deflates);
    drop(probe);
    if moved.is_ok() {
        tokio::spawn(serve(session, Box::new(reader)));
    }
}

/// `2probe`, `3probe`, and `5` when the client has stopped to poll.
async fn agree<A: Application>(
    probe: &ProbeGuard<A>,
    transport: &Transport,
    reader: &mut MessageReader,
) -> Option<()> {
    let version = probe.session.version;
    let mut next = async || {
        loop {
            let message = poll_fn(|cx| reader.poll_next(cx, transport, MAX_PROBE));
            let message = message.await.ok()??;
            if message.kind == Kind::Text {
                let text = message.into_text(MAX_PROBE).ok()?;
                return parse(version, text).ok();
            }
            if message.kind == Kind::Close {
                return None;
            }
        }
    };
    if next().await? != Packet::PingUpgrade {
        return None;
    }
    let answer = frame(Packet::PongUpgrade);
    write_all(transport, &answer).await.ok()?;
    probe.answered();
    (next().await? == Packet::Upgrade).then_some(())
}

/// Reads a session's WebSocket to its end. What a future is made of, it may hold twice; the box keeps
/// that small.
async fn serve<A: Application>(session: Arc<Session<A>>, mut reader: Box<MessageReader>) {
    let mut turn = Turn::default();
    loop {
        let limit = session.shared.application.max_message(&session);
        let received = match next_message(session.link(), &mut reader, limit).await {
            // Nothing is asked of a session that is closed but to close its side.
            Ok(Some(_)) if session.is_closing() => continue,
            Ok(Some(message)) => {
                turn.begin();
                receive(&session, message, limit).await
            }
            Err(ReadError::Violation(violation)) => Err(violation),
            Err(ReadError::GivenUp) => {
                session.abandon(CloseReason::Overloaded);
                break;
            }
            Ok(None) | Err(ReadError::Io(_)) => break,
        };
        if let Err(violation) = received {
            violated(&session, violation);
            break;
        }
        turn.end().await;
    }
    drop(reader);
    session.link().hold(HeldInput::Unread, 0);
    if session.is_over() || session.is_closing() {
        // It may have been told why.
        Box::pin(linger(session.link())).await;
    }
    session.left();
}

fn violated<A: Application>(session: &Arc<Session<A>>, violation: ProtocolViolation) {
    if session.is_closing() {
        return;
    }
    let application = &session.shared.application;
    let (frames, reason) = application.violated(session, violation);
    session.push(&frames, DropPolicy::Reply);
    session.finish(reason);
}

async fn receive<A: Application>(
    session: &Arc<Session<A>>,
    message: Message,
    limit: usize,
) -> Result<(), ProtocolViolation> {
    let application = &session.shared.application;
    let peek = match message.kind {
        Kind::Text => Peek::Text(message.peek()),
        Kind::Binary => Peek::Binary,
        Kind::Ping | Kind::Pong => Peek::Control,
        Kind::Close => {
            let code = message.into_bytes(limit)?;
            session.left_politely(&server_frame(Opcode::Close, &code));
            return Ok(());
        }
    };
    if !application.is_within_rate(session, peek).await {
        return Ok(());
    }
    match message.kind {
        Kind::Text => {
            let text = message.into_text(limit)?;
            match parse(session.version, text) {
                Ok(Packet::Close) => {
                    let close = server_frame(Opcode::Close, &1000_u16.to_be_bytes());
                    session.left_politely(&close);
                }
                Ok(packet) => handle(session, packet).await,
                Err(_) => session.fail(CloseReason::ProtocolError),
            }
        }
        Kind::Binary => {
            let data = Bytes::from(message.into_bytes(limit)?);
            match session.version {
                ProtocolVersion::V4 => application.binary(session, data).await,
                // A byte in front says that it is a message.
                ProtocolVersion::V3 => match data.first() {
                    Some(4) => application.binary(session, data.slice(1..)).await,
                    _ => session.fail(CloseReason::ProtocolError),
                },
            }
        }
        Kind::Ping => {
            let payload = message.into_bytes(limit)?;
            session.push(&server_frame(Opcode::Pong, &payload), DropPolicy::Reply);
        }
        Kind::Pong | Kind::Close => {}
    }
    Ok(())
}

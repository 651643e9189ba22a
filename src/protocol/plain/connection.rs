//! One plain connection from its first message to its close.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sender::PlainSender;
use crate::domain::error::{ClientError, CloseReason, Code};
use crate::hub::Hub;
use crate::hub::rates::{Rate, RateDecision};
use crate::metrics::rejections::Rejection;
use crate::protocol::envelope;
use crate::protocol::session::{Reply, Said, Session};
use crate::protocol::socket_io::MAX_ANONYMOUS_MESSAGE;
use crate::protocol::turn::Turn;
use crate::protocol::violation_of;
use crate::wire::send_queue::counting::HeldInput;
use crate::wire::websocket::frame::{Opcode, server_frame};
use crate::wire::websocket::read::{Kind, Message, MessageReader, ReadError};
use crate::wire::websocket::stream::{linger, next_message};
use crate::wire::websocket::violation::ProtocolViolation;

/// A client that was let in.
pub(super) struct PlainConnection {
    pub hub: Arc<Hub>,
    pub session: Session,
    pub rate: Arc<Rate>,
    pub sender: Arc<PlainSender>,
    pub reader: MessageReader,
    pub max_message_size: usize,
}

/// Why nothing more is read from a client.
enum End {
    /// It has closed, or is gone.
    Left,
    /// It is told why.
    Closed(CloseReason),
}

impl PlainConnection {
    /// Serves the client until it or its stream ends. What a future is made of, it may hold twice; the
    /// box keeps that small.
    pub async fn run(mut self: Box<Self>) {
        let mut turn = Turn::default();
        let end = loop {
            let limit = self.max_message();
            let link = &self.sender.link;
            let received = match next_message(link, &mut self.reader, limit).await {
                Ok(Some(message)) => {
                    self.sender.heard();
                    turn.begin();
                    self.receive(message, limit).await
                }
                Err(ReadError::Violation(violation)) => Err(violation),
                Err(ReadError::GivenUp) => break End::Closed(CloseReason::Overloaded),
                Ok(None) | Err(ReadError::Io(_)) => break End::Left,
            };
            match received {
                Ok(None) => turn.end().await,
                Ok(Some(end)) => break end,
                Err(violation) => {
                    let (error, reason) = violation_of(&self.hub, violation, limit);
                    self.sender.reply(&Reply::Failed(error), None);
                    break End::Closed(reason);
                }
            }
        };
        if let End::Closed(reason) = end {
            self.hub.record_close(self.session.connection(), reason);
        }
        let Self {
            session,
            sender,
            reader,
            ..
        } = *self;
        // It has left, even if its socket takes a while to close.
        drop((session, reader));
        sender.link.hold(HeldInput::Unread, 0);
        if let End::Closed(reason) = end {
            sender.finish(reason);
        }
        Box::pin(linger(&sender.link)).await;
        sender.link.kill();
    }

    fn max_message(&self) -> usize {
        if self.session.is_authenticated() {
            self.max_message_size
        } else {
            self.max_message_size.min(MAX_ANONYMOUS_MESSAGE)
        }
    }

    async fn receive(
        &mut self,
        message: Message,
        limit: usize,
    ) -> Result<Option<End>, ProtocolViolation> {
        if message.kind == Kind::Close {
            // Answered with its own code (RFC 6455 section 5.5.1).
            let code = message.into_bytes(limit)?;
            let answer = server_frame(Opcode::Close, &code);
            self.sender.link.finish(Some(&answer));
            return Ok(Some(End::Left));
        }
        loop {
            match self.rate.check(Instant::now()) {
                RateDecision::Within => break,
                RateDecision::Slow(wait) => {
                    self.session.connection().note_rate_limited();
                    Box::pin(tokio::time::sleep(wait)).await;
                }
                RateDecision::Over(wait) => {
                    if is_needed(&message) && self.rate.check_reserve() {
                        break;
                    }
                    self.refuse(message, limit, wait);
                    return Ok(None);
                }
                RateDecision::Abuse => {
                    let abused = self.session.refuse(ClientError::rate_abused());
                    self.sender.reply(&abused, None);
                    return Ok(Some(End::Closed(CloseReason::RateLimited)));
                }
            }
        }
        self.handle(message, limit).await
    }

    async fn handle(
        &mut self,
        message: Message,
        limit: usize,
    ) -> Result<Option<End>, ProtocolViolation> {
        match message.kind {
            Kind::Text => {
                let text = message.into_text(limit)?;
                let _counted = self.sender.link.handling(text.len());
                self.charge(text.len()).await;
                // Boxed: it would be a part of every connection's task.
                return Ok(Box::pin(self.answer(&text)).await);
            }
            Kind::Binary => {
                let error =
                    ClientError::invalid("binary frames are not accepted; send JSON as text");
                self.sender.reply(&self.session.refuse(error), None);
            }
            Kind::Ping => {
                let payload = message.into_bytes(limit)?;
                self.sender.push(server_frame(Opcode::Pong, &payload));
            }
            Kind::Pong => {
                let payload = message.into_bytes(limit)?;
                if let Some(time) = self.sender.round_trip(&payload) {
                    self.hub.metrics.ping_round_trip.record(time);
                }
            }
            Kind::Close => {}
        }
        Ok(None)
    }

    /// A large message counts as the many that it could have been; its client waits for them.
    async fn charge(&self, bytes: usize) {
        loop {
            let wait = self.rate.charge(bytes);
            if wait.is_zero() || self.sender.link.is_dead() {
                return;
            }
            Box::pin(tokio::time::sleep(wait)).await;
        }
    }

    async fn answer(&mut self, text: &str) -> Option<End> {
        match envelope::read(text) {
            Ok(inbound) => {
                self.sender.learn(&inbound);
                let said = Said {
                    event: &inbound.event,
                    data: inbound.data.as_deref(),
                    attachments: Vec::new(),
                    key: None,
                };
                let handled = self.session.handle(said).await;
                self.sender.know(self.session.tenant().await);
                self.sender.reply(&handled.reply, inbound.id.as_ref());
                // It passes by itself, so the client is to come back.
                let is_full = matches!(
                    &handled.reply,
                    Reply::Failed(error) if error.code == Code::ConnectionLimit
                );
                handled.finish();
                is_full.then_some(End::Closed(CloseReason::ConnectionLimit))
            }
            Err((error, id)) => {
                self.sender.reply(&self.session.refuse(error), id.as_ref());
                None
            }
        }
    }

    /// Answers a message that came over the client's rate. Of pings and pongs there is nothing to say,
    /// and only a short message is looked at for its id.
    fn refuse(&mut self, message: Message, limit: usize, wait: Duration) {
        let connection = self.session.connection();
        let refused = &self.hub.metrics.rejections;
        refused.count(Rejection::Message, connection.remote_address);
        connection.note_rate_limited();
        if matches!(message.kind, Kind::Ping | Kind::Pong) {
            return;
        }
        let is_short = message
            .peek()
            .is_some_and(|bytes| bytes.len() <= MAX_GLANCE);
        let id = if is_short && message.kind == Kind::Text {
            let text = message.into_text(limit).unwrap_or_default();
            match envelope::read(&text) {
                Ok(inbound) => {
                    self.sender.learn(&inbound);
                    inbound.id
                }
                Err((_, id)) => id,
            }
        } else {
            None
        };
        let reply = self.session.refuse(ClientError::rate_limited(wait));
        self.sender.reply(&reply, id.as_ref());
    }
}

/// The longest message that is read although it came over the rate.
const MAX_GLANCE: usize = 512;

/// Whether a connection is of no use without this message, as far as a short one shows.
fn is_needed(message: &Message) -> bool {
    const NAMES: [&str; 3] = ["authenticate", "subscribe", "client:subscribe"];
    let Some(bytes) = message.peek().filter(|bytes| bytes.len() <= MAX_GLANCE) else {
        return false;
    };
    message.kind == Kind::Text
        && std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| envelope::read(text).ok())
            .is_some_and(|inbound| NAMES.contains(&inbound.event.as_str()))
}

//! One plain connection from its first message to its close.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};

use super::exit::Exit;
use crate::domain::fault::{CloseReason, Fault};
use crate::hub::Hub;
use crate::hub::rates::{Admission, Rate};
use crate::hub::refused::Refused;
use crate::protocol::envelope;
use crate::protocol::session::Session;
use crate::wire::stream::Stream;

/// How long a client may take to read the close frame.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// A client that was let in.
pub(super) struct Talk {
    pub hub: Arc<Hub>,
    pub session: Session,
    pub rate: Arc<Rate>,
    pub exit: Arc<Exit>,
    pub socket: WebSocketStream<Stream>,
}

/// The stream holds the limit already, and hands on whole messages.
pub(super) fn socket_config(max_message_size: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(128)
        .max_message_size(Some(max_message_size))
        .max_frame_size(Some(max_message_size))
}

impl Talk {
    /// Serves the client until it or its stream ends. What a future is made of, it may hold twice;
    /// the box keeps that small.
    pub async fn run(mut self: Box<Self>) {
        let reason = loop {
            let message = match self.socket.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => break close_reason(&error),
                None => break None,
            };
            self.exit.heard();
            match self.rate.check(Instant::now()) {
                Admission::Within => {}
                Admission::Over(wait) => {
                    let remote = self.session.connection().remote_address;
                    self.hub.gate.refused.count(Refused::Message, remote);
                    refuse(&mut self.session, &self.exit, &message, wait);
                    continue;
                }
                Admission::Abuse => {
                    self.exit
                        .reply(&self.session.refuse(Fault::rate_abused()), None);
                    break Some(CloseReason::RateLimited);
                }
            }
            match message {
                Message::Text(text) => answer(&mut self.session, &self.exit, &text),
                Message::Binary(_) => {
                    let fault = Fault::invalid("binary frames are not accepted; send JSON as text");
                    self.exit.reply(&self.session.refuse(fault), None);
                }
                Message::Pong(payload) => {
                    if let Some(time) = self.exit.round_trip(&payload) {
                        self.hub.stats.ping_round_trip.record(time);
                    }
                }
                // A close is answered by the next read, which then ends.
                Message::Ping(_) | Message::Frame(_) | Message::Close(_) => {}
            }
        };
        if let Some(reason) = reason {
            self.hub.closes(self.session.connection(), reason);
        }
        // It has left, even if its socket takes a while to close.
        drop(self.session);
        if let Some(reason) = reason {
            self.exit.finish(reason);
            Box::pin(linger(self.socket.into_inner())).await;
        }
    }
}

fn answer(session: &mut Session, exit: &Exit, text: &str) {
    match envelope::read(text) {
        Ok(inbound) => {
            exit.hear(&inbound);
            let reply = session.handle(&inbound.event, inbound.data.as_deref());
            exit.know(session.organization_alias());
            exit.reply(&reply, inbound.id.as_ref());
        }
        Err((fault, id)) => exit.reply(&session.refuse(fault), id.as_ref()),
    }
}

/// Answers a message that came over the client's rate. Of pings and pongs there is nothing to say.
fn refuse(session: &mut Session, exit: &Exit, message: &Message, wait: Duration) {
    let id = match message {
        Message::Text(text) => match envelope::read(text) {
            Ok(inbound) => {
                exit.hear(&inbound);
                inbound.id
            }
            Err((_, id)) => id,
        },
        Message::Binary(_) => None,
        _ => return,
    };
    exit.reply(&session.refuse(Fault::rate_limited(wait)), id.as_ref());
}

/// Whether the peer is owed a close frame, and which.
fn close_reason(error: &Error) -> Option<CloseReason> {
    match error {
        Error::Utf8(_) => Some(CloseReason::InvalidUtf8),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(CloseReason::ProtocolError),
        _ => None,
    }
}

/// Lets the peer read the close frame: closing a socket with unread input would reset it.
pub(super) async fn linger(mut stream: Stream) {
    let mut scrap = [0; 1024];
    let until_closed = async { while matches!(stream.read(&mut scrap).await, Ok(1..)) {} };
    // Who does not close in time is cut off.
    let _ = tokio::time::timeout(CLOSE_GRACE, until_closed).await;
}

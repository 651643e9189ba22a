//! The plain JSON protocol over WebSocket (protocol, section 4).

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderMap;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};

use super::envelope::{self, Envelope, Tenant, reply_frame};
use super::session::{Reply, Session};
use super::speech::Speech;
use super::{enter, outgoing, refusal};
use crate::auth::Authenticator;
use crate::auth::claim::{Claim, query_object};
use crate::domain::event::Priority;
use crate::domain::fault::{CloseReason, Code, Fault};
use crate::domain::time::UnixMillis;
use crate::domain::words::ORGANIZATION;
use crate::hub::Hub;
use crate::hub::connection::{NewConnection, Protocol};
use crate::hub::limits::{Lease, Ticket};
use crate::hub::outbound::Outbound;
use crate::hub::ports::{Deliver, Delivery};
use crate::hub::rates::{Admission, Rate};
use crate::hub::refused::Refused;
use crate::wire::flusher::Flusher;
use crate::wire::frame::{Opcode, close_frame, server_frame};
use crate::wire::inbound::{Verdict, Violation};
use crate::wire::link::{Class, Link, LinkOptions, Overdue, Pushed, Tap};
use crate::wire::stream::Stream;
use crate::wire::transport::Transport;

/// How long a client may take to read the close frame.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// What the plain side is configured with.
#[derive(Debug, Clone)]
pub struct PlainOptions {
    pub default_envelope: Envelope,
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    pub max_message_size: usize,
    pub link: LinkOptions,
    pub flusher: Flusher,
}

/// The door for plain WebSockets.
pub struct PlainGateway {
    hub: Arc<Hub>,
    authenticator: Arc<dyn Authenticator>,
    options: PlainOptions,
}

/// A WebSocket handshake that awaits its stream.
pub struct Handshake {
    claim: Result<Option<Claim>, Fault>,
    speech: Speech,
    remote_address: IpAddr,
    entry: Result<Arc<Ticket>, (Fault, Lease)>,
}

impl PlainGateway {
    pub fn new(
        hub: Arc<Hub>,
        authenticator: Arc<dyn Authenticator>,
        options: PlainOptions,
    ) -> Self {
        Self {
            hub,
            authenticator,
            options,
        }
    }

    /// Checks a handshake before it is accepted. One that there is no place for is accepted all the
    /// same, to be told so, unless there are too many of them.
    pub fn upgrade(
        &self,
        query: &str,
        headers: &HeaderMap,
        remote_address: IpAddr,
    ) -> Result<Handshake, Fault> {
        let asked = query_object(query, |name| {
            name == "envelope" || ORGANIZATION.0.contains(&name)
        });
        let envelope = match asked.get("envelope").and_then(Value::as_str) {
            None => None,
            Some(text) => Some(Envelope::parse(text).ok_or_else(|| {
                Fault::invalid(format!(
                    "`envelope` is `{text}`; allowed are event, type_data, type_payload"
                ))
            })?),
        };
        let claim = Claim::from_handshake(query, headers, self.authenticator.token_cookie());
        let speech = Speech {
            envelope: envelope.unwrap_or(self.options.default_envelope),
            is_decided: envelope.is_some(),
            tenant: Tenant::of(&asked),
        };
        self.hub.gate.handshake(remote_address)?;
        Ok(Handshake {
            claim,
            speech,
            remote_address,
            entry: enter(&self.hub, remote_address)?,
        })
    }

    /// Serves one connection until it ends; `deflates` if permessage-deflate was agreed on.
    pub async fn serve(
        &self,
        handshake: Handshake,
        transport: Transport,
        read_ahead: Bytes,
        deflates: bool,
    ) {
        let Handshake {
            claim,
            speech,
            remote_address,
            entry,
        } = handshake;
        if let Ok(Some(claim)) = &claim {
            self.authenticator.prepare(claim).await;
        }
        let speech = Arc::new(Mutex::new(speech));
        let tap = Arc::new(Ear {
            hub: Arc::clone(&self.hub),
            max_message_size: self.options.max_message_size,
            speech: Arc::clone(&speech),
        });
        let link = self.options.link.negotiated(deflates);
        let flusher = &self.options.flusher;
        let stream = Stream::new(transport, read_ahead, b"", link, flusher, tap);
        let exit = Arc::new(Exit::new(Arc::clone(stream.link()), speech, &self.options));
        let opened = entry
            .map_err(|(fault, lease)| (fault, CloseReason::ConnectionLimit, Some(lease)))
            .and_then(|ticket| {
                let rate = Arc::clone(&ticket.rate);
                let attachment = self.hub.connect(NewConnection {
                    protocol: Protocol::Websocket,
                    remote_address,
                    ticket,
                    deliver: Box::new(Arc::clone(&exit)),
                });
                let mut session = Session::new(attachment, Arc::clone(&self.authenticator));
                let reply = claim
                    .and_then(|claim| session.authenticate_handshake(claim))
                    .map_err(|fault| {
                        let reason = if fault.code == Code::ConnectionLimit {
                            CloseReason::ConnectionLimit
                        } else {
                            CloseReason::Unauthorized
                        };
                        (fault, reason, None)
                    })?;
                Ok((session, rate, reply))
            });
        match opened {
            Ok((session, rate, reply)) => {
                if let Some(reply) = reply {
                    exit.reply(&reply, None);
                }
                self.converse(session, &rate, &exit, stream).await;
            }
            Err((fault, reason, _being_refused)) => {
                self.hub.stats.count_close(reason);
                exit.reply(&Reply::Failed(fault), None);
                exit.finish(reason);
                linger(stream).await;
            }
        }
    }

    async fn converse(&self, mut session: Session, rate: &Rate, exit: &Exit, stream: Stream) {
        let limit = Some(self.options.max_message_size);
        // The stream held the limit already, and hands on whole messages.
        let config = WebSocketConfig::default()
            .read_buffer_size(512)
            .max_message_size(limit)
            .max_frame_size(limit);
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        let reason = loop {
            let message = match socket.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => break close_reason(&error),
                None => break None,
            };
            exit.heard();
            match rate.check(Instant::now()) {
                Admission::Within => {}
                Admission::Over(wait) => {
                    self.hub.gate.refused.count(Refused::Message);
                    refuse(&mut session, exit, &message, wait);
                    continue;
                }
                Admission::Abuse => {
                    exit.reply(&session.refuse(Fault::rate_abused()), None);
                    break Some(CloseReason::RateLimited);
                }
            }
            match message {
                Message::Text(text) => answer(&mut session, exit, &text),
                Message::Binary(_) => {
                    let fault = Fault::invalid("binary frames are not accepted; send JSON as text");
                    exit.reply(&session.refuse(fault), None);
                }
                Message::Pong(payload) => {
                    if let Some(time) = exit.round_trip(&payload) {
                        self.hub.stats.ping_round_trip.record(time);
                    }
                }
                // A close is answered by the next read, which then ends.
                Message::Ping(_) | Message::Frame(_) | Message::Close(_) => {}
            }
        };
        // It has left, even if its socket takes a while to close.
        drop(session);
        if let Some(reason) = reason {
            self.hub.stats.count_close(reason);
            exit.finish(reason);
            linger(socket.into_inner()).await;
        }
    }
}

fn answer(session: &mut Session, exit: &Exit, text: &str) {
    match envelope::read(text) {
        Ok(inbound) => {
            exit.speech.lock().hear(&inbound);
            let reply = session.handle(&inbound.event, Ok(inbound.data));
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
                exit.speech.lock().hear(&inbound);
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
async fn linger(mut stream: Stream) {
    let mut scrap = [0; 4096];
    let until_closed = async { while matches!(stream.read(&mut scrap).await, Ok(1..)) {} };
    // Who does not close in time is cut off.
    let _ = tokio::time::timeout(CLOSE_GRACE, until_closed).await;
}

/// What the stream reports.
struct Ear {
    hub: Arc<Hub>,
    max_message_size: usize,
    speech: Arc<Mutex<Speech>>,
}

impl Tap for Ear {
    fn marker_passed(&self) {}

    fn delivered(&self, waited: Duration) {
        self.hub.stats.publish_to_socket.record(waited);
    }

    fn inspect(&self, _text: Option<&[u8]>) -> Verdict {
        Verdict::Pass
    }

    fn violated(&self, violation: Violation) -> Bytes {
        self.hub.stats.count_error();
        let (fault, reason) = refusal(violation, self.max_message_size);
        self.hub.stats.count_close(reason);
        let mut frames = frame_of(*self.speech.lock(), &Reply::Failed(fault), None).to_vec();
        frames.extend_from_slice(&close_frame(reason.code(), reason.text()));
        frames.into()
    }

    fn sent(&self, _frames: &[u8]) {}

    fn closed(&self) {}
}

fn closing(reason: CloseReason) -> Bytes {
    close_frame(reason.code(), reason.text())
}

fn frame_of(speech: Speech, reply: &Reply, id: Option<&Value>) -> Bytes {
    let now = UnixMillis::from_system(SystemTime::now());
    reply_frame(speech.encoding(), reply.event(), &reply.object(), id, now)
}

/// The hub's hold on a plain client.
struct Exit {
    link: Arc<Link>,
    speech: Arc<Mutex<Speech>>,
    ping_interval: Duration,
    ping_timeout: Duration,
    opened: Instant,
    /// Milliseconds after `opened`.
    heard_at: AtomicU64,
    pinged_at: Mutex<Option<Instant>>,
}

impl Exit {
    fn new(link: Arc<Link>, speech: Arc<Mutex<Speech>>, options: &PlainOptions) -> Self {
        Self {
            link,
            speech,
            ping_interval: options.ping_interval,
            ping_timeout: options.ping_timeout,
            opened: Instant::now(),
            heard_at: AtomicU64::new(0),
            pinged_at: Mutex::new(None),
        }
    }

    fn reply(&self, reply: &Reply, id: Option<&Value>) {
        let frame = frame_of(*self.speech.lock(), reply, id);
        self.link.push(&self.link.fitted(frame), Class::Reply);
    }

    fn finish(&self, reason: CloseReason) {
        self.link
            .finish(Some(&close_frame(reason.code(), reason.text())));
    }

    fn heard(&self) {
        let millis = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_at.store(millis, Ordering::Relaxed);
    }

    /// The time since the ping that this pong answers.
    fn round_trip(&self, payload: &[u8]) -> Option<Duration> {
        let mut pinged_at = self.pinged_at.lock();
        let sent = (*pinged_at).filter(|sent| payload == self.ping_payload(*sent))?;
        *pinged_at = None;
        Some(sent.elapsed())
    }

    fn ping_payload(&self, at: Instant) -> [u8; 16] {
        at.saturating_duration_since(self.opened)
            .as_nanos()
            .to_be_bytes()
    }
}

impl Deliver for Arc<Exit> {
    fn deliver(&self, outbound: &Arc<Outbound>) -> Delivery {
        let encoding = self.speech.lock().encoding();
        let frame = outgoing(&self.link, outbound, encoding);
        let class = match outbound.event.priority {
            Priority::Low => Class::Droppable,
            _ => Class::Event,
        };
        match self.link.push(frame, class) {
            Pushed::Written => Delivery::Written,
            Pushed::Queued => Delivery::Queued,
            Pushed::Dropped => Delivery::Dropped,
            Pushed::Overflow => {
                self.link.abandon(&closing(CloseReason::TooSlow));
                Delivery::Overflow
            }
            Pushed::Closed => Delivery::Gone,
        }
    }

    fn close(&self, reason: CloseReason) {
        if let Some(fault) = reason.last_words() {
            self.reply(&Reply::Failed(fault), None);
        }
        self.finish(reason);
    }

    /// Pings whoever was silent for an interval, at WebSocket level; whoever then says nothing for
    /// the timeout is closed.
    fn tick(&self, now: Instant) -> Option<CloseReason> {
        if let Some(overdue) = self.link.kill_if_overdue(now) {
            return (overdue == Overdue::Stalled).then_some(CloseReason::TooSlow);
        }
        let heard = self.opened + Duration::from_millis(self.heard_at.load(Ordering::Relaxed));
        let mut pinged_at = self.pinged_at.lock();
        // Whatever was heard since the ping answers it.
        if let Some(sent) = (*pinged_at).filter(|sent| *sent > heard) {
            if now.saturating_duration_since(sent) < self.ping_timeout {
                return None;
            }
            drop(pinged_at);
            self.finish(CloseReason::PingTimeout);
            return Some(CloseReason::PingTimeout);
        }
        if now.saturating_duration_since(heard) >= self.ping_interval {
            *pinged_at = Some(now);
            drop(pinged_at);
            let ping = server_frame(Opcode::Ping, &self.ping_payload(now));
            self.link.push(&ping, Class::Reply);
        }
        None
    }

    fn waiting(&self) -> usize {
        self.link.waiting().0
    }

    fn transport(&self) -> &'static str {
        "websocket"
    }
}

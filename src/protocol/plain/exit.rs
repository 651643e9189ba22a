//! The hub's hold on a plain client, and what its stream reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;

use super::PlainOptions;
use crate::domain::event::Priority;
use crate::domain::fault::CloseReason;
use crate::domain::time::UnixMillis;
use crate::hub::Hub;
use crate::hub::outbound::{Encoding, Outbound};
use crate::hub::ports::{Deliver, Delivery};
use crate::protocol::envelope::{Inbound, reply_frame};
use crate::protocol::session::Reply;
use crate::protocol::speech::Speech;
use crate::protocol::{last_frames, outgoing};
use crate::wire::frame::{Opcode, close_frame, server_frame};
use crate::wire::inbound::{Verdict, Violation};
use crate::wire::link::{Class, Link, Overdue, Pushed, Tap};

/// What the stream reports.
pub(super) struct Ear {
    pub hub: Arc<Hub>,
    pub max_message_size: usize,
    pub speech: Arc<Mutex<Speech>>,
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
        last_frames(&self.hub, violation, self.max_message_size, |fault| {
            frame_of(*self.speech.lock(), &Reply::Failed(fault), None)
        })
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
pub(super) struct Exit {
    link: Arc<Link>,
    /// How the client reads events; of `speech`, and nearer at hand.
    encoding: Mutex<Encoding>,
    speech: Arc<Mutex<Speech>>,
    ping_interval: Duration,
    ping_timeout: Duration,
    opened: Instant,
    /// Milliseconds after `opened`.
    heard_at: AtomicU64,
    pinged_at: Mutex<Option<Instant>>,
}

impl Exit {
    pub fn new(link: Arc<Link>, speech: Arc<Mutex<Speech>>, options: &PlainOptions) -> Self {
        let encoding = speech.lock().encoding();
        Self {
            link,
            encoding: Mutex::new(encoding),
            speech,
            ping_interval: options.ping_interval,
            ping_timeout: options.ping_timeout,
            opened: Instant::now(),
            heard_at: AtomicU64::new(0),
            pinged_at: Mutex::new(None),
        }
    }

    pub fn reply(&self, reply: &Reply, id: Option<&Value>) {
        let frame = frame_of(*self.speech.lock(), reply, id);
        self.link.push(&self.link.fitted(frame), Class::Reply);
    }

    pub fn finish(&self, reason: CloseReason) {
        self.link
            .finish(Some(&close_frame(reason.code(), reason.text())));
    }

    /// Learns from a message how the client speaks.
    pub fn hear(&self, inbound: &Inbound) {
        let mut speech = self.speech.lock();
        speech.hear(inbound);
        *self.encoding.lock() = speech.encoding();
    }

    /// Learns from what it authenticated with how the client speaks.
    pub fn know(&self, organization_alias: Option<&str>) {
        let mut speech = self.speech.lock();
        speech.know(organization_alias);
        *self.encoding.lock() = speech.encoding();
    }

    pub fn heard(&self) {
        let millis = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_at.store(millis, Ordering::Relaxed);
    }

    /// The time since the ping that this pong answers.
    pub fn round_trip(&self, payload: &[u8]) -> Option<Duration> {
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

impl Deliver for Exit {
    fn warm(&self) {
        self.link.warm();
    }

    fn deliver(&self, outbound: &Arc<Outbound>) -> Delivery {
        let encoding = *self.encoding.lock();
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

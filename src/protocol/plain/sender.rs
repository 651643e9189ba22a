//! The hub's hold on a plain client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;

use super::options::PlainOptions;
use crate::domain::error::CloseReason;
use crate::domain::fields::Tenant;
use crate::hub::Hub;
use crate::hub::outbound::{Encoding, Outbound};
use crate::hub::ports::{Deliver, Delivery};
use crate::protocol::dialect::Dialect;
use crate::protocol::envelope::{ClientMessage, reply_frame};
use crate::protocol::session::Reply;
use crate::protocol::{close_reason_of, delivery, outgoing, push_event};
use crate::wire::send_queue::DropPolicy;
use crate::wire::send_queue::link::Link;
use crate::wire::websocket::frame::{Opcode, close_frame, server_frame};

/// What is sent to a plain client goes through here.
pub(super) struct PlainSender {
    pub link: Arc<Link>,
    hub: Arc<Hub>,
    state: Mutex<State>,
    ping_interval: Duration,
    ping_timeout: Duration,
    opened: Instant,
    /// Milliseconds after `opened`.
    heard_at: AtomicU64,
    /// The number of the last event that it was given in the order of its stream.
    last_given: AtomicU64,
}

struct State {
    dialect: Dialect,
    /// Of `dialect`, and nearer at hand.
    encoding: Encoding,
    pinged_at: Option<Instant>,
}

impl PlainSender {
    pub fn new(hub: &Arc<Hub>, link: Arc<Link>, dialect: Dialect, options: &PlainOptions) -> Self {
        Self {
            link,
            hub: Arc::clone(hub),
            state: Mutex::new(State {
                dialect,
                encoding: dialect.encoding(),
                pinged_at: None,
            }),
            ping_interval: options.ping_interval,
            ping_timeout: options.ping_timeout,
            opened: Instant::now(),
            heard_at: AtomicU64::new(0),
            last_given: AtomicU64::new(0),
        }
    }

    pub fn reply(&self, reply: &Reply, id: Option<&Value>) {
        let encoding = self.state.lock().encoding;
        let now = self.hub.now();
        let frame = reply_frame(encoding, reply.event(), &reply.object(), id, now);
        self.push(frame);
    }

    /// Sends frames of the server's own.
    pub fn push(&self, frame: Bytes) {
        self.link.push(&self.link.fitted(frame), DropPolicy::Reply);
    }

    pub fn finish(&self, reason: CloseReason) {
        self.link.finish(Some(&last_frame(reason)));
    }

    /// Learns from a message how the client speaks.
    pub fn learn(&self, message: &ClientMessage) {
        let mut state = self.state.lock();
        state.dialect.learn(message);
        state.encoding = state.dialect.encoding();
    }

    /// Learns from what it authenticated with how the client speaks.
    pub fn know(&self, tenant: Tenant) {
        let mut state = self.state.lock();
        state.dialect.know(tenant);
        state.encoding = state.dialect.encoding();
    }

    pub fn heard(&self) {
        let millis = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_at.store(millis, Ordering::Relaxed);
    }

    /// The time since the ping that this pong answers.
    pub fn round_trip(&self, payload: &[u8]) -> Option<Duration> {
        let mut state = self.state.lock();
        let sent = state
            .pinged_at
            .filter(|sent| payload == self.ping_payload(*sent))?;
        state.pinged_at = None;
        Some(sent.elapsed())
    }

    fn ping_payload(&self, at: Instant) -> [u8; 16] {
        at.saturating_duration_since(self.opened)
            .as_nanos()
            .to_be_bytes()
    }
}

fn last_frame(reason: CloseReason) -> Bytes {
    close_frame(reason.code(), reason.text())
}

impl Deliver for PlainSender {
    fn warm(&self) {
        self.link.warm();
    }

    fn deliver(&self, outbound: &Arc<Outbound>) -> Delivery {
        if let Some(position) = outbound.position.filter(|_| !outbound.is_replayed) {
            self.last_given.store(position.seq, Ordering::Relaxed);
        }
        let encoding = self.state.lock().encoding;
        let frame = outgoing(&self.link, outbound, encoding);
        let delivery = delivery(push_event(&self.link, frame, outbound));
        if delivery == Delivery::Overflow {
            self.link.abandon(&last_frame(CloseReason::TooSlow));
        }
        delivery
    }

    fn close(&self, reason: CloseReason) {
        if let Some(error) = reason.last_words() {
            self.reply(&Reply::Failed(error), None);
        }
        self.finish(reason);
    }

    /// Pings whoever was silent for an interval, at WebSocket level; whoever then says nothing for
    /// the timeout is closed.
    fn tick(&self, now: Instant) -> Option<CloseReason> {
        if let Some(overdue) = self.link.kill_if_overdue(now) {
            return close_reason_of(overdue);
        }
        let heard = self.opened + Duration::from_millis(self.heard_at.load(Ordering::Relaxed));
        let mut state = self.state.lock();
        // Whatever was heard since the ping answers it.
        if let Some(sent) = state.pinged_at.filter(|sent| *sent > heard) {
            if now.saturating_duration_since(sent) < self.ping_timeout {
                return None;
            }
            drop(state);
            self.finish(CloseReason::PingTimeout);
            return Some(CloseReason::PingTimeout);
        }
        if now.saturating_duration_since(heard) >= self.ping_interval {
            state.pinged_at = Some(now);
            drop(state);
            let ping = server_frame(Opcode::Ping, &self.ping_payload(now));
            self.link.push(&ping, DropPolicy::Reply);
        }
        None
    }

    fn know(&self) {
        self.link.know();
    }

    fn waiting(&self) -> usize {
        self.link.waiting().0
    }

    fn is_congested(&self) -> bool {
        self.link.is_congested()
    }

    fn last_given(&self) -> u64 {
        self.last_given.load(Ordering::Relaxed)
    }

    fn transport(&self) -> &'static str {
        "websocket"
    }
}

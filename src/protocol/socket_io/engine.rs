//! One Engine.IO session, from the handshake to the end of its last transport.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::MutexGuard;

use super::inspect::{Inspector, is_connect};
use super::item::Item;
use super::lane::{Lane, Pipe};
use crate::auth::claim::Claim;
use crate::domain::fault::{CloseReason, Code, Fault};
use crate::hub::Hub;
use crate::hub::limits::{Lease, Ticket};
use crate::hub::outbound::Outbound;
use crate::hub::ports::{Deliver, Delivery};
use crate::hub::rates::{Admission, Rate};
use crate::hub::refused::Refused;
use crate::protocol::envelope::socket_io_event;
use crate::protocol::last_frames;
use crate::protocol::session::{Reply, Session};
use crate::wire::frame::close_frame;
use crate::wire::inbound::{Verdict, Violation};
use crate::wire::link::{Link, Tap};

/// Sessions that were opened by polling, by their session id: only they get further requests.
pub(super) struct Sessions<P>(DashMap<String, Weak<EngineSession<P>>>);

impl<P> Default for Sessions<P> {
    fn default() -> Self {
        Self(DashMap::new())
    }
}

impl<P: Pipe> Sessions<P> {
    pub fn get(&self, sid: &str) -> Option<Arc<EngineSession<P>>> {
        self.0.get(sid).and_then(|session| session.upgrade())
    }

    pub fn insert(self: &Arc<Self>, sid: &str, session: &Arc<EngineSession<P>>) {
        if session
            .registered
            .set((sid.to_owned(), Arc::clone(self)))
            .is_ok()
        {
            self.0.insert(sid.to_owned(), Arc::downgrade(session));
        }
    }
}

/// The version of Engine.IO that a session speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EngineVersion {
    V3,
    V4,
}

/// Closes an Engine.IO session that is on polling, by its id.
pub(super) type Closer = Arc<dyn Fn(&str, EngineVersion) + Send + Sync>;

/// The heartbeat of Engine.IO v4 as it is written to a WebSocket, and the text of its answer.
const ENGINE_PING_FRAME: &[u8] = b"\x81\x012";
const ENGINE_PONG: &[u8] = b"3";

/// What the gateway knows of a session before Socket.IO does.
pub(super) struct EngineSession<P> {
    hub: Arc<Hub>,
    pub remote_address: IpAddr,
    pub version: EngineVersion,
    /// What the handshake's query or header claims.
    pub claim: Result<Option<Claim>, Fault>,
    close: Closer,
    registered: OnceLock<(String, Arc<Sessions<P>>)>,
    max_message_size: usize,
    entry: Mutex<Entry>,
    /// Every packet of the client counts against it.
    rate: Arc<Rate>,
    /// How long the client should have waited with its CONNECT.
    early_connect: Mutex<Option<Duration>>,
    is_abuser: AtomicBool,
    inspector: Mutex<Inspector>,
    pinged_at: Mutex<Option<Instant>>,
    /// One polling request at a time hands packets on.
    posting: tokio::sync::Mutex<()>,
    link: Mutex<Option<Arc<Link>>>,
    client: Mutex<Weak<Client<P>>>,
}

/// Whether a session has its place.
pub(super) enum Entry {
    Admitted(Arc<Ticket>),
    /// It is there only to hear why it can't stay.
    Refused((Fault, Lease)),
    /// It is over, and its place is free again.
    Left,
}

impl<P: Pipe> EngineSession<P> {
    pub fn new(
        hub: Arc<Hub>,
        entry: Entry,
        remote_address: IpAddr,
        version: EngineVersion,
        claim: Result<Option<Claim>, Fault>,
        close: Closer,
        max_message_size: usize,
    ) -> Arc<Self> {
        let rate = match &entry {
            Entry::Admitted(ticket) => Arc::clone(&ticket.rate),
            Entry::Refused(_) | Entry::Left => hub.gate.rate(),
        };
        Arc::new(Self {
            hub,
            entry: Mutex::new(entry),
            rate,
            early_connect: Mutex::default(),
            is_abuser: AtomicBool::new(false),
            remote_address,
            version,
            claim,
            close,
            registered: OnceLock::new(),
            max_message_size,
            inspector: Mutex::default(),
            pinged_at: Mutex::default(),
            posting: tokio::sync::Mutex::default(),
            link: Mutex::default(),
            client: Mutex::default(),
        })
    }

    /// The ticket for a CONNECT.
    pub fn ticket(&self) -> Result<Arc<Ticket>, Fault> {
        if let Some(wait) = self.early_connect.lock().take() {
            return Err(Fault::rate_limited(wait));
        }
        match &*self.entry.lock() {
            Entry::Admitted(ticket) => Ok(Arc::clone(ticket)),
            Entry::Refused((fault, _)) => Err(fault.clone()),
            Entry::Left => Err(Fault::new(Code::InternalError, "the session is closing")),
        }
    }

    /// Looks at one packet, after it was held against the client's rate.
    fn judge(&self, inspector: &mut Inspector, packet: Option<&[u8]>) -> Verdict {
        if self.is_abuser.load(Ordering::Relaxed) {
            return Verdict::Swallow;
        }
        match self.rate.check(Instant::now()) {
            Admission::Within => inspector.inspect(packet),
            Admission::Over(wait) => {
                let refused = &self.hub.gate.refused;
                refused.count(Refused::Message, self.remote_address);
                if packet.is_some_and(is_connect) {
                    *self.early_connect.lock() = Some(wait);
                }
                inspector.refuse(packet, wait)
            }
            Admission::Abuse => {
                self.is_abuser.store(true, Ordering::Relaxed);
                Verdict::Swallow
            }
        }
    }

    /// Closes the session if its client has just proved to be an abuser.
    fn close_abuser(&self, was_abuser: bool) {
        if was_abuser || !self.is_abuser.load(Ordering::Relaxed) {
            return;
        }
        let reason = CloseReason::RateLimited;
        let (client, link) = (self.client(), self.link());
        let connection = client
            .as_ref()
            .and_then(|client| client.with_session(|session| Arc::clone(session.connection())));
        match connection {
            Some(connection) => self.hub.closes(&connection, reason),
            None => self.hub.stats.count_close(reason),
        }
        match (client, link) {
            (Some(client), _) => {
                let last_words = fault_object(&Fault::rate_abused());
                client.lane.end(reason, Some(last_words));
                client.leave();
            }
            (None, Some(link)) => link.finish(Some(&close_frame(reason.code(), reason.text()))),
            (None, None) => self.close_transport(),
        }
    }

    pub fn was_too_slow(&self) {
        self.hub.stats.count_close(CloseReason::TooSlow);
    }

    /// Waits for its turn to hand packets of a polling request to the library.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.posting.lock().await
    }

    pub fn client(&self) -> Option<Arc<Client<P>>> {
        self.client.lock().upgrade()
    }

    /// The Socket.IO connection on this session; it finds the session's link, even one that came
    /// while it was made.
    pub fn set_client(&self, client: &Arc<Client<P>>) {
        *self.client.lock() = Arc::downgrade(client);
        if let Some(link) = self.link() {
            client.lane.set_link(link);
        }
    }

    pub fn link(&self) -> Option<Arc<Link>> {
        self.link.lock().clone()
    }

    /// Looks at the body of a polling request; answers what the library is to get in its place, in
    /// parts that it can be given one after the other. `None` if the body can't be taken apart.
    pub fn inspect_payload(&self, body: &[u8]) -> Option<Vec<Vec<u8>>> {
        let was_abuser = self.is_abuser.load(Ordering::Relaxed);
        let inspected =
            self.inspector
                .lock()
                .inspect_payload(self.version, body, |inspector, packet| {
                    self.judge(inspector, packet)
                });
        self.close_abuser(was_abuser);
        inspected
    }

    /// The session is about to move to this link.
    pub fn set_link(&self, link: &Arc<Link>) {
        *self.link.lock() = Some(Arc::clone(link));
        if let Some(client) = self.client() {
            client.lane.set_link(Arc::clone(link));
        }
    }

    /// Closes the session, unless a client is on it when the time is over: one that was refused
    /// does not keep its place by staying.
    pub fn close_unless_connected(self: &Arc<Self>, after: Duration)
    where
        P: 'static,
    {
        let session = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if let Some(session) = session.upgrade()
                && session.client().is_none()
            {
                session.close_transport();
            }
        });
    }

    /// Closes a session that was opened by polling.
    pub fn close_transport(&self) {
        if let Some((sid, _)) = self.registered.get() {
            (self.close)(sid, self.version);
        }
        if let Some(link) = self.link() {
            link.kill();
        }
    }
}

impl<P> Drop for EngineSession<P> {
    fn drop(&mut self) {
        if let Some((sid, sessions)) = self.registered.get() {
            sessions.0.remove(sid);
        }
    }
}

impl<P: Pipe> Tap for EngineSession<P> {
    fn marker_passed(&self) {
        if let Some(client) = self.client() {
            client.lane.marker_passed();
        }
    }

    fn delivered(&self, waited: Duration) {
        self.hub.stats.publish_to_socket.record(waited);
    }

    fn inspect(&self, text: Option<&[u8]>) -> Verdict {
        if text == Some(ENGINE_PONG)
            && let Some(pinged_at) = self.pinged_at.lock().take()
        {
            self.hub.stats.ping_round_trip.record(pinged_at.elapsed());
        }
        let was_abuser = self.is_abuser.load(Ordering::Relaxed);
        let verdict = self.judge(&mut self.inspector.lock(), text);
        self.close_abuser(was_abuser);
        verdict
    }

    fn control(&self) {
        let was_abuser = self.is_abuser.load(Ordering::Relaxed);
        if self.rate.check(Instant::now()) == Admission::Abuse {
            self.is_abuser.store(true, Ordering::Relaxed);
        }
        self.close_abuser(was_abuser);
    }

    fn violated(&self, violation: Violation) -> Bytes {
        last_frames(&self.hub, violation, self.max_message_size, |fault| {
            socket_io_event("error", &(fault_object(&fault),))
        })
    }

    fn sent(&self, frames: &[u8]) {
        if frames == ENGINE_PING_FRAME {
            *self.pinged_at.lock() = Some(Instant::now());
        }
    }

    fn closed(&self) {
        // The link holds this session: without it the two would keep each other.
        *self.link.lock() = None;
        *self.entry.lock() = Entry::Left;
        match self.client() {
            Some(client) if !client.lane.is_polling() => client.disconnect(),
            // A probe that did not become the transport leaves its session unable to go on.
            _ => self.close_transport(),
        }
    }
}

/// One Socket.IO connection: its session and its way out.
pub(super) struct Client<P> {
    pub lane: Arc<Lane<P>>,
    session: Mutex<Option<Session>>,
}

impl<P: Pipe> Client<P> {
    pub fn new(lane: Arc<Lane<P>>, session: Session) -> Arc<Self> {
        Arc::new(Self {
            lane,
            session: Mutex::new(Some(session)),
        })
    }

    /// Runs something on the session, unless it has ended.
    pub fn with_session<T>(&self, run: impl FnOnce(&mut Session) -> T) -> Option<T> {
        self.session.lock().as_mut().map(run)
    }

    /// Handles an event; its reply goes out in order with everything else.
    pub fn handle(&self, ack: Option<i64>, run: impl FnOnce(&mut Session) -> Reply) {
        let Some(reply) = self.with_session(run) else {
            return;
        };
        self.answer(ack, &reply);
    }

    pub fn answer(&self, ack: Option<i64>, reply: &Reply) {
        if let Some(id) = ack {
            self.lane.send(Item::ack(id, &reply.object()));
        }
        match reply {
            Reply::Failed(fault) => {
                self.lane.send(Item::reply("error", &fault_object(fault)));
            }
            Reply::Done(event, object) if ack.is_none() => {
                self.lane.send(Item::reply(event, object));
            }
            Reply::Done(..) => {}
        }
    }

    /// Leaves the hub; what is on its way still goes out. Calling it again does nothing.
    pub fn leave(&self) {
        // Dropped outside the lock: leaving the hub takes other locks.
        let session = self.session.lock().take();
        drop(session);
    }

    /// Leaves the hub, and nothing goes out any more. Calling it again does nothing.
    pub fn disconnect(&self) {
        self.leave();
        self.lane.ended();
    }
}

fn fault_object(fault: &Fault) -> serde_json::Value {
    serde_json::json!({ "success": false, "error": fault })
}

/// The hub's hold on a Socket.IO client.
impl<P: Pipe> Deliver for Lane<P> {
    fn warm(&self) {
        self.warm_link();
    }

    fn deliver(&self, outbound: &Arc<Outbound>) -> Delivery {
        self.send(Item::Event(Arc::clone(outbound)))
    }

    fn close(&self, reason: CloseReason) {
        let last_words = reason.last_words().as_ref().map(fault_object);
        self.end(reason, last_words);
    }

    fn tick(&self, now: Instant) -> Option<CloseReason> {
        self.look_after(now)
    }

    fn waiting(&self) -> usize {
        self.queued()
    }

    fn transport(&self) -> &'static str {
        if self.is_polling() {
            "polling"
        } else {
            "websocket"
        }
    }
}

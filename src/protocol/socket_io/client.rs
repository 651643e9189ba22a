//! What the server knows of one Socket.IO client.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::arguments::ArgumentForm;
use super::decoder::{Decoder, Incoming, MAX_ATTACHMENTS, Malformed};
use super::packet;
use crate::auth::credentials::Credentials;
use crate::domain::error::ClientError;
use crate::hub::connection::Connection;
use crate::hub::limits::ConnectionPermit;
use crate::hub::ports::Given;
use crate::hub::rates::Rate;
use crate::node::sessions::SessionKey;
use crate::protocol::engine_io::{Application, Session};
use crate::protocol::session::{self, Reply, failure};
use crate::wire::send_queue::DropPolicy;

/// One client, from its handshake to its end.
pub struct Client {
    pub(super) remote_address: IpAddr,
    pub(super) rate: Arc<Rate>,
    pub(super) form: ArgumentForm,
    /// The credentials in the handshake's query or headers.
    pub(super) credentials: Result<Option<Box<Credentials>>, Box<ClientError>>,
    /// The numbers of the last events that it was given.
    pub(super) given: Mutex<Given>,
    pub(super) state: Mutex<ClientState>,
}

pub(super) struct ClientState {
    /// Its place, until it has left.
    pub permit: Option<Arc<ConnectionPermit>>,
    pub is_connecting: bool,
    /// Under what it can come back to its session.
    pub key: Option<SessionKey>,
    /// There from CONNECT to DISCONNECT.
    pub session: Option<Arc<session::Session>>,
    /// Until when it has to CONNECT.
    pub connect_by: Option<Instant>,
    pub decoder: Decoder,
    /// Attachments of a refused packet that are yet to come.
    pub to_skip: usize,
    /// Attachments of an acknowledgement that was asked for, which cost nothing.
    pub free: usize,
}

impl Client {
    pub(super) fn new(
        permit: Arc<ConnectionPermit>,
        remote_address: IpAddr,
        form: ArgumentForm,
        credentials: Result<Option<Credentials>, ClientError>,
        max_message_size: usize,
        connect_by: Instant,
    ) -> Self {
        Self {
            remote_address,
            rate: Arc::clone(&permit.rate),
            form,
            credentials: credentials
                .map(|credentials| credentials.map(Box::new))
                .map_err(Box::new),
            given: Mutex::default(),
            state: Mutex::new(ClientState {
                key: None,
                permit: Some(permit),
                is_connecting: false,
                session: None,
                connect_by: Some(connect_by),
                decoder: Decoder::new(max_message_size),
                to_skip: 0,
                free: 0,
            }),
        }
    }

    /// The session, if it is connected.
    pub(super) fn session(&self) -> Option<Arc<session::Session>> {
        self.state.lock().session.clone()
    }

    pub fn is_authenticated(&self) -> bool {
        let state = self.state.lock();
        state
            .session
            .as_ref()
            .is_some_and(|session| session.is_authenticated())
    }

    pub(super) fn connection(&self) -> Option<Arc<Connection>> {
        let state = self.state.lock();
        let session = state.session.as_ref()?;
        Some(Arc::clone(session.connection()))
    }

    pub(super) fn owes_ack(&self, id: u64) -> bool {
        let state = self.state.lock();
        state
            .session
            .as_ref()
            .is_some_and(|session| session.connection().owes_ack(id))
    }

    pub(super) fn decode(
        &self,
        decode: impl FnOnce(&mut Decoder) -> Result<Option<Incoming>, Malformed>,
    ) -> Result<Option<Incoming>, Malformed> {
        decode(&mut self.state.lock().decoder)
    }

    /// Whether this binary packet belongs to a packet that was refused.
    pub(super) fn skips_binary(&self) -> bool {
        let mut state = self.state.lock();
        let skips = state.to_skip > 0;
        state.to_skip -= usize::from(skips);
        skips
    }

    /// Whether this binary packet belongs to an acknowledgement that costs nothing.
    pub(super) fn has_free_binary(&self) -> bool {
        let mut state = self.state.lock();
        let is_free = state.free > 0;
        state.free -= usize::from(is_free);
        is_free
    }

    pub(super) fn skip(&self, attachments: usize) {
        self.state.lock().to_skip = attachments.min(MAX_ATTACHMENTS);
    }

    pub(super) fn allow(&self, attachments: usize) {
        self.state.lock().free = attachments.min(MAX_ATTACHMENTS);
    }

    /// Leaves the hub; what is on its way still goes out. It has to CONNECT again in time.
    pub(super) fn disconnect(&self, connect_timeout: Duration) -> Instant {
        let by = Instant::now() + connect_timeout;
        let session = {
            let mut state = self.state.lock();
            state.connect_by = Some(by);
            state.session.take()
        };
        // Outside the lock: leaving the hub takes other locks.
        if let Some(session) = session {
            session.end();
        }
        by
    }

    pub(super) fn has_left(&self) -> bool {
        self.state.lock().permit.is_none()
    }

    /// Leaves for good; its place is free. Calling it again does nothing.
    pub(super) fn leave(&self) {
        let (session, permit) = {
            let mut state = self.state.lock();
            (state.session.take(), state.permit.take())
        };
        if let Some(session) = session {
            session.leave();
        }
        drop(permit);
    }
}

/// Answers a message: with the acknowledgement that it asked for, or else with an event.
pub(super) fn answer<A: Application>(session: &Session<A>, ack: Option<u64>, reply: &Reply) {
    let object = reply.object();
    if let Some(id) = ack {
        send(session, packet::ack(id, &object));
    }
    if ack.is_none() || matches!(reply, Reply::Failed(_)) {
        send(session, packet::reply(reply.event(), &object));
    }
}

/// The event that tells an error.
pub(super) fn error_packet(error: &ClientError) -> Bytes {
    packet::reply("error", &failure(error))
}

pub(super) fn send<A: Application>(session: &Session<A>, frame: Bytes) {
    let frame = session.link().fitted(frame);
    session.push(&frame, DropPolicy::Reply);
}

//! The plain JSON protocol over WebSocket (protocol, section 4).

mod exit;
mod talk;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use exit::{Ear, Exit};
use talk::{Talk, linger, socket_config};

use super::enter;
use super::envelope::{Envelope, Tenant};
use super::session::{Reply, Session};
use super::speech::Speech;
use crate::auth::Authenticator;
use crate::auth::claim::{Claim, query_object};
use crate::domain::fault::{CloseReason, Code, Fault};
use crate::domain::words::ORGANIZATION;
use crate::hub::Hub;
use crate::hub::connection::{NewConnection, Protocol};
use crate::hub::limits::{Lease, Ticket};
use crate::hub::ports::Deliver;
use crate::wire::flusher::Flusher;
use crate::wire::link::LinkOptions;
use crate::wire::stream::Stream;
use crate::wire::transport::Transport;

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

    /// Serves one connection; `deflates` if permessage-deflate was agreed on.
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
                    deliver: Arc::clone(&exit) as Arc<dyn Deliver>,
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
                    exit.know(session.organization_alias());
                    exit.reply(&reply, None);
                }
                let config = socket_config(self.options.max_message_size);
                let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config));
                let talk = Talk {
                    hub: Arc::clone(&self.hub),
                    session,
                    rate,
                    exit,
                    socket: socket.await,
                };
                // A task of its own is much smaller than this one.
                tokio::spawn(Box::new(talk).run());
            }
            Err((fault, reason, _being_refused)) => {
                self.hub.stats.count_close(reason);
                exit.reply(&Reply::Failed(fault), None);
                exit.finish(reason);
                Box::pin(linger(stream)).await;
            }
        }
    }
}

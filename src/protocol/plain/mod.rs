//! The plain JSON protocol over WebSocket (protocol, section 4).

mod connection;
mod options;
mod sender;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use connection::PlainConnection;
pub use options::PlainOptions;
use sender::PlainSender;

use super::dialect::Dialect;
use super::envelope::Envelope;
use super::session::{Reply, Session};
use super::{Admitted, admit};
use crate::auth::credentials::{Credentials, query_object};
use crate::domain::error::{ClientError, CloseReason, Code};
use crate::domain::fields::{ORGANIZATION, Tenant};
use crate::hub::connection::{NewConnection, Protocol};
use crate::hub::limits::{ConnectionPermit, SlotGuard};
use crate::hub::ports::Deliver;
use crate::hub::rates::Rate;
use crate::node::Node;
use crate::wire::send_queue::flusher::SendQueues;
use crate::wire::send_queue::link::Link;
use crate::wire::transport::Transport;
use crate::wire::websocket::read::MessageReader;
use crate::wire::websocket::stream::linger;

/// The door for plain WebSockets.
pub struct PlainGateway {
    node: Arc<Node>,
    options: PlainOptions,
    queues: Arc<SendQueues>,
}

/// A client that was let in, with its rate and what its handshake is answered.
type Opened = (Session, Arc<Rate>, Option<Reply>);

/// A WebSocket handshake that awaits its stream.
pub struct PendingUpgrade {
    credentials: Result<Option<Credentials>, ClientError>,
    dialect: Dialect,
    remote_address: IpAddr,
    admitted: Admitted,
}

impl PlainGateway {
    pub fn new(node: Arc<Node>, options: PlainOptions, queues: Arc<SendQueues>) -> Self {
        Self {
            node,
            options,
            queues,
        }
    }

    /// Checks a handshake before it is accepted. One that there is no place for is accepted all the
    /// same, to be told so, unless there are too many of them.
    pub fn upgrade(
        &self,
        query: &str,
        headers: &HeaderMap,
        remote_address: IpAddr,
    ) -> Result<PendingUpgrade, ClientError> {
        let asked = query_object(query, |name| {
            name == "envelope" || ORGANIZATION.0.contains(&name)
        });
        let envelope = match asked.get("envelope").and_then(Value::as_str) {
            None => None,
            Some(text) => Some(Envelope::parse(text).ok_or_else(|| {
                ClientError::invalid(format!(
                    "`envelope` is `{text}`; allowed are event, type_data, type_payload"
                ))
            })?),
        };
        let credentials = Credentials::from_handshake(query, headers, self.node.token_cookie());
        let dialect = Dialect {
            envelope: envelope.unwrap_or(self.options.default_envelope),
            is_decided: envelope.is_some(),
            tenant: Tenant::of_names(asked.keys().map(String::as_str)),
        };
        self.node.hub.admission.handshake(remote_address)?;
        Ok(PendingUpgrade {
            credentials,
            dialect,
            remote_address,
            admitted: admit(&self.node.hub, remote_address)?,
        })
    }

    /// Serves one connection; `deflates` if permessage-deflate was agreed on.
    pub async fn serve(
        &self,
        upgrade: PendingUpgrade,
        transport: Transport,
        read_ahead: Bytes,
        deflates: bool,
    ) {
        let PendingUpgrade {
            credentials,
            dialect,
            remote_address,
            admitted,
        } = upgrade;
        if let Ok(Some(credentials)) = &credentials {
            self.node.prepare(credentials).await;
        }
        let link = Link::over(&self.queues, transport, deflates);
        let reader = MessageReader::new(deflates, &read_ahead);
        let sender = Arc::new(PlainSender::new(
            &self.node.hub,
            link,
            dialect,
            &self.options,
        ));
        let opened = match admitted {
            Admitted::Yes(permit) => {
                self.open(&sender, remote_address, permit, credentials)
                    .await
            }
            Admitted::ToBeTold(error, slot) => {
                Err((error, CloseReason::ConnectionLimit, Some(slot)))
            }
        };
        match opened {
            Ok((session, rate, reply)) => {
                if let Some(reply) = reply {
                    sender.know(session.tenant().await);
                    sender.reply(&reply, None);
                }
                let connection = PlainConnection {
                    hub: Arc::clone(&self.node.hub),
                    session,
                    rate,
                    sender,
                    reader,
                    max_message_size: self.options.max_message_size,
                };
                // A task of its own is much smaller than this one.
                tokio::spawn(Box::new(connection).run());
            }
            Err((error, reason, _being_refused)) => {
                self.node.hub.metrics.count_close(reason);
                sender.reply(&Reply::Failed(error), None);
                sender.finish(reason);
                Box::pin(linger(&sender.link)).await;
                sender.link.kill();
            }
        }
    }

    /// Lets the client in, as whom its handshake says; or says why not.
    async fn open(
        &self,
        sender: &Arc<PlainSender>,
        remote_address: IpAddr,
        permit: Arc<ConnectionPermit>,
        credentials: Result<Option<Credentials>, ClientError>,
    ) -> Result<Opened, (ClientError, CloseReason, Option<SlotGuard>)> {
        let rate = Arc::clone(&permit.rate);
        let new = NewConnection {
            id: None,
            protocol: Protocol::Websocket,
            remote_address,
            permit,
            deliver: Arc::clone(sender) as Arc<dyn Deliver>,
        };
        let session = Session::connect(&self.node, new);
        let reply = match credentials {
            Ok(credentials) => {
                session
                    .authenticate_handshake(credentials, None, || {})
                    .await
            }
            Err(error) => Err(error),
        };
        match reply {
            Ok(reply) => Ok((session, rate, reply)),
            Err(error) if error.code == Code::ConnectionLimit => {
                Err((error, CloseReason::ConnectionLimit, None))
            }
            Err(error) => Err((error, CloseReason::Unauthorized, None)),
        }
    }
}

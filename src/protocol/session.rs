//! One client's session: from a command to its reply, the same for both protocols.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::command::{self, PingKind, Verb};
use crate::auth::Authenticator;
use crate::auth::claim::Claim;
use crate::domain::event::MessageId;
use crate::domain::fault::{Code, Fault};
use crate::domain::grants::Pass;
use crate::domain::room::{Channel, Place, RoomName};
use crate::domain::time::UnixMillis;
use crate::hub::connection::Connection;
use crate::hub::refused::Refused;
use crate::hub::stats::Received;
use crate::hub::{Attachment, Hub, Member};

/// The answer to one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The command's event and the object it answers with.
    Done(&'static str, Value),
    Failed(Fault),
}

impl Reply {
    /// The object of the acknowledgement.
    pub fn object(&self) -> Value {
        match self {
            Self::Done(_, object) => object.clone(),
            Self::Failed(fault) => json!({ "success": false, "error": fault }),
        }
    }

    /// The name of the event that carries the object.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Done(event, _) => event,
            Self::Failed(_) => "error",
        }
    }
}

/// Who the client is so far.
enum State {
    Anonymous(Attachment),
    Member(Member),
}

/// One client's session. Dropping it disconnects.
pub struct Session {
    hub: Arc<Hub>,
    authenticator: Arc<dyn Authenticator>,
    connection: Arc<Connection>,
    /// `None` only inside [`Session::enter`].
    state: Option<State>,
}

impl Session {
    pub fn new(attachment: Attachment, authenticator: Arc<dyn Authenticator>) -> Self {
        Self {
            hub: Arc::clone(attachment.hub()),
            connection: Arc::clone(attachment.connection()),
            authenticator,
            state: Some(State::Anonymous(attachment)),
        }
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Handles one event with its data. That it is within the client's rate was seen before.
    pub fn handle(&mut self, event: &str, data: Option<Value>) -> Reply {
        let verb = Verb::parse(event);
        let counted = verb
            .as_ref()
            .map_or(Received::Unknown, |verb| verb.counted_as());
        self.hub.received(&self.connection, counted);
        let outcome = verb.and_then(|verb| Ok((verb, self.run(verb, event, data)?)));
        match outcome {
            Ok((verb, object)) => Reply::Done(verb.reply(), object),
            Err(fault) => self.fail(fault),
        }
    }

    /// Counts a message that could not even be read, or came over the rate, and refuses it.
    pub fn refuse(&mut self, fault: Fault) -> Reply {
        self.hub.received(&self.connection, Received::Unknown);
        self.fail(fault)
    }

    fn fail(&self, fault: Fault) -> Reply {
        self.hub.stats.count_error();
        Reply::Failed(fault)
    }

    /// Authenticates with what the handshake said. `None` if it said nothing.
    pub fn authenticate_handshake(&mut self, claim: Option<Claim>) -> Result<Option<Reply>, Fault> {
        let Some(claim) = claim else { return Ok(None) };
        match self.authenticate(claim) {
            Ok(object) => Ok(Some(Reply::Done(Verb::Authenticate.reply(), object))),
            Err(fault) => {
                self.hub.stats.count_error();
                Err(fault)
            }
        }
    }

    /// Records an acknowledgement that came by other means than a message.
    pub fn acknowledge(&self, message: MessageId) {
        if let Ok(member) = self.member() {
            // One that comes too late is of no use to anybody.
            let _ = member.acknowledge(message);
        }
    }

    fn run(&mut self, verb: Verb, event: &str, data: Option<Value>) -> Result<Value, Fault> {
        match verb {
            Verb::Authenticate => {
                let object = command::object(data, event)?;
                let claim = Claim::from_object(&object)?.ok_or_else(|| {
                    Fault::new(
                        Code::AuthFailed,
                        "send user_id and organization_id, or a token",
                    )
                })?;
                self.authenticate(claim)
            }
            Verb::Subscribe => {
                let (channels, place) = self.subscription(event, data)?;
                let rooms = self.member()?.subscribe(&channels, &place)?;
                Ok(json!({ "success": true, "subscriptions": rooms }))
            }
            Verb::Unsubscribe => {
                let (channels, place) = self.subscription(event, data)?;
                let rooms = self.member()?.unsubscribe(&channels, &place)?;
                Ok(json!({ "success": true, "subscriptions": rooms }))
            }
            Verb::Ping(kind) => Ok(pong(kind, data)),
            Verb::Ack => {
                let message = command::acknowledged(&command::object(data, event)?)?;
                self.member()?.acknowledge(message)?;
                Ok(json!({ "success": true, "id": message }))
            }
            Verb::Publish => {
                let member = self.member()?;
                let own = &member.pass().identity.organization;
                let publication = command::publication(&command::object(data, event)?, own)?;
                let receipt =
                    member.publish(&publication.event, publication.payload, &publication.place)?;
                Ok(json!({
                    "success": true,
                    "message_id": receipt.message_id,
                    "timestamp": receipt.timestamp,
                    "recipients": receipt.recipients,
                }))
            }
        }
    }

    fn authenticate(&mut self, claim: Claim) -> Result<Value, Fault> {
        let pass = self
            .authenticator
            .verify(claim, now())
            .inspect_err(|fault| self.count_refused(fault))?;
        let ended = self.enter(pass)?;
        let pass = self.member()?.pass();
        // Who was revoked between the check and the entry is found here, or by the revocation.
        if let Err(fault) = self.authenticator.recheck(pass, now()) {
            self.hub.revoke(&self.connection);
            return Err(fault);
        }
        let mut object = json!({
            "success": true,
            "connection_id": self.connection.id,
            "user_id": pass.identity.user,
            "organization_id": pass.identity.organization,
            "expires_at": pass.expires_at,
            "pending": 0,
        });
        if !ended.is_empty() {
            object["ended_subscriptions"] = json!(ended);
        }
        Ok(object)
    }

    /// The reason alone: what a token says of itself is nobody's to read in a log.
    fn count_refused(&self, fault: &Fault) {
        let remote = self.connection.remote_address;
        let reason = fault.reason.unwrap_or(fault.code.as_str());
        let refused = &self.hub.gate.refused;
        refused.count(Refused::Identity, format_args!("{remote}: {reason}"));
    }

    /// Becomes a member, or stays the one it is with a fresh pass; answers the subscriptions that
    /// ended with the old one.
    fn enter(&mut self, pass: Pass) -> Result<Vec<RoomName>, Fault> {
        let (state, outcome) = match self.state.take() {
            Some(State::Anonymous(attachment)) => match attachment.authenticate(pass) {
                Ok(member) => (State::Member(member), Ok(Vec::new())),
                Err((attachment, fault)) => (State::Anonymous(attachment), Err(fault)),
            },
            Some(State::Member(mut member)) => {
                let outcome = member.renew(pass);
                (State::Member(member), outcome)
            }
            None => return Err(Fault::new(Code::InternalError, "the connection is closing")),
        };
        self.state = Some(state);
        outcome
    }

    fn member(&self) -> Result<&Member, Fault> {
        match &self.state {
            Some(State::Member(member)) => Ok(member),
            _ => Err(Fault::unauthorized("authenticate first")),
        }
    }

    fn subscription(
        &self,
        event: &str,
        data: Option<Value>,
    ) -> Result<(Vec<Channel>, Place), Fault> {
        let organization = &self.member()?.pass().identity.organization;
        let object = command::object(data, event)?;
        let (names, place) = command::subscription(object, organization)?;
        let channels = names
            .iter()
            .map(|name| self.hub.known_channel(name, Code::SubscriptionFailed))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((channels, place))
    }
}

fn pong(kind: PingKind, data: Option<Value>) -> Value {
    let now = now();
    let mut object = Map::new();
    match kind {
        PingKind::Heartbeat => {
            let client_time = match data {
                Some(Value::Object(mut sent)) => sent.remove("clientTime"),
                _ => None,
            };
            object.insert("clientTime".into(), client_time.unwrap_or(Value::Null));
            object.insert("serverTime".into(), now.0.into());
        }
        PingKind::Client | PingKind::Short => {
            object.insert("server_time".into(), now.0.into());
            if let Some(data) = data {
                object.insert("data".into(), data);
            }
        }
    }
    Value::Object(object)
}

fn now() -> UnixMillis {
    UnixMillis::from_system(SystemTime::now())
}

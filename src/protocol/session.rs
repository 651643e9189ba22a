//! One client's session: from a command to its reply, the same for both protocols.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::command::{self, PingKind, Verb};
use crate::auth::Authenticator;
use crate::auth::claim::Claim;
use crate::domain::event::MessageId;
use crate::domain::fault::{CloseReason, Code, Fault};
use crate::domain::grants::Pass;
use crate::domain::json::Members;
use crate::domain::room::{Channel, Place, RoomName};
use crate::domain::time::UnixMillis;
use crate::hub::connection::Connection;
use crate::hub::rates::Attempts;
use crate::hub::refused::Refused;
use crate::hub::stats::Received;
use crate::hub::{Attachment, Hub, Member};

/// The answer to one message.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The command's event and the object it answers with.
    Done(&'static str, Box<RawValue>),
    Failed(Fault),
}

/// Everything that is answered has string keys, so this does not fail; `null` stands in a place that
/// can't be reached.
fn written(object: &impl Serialize) -> Box<RawValue> {
    to_raw_value(object).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

impl Reply {
    /// The object of the acknowledgement.
    pub fn object(&self) -> Box<RawValue> {
        match self {
            Self::Done(_, object) => object.clone(),
            Self::Failed(fault) => written(&json!({ "success": false, "error": fault })),
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
    attempts: Attempts,
    /// `None` only inside [`Session::enter`].
    state: Option<State>,
}

impl Session {
    pub fn new(attachment: Attachment, authenticator: Arc<dyn Authenticator>) -> Self {
        Self {
            hub: Arc::clone(attachment.hub()),
            connection: Arc::clone(attachment.connection()),
            authenticator,
            attempts: Attempts::default(),
            state: Some(State::Anonymous(attachment)),
        }
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// The alias by which the client's token names its organization.
    pub fn organization_alias(&self) -> Option<&'static str> {
        self.member().ok()?.pass().organization_alias
    }

    /// Handles one event with its data. That it is within the client's rate was seen before.
    pub fn handle(&mut self, event: &str, data: Option<&RawValue>) -> Reply {
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

    fn run(
        &mut self,
        verb: Verb,
        event: &str,
        data: Option<&RawValue>,
    ) -> Result<Box<RawValue>, Fault> {
        let object = match verb {
            Verb::Authenticate => {
                let claim = command::claim(&command::members(data, event)?)?.ok_or_else(|| {
                    Fault::new(
                        Code::AuthFailed,
                        "send user_id and organization_id, or a token",
                    )
                })?;
                return self.authenticate(claim);
            }
            Verb::Subscribe => {
                let (channels, place) = self.subscription(event, data)?;
                let rooms = self.member()?.subscribe(&channels, &place)?;
                json!({ "success": true, "subscriptions": rooms })
            }
            Verb::Unsubscribe => {
                let (channels, place) = self.subscription(event, data)?;
                let rooms = self.member()?.unsubscribe(&channels, &place)?;
                json!({ "success": true, "subscriptions": rooms })
            }
            Verb::Ping(kind) => return Ok(pong(kind, data)),
            Verb::Ack => {
                let message = command::acknowledged(&command::members(data, event)?)?;
                self.member()?.acknowledge(message)?;
                json!({ "success": true, "id": message })
            }
            Verb::Publish => {
                let member = self.member()?;
                let own = &member.pass().identity.organization;
                let publication = command::publication(command::members(data, event)?, own)?;
                let receipt =
                    member.publish(&publication.event, publication.payload, &publication.place)?;
                json!({
                    "success": true,
                    "message_id": receipt.message_id,
                    "timestamp": receipt.timestamp,
                    "recipients": receipt.recipients,
                })
            }
        };
        Ok(written(&object))
    }

    fn authenticate(&mut self, claim: Claim) -> Result<Box<RawValue>, Fault> {
        self.attempts
            .check(Instant::now())
            .map_err(Fault::rate_limited)?;
        let verified = self.authenticator.verify(claim, now());
        let pass = verified.inspect_err(|fault| self.count_refused(fault))?;
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
        Ok(written(&object))
    }

    /// The reason alone: what a token says of itself is nobody's to read in a log. Who is refused again
    /// and again is closed, but not for a key that is on its way.
    fn count_refused(&mut self, fault: &Fault) {
        let remote = self.connection.remote_address;
        let reason = fault.reason.unwrap_or(fault.code.as_str());
        let refused = &self.hub.gate.refused;
        refused.count(Refused::Identity, format_args!("{remote}: {reason}"));
        if fault.retry_after.is_none() && self.attempts.refuse() {
            self.hub.close(&self.connection, CloseReason::Unauthorized);
        }
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
        data: Option<&RawValue>,
    ) -> Result<(Vec<Channel>, Place), Fault> {
        let organization = &self.member()?.pass().identity.organization;
        let data = command::members(data, event)?;
        let (names, place) = command::subscription(&data, organization)?;
        let channels = names
            .iter()
            .map(|name| self.hub.known_channel(name, Code::SubscriptionFailed))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((channels, place))
    }
}

/// What comes back is as it was written.
fn pong(kind: PingKind, data: Option<&RawValue>) -> Box<RawValue> {
    let now = now().0;
    match kind {
        PingKind::Heartbeat => {
            let sent = data.and_then(|data| Members::of("the data", data).ok());
            written(&HeartbeatAnswer {
                client_time: sent.and_then(|mut sent| sent.take("clientTime")),
                server_time: now,
            })
        }
        PingKind::Client | PingKind::Short => written(&Pong {
            server_time: now,
            data,
        }),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeartbeatAnswer<'a> {
    client_time: Option<&'a RawValue>,
    server_time: u64,
}

#[derive(Serialize)]
struct Pong<'a> {
    server_time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

fn now() -> UnixMillis {
    UnixMillis::from_system(SystemTime::now())
}

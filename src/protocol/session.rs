//! One client's session: from a command to its reply, the same for both protocols.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::command::{self, OwnEvent, PingKind, Verb};
use super::members::{MAX_MEMBERS, members, of_command};
use crate::auth::Authenticator;
use crate::auth::claim::Claim;
use crate::domain::event::AckId;
use crate::domain::fault::{CloseReason, Code, Fault};
use crate::domain::grants::Pass;
use crate::domain::json::Members;
use crate::domain::room::{Channel, Place, RoomName};
use crate::domain::time::UnixMillis;
use crate::domain::words::Tenant;
use crate::hub::connection::Connection;
use crate::hub::rates::Attempts;
use crate::hub::refused::Refused;
use crate::hub::stats::Received;
use crate::hub::{Attachment, Hub, Member};

/// The answer to one message.
#[derive(Debug)]
pub enum Reply {
    /// The command's event and the object it answers with.
    Done(&'static str, Box<RawValue>),
    Failed(Fault),
}

impl Reply {
    fn done(event: &'static str, object: &impl Serialize) -> Self {
        Self::Done(event, raw(object))
    }

    /// The object of the acknowledgement.
    pub fn object(&self) -> Cow<'_, RawValue> {
        match self {
            Self::Done(_, object) => Cow::Borrowed(object),
            Self::Failed(fault) => Cow::Owned(failure(fault)),
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

/// The object that tells an error.
pub fn failure(fault: &Fault) -> Box<RawValue> {
    raw(&json!({ "success": false, "error": fault }))
}

/// What is answered is always written: its keys are strings. `null` stands in a place that can't be
/// reached.
fn raw(object: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(object).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Something that a client says: an event's name, its data, and binary data that it has placeholders
/// for.
#[derive(Debug)]
pub struct Said<'a> {
    pub event: &'a str,
    pub data: Option<&'a RawValue>,
    pub attachments: Vec<Bytes>,
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

    /// Whether the client has authenticated.
    pub fn is_authenticated(&self) -> bool {
        matches!(self.state, Some(State::Member(_)))
    }

    /// As which the client's token names its organization.
    pub fn tenant(&self) -> Tenant {
        let member = self.member();
        member.map_or(Tenant::Other, |member| member.pass().tenant)
    }

    /// Handles what a client says. That it is within the client's rate was seen before.
    pub fn handle(&mut self, said: Said<'_>) -> Reply {
        let verb = Verb::parse(said.event);
        let counted = verb
            .as_ref()
            .map_or(Received::Unknown, |verb| verb.counted_as());
        self.hub.received(&self.connection, counted);
        let outcome = verb.and_then(|verb| Ok((verb, self.run(verb, said)?)));
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

    /// Authenticates with what the handshake said. `None` if it said nothing. `welcome` runs when it
    /// can't fail any more, before the first event can come.
    pub fn authenticate_handshake(
        &mut self,
        claim: Option<Claim>,
        welcome: impl FnOnce(),
    ) -> Result<Option<Reply>, Fault> {
        let Some(claim) = claim else {
            welcome();
            return Ok(None);
        };
        match self.authenticate(claim, welcome) {
            Ok(object) => Ok(Some(Reply::done(Verb::Authenticate.reply(), &object))),
            Err(fault) => {
                self.hub.stats.count_error();
                Err(fault)
            }
        }
    }

    /// Records an acknowledgement by its number.
    pub fn acknowledge(&self, id: AckId) {
        if let Ok(member) = self.member() {
            // One that comes too late is of no use to anybody.
            member.acknowledge_id(id);
        }
    }

    fn run(&mut self, verb: Verb, said: Said<'_>) -> Result<Box<RawValue>, Fault> {
        let Said {
            event,
            data,
            attachments,
        } = said;
        if !attachments.is_empty() && verb != Verb::Publish {
            return Err(Fault::invalid(format!(
                "`{event}` takes no binary data; only the `data` of `publish` does"
            )));
        }
        let object = match verb {
            Verb::Authenticate => {
                let claim = command::claim(&of_command(data, event)?)?.ok_or_else(|| {
                    Fault::new(
                        Code::AuthFailed,
                        "send user_id and organization_id, or a token",
                    )
                })?;
                self.authenticate(claim, || {})?
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
            // Who has not said who it is gets nothing back that it sent.
            Verb::Ping(kind) => {
                let data = data.filter(|_| self.is_authenticated());
                return pong(kind, data, self.hub.now());
            }
            Verb::Ack => {
                let message = command::acknowledged(&of_command(data, event)?)?;
                self.member()?.acknowledge(message)?;
                json!({ "success": true, "id": message })
            }
            Verb::Publish => {
                let member = self.member()?;
                let own = &member.pass().identity.organization;
                let publication = command::publication(members(data, event)?, own)?;
                let OwnEvent {
                    event,
                    payload,
                    place,
                } = publication;
                let receipt = member.publish(&event, payload, attachments, &place)?;
                json!({
                    "success": true,
                    "message_id": receipt.message_id,
                    "timestamp": receipt.timestamp,
                    "recipients": receipt.recipients,
                })
            }
        };
        Ok(raw(&object))
    }

    fn authenticate(&mut self, claim: Claim, welcome: impl FnOnce()) -> Result<Value, Fault> {
        self.attempts
            .check(Instant::now())
            .map_err(Fault::rate_limited)?;
        let verified = self.authenticator.verify(claim, self.hub.now());
        let pass = verified.inspect_err(|fault| self.count_refused(fault))?;
        let ended = self.enter(pass, welcome)?;
        let pass = self.member()?.pass();
        // Who was revoked between the check and the entry is found here, or by the revocation.
        if let Err(fault) = self.authenticator.recheck(pass, self.hub.now()) {
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
    fn enter(&mut self, pass: Pass, welcome: impl FnOnce()) -> Result<Vec<RoomName>, Fault> {
        let (state, outcome) = match self.state.take() {
            Some(State::Anonymous(attachment)) => match attachment.authenticate(pass, welcome) {
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
        let data = of_command(data, event)?;
        let (names, place) = command::subscription(&data, organization)?;
        let channels = names
            .iter()
            .map(|name| self.hub.known_channel(name, Code::SubscriptionFailed))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((channels, place))
    }
}

/// What a ping brought goes back as it was written.
fn pong(kind: PingKind, data: Option<&RawValue>, now: UnixMillis) -> Result<Box<RawValue>, Fault> {
    #[derive(Serialize)]
    struct Pong<'a> {
        server_time: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Beat<'a> {
        client_time: &'a RawValue,
        server_time: u64,
    }
    let now = now.0;
    Ok(match kind {
        PingKind::Heartbeat => {
            let client_time = match data.filter(|data| data.get().starts_with('{')) {
                Some(data) => Members::read("data", data.get(), MAX_MEMBERS)?.take("clientTime"),
                None => None,
            };
            raw(&Beat {
                client_time: client_time.unwrap_or(RawValue::NULL),
                server_time: now,
            })
        }
        PingKind::Client | PingKind::Short => raw(&Pong {
            server_time: now,
            data,
        }),
    })
}

//! One client's session: from a command to its reply, the same for both protocols.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::command::{self, OwnEvent, PingKind, Verb};
use super::members::{MAX_MEMBERS, members, of_command};
use super::reading::HistoryReply;
use crate::auth::credentials::Credentials;
use crate::domain::error::{ClientError, Code, NotRecovered};
use crate::domain::event::AckId;
use crate::domain::fields::Tenant;
use crate::domain::json::Members;
use crate::domain::position::Position;
use crate::domain::time::UnixMillis;
use crate::hub::connection::{Connection, NewConnection};
use crate::metrics::Received;
use crate::node::Node;
use crate::node::catch_up::CatchUp;
use crate::node::client::{Client, Subscription};
use crate::node::recovery::Recovered;
use crate::node::sessions::SessionKey;
use crate::node::streams::Turn;

/// The answer to one message.
#[derive(Debug)]
pub enum Reply {
    /// The command's event and the object it answers with.
    Done(&'static str, Box<RawValue>),
    Failed(ClientError),
}

impl Reply {
    fn done(event: &'static str, object: &impl Serialize) -> Self {
        Self::Done(event, raw(object))
    }

    /// The object of the acknowledgement.
    pub fn object(&self) -> Cow<'_, RawValue> {
        match self {
            Self::Done(_, object) => Cow::Borrowed(object),
            Self::Failed(error) => Cow::Owned(failure(error)),
        }
    }

    /// The same for a client that wanted to go on where it was, and could not.
    #[must_use]
    pub fn with_refusal(self, refused: Option<NotRecovered>) -> Self {
        match (self, refused) {
            (Self::Done(event, object), Some(reason)) => {
                let mut object: Value = serde_json::from_str(object.get()).unwrap_or_default();
                object["recovered"] = json!(false);
                object["reason"] = json!(reason.label());
                Self::Done(event, raw(&object))
            }
            (reply, _) => reply,
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
pub fn failure(error: &ClientError) -> Box<RawValue> {
    raw(&json!({ "success": false, "error": error }))
}

/// What is answered is always written: its keys are strings. `null` stands in a place that can't be
/// reached.
fn raw(object: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(object).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// What became of something that a client said.
pub struct Handled {
    pub reply: Reply,
    behind: Option<Behind>,
}

/// What comes behind an answer. Nothing is delivered in the client's organization until this is gone, so that the
/// answer to a subscription is sent before the first event of it.
enum Behind {
    /// What comes next.
    Next(#[expect(dead_code, reason = "held, not read")] Turn),
    CatchUp(CatchUp),
}

impl Handled {
    /// Goes on with what comes behind the answer, which has been sent.
    pub fn finish(self) {
        if let Some(Behind::CatchUp(catch_up)) = self.behind {
            catch_up.deliver();
        }
    }
}

/// Something that a client says: an event's name, its data, and binary data that it has placeholders
/// for.
#[derive(Debug)]
pub struct Said<'a> {
    pub event: &'a str,
    pub data: Option<&'a RawValue>,
    pub attachments: Vec<Bytes>,
    /// Under what the client can come back to its session, once it has authenticated.
    pub key: Option<SessionKey>,
}

/// One client's session. Dropping it disconnects.
pub struct Session {
    node: Arc<Node>,
    connection: Arc<Connection>,
    /// One command at a time, whichever of a client's transports it came by.
    client: Mutex<Client>,
}

impl Session {
    /// Takes in a connection that has its permit.
    pub fn connect(node: &Arc<Node>, new: NewConnection) -> Self {
        Self::of(node, Client::connect(node, new))
    }

    /// The session of a client that is connected already.
    pub fn of(node: &Arc<Node>, client: Client) -> Self {
        Self {
            node: Arc::clone(node),
            connection: Arc::clone(client.connection()),
            client: Mutex::new(client),
        }
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Whether the client has authenticated.
    pub fn is_authenticated(&self) -> bool {
        self.connection.is_authenticated()
    }

    /// Leaves for good, even if a command is under way: nobody comes back to this session.
    pub fn end(&self) {
        self.node.sessions.end_of(self.connection.id);
        self.leave();
    }

    /// Leaves the hub, even if a command is under way.
    pub fn leave(&self) {
        self.node.hub.remove(&self.connection);
    }

    /// As which the client's token names its organization.
    pub async fn tenant(&self) -> Tenant {
        let client = self.client.lock().await;
        client
            .principal()
            .map_or(Tenant::Other, |principal| principal.tenant)
    }

    /// Handles what a client says. That it is within the client's rate was seen before.
    /// Commands of one client are handled one after the other; those of others don't wait for them.
    pub async fn handle(&self, said: Said<'_>) -> Handled {
        let verb = Verb::parse(said.event);
        let counted = verb
            .as_ref()
            .map_or(Received::Unknown, |verb| verb.counted_as());
        self.node.hub.received(&self.connection, counted);
        let mut behind = None;
        let outcome = match verb {
            Ok(verb) => {
                let object = self.run(verb, said, &mut behind).await;
                object.map(|object| Reply::Done(verb.reply(), object))
            }
            Err(error) => Err(error),
        };
        Handled {
            reply: outcome.unwrap_or_else(|error| self.fail(error)),
            behind,
        }
    }

    /// Counts a message that could not even be read, or came over the rate, and refuses it.
    pub fn refuse(&self, error: ClientError) -> Reply {
        self.node.hub.received(&self.connection, Received::Unknown);
        self.fail(error)
    }

    fn fail(&self, error: ClientError) -> Reply {
        self.node.hub.metrics.count_error();
        Reply::Failed(error)
    }

    /// Authenticates with what the handshake said. `None` if it said nothing. `welcome` runs when it can't fail any more, before the first event can come.
    pub async fn authenticate_handshake(
        &self,
        credentials: Option<Credentials>,
        key: Option<SessionKey>,
        welcome: impl FnOnce() + Send,
    ) -> Result<Option<Reply>, ClientError> {
        let Some(credentials) = credentials else {
            welcome();
            return Ok(None);
        };
        let mut client = self.client.lock().await;
        match self
            .authenticate(&mut client, credentials, key, welcome)
            .await
        {
            Ok((object, _)) => Ok(Some(Reply::done(Verb::Authenticate.reply(), &object))),
            Err(error) => {
                self.node.hub.metrics.count_error();
                Err(error)
            }
        }
    }

    /// The client was elsewhere before, up to this offset.
    pub async fn go_on_behind(&self, offset: Position) {
        self.client.lock().await.go_on_behind(offset);
    }

    /// Records an acknowledgement by its number.
    pub fn acknowledge(&self, id: AckId) {
        self.node.acknowledge_id(&self.connection, id);
    }

    async fn run(
        &self,
        verb: Verb,
        said: Said<'_>,
        behind: &mut Option<Behind>,
    ) -> Result<Box<RawValue>, ClientError> {
        let Said {
            event,
            data,
            attachments,
            key,
        } = said;
        if !attachments.is_empty() && verb != Verb::Publish {
            return Err(ClientError::invalid(format!(
                "`{event}` takes no binary data; only the `data` of `publish` does"
            )));
        }
        let mut client = self.client.lock().await;
        let object = match verb {
            Verb::Authenticate => {
                let data = of_command(data, event)?;
                let offset = command::offset(&data)?;
                let credentials = command::credentials(&data)?.ok_or_else(|| {
                    ClientError::new(
                        Code::AuthFailed,
                        "send user_id and organization_id, or a token",
                    )
                })?;
                let (object, held) = self
                    .authenticate(&mut client, credentials, key, || {})
                    .await?;
                *behind = Some(Behind::Next(held));
                if let Some(offset) = offset {
                    client.go_on_behind(offset);
                }
                object
            }
            Verb::Subscribe => {
                let own = &client.principal()?.identity.organization;
                let command::Subscription {
                    channels,
                    place,
                    wanted,
                } = command::subscription(&of_command(data, event)?, own)?;
                let subscription = client.subscribe(&channels, &place, wanted).await?;
                let object = subscribed(&subscription);
                *behind = subscription.catch_up.map(Behind::CatchUp);
                object
            }
            Verb::History => {
                let own = &client.principal()?.identity.organization;
                let asked = command::reading(&of_command(data, event)?, own)?;
                let command::Reading {
                    channels,
                    place,
                    event,
                    range,
                    limit,
                } = asked;
                let history = client.history(&channels, &place, event, range, limit);
                return Ok(raw(&HistoryReply::from(&history.await?)));
            }
            Verb::Unsubscribe => {
                let own = &client.principal()?.identity.organization;
                let asked = command::subscription(&of_command(data, event)?, own)?;
                let rooms = client.unsubscribe(&asked.channels, &asked.place)?;
                json!({ "success": true, "subscriptions": rooms })
            }
            // Who has not said who it is gets nothing back that it sent.
            Verb::Ping(kind) => {
                let data = data.filter(|_| self.is_authenticated());
                return pong(kind, data, self.node.hub.now());
            }
            Verb::Ack => {
                let message = command::acknowledged(&of_command(data, event)?)?;
                client.principal()?;
                self.node.acknowledge(&self.connection, message)?;
                json!({ "success": true, "id": message })
            }
            Verb::Publish => {
                let own = &client.principal()?.identity.organization;
                let OwnEvent {
                    event,
                    payload,
                    place,
                } = command::publication(members(data, event)?, own)?;
                let receipt = client.publish(event, payload, attachments, place).await?;
                json!({
                    "success": true,
                    "message_id": receipt.message_id,
                    "timestamp": receipt.timestamp,
                    "offset": receipt.offset,
                    "recipients": receipt.recipients,
                })
            }
        };
        Ok(raw(&object))
    }

    async fn authenticate(
        &self,
        client: &mut Client,
        credentials: Credentials,
        key: Option<SessionKey>,
        welcome: impl FnOnce() + Send,
    ) -> Result<(Value, Turn), ClientError> {
        let (ended, turn) = client.authenticate(credentials, key, welcome).await?;
        let mut object = welcomed(client)?;
        if !ended.is_empty() {
            object["ended_subscriptions"] = json!(ended);
        }
        Ok((object, turn))
    }
}

/// What a client is told that has authenticated.
fn welcomed(client: &Client) -> Result<Value, ClientError> {
    let principal = client.principal()?;
    Ok(json!({
        "success": true,
        "connection_id": client.connection().id,
        "user_id": principal.identity.user,
        "organization_id": principal.identity.organization,
        "expires_at": principal.expires_at,
        "pending": 0,
    }))
}

/// What a client is told that has subscribed.
fn subscribed(subscription: &Subscription) -> Value {
    let mut object = json!({ "success": true, "subscriptions": subscription.rooms });
    match subscription.missed {
        None => {}
        Some(Ok(missed)) => {
            object["recovered"] = json!(true);
            object["missed"] = json!(missed);
        }
        Some(Err(reason)) => {
            object["recovered"] = json!(false);
            object["reason"] = json!(reason.label());
        }
    }
    if let Some(replayed) = subscription.replayed {
        object["replayed"] = json!(replayed);
    }
    object
}

/// What a client is told that goes on where it was.
pub fn recovered(recovered: &Recovered) -> Result<Reply, ClientError> {
    let mut object = welcomed(&recovered.client)?;
    object["recovered"] = json!(true);
    object["missed"] = json!(recovered.missed);
    object["subscriptions"] = json!(recovered.subscriptions);
    Ok(Reply::done(Verb::Authenticate.reply(), &object))
}

/// What a ping brought goes back as it was written.
fn pong(
    kind: PingKind,
    data: Option<&RawValue>,
    now: UnixMillis,
) -> Result<Box<RawValue>, ClientError> {
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

//! What a body asks to be published.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::target::{TargetRequest, user_ids};
use crate::domain::error::ClientError;
use crate::domain::event::Priority;
use crate::domain::fields::{self, Field};
use crate::domain::identity::OrganizationId;
use crate::domain::json::{self, Members};
use crate::domain::suggest;
use crate::domain::target::Target;
use crate::http::extract::body;
use crate::node::publish::Publication;

/// The event that carries a notification of `{title, body}`.
const NOTIFICATION: &str = "notification";

pub(super) fn parse_priority(text: &str) -> Result<Priority, ClientError> {
    Priority::parse(text).ok_or_else(|| {
        let text = fields::shown(text);
        ClientError::invalid(format!(
            "`priority` is `{text}`; allowed are {}",
            Priority::NAMES
        ))
    })
}

pub(super) const REQUIRES_ACK: Field = Field(&["requires_ack", "requiresAck"]);
pub(super) const PRIORITY: Field = Field(&["priority"]);
pub(super) const CASCADE: Field = Field(&["cascade"]);
const EVENT: Field = Field(&["event"]);
const DATA: Field = Field(&["data"]);
const TARGET: Field = Field(&["target"]);
const CHANNEL: Field = Field(&["channel"]);
const TITLE: Field = Field(&["title"]);
const BODY: Field = Field(&["body"]);
const IDEMPOTENCY_KEY: Field = Field(&["idempotency_key", "idempotencyKey"]);
pub(super) const VERSION: Field = Field(&["version"]);
const EXCLUDED: Field = Field(&["excludeUserIds", "exclude_user_ids"]);

/// An event with a target, or a notification (`title` and `body`) for everyone.
#[derive(Debug, ToSchema)]
pub(super) struct BroadcastRequest {
    /// The event's name.
    #[schema(example = "kpi:update")]
    event: Option<String>,
    /// What the event carries.
    #[schema(value_type = Option<Value>)]
    data: Option<Box<RawValue>>,
    target: Option<TargetRequest>,
    /// The channel, where the event's own is not meant.
    channel: Option<String>,
    /// `low`, `medium`, `high` or `urgent`; only `low` may be dropped for a connection that is behind.
    #[schema(value_type = Option<String>, example = "medium")]
    priority: Option<Priority>,
    /// Whether clients are to acknowledge it.
    #[schema(value_type = Option<bool>)]
    requires_ack: bool,
    /// Whether it goes to what is beneath the place as well.
    #[schema(value_type = Option<bool>)]
    cascade: bool,

    /// Of a notification.
    #[schema(value_type = Option<String>)]
    title: Option<Box<RawValue>>,
    /// Of a notification.
    #[schema(value_type = Option<String>)]
    body: Option<Box<RawValue>>,
    /// Who does not get the notification.
    #[schema(rename = "excludeUserIds", max_items = 10_000)]
    exclude_user_ids: Option<Vec<String>>,
    /// Of a value: it is sent only if this is greater than the version of the one before it.
    version: Option<u64>,
    /// As the header `Idempotency-Key`.
    #[schema(max_length = 128)]
    pub idempotency_key: Option<String>,
}

fn version(members: &Map<String, Value>) -> Result<Option<u64>, ClientError> {
    match members.get(VERSION.name()) {
        None | Some(Value::Null) => Ok(None),
        Some(found) => found.as_u64().map(Some).ok_or_else(|| {
            let kind = fields::kind_of(found);
            ClientError::invalid(format!(
                "`version` must be a whole number from 0 on, not {kind}"
            ))
        }),
    }
}

impl BroadcastRequest {
    pub fn read(body: &[u8]) -> Result<Self, ClientError> {
        let mut members = body::members(body)?;
        let known = [
            EVENT,
            DATA,
            TARGET,
            CHANNEL,
            PRIORITY,
            REQUIRES_ACK,
            CASCADE,
            TITLE,
            BODY,
            EXCLUDED,
            IDEMPOTENCY_KEY,
            VERSION,
        ];
        suggest::check_all(members.names(), "the body", &known)?;
        // These are passed on as they were written.
        let data = members.take_once(DATA.name())?;
        let (title, body) = (
            written_text(&mut members, TITLE)?,
            written_text(&mut members, BODY)?,
        );
        let members = members.values(|_| true)?;
        let text = |field| fields::text(&members, field).map(|text| text.map(str::to_owned));
        let flag = |field| fields::flag(&members, field).map(Option::unwrap_or_default);
        Ok(Self {
            event: text(EVENT)?,
            data: data.map(RawValue::to_owned),
            target: fields::object(&members, TARGET)?
                .map(TargetRequest::read)
                .transpose()?,
            channel: text(CHANNEL)?,
            priority: fields::text(&members, PRIORITY)?
                .map(parse_priority)
                .transpose()?,
            requires_ack: flag(REQUIRES_ACK)?,
            cascade: flag(CASCADE)?,
            title,
            body,
            exclude_user_ids: fields::texts(&members, EXCLUDED)?,
            idempotency_key: text(IDEMPOTENCY_KEY)?,
            version: version(&members)?,
        })
    }

    /// `own` is the only organization that the caller reaches, if there is one: a notification is for
    /// everyone in it.
    pub fn publication(self, own: Option<&OrganizationId>) -> Result<Publication, ClientError> {
        match (&self.event, &self.title) {
            (Some(_), None) => self.event_publication(),
            (None, Some(_)) => self.notification(own),
            (Some(_), Some(_)) => Err(ClientError::invalid(
                "a body has an `event` with its `target`, or a `title` with its `body`, not both",
            )),
            (None, None) => Err(ClientError::invalid(
                "the body needs an `event` (with `data` and `target`) or a `title` (with `body`)",
            )),
        }
    }

    fn event_publication(self) -> Result<Publication, ClientError> {
        if self.body.is_some() || self.exclude_user_ids.is_some() {
            return Err(ClientError::invalid(
                "`body` and `excludeUserIds` belong to a notification with a `title`",
            ));
        }
        let target = self.target.ok_or_else(|| {
            ClientError::invalid(
                "`target` is missing: {\"organization_id\": ...} or {\"all\": true}",
            )
        })?;
        Ok(Publication {
            event: self.event.unwrap_or_default(),
            payload: self.data.unwrap_or_else(|| RawValue::NULL.to_owned()),
            target: target.target()?,
            channel: self.channel,
            priority: self.priority.unwrap_or_default(),
            requires_ack: self.requires_ack,
            attachments: Vec::new(),
            cascade: self.cascade,
            version: self.version,
        })
    }

    fn notification(self, own: Option<&OrganizationId>) -> Result<Publication, ClientError> {
        if self.data.is_some() || self.target.is_some() || self.channel.is_some() {
            return Err(ClientError::invalid(
                "`data`, `target` and `channel` belong to an `event`; a `title` goes to everyone",
            ));
        }
        let body = self
            .body
            .ok_or_else(|| ClientError::invalid("`body` is missing beside `title`"))?;
        let except = user_ids(&self.exclude_user_ids.unwrap_or_default(), "excludeUserIds")?;
        let payload = Notification {
            title: self.title,
            body,
        };
        Ok(Publication {
            event: NOTIFICATION.to_owned(),
            payload: serde_json::value::to_raw_value(&payload)
                .map_err(|error| ClientError::invalid(error.to_string()))?,
            target: Target::Everyone {
                within: own.cloned(),
                except: Arc::new(except.into_iter().collect()),
            },
            channel: None,
            priority: self.priority.unwrap_or_default(),
            requires_ack: self.requires_ack,
            attachments: Vec::new(),
            cascade: false,
            version: self.version,
        })
    }
}

/// The payload of a notification.
#[derive(Serialize)]
struct Notification {
    title: Option<Box<RawValue>>,
    body: Box<RawValue>,
}

/// A text as it was written.
fn written_text(
    members: &mut Members<'_>,
    field: Field,
) -> Result<Option<Box<RawValue>>, ClientError> {
    let name = field.name();
    match members.take_once(name)? {
        Some(text) if text.get().starts_with('"') => Ok(Some(text.to_owned())),
        Some(other) => {
            let kind = json::kind_of(other);
            Err(ClientError::invalid(format!(
                "`{name}` must be a string, not {kind}"
            )))
        }
        None => Ok(None),
    }
}

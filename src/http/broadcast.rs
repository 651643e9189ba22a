//! Broadcasts from backends (protocol, section 5).

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, Query, State};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::compression;
use super::guard::{Broadcast, Permit};
use super::reply::Refusal;
use super::router::App;
use super::target::{read_target, user_ids};
use crate::domain::event::Priority;
use crate::domain::fault::Fault;
use crate::domain::identity::OrganizationId;
use crate::domain::words;
use crate::hub::publish::{Publication, Target};

/// The event that carries a notification of `{title, body}`.
const NOTIFICATION: &str = "notification";

/// What may stand in the query of a broadcast.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// How long to wait for acknowledgements.
    wait_ms: Option<u64>,
    priority: Option<String>,
    requires_ack: Option<bool>,
    cascade: Option<bool>,
}

type Params = Result<Query<Options>, axum::extract::rejection::QueryRejection>;
type Body = Result<Bytes, BytesRejection>;
type Remote = ConnectInfo<SocketAddr>;
type Answer = Result<Json<Value>, Refusal>;

pub(super) async fn broadcast(
    permit: Permit<Broadcast>,
    State(app): State<App>,
    remote: Remote,
    params: Params,
    body: Body,
) -> Answer {
    let read = inputs(&app, params, body).and_then(|(options, body)| {
        let request: Request =
            serde_json::from_slice(&body).map_err(|error| Fault::invalid(not_json(&error)))?;
        let mut publication = request.publication(permit.wall())?;
        publication.target = behind_the_wall(publication.target, &permit)?;
        options.apply(publication)
    });
    publish(&app, remote, read).await
}

/// The target as far as the caller reaches: an organization's key is refused every other
/// organization, and of the connections that it names only its own are meant.
fn behind_the_wall(target: Target, permit: &Permit<Broadcast>) -> Result<Target, Fault> {
    match &target {
        Target::Place(place) => permit.within(Some(place.organization.clone())).map(drop)?,
        Target::Users(organization, _) => permit.within(Some(organization.clone())).map(drop)?,
        Target::Everyone { within: None, .. } => permit.operator("`all`")?,
        Target::Connections(..) | Target::Everyone { .. } => {}
    }
    Ok(match target {
        Target::Connections(named, ids) => Target::Connections(permit.within(named)?, ids),
        Target::Everyone { within, except } => Target::Everyone {
            within: permit.within(within)?,
            except,
        },
        other => other,
    })
}

pub(super) async fn kpi(
    permit: Permit<Broadcast>,
    state: State<App>,
    remote: Remote,
    params: Params,
    body: Body,
) -> Answer {
    shortcut("kpi:update", &permit, state, remote, params, body).await
}

pub(super) async fn backlog(
    permit: Permit<Broadcast>,
    state: State<App>,
    remote: Remote,
    params: Params,
    body: Body,
) -> Answer {
    shortcut("backlog:update", &permit, state, remote, params, body).await
}

pub(super) async fn attendance(
    permit: Permit<Broadcast>,
    state: State<App>,
    remote: Remote,
    params: Params,
    body: Body,
) -> Answer {
    shortcut("attendance:update", &permit, state, remote, params, body).await
}

pub(super) async fn alert(
    permit: Permit<Broadcast>,
    state: State<App>,
    remote: Remote,
    params: Params,
    body: Body,
) -> Answer {
    shortcut("alert:triggered", &permit, state, remote, params, body).await
}

async fn shortcut(
    event: &str,
    permit: &Permit<Broadcast>,
    State(app): State<App>,
    remote: Remote,
    params: Params,
    body: Body,
) -> Answer {
    let read = inputs(&app, params, body)
        .and_then(|(options, body)| options.apply(shortcut_publication(event, permit, &body)?));
    publish(&app, remote, read).await
}

/// The body is the payload, and its ids are the target.
fn shortcut_publication(
    event: &str,
    permit: &Permit<Broadcast>,
    body: &[u8],
) -> Result<Publication, Fault> {
    let payload: Box<RawValue> =
        serde_json::from_slice(body).map_err(|error| Fault::invalid(not_json(&error)))?;
    let object: Map<String, Value> = match serde_json::from_str(payload.get()) {
        Ok(Value::Object(object)) => object,
        Ok(other) => {
            let kind = words::kind_of(&other);
            return Err(Fault::invalid(format!(
                "the body must be an object, not {kind}"
            )));
        }
        Err(error) => return Err(Fault::invalid(not_json(&error))),
    };
    let place = words::place(&object, permit.wall())?
        .ok_or_else(|| Fault::invalid("`organization_id` is missing: it says whom this is for"))?;
    Ok(Publication {
        event: event.to_owned(),
        payload,
        target: behind_the_wall(Target::Place(place), permit)?,
        channel: None,
        priority: Priority::default(),
        requires_ack: false,
        cascade: false,
    })
}

fn inputs(app: &App, params: Params, body: Body) -> Result<(Options, Bytes), Fault> {
    let Query(options) = params.map_err(|rejection| Fault::invalid(rejection.body_text()))?;
    let body = body.map_err(|rejection| {
        if compression::is_too_large(&rejection) {
            Fault::too_large(app.max_message_size)
        } else {
            Fault::invalid(rejection.body_text())
        }
    })?;
    Ok((options, body))
}

fn not_json(error: &serde_json::Error) -> String {
    format!("the body is not what is expected: {error}")
}

impl Options {
    /// The publication with what the query says about it, and how long to wait.
    fn apply(&self, mut publication: Publication) -> Result<(Publication, Option<u64>), Fault> {
        if let Some(priority) = &self.priority {
            publication.priority = parse_priority(priority)?;
        }
        publication.requires_ack = self.requires_ack.unwrap_or(publication.requires_ack);
        publication.cascade = self.cascade.unwrap_or(publication.cascade);
        if self.wait_ms.is_some() && !publication.requires_ack {
            return Err(Fault::invalid("`wait_ms` needs `requires_ack`: true"));
        }
        Ok((publication, self.wait_ms))
    }
}

fn parse_priority(text: &str) -> Result<Priority, Fault> {
    Priority::parse(text).ok_or_else(|| {
        Fault::invalid(format!(
            "`priority` is `{text}`; allowed are {}",
            Priority::NAMES
        ))
    })
}

/// Publishes, unless there were too many requests. One that can't be read counts as well.
async fn publish(
    app: &App,
    ConnectInfo(remote): Remote,
    read: Result<(Publication, Option<u64>), Fault>,
) -> Answer {
    let organization = read
        .as_ref()
        .ok()
        .and_then(|(publication, _)| publication.target.organization());
    app.hub.gate.request(organization, remote.ip())?;
    let (publication, wait_ms) = read?;
    let requires_ack = publication.requires_ack;
    let event = publication.event.clone();
    let receipt = app.hub.publish(publication).await?;
    let mut answer = json!({
        "success": true,
        "message": format!("{event} was sent to {} connections", receipt.recipients),
        "message_id": receipt.message_id,
        "timestamp": receipt.timestamp,
        "recipients": receipt.recipients,
    });
    if receipt.dropped > 0 {
        answer["dropped"] = receipt.dropped.into();
    }
    if requires_ack {
        let time = Duration::from_millis(wait_ms.unwrap_or(0));
        answer["acks"] = app.hub.wait_for_acks(&receipt, time).await.into();
    }
    Ok(Json(answer))
}

/// The body of `POST /api/ws/broadcast`: an event with a target, or a notification for everyone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    event: Option<String>,
    data: Option<Box<RawValue>>,
    target: Option<Map<String, Value>>,
    channel: Option<String>,
    priority: Option<String>,
    #[serde(default, alias = "requiresAck")]
    requires_ack: bool,
    #[serde(default)]
    cascade: bool,

    title: Option<String>,
    body: Option<String>,
    #[serde(alias = "excludeUserIds")]
    exclude_user_ids: Option<Vec<String>>,
}

impl Request {
    /// `own` is the only organization that the caller reaches, if there is one: a notification is for
    /// everyone in it.
    fn publication(self, own: Option<&OrganizationId>) -> Result<Publication, Fault> {
        match (&self.event, &self.title) {
            (Some(_), None) => self.event_publication(),
            (None, Some(_)) => self.notification(own),
            (Some(_), Some(_)) => Err(Fault::invalid(
                "a body has an `event` with its `target`, or a `title` with its `body`, not both",
            )),
            (None, None) => Err(Fault::invalid(
                "the body needs an `event` (with `data` and `target`) or a `title` (with `body`)",
            )),
        }
    }

    fn event_publication(self) -> Result<Publication, Fault> {
        if self.body.is_some() || self.exclude_user_ids.is_some() {
            return Err(Fault::invalid(
                "`body` and `excludeUserIds` belong to a notification with a `title`",
            ));
        }
        let target = self.target.ok_or_else(|| {
            Fault::invalid("`target` is missing: {\"organization_id\": ...} or {\"all\": true}")
        })?;
        let priority = self.priority.as_deref().map(parse_priority).transpose()?;
        Ok(Publication {
            event: self.event.unwrap_or_default(),
            payload: self.data.unwrap_or_else(|| RawValue::NULL.to_owned()),
            target: read_target(&target)?,
            channel: self.channel,
            priority: priority.unwrap_or_default(),
            requires_ack: self.requires_ack,
            cascade: self.cascade,
        })
    }

    fn notification(self, own: Option<&OrganizationId>) -> Result<Publication, Fault> {
        if self.data.is_some() || self.target.is_some() || self.channel.is_some() {
            return Err(Fault::invalid(
                "`data`, `target` and `channel` belong to an `event`; a `title` goes to everyone",
            ));
        }
        let body = self
            .body
            .ok_or_else(|| Fault::invalid("`body` is missing beside `title`"))?;
        let except = user_ids(&self.exclude_user_ids.unwrap_or_default(), "excludeUserIds")?;
        let payload = json!({ "title": self.title, "body": body });
        let priority = self.priority.as_deref().map(parse_priority).transpose()?;
        Ok(Publication {
            event: NOTIFICATION.to_owned(),
            payload: serde_json::value::to_raw_value(&payload)
                .map_err(|error| Fault::invalid(error.to_string()))?,
            target: Target::Everyone {
                within: own.cloned(),
                except: except.into_iter().collect(),
            },
            channel: None,
            priority: priority.unwrap_or_default(),
            requires_ack: self.requires_ack,
            cascade: false,
        })
    }
}
